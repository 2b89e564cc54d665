//! Sums and means of intervals, each part for itself; what is left of a month or a day goes into the smaller parts.

use crate::codec::{Reader, write_i64};
use crate::{Interval, Result, RowError};

const DAYS_OF_MONTH: i128 = 30;
const MICROS_OF_DAY: i128 = 86_400_000_000;

/// An exact sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntervalSum {
    months: i64,
    days: i64,
    micros: i128,
}

impl IntervalSum {
    pub(super) const EMPTY: Self = Self { months: 0, days: 0, micros: 0 };

    pub(super) fn add(&mut self, value: Interval, weight: i64) {
        self.months += i64::from(value.months) * weight;
        self.days += i64::from(value.days) * weight;
        self.micros += i128::from(value.micros) * i128::from(weight);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.months += other.months;
        self.days += other.days;
        self.micros += other.micros;
    }

    pub(super) fn sum(&self) -> Result<Interval, RowError> {
        interval(i128::from(self.months), i128::from(self.days), self.micros)
    }

    /// The sum over a count: as PostgreSQL divides, without its roundings in between.
    pub(super) fn average(&self, count: i64) -> Result<Interval, RowError> {
        let count = i128::from(count);
        let (months, days) = (i128::from(self.months), i128::from(self.days));
        let month_days = months % count * DAYS_OF_MONTH;
        let mut whole_days = days / count + month_days / count;
        // What is left of the days, in microseconds times the count.
        let rest = (days % count + month_days % count) * MICROS_OF_DAY;
        whole_days += rest / (MICROS_OF_DAY * count);
        let micros = self.micros + rest % (MICROS_OF_DAY * count);
        interval(months / count, whole_days, nearest(micros, count))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_i64(self.months, out);
        write_i64(self.days, out);
        super::wide::Wide::Small(self.micros).write(out);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (months, days) = (reader.i64()?, reader.i64()?);
        let super::wide::Wide::Small(micros) = super::wide::Wide::read(reader)? else {
            return Err(crate::Error::Damaged("a span is too large"));
        };
        Ok(Self { months, days, micros })
    }
}

fn interval(months: i128, days: i128, micros: i128) -> Result<Interval, RowError> {
    let parts = i32::try_from(months).ok().zip(i32::try_from(days).ok()).zip(i64::try_from(micros).ok());
    let Some(((months, days), micros)) = parts else {
        return Err(RowError::new("22008", "interval out of range"));
    };
    Ok(Interval { months, days, micros })
}

/// The whole number nearest to `a / b`, ties to even.
fn nearest(a: i128, b: i128) -> i128 {
    let (quotient, rest) = (a.div_euclid(b), a.rem_euclid(b));
    match (rest * 2).cmp(&b) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
        std::cmp::Ordering::Greater => quotient + 1,
    }
}

/// `from + (to - from) * part`, as PostgreSQL interpolates.
pub(super) fn between(from: Interval, to: Interval, part: f64) -> Result<Interval, RowError> {
    let difference = (
        f64::from(to.months) - f64::from(from.months),
        f64::from(to.days) - f64::from(from.days),
        micros_f64(to.micros) - micros_f64(from.micros),
    );
    let (months, days, micros) = (difference.0 * part, difference.1 * part, difference.2 * part);
    let month_days = settled((months - months.trunc()) * 30.0);
    let mut whole_days = days.trunc() + month_days.trunc();
    let mut rest = settled((days - days.trunc() + month_days - month_days.trunc()) * 86_400.0);
    if rest.abs() >= 86_400.0 {
        whole_days += (rest / 86_400.0).trunc();
        rest -= (rest / 86_400.0).trunc() * 86_400.0;
    }
    let micros = (micros + rest * 1_000_000.0).round_ties_even();
    let whole = |value: f64| whole(value).unwrap_or(i128::MAX);
    interval(
        i128::from(from.months) + whole(months.trunc()),
        i128::from(from.days) + whole(whole_days),
        i128::from(from.micros) + whole(micros),
    )
}

#[expect(clippy::cast_precision_loss, reason = "interpolation is not exact")]
fn micros_f64(micros: i64) -> f64 {
    micros as f64
}

#[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
fn whole(value: f64) -> Option<i128> {
    (value.abs() < 1e30).then_some(value as i128)
}

/// Without the noise behind the sixth digit.
fn settled(value: f64) -> f64 {
    (value * 1_000_000.0).round_ties_even() / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_hand_what_is_left_to_smaller_parts() {
        let mut sum = IntervalSum::EMPTY;
        sum.add(Interval { months: 1, days: 0, micros: 0 }, 1);
        sum.add(Interval { months: 0, days: 1, micros: 0 }, 1);
        assert_eq!(sum.sum().unwrap(), Interval { months: 1, days: 1, micros: 0 });
        // PostgreSQL: (interval '1 mon 1 day') / 2 is 15 days 12:00:00
        assert_eq!(sum.average(2).unwrap(), Interval { months: 0, days: 15, micros: 43_200_000_000 });
        sum.add(Interval { months: 0, days: 1, micros: 0 }, -1);
        assert_eq!(sum.average(1).unwrap(), Interval { months: 1, days: 0, micros: 0 });
    }
}
