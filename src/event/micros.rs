//! A moment of a clock.

use std::ops::{Add, Sub};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// A moment in microseconds since 1970-01-01T00:00:00Z: PostgreSQL's resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Micros(pub i64);

impl Micros {
    /// Before every moment that can be written.
    pub(crate) const MIN: Self = Self(i64::MIN);
    /// After every moment that can be written.
    pub(crate) const MAX: Self = Self(i64::MAX);

    /// Clamped to the years 1 to 9999, which can be written.
    pub fn in_years(self) -> Self {
        const YEAR_1: i64 = -62_135_596_800_000_000;
        const YEAR_9999: i64 = 253_402_300_799_999_999;
        Self(self.0.clamp(YEAR_1, YEAR_9999))
    }

    /// RFC 3339 in UTC, with six digits of the second. A moment outside the years 1 to 9999 (only a
    /// hand-made row has one) is clamped to them.
    pub fn to_rfc3339(self) -> String {
        const FORMAT: &[BorrowedFormatItem<'_>] = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
        );
        let nanos = i128::from(self.in_years().0) * 1_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|moment| moment.format(FORMAT).ok())
            .unwrap_or_default()
    }

    /// The time between two moments, whichever is earlier.
    pub(crate) fn distance(self, other: Self) -> Duration {
        Duration::from_micros(self.0.abs_diff(other.0))
    }
}

fn whole_micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// Stops at [`Micros::MAX`].
impl Add<Duration> for Micros {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_micros(span)))
    }
}

/// Stops at [`Micros::MIN`].
impl Sub<Duration> for Micros {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(whole_micros(span)))
    }
}
