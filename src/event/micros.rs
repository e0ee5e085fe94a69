//! A moment of a clock.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// A moment in microseconds since 1970-01-01T00:00:00Z: PostgreSQL's resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Micros {
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
}
