//! The Gregorian calendar, without bounds.

use super::DAY;

/// A date and time of day, of whatever zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::expression) struct Civil {
    pub(in crate::expression) year: i64,
    pub(in crate::expression) month: i64,
    pub(in crate::expression) day: i64,
    pub(in crate::expression) hour: i64,
    pub(in crate::expression) minute: i64,
    pub(in crate::expression) second: i64,
    pub(in crate::expression) millisecond: i64,
}

impl Civil {
    /// From milliseconds since 1970-01-01.
    pub(in crate::expression) fn of(ms: i64) -> Self {
        let (days, rest) = (ms.div_euclid(DAY), ms.rem_euclid(DAY));
        let (year, month, day) = from_days(days);
        Self {
            year,
            month,
            day,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1000 % 60,
            millisecond: rest % 1000,
        }
    }

    /// To milliseconds since 1970-01-01. Fields beyond their range carry over; `None` if it does not fit.
    pub(in crate::expression) fn to_ms(self) -> Option<i64> {
        // The first day of all time starts before the first millisecond, so the sum is made in wider numbers.
        let days = i128::from(to_days(self.year, self.month, 1)?) + i128::from(self.day) - 1;
        let parts = [(self.hour, 3_600_000), (self.minute, 60_000), (self.second, 1000), (self.millisecond, 1)];
        let time: i128 = parts.into_iter().map(|(count, length)| i128::from(count) * length).sum();
        i64::try_from(days * i128::from(DAY) + time).ok()
    }

    /// Midnight of a date.
    pub(in crate::expression) const fn midnight(year: i64, month: i64, day: i64) -> Self {
        Self { year, month, day, hour: 0, minute: 0, second: 0, millisecond: 0 }
    }
}

/// Days from 1970-01-01 to a date; months beyond 1 to 12 carry over into the year.
pub(in crate::expression) fn to_days(year: i64, month: i64, day: i64) -> Option<i64> {
    let months = month.checked_sub(1)?;
    let year = year.checked_add(months.div_euclid(12))?;
    let month = months.rem_euclid(12) + 1;
    // Years are counted from March, so that the leap day is the last.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era.checked_mul(146_097)?.checked_add(day_of_era)?.checked_sub(719_468)
}

/// The date that is `days` after 1970-01-01.
fn from_days(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// How many days a month has.
pub(in crate::expression) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Monday = 1 to Sunday = 7.
pub(in crate::expression) fn iso_weekday(ms: i64) -> i64 {
    (ms.div_euclid(DAY) + 3).rem_euclid(7) + 1
}

/// January 1st = 1.
pub(in crate::expression) fn day_of_year(ms: i64) -> i64 {
    let first = to_days(Civil::of(ms).year, 1, 1).unwrap_or(0);
    ms.div_euclid(DAY) - first + 1
}

/// The ISO 8601 week: its year and number, 1 to 53.
pub(in crate::expression) fn iso_week(ms: i64) -> (i64, i64) {
    // The Thursday of a week decides which year the week belongs to.
    let thursday = ms.div_euclid(DAY) - (iso_weekday(ms) - 1) + 3;
    let year = from_days(thursday).0;
    let first = to_days(year, 1, 1).unwrap_or(0);
    (year, (thursday - first) / 7 + 1)
}

/// Days from 1970-01-01 to a day of an ISO week.
pub(in crate::expression) fn iso_to_days(year: i64, week: i64, weekday: i64) -> Option<i64> {
    // January 4th is always in week 1.
    let fourth = to_days(year, 1, 4)?;
    let monday = fourth - (iso_weekday(fourth.checked_mul(DAY)?) - 1);
    monday.checked_add(week.checked_sub(1)?.checked_mul(7)?)?.checked_add(weekday.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_there_and_back() {
        for days in (-1_000_000..1_000_000).step_by(97) {
            let (year, month, day) = from_days(days);
            assert_eq!(to_days(year, month, day), Some(days));
        }
        assert_eq!(from_days(0), (1970, 1, 1));
        assert_eq!(to_days(2000, 2, 29), Some(11_016));
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for ms in [i64::MIN, i64::MAX] {
            assert_eq!(Civil::of(ms).to_ms(), Some(ms));
            iso_week(ms);
            day_of_year(ms);
        }
        assert_eq!(Civil::midnight(i64::MAX, i64::MAX, i64::MAX).to_ms(), None);
    }

    #[test]
    fn iso_weeks_belong_to_the_year_of_their_thursday() {
        let week = |y, m, d| iso_week(to_days(y, m, d).unwrap() * DAY);
        assert_eq!(week(2021, 1, 3), (2020, 53));
        assert_eq!(week(2021, 1, 4), (2021, 1));
        assert_eq!(week(2018, 12, 31), (2019, 1));
        assert_eq!(iso_to_days(2021, 1, 1), to_days(2021, 1, 4));
    }
}
