//! `SUM` and `AVG`: exact under retraction, rounded once when they are read (SQL-7.3).

use super::exact::{Exact, Number, Scaled};
use super::interval::IntervalSum;
use super::round::{dyadic_over, dyadic_to_double, to_double, to_numeric};
use super::wide::Wide;
use super::{average, name};
use crate::codec::{Reader, write_i64};
use crate::{AggregateFunction as Function, Datum, Result, RowError};

/// What a sum has to know: the exact sum of all finite numbers, and how many there are of each kind.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    exact: Exact,
    integers: i64,
    decimals: i64,
    doubles: i64,
    nans: i64,
    positive: i64,
    negative: i64,
    intervals: i64,
    interval: IntervalSum,
}

impl Sum {
    pub(super) const EMPTY: Self = Self {
        exact: Exact::ZERO,
        integers: 0,
        decimals: 0,
        doubles: 0,
        nans: 0,
        positive: 0,
        negative: 0,
        intervals: 0,
        interval: IntervalSum::EMPTY,
    };

    /// Adds a value so many times, or takes it away. NULLs do not count.
    pub(super) fn apply(&mut self, value: &Datum, weight: i64) {
        match value {
            Datum::Int(_) | Datum::Long(_) => self.integers += weight,
            Datum::Decimal(v) => {
                self.decimals += weight;
                self.special(v.is_nan(), v.is_finite(), v.is_signed(), weight);
            }
            Datum::Double(v) => {
                self.doubles += weight;
                self.special(v.is_nan(), v.is_finite(), v.is_sign_negative(), weight);
            }
            Datum::Interval(v) => {
                self.intervals += weight;
                self.interval.add(*v, weight);
            }
            _ => {}
        }
        if let Some(number) = Number::of(value) {
            self.exact.add(&if weight == 1 { number } else { number.by(weight) });
        }
    }

    fn special(&mut self, is_nan: bool, is_finite: bool, is_negative: bool, weight: i64) {
        if is_nan {
            self.nans += weight;
        } else if !is_finite {
            *(if is_negative { &mut self.negative } else { &mut self.positive }) += weight;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.exact.merge(&other.exact);
        self.integers += other.integers;
        self.decimals += other.decimals;
        self.doubles += other.doubles;
        self.nans += other.nans;
        self.positive += other.positive;
        self.negative += other.negative;
        self.intervals += other.intervals;
        self.interval.merge(&other.interval);
    }

    /// What no finite number can change: NaN or an infinity.
    fn endless(&self) -> Option<f64> {
        if self.nans > 0 || (self.positive > 0 && self.negative > 0) {
            Some(f64::NAN)
        } else if self.positive > 0 {
            Some(f64::INFINITY)
        } else if self.negative > 0 {
            Some(f64::NEG_INFINITY)
        } else {
            None
        }
    }

    /// The sum or the average.
    pub(super) fn value(&self, function: Function) -> Result<Datum, RowError> {
        let count = self.integers + self.decimals + self.doubles;
        let is_average = function == Function::Avg;
        if self.intervals > 0 {
            if count > 0 {
                return Err(RowError::new("42804", format!("{} needs numbers or intervals, not both", name(function))));
            }
            let value = if is_average { self.interval.average(self.intervals)? } else { self.interval.sum()? };
            return Ok(Datum::Interval(value));
        }
        if count <= 0 {
            return Ok(Datum::Null);
        }
        if let Some(endless) = self.endless() {
            let decimal = millstream_value::Decimal::from_f64(endless);
            return Ok(if self.doubles > 0 { Datum::Double(endless) } else { Datum::Decimal(decimal) });
        }
        let too_large = || RowError::new("22003", format!("{} is out of range", name(function)));
        if self.doubles > 0 {
            let value = self.double(if is_average { count } else { 1 });
            return if value.is_finite() { Ok(Datum::Double(value)) } else { Err(too_large()) };
        }
        if is_average {
            return average::average(&self.exact.decimal, count).map(Datum::Decimal).ok_or_else(too_large);
        }
        // Fractions that have gone may have left zeros behind the point.
        if self.decimals == 0
            && let Scaled { value: Wide::Small(sum), exponent: 0 } = self.exact.decimal.trimmed()
            && let Ok(sum) = i64::try_from(sum)
        {
            return Ok(Datum::Long(sum));
        }
        to_numeric(&self.exact.decimal).map(Datum::Decimal).ok_or_else(too_large)
    }

    fn double(&self, count: i64) -> f64 {
        if self.exact.decimal.value.is_zero() {
            let sum = &self.exact.dyadic;
            return if count == 1 { dyadic_to_double(sum) } else { dyadic_over(sum, count) };
        }
        let (numerator, denominator) = self.exact.ratio();
        to_double(&numerator, &(denominator * count))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let kinds = [self.integers, self.decimals, self.doubles, self.nans, self.positive, self.negative];
        kinds.iter().for_each(|count| write_i64(*count, out));
        self.exact.write(out);
        write_i64(self.intervals, out);
        if self.intervals != 0 {
            self.interval.write(out);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut sum = Self {
            integers: reader.i64()?,
            decimals: reader.i64()?,
            doubles: reader.i64()?,
            nans: reader.i64()?,
            positive: reader.i64()?,
            negative: reader.i64()?,
            exact: Exact::read(reader)?,
            intervals: reader.i64()?,
            interval: IntervalSum::EMPTY,
        };
        if sum.intervals != 0 {
            sum.interval = IntervalSum::read(reader)?;
        }
        Ok(sum)
    }
}
