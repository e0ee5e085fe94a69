//! Sizes and durations as people write them, and the least value that a flag takes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest life of a token: a year of teaching, and some days more.
const LONGEST_LIFE: Duration = Duration::from_secs(400 * 86_400);
/// The longest duration another flag takes: beyond a day someone mistyped, and sums of nanoseconds
/// stay far from their end.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Bytes: `4096`, `64KiB`, `8MiB`, `1GiB`; also `kB`, `MB`, `GB` by thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) struct Size(pub usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let factor: usize = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err("write it as 4096, 64KiB, 8MiB or 1GiB".to_owned()),
        };
        let number: usize =
            number.parse().map_err(|_| "write it as 4096, 64KiB, 8MiB or 1GiB".to_owned())?;
        number.checked_mul(factor).map(Self).ok_or_else(|| "is too large".to_owned())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// `500ms`, `10s`, `1.5m`, `2h`.
///
/// # Errors
/// If it is none of these, or over a day.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("write it as 500ms, 10s or 2m".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "write it as 500ms, 10s or 2m".to_owned())?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("at most a day".to_owned()),
    }
}

/// A token's life: as [`parse_duration`], or `90d`; longer than nothing, and 400 days at most.
///
/// # Errors
/// If it is none.
pub(crate) fn parse_life(text: &str) -> Result<Duration, String> {
    let life = match text.trim().strip_suffix('d') {
        Some(days) => days
            .trim()
            .parse()
            .map(|days: u32| Duration::from_secs(u64::from(days) * 86_400))
            .map_err(|_| "write it as 45m, 12h or 90d".to_owned())?,
        None => parse_duration(text)?,
    };
    match life {
        Duration::ZERO => Err("it must be longer than 0s".to_owned()),
        life if life > LONGEST_LIFE => Err("at most 400d".to_owned()),
        life => Ok(life),
    }
}

/// As [`parse_duration`], but longer than nothing.
///
/// # Errors
/// As [`parse_duration`]'s, and for `0s`.
pub(crate) fn parse_positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("it must be longer than 0s".to_owned()),
        duration => Ok(duration),
    }
}

/// Days: `180d`; at least one, and at most a hundred years.
///
/// # Errors
/// If it is none of these.
pub(crate) fn parse_days(text: &str) -> Result<Duration, String> {
    let days = match split(text) {
        (number, "d") => number.parse::<u64>().ok().filter(|days| (1..=36_500).contains(days)),
        _ => None,
    };
    match days {
        Some(days) => Ok(Duration::from_secs(days * 86_400)),
        None => Err("write it as 180d: days, from 1d to 36500d".to_owned()),
    }
}

/// A parser of values that are `least` or more; clap names the flag in its errors.
pub(crate) fn at_least<T>(
    least: T,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr<Err: fmt::Display> + PartialOrd + fmt::Display + Clone + Send + Sync + 'static,
{
    move |text| match text.parse::<T>() {
        Ok(value) if value >= least => Ok(value),
        Ok(_) => Err(format!("it must be {least} at least")),
        Err(error) => Err(error.to_string()),
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    (number, unit.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        for text in ["", "10", "s", "-1s", "1d", "1.2.3s", "99999m"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("4096", 4096), ("64KiB", 65_536), ("8 MiB", 8 << 20), ("2mb", 2_000_000)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)));
        }
        for text in ["", "KiB", "-1", "1.5MiB", "1TiB", "99999999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(Size(8 << 20).to_string(), "8MiB");
        assert_eq!(Size(1000).to_string(), "1000");
    }
}
