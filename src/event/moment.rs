//! Times as text: RFC 3339, and the other forms that clients write for `eventTime`.
//!
//! Python's `isoformat()` of a naive time has no offset, and `str()` of a time has a blank instead
//! of the `T`; other clients omit the seconds, or the colon of the offset. Each of these names one
//! moment if a missing offset counts as UTC. A clock that was never set (1970), or that is far
//! ahead, must not void a student's event: its time is moved to the nearest bound.
//!
//! One reader reads all forms, and notes which of them a text has. So [`parse_rfc3339`], which the
//! state is folded with, accepts exactly RFC 3339.

use std::borrow::Cow;

use super::calendar::{days_in_month, days_since_1970};
use super::micros::Micros;

/// 2000-01-01T00:00:00Z, in seconds since 1970: the earliest time that is stored.
const FIRST_SECOND: i64 = 946_684_800;
/// 2101-01-01T00:00:00Z: the last time that is stored is a microsecond earlier.
const END_SECOND: i64 = 4_133_980_800;
const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// The rule that a rejection names.
const RULE: &str = "must be an RFC 3339 time, such as 2026-04-01T09:00:00.000Z";

/// Reads an `eventTime`. Returns the moment, moved into the years 2000 to 2100, and the text for
/// the stored body, which names the same microsecond: the text as it was sent if that is UTC with
/// at most six digits of the second, and otherwise the relay's form.
pub(super) fn parse(text: &str) -> Result<(Micros, Cow<'_, str>), &'static str> {
    let read = read(text.as_bytes()).ok_or(RULE)?;
    let micros = if read.seconds < FIRST_SECOND {
        FIRST_SECOND * MICROS
    } else if read.seconds >= END_SECOND {
        END_SECOND * MICROS - 1
    } else {
        let micros = read.moment();
        if read.form == Form::Canonical {
            return Ok((micros, Cow::Borrowed(text)));
        }
        micros.0
    };
    Ok((Micros(micros), Cow::Owned(Micros(micros).to_rfc3339())))
}

/// Reads `YYYY-MM-DDThh:mm:ss[.f…](Z|±hh:mm)`, of a day that exists and without leap seconds.
/// Digits beyond the microsecond are dropped.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Micros> {
    read(text.as_bytes()).filter(|read| read.form != Form::Lenient).map(|read| read.moment())
}

/// The form in which a time was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As the relay itself would write it: `2026-04-01T09:00:00[.123456]Z`.
    Canonical,
    /// Any other RFC 3339 time, but no leap second.
    Rfc3339,
    /// One of the other forms that clients write.
    Lenient,
}

/// A time as it was read, before it is moved into its bounds.
struct ParsedTime {
    /// Seconds since 1970, in UTC.
    seconds: i64,
    /// Microseconds of the second.
    micros: i64,
    form: Form,
}

impl ParsedTime {
    fn moment(&self) -> Micros {
        Micros(self.seconds * MICROS + self.micros)
    }
}

fn read(bytes: &[u8]) -> Option<ParsedTime> {
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
    let has_plain_year = text.at == 4;
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
    let zone = &bytes[text.at..];
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
    let is_strict = has_plain_year
        && matches!(separator, b'T' | b't')
        && has_seconds
        && !has_comma
        && !is_leap_second
        && matches!(zone, [b'Z' | b'z'] | [b'+' | b'-', _, _, b':', _, _]);
    let is_canonical = is_strict && separator == b'T' && zone == b"Z" && digits <= 6;
    let form = match (is_canonical, is_strict) {
        (true, _) => Form::Canonical,
        (false, true) => Form::Rfc3339,
        (false, false) => Form::Lenient,
    };
    Some(ParsedTime { seconds, micros, form })
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

    /// A number of exactly this many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let text = self.bytes.get(self.at..self.at + digits)?;
        self.at += digits;
        text.iter().try_fold(0, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
        })
    }

    /// The microseconds that the digits after the point name, and the number of digits.
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

    /// The offset after the time of day, in seconds east of UTC. A missing offset counts as UTC.
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
        // These are within the bounds only with the offset.
        assert_eq!(written("1999-12-31T23:30:00-01:00"), "2000-01-01T00:30:00.000000Z");
        assert_eq!(written("2101-01-01T00:30:00+01:00"), "2100-12-31T23:30:00.000000Z");
    }

    #[test]
    fn a_text_that_names_no_moment_is_rejected() {
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

    #[test]
    fn exactly_rfc_3339_is_read_strictly() {
        for micros in [0, 951_782_400_000_000, 1_775_034_000_123_456, -1] {
            assert_eq!(parse_rfc3339(&Micros(micros).to_rfc3339()), Some(Micros(micros)));
        }
        let nine = parse_rfc3339("2026-04-01T09:00:00Z");
        assert_eq!(nine, Some(Micros(1_775_034_000_000_000)));
        assert_eq!(parse_rfc3339("2026-04-01t18:00:00.0000009+09:00"), nine);
        assert_eq!(parse_rfc3339("2026-04-01T08:30:00.0-00:30"), nine);
        assert_eq!(parse_rfc3339("2026-04-01T09:00:00z"), nine);
        for text in [
            "",
            "2026-04-01",
            "2026-04-01T09:00:00",
            "2026-04-01T09:00:00.Z",
            "2026-04-01T09:00:00,0Z",
            "2026-04-01T09:00:00ZZ",
            "2026-04-01T09:00:00 UTC",
            "2026-04-01T09:00:00 +00:00",
            "2026-04-01T09:00Z",
            "2026-04-01 09:00:00Z",
            "2026-04-01_09:00:00Z",
            "2026-02-29T09:00:00Z",
            "2026-13-01T09:00:00Z",
            "2026-04-01T24:00:00Z",
            "2026-04-01T09:00:60Z",
            "2016-12-31T23:59:60Z",
            "2026-04-01T09:00:00+9:00",
            "2026-04-01T09:00:00+0900",
            "2026-04-01T09:00:00+09",
            "+026-04-01T09:00:00Z",
            "+002026-04-01T09:00:00Z",
            "2026-04-01T09:00:00+24:00",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn the_bounds_are_whole_years() {
        assert_eq!(FIRST_SECOND, days_since_1970(2000, 1, 1) * DAY);
        assert_eq!(END_SECOND, days_since_1970(2101, 1, 1) * DAY);
    }
}
