//! Variances, deviations, covariances, correlation: from exact sums, correctly rounded.

use num_bigint::{BigInt, Sign};

use super::exact::{Exact, Number};
use super::name;
use super::round::{to_double, to_double_sqrt};
use crate::codec::{Reader, write_i64};
use crate::{AggregateFunction as Function, Datum, Error, Result, RowError};

/// The exact sums of what was taken in.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    count: i64,
    /// How many rows hold NaN or an infinity.
    endless: i64,
    /// Of x, and of x².
    x: [Exact; 2],
    /// Of y, y² and xy, where there are two arguments.
    y: Option<Box<[Exact; 3]>>,
}

/// A fraction with a denominator above zero.
struct Ratio(BigInt, BigInt);

impl Moments {
    pub(super) fn new(function: Function) -> Self {
        let pairs = matches!(function, Function::Corr | Function::CovarPop | Function::CovarSamp);
        let y = pairs.then(|| Box::new([Exact::ZERO, Exact::ZERO, Exact::ZERO]));
        Self { count: 0, endless: 0, x: [Exact::ZERO, Exact::ZERO], y }
    }

    /// Adds a row's arguments so many times, or takes them away. Rows with a NULL do not count.
    pub(super) fn apply(&mut self, arguments: &[Datum], weight: i64) {
        if arguments.iter().any(Datum::is_null) {
            return;
        }
        self.count += weight;
        let numbers: Option<Vec<Number>> = arguments.iter().map(Number::of).collect();
        let add = |sum: &mut Exact, number: &Number| sum.add(&number.by(weight));
        let [sum, squares] = &mut self.x;
        match (numbers.as_deref(), self.y.as_deref_mut()) {
            (Some([x]), None) => {
                add(sum, x);
                add(squares, &x.times(x));
            }
            (Some([y, x]), Some([sum_y, squares_y, products])) => {
                add(sum, x);
                add(squares, &x.times(x));
                add(sum_y, y);
                add(squares_y, &y.times(y));
                add(products, &x.times(y));
            }
            _ => self.endless += weight,
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.endless += other.endless;
        self.x.iter_mut().zip(&other.x).for_each(|(sum, other)| sum.merge(other));
        if let (Some(y), Some(other)) = (&mut self.y, &other.y) {
            y.iter_mut().zip(other.iter()).for_each(|(sum, other)| sum.merge(other));
        }
    }

    pub(super) fn value(&self, function: Function) -> Result<Datum, RowError> {
        let of_sample = matches!(function, Function::CovarSamp | Function::StddevSamp | Function::VarSamp);
        if self.count < if of_sample { 2 } else { 1 } {
            return Ok(Datum::Null);
        }
        if self.endless > 0 {
            return Ok(Datum::Double(f64::NAN));
        }
        let divisor = BigInt::from(self.count) * if of_sample { self.count - 1 } else { self.count };
        let [sum, squares] = &self.x;
        let value = match (function, self.y.as_deref()) {
            (Function::Corr, Some([sum_y, squares_y, products])) => {
                let x = self.spread(squares, sum, sum);
                let y = self.spread(squares_y, sum_y, sum_y);
                match correlation(&x, &y, &self.spread(products, sum, sum_y)) {
                    Some(value) => value,
                    None => return Ok(Datum::Null),
                }
            }
            (_, Some([sum_y, _, products])) => {
                let Ratio(n, d) = self.spread(products, sum, sum_y);
                to_double(&n, &(d * divisor))
            }
            (Function::StddevPop | Function::StddevSamp, None) => {
                let Ratio(n, d) = self.spread(squares, sum, sum);
                to_double_sqrt(&n, &(d * divisor))
            }
            (_, None) => {
                let Ratio(n, d) = self.spread(squares, sum, sum);
                to_double(&n, &(d * divisor))
            }
        };
        if value.is_finite() {
            Ok(Datum::Double(value))
        } else {
            Err(RowError::new("22003", format!("{} is out of range", name(function))))
        }
    }

    /// `count * products - a * b`.
    fn spread(&self, products: &Exact, a: &Exact, b: &Exact) -> Ratio {
        let ((p, q), (a, b), (c, d)) = (products.ratio(), a.ratio(), b.ratio());
        let both = &b * &d;
        Ratio(p * self.count * &both - a * c * &q, q * both)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_i64(self.count, out);
        write_i64(self.endless, out);
        self.x.iter().for_each(|sum| sum.write(out));
        self.y.iter().flat_map(|y| y.iter()).for_each(|sum| sum.write(out));
    }

    pub(super) fn read(function: Function, reader: &mut Reader<'_>) -> Result<Self> {
        let mut moments = Self::new(function);
        (moments.count, moments.endless) = (reader.i64()?, reader.i64()?);
        for sum in moments.x.iter_mut().chain(moments.y.iter_mut().flat_map(|y| y.iter_mut())) {
            *sum = Exact::read(reader)?;
        }
        if moments.count < 0 { Err(Error::Damaged("fewer rows than none")) } else { Ok(moments) }
    }
}

/// The covariance over the root of both variances; `None` where one of them is zero.
fn correlation(x: &Ratio, y: &Ratio, both: &Ratio) -> Option<f64> {
    if x.0.sign() != Sign::Plus || y.0.sign() != Sign::Plus {
        return None;
    }
    let square = to_double_sqrt(&(&both.0 * &both.0 * &x.1 * &y.1), &(&both.1 * &both.1 * &x.0 * &y.0));
    Some(if both.0.sign() == Sign::Minus { -square } else { square })
}
