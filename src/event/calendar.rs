//! The Gregorian calendar.

/// The number of days of a month (1 to 12).
pub(super) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The days from 1970-01-01 to a day of the Gregorian calendar, extended to all years. Plain
/// arithmetic has no range of years that a client's time could exceed.
pub(super) fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years are counted from March, so that the leap day is the last day of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares every day of 400 years with the `time` crate's calendar.
    #[test]
    fn days_agree_with_the_calendar_of_the_time_crate() {
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
    }
}
