//! `eventTime`: RFC 3339, and what clients write in its place.
//!
//! Python's `isoformat()` of a naive time has no offset; `str()` of a time has a blank for the `T`;
//! others leave out the seconds, or the colon of the offset. All of these name one moment once a
//! missing offset is taken as UTC. A clock that was never set (1970) or is far ahead must not cost
//! a student's run: its time is moved to the nearest bound.

use std::borrow::Cow;

use super::Micros;

/// 2000-01-01T00:00:00Z, in seconds since 1970: the earliest time that is stored.
const FIRST_SECOND: i64 = 946_684_800;
/// 2101-01-01T00:00:00Z: the last time that is stored is a microsecond earlier.
const END_SECOND: i64 = 4_133_980_800;
const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// What a time must be, for a rejection.
const RULE: &str = "must be an RFC 3339 time, such as 2026-04-01T09:00:00.000Z";

/// The moment that `text` names, moved into the years 2000 to 2100, and how it is written in the
/// stored body: as it came if that is UTC with at most six digits of the second, else rewritten so.
/// Both name the same microsecond.
pub(super) fn parse(text: &str) -> Result<(Micros, Cow<'_, str>), &'static str> {
    let read = read(text.as_bytes()).ok_or(RULE)?;
    let micros = if read.seconds < FIRST_SECOND {
        FIRST_SECOND * MICROS
    } else if read.seconds >= END_SECOND {
        END_SECOND * MICROS - 1
    } else {
        let micros = Micros(read.seconds * MICROS + read.micros);
        if read.is_canonical {
            return Ok((micros, Cow::Borrowed(text)));
        }
        micros.0
    };
    Ok((Micros(micros), Cow::Owned(Micros(micros).to_rfc3339())))
}

/// A time as it was read, before it is moved into its bounds.
struct Read {
    /// Since 1970, in UTC.
    seconds: i64,
    /// Of the second.
    micros: i64,
    /// Written as the relay itself would: `2026-04-01T09:00:00[.123456]Z`.
    is_canonical: bool,
}

fn read(bytes: &[u8]) -> Option<Read> {
    let mut text = Text { bytes, at: 0 };
    // ISO 8601 writes a year of more than four digits with a sign and six digits. JavaScript does.
    let year = match text.peek() {
        sign @ (b'+' | b'-') => {
            text.at += 1;
            let year = text.number(6)?;
            if sign == b'-' { -year } else { year }
        }
        _ => text.number(4)?,
    };
    let is_plain_year = text.at == 4;
    text.eat(b'-')?;
    let month = text.number(2)?;
    text.eat(b'-')?;
    let day = text.number(2)?;
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let separator = text.peek();
    if !matches!(separator, b'T' | b't' | b' ' | b'_') {
        return None;
    }
    text.at += 1;
    let hour = text.number(2)?;
    text.eat(b':')?;
    let minute = text.number(2)?;
    let (mut second, mut micros, mut digits, mut has_comma) = (0, 0, 0, false);
    let has_seconds = text.peek() == b':';
    if has_seconds {
        text.at += 1;
        second = text.number(2)?;
        has_comma = text.peek() == b',';
        if has_comma || text.peek() == b'.' {
            text.at += 1;
            (micros, digits) = text.fraction()?;
        }
    }
    let is_utc = text.peek() == b'Z';
    let offset = text.offset()?;
    if text.at != bytes.len() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let is_leap_second = second == 60;
    if is_leap_second {
        (second, micros) = (59, MICROS - 1);
    }
    let seconds =
        days_since_1970(year, month, day) * DAY + hour * 3_600 + minute * 60 + second - offset;
    if is_leap_second && seconds.rem_euclid(DAY) != DAY - 1 {
        return None;
    }
    let is_canonical = is_utc
        && is_plain_year
        && separator == b'T'
        && has_seconds
        && !has_comma
        && !is_leap_second
        && digits <= 6;
    Some(Read { seconds, micros, is_canonical })
}

/// A reader over the bytes of a time.
struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Text<'_> {
    /// The next byte; 0 at the end.
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek() == byte).then(|| self.at += 1)
    }

    /// A number of exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let text = self.bytes.get(self.at..self.at + digits)?;
        self.at += digits;
        text.iter().try_fold(0, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
        })
    }

    /// The digits behind the point, cut below a microsecond, and how many there are.
    fn fraction(&mut self) -> Option<(i64, usize)> {
        let (mut micros, mut unit, start) = (0, MICROS / 10, self.at);
        while self.peek().is_ascii_digit() {
            micros += i64::from(self.peek() - b'0') * unit;
            unit /= 10;
            self.at += 1;
        }
        let digits = self.at - start;
        (digits > 0).then_some((micros, digits))
    }

    /// What stands behind the time of day, in seconds east of UTC. Nothing is UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.peek() == b' ' && self.at + 1 < self.bytes.len() {
            self.at += 1;
        }
        let sign = match self.peek() {
            0 if self.at == self.bytes.len() => return Some(0),
            b'Z' | b'z' => {
                self.at += 1;
                return Some(0);
            }
            b'U' if self.bytes[self.at..] == *b"UTC" => {
                self.at += 3;
                return Some(0);
            }
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.at += 1;
        let hours = self.number(2)?;
        let has_colon = self.eat(b':').is_some();
        let minutes = if has_colon || self.at < self.bytes.len() { self.number(2)? } else { 0 };
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Of the Gregorian calendar, extended to all years; plain arithmetic, so that no year is out of
/// its range.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Counted from March, so that the leap day is a year's last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn written(text: &str) -> String {
        let (micros, written) = parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        let again = parse(&written).expect("what is written can be read");
        assert_eq!(again.0, micros, "{text}: the body and the column name one moment");
        let read = OffsetDateTime::parse(&written, &Rfc3339).expect("what is written is RFC 3339");
        assert_eq!(read.unix_timestamp_nanos(), i128::from(micros.0) * 1_000, "{text}");
        written.into_owned()
    }

    #[test]
    fn utc_stays_as_it_is_written() {
        for text in [
            "2026-11-23T15:36:11Z",
            "2026-11-23T15:36:11.9Z",
            "2026-11-23T15:36:11.956Z",
            "2026-11-23T15:36:11.123456Z",
            "2000-01-01T00:00:00Z",
            "2024-02-29T00:00:00Z",
            "2100-12-31T23:59:59.999999Z",
        ] {
            assert_eq!(written(text), text);
        }
    }

    #[test]
    fn forms_that_clients_write_name_one_moment() {
        for (text, expected) in [
            ("2026-11-23T15:36:03", "2026-11-23T15:36:03.000000Z"),
            ("2026-11-23T15:36:03.956", "2026-11-23T15:36:03.956000Z"),
            ("2026-11-23 15:36:03", "2026-11-23T15:36:03.000000Z"),
            ("2026-11-23 15:36:03.123456+00:00", "2026-11-23T15:36:03.123456Z"),
            ("2026-11-23 15:36:03 +0900", "2026-11-23T06:36:03.000000Z"),
            ("2026-11-23 15:36:03 UTC", "2026-11-23T15:36:03.000000Z"),
            ("2026-11-23T15:36:03,956Z", "2026-11-23T15:36:03.956000Z"),
            ("2026-11-23t15:36:03z", "2026-11-23T15:36:03.000000Z"),
            ("2026-11-23T15:36", "2026-11-23T15:36:00.000000Z"),
            ("2026-11-23T15:36Z", "2026-11-23T15:36:00.000000Z"),
            ("2026-11-23T15:36:03+0900", "2026-11-23T06:36:03.000000Z"),
            ("2026-11-23T15:36:03+09", "2026-11-23T06:36:03.000000Z"),
            ("2026-11-23T00:30:00-00:30", "2026-11-23T01:00:00.000000Z"),
            ("2026-11-23T15:36:03.123456789+09:00", "2026-11-23T06:36:03.123456Z"),
            ("2026-11-23T15:36:03.9999999Z", "2026-11-23T15:36:03.999999Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
            ("2017-01-01T08:59:60.5+09:00", "2016-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(written(text), expected, "{text}");
        }
    }

    #[test]
    fn a_clock_that_is_far_off_is_moved_to_the_nearest_bound() {
        const FIRST: &str = "2000-01-01T00:00:00.000000Z";
        const LAST: &str = "2100-12-31T23:59:59.999999Z";
        for text in [
            "1970-01-01T00:00:05Z",
            "1999-12-31T23:59:59.999999Z",
            "2000-01-01T00:59:59+01:00",
            "0000-01-01T00:00:00Z",
            "0000-01-01T00:00:00+23:59",
            "0001-01-01T00:00:00",
            "-000001-01-01T00:00:00Z",
            "-999999-01-01T00:00:00Z",
        ] {
            assert_eq!(written(text), FIRST, "{text}");
        }
        for text in [
            "2101-01-01T00:00:00Z",
            "2100-12-31T23:59:59-01:00",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:59.999999999-23:59",
            "+012026-11-23T15:36:03.000Z",
            "+999999-12-31T23:59:59-23:59",
        ] {
            assert_eq!(written(text), LAST, "{text}");
        }
        // Within the bounds only after the offset is counted.
        assert_eq!(written("1999-12-31T23:30:00-01:00"), "2000-01-01T00:30:00.000000Z");
        assert_eq!(written("2101-01-01T00:30:00+01:00"), "2100-12-31T23:30:00.000000Z");
    }

    #[test]
    fn what_names_no_moment_is_rejected() {
        for text in [
            "",
            "now",
            "1764000000",
            "2026-11-23",
            "20261123T153603Z",
            "11/23/2026 15:36:03",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-11-31T00:00:00Z",
            "2026-11-00T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T15:60:00Z",
            "2026-11-23T15:36:61Z",
            "2026-11-23T15:36:60Z",
            "2026-11-23T15:36:03+25:00",
            "2026-11-23T15:36:03+09:60",
            "2026-11-23T15:36:03+9",
            "2026-11-23T15:36:03+09:",
            "2026-11-23T15:36:03.Z",
            "2026-11-23T15:36:03Z ",
            "2026-11-23T15:36:03 ",
            " 2026-11-23T15:36:03Z",
            "2026-11-23T15:36:03ZZ",
            "2026-11-23T15:36:03 JST",
            "-2026-01-01T00:00:00Z",
            "12026-01-01T00:00:00Z",
            "2026-11-23é15:36:03Z",
            "２０２６-11-23T15:36:03Z",
        ] {
            assert_eq!(parse(text), Err(RULE), "{text}");
        }
    }

    /// Against another calendar: every day of 400 years, and the same text read by both.
    #[test]
    fn days_are_those_of_the_calendar() {
        let mut date =
            time::Date::from_calendar_date(1800, time::Month::January, 1).expect("a date");
        let epoch = time::Date::from_calendar_date(1970, time::Month::January, 1).expect("a date");
        for _ in 0..146_097 {
            let (year, month, day) = date.to_calendar_date();
            let days = days_since_1970(year.into(), u8::from(month).into(), day.into());
            assert_eq!(days, i64::from(date.to_julian_day() - epoch.to_julian_day()), "{date}");
            date = date.next_day().expect("a day");
            assert_eq!(
                date.day() == 1,
                i64::from(day) == days_in_month(year.into(), u8::from(month).into()),
                "{date}"
            );
        }
        assert_eq!(FIRST_SECOND, days_since_1970(2000, 1, 1) * DAY);
        assert_eq!(END_SECOND, days_since_1970(2101, 1, 1) * DAY);
    }
}
