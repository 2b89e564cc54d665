//! `PERCENTILE_CONT`, `PERCENTILE_DISC`: their arguments are the fraction and the value.

use super::interval::between;
use super::{is_number, name};
use crate::{AggregateFunction as Function, Datum, RowError};

/// Whether the fraction is one and the value can be interpolated.
pub(super) fn check(function: Function, arguments: &[Datum]) -> Result<(), RowError> {
    let [fraction, value] = arguments else {
        return Err(RowError::new("42883", format!("{} has one argument and one order", name(function))));
    };
    fractions(fraction)?;
    let fits = value.is_null()
        || function == Function::PercentileDisc
        || is_number(value)
        || matches!(value, Datum::Interval(_));
    if fits { Ok(()) } else { Err(RowError::new("42804", "PERCENTILE_CONT needs numbers or intervals")) }
}

fn fractions(value: &Datum) -> Result<(), RowError> {
    match value {
        Datum::Array(values) => values.iter().try_for_each(|value| fraction(value).map(drop)),
        value => fraction(value).map(drop),
    }
}

/// A number between 0 and 1; `None` for NULL.
fn fraction(value: &Datum) -> Result<Option<f64>, RowError> {
    if value.is_null() {
        return Ok(None);
    }
    let Some(number) = double(value) else { return Err(RowError::new("42804", "a percentile must be a number")) };
    if (0.0..=1.0).contains(&number) {
        Ok(Some(number))
    } else {
        Err(RowError::new("22003", format!("percentile value {number} is not between 0 and 1")))
    }
}

#[expect(clippy::cast_precision_loss, reason = "interpolation is in doubles")]
fn double(value: &Datum) -> Option<f64> {
    match value {
        Datum::Int(v) => Some(f64::from(*v)),
        Datum::Long(v) => Some(*v as f64),
        Datum::Double(v) => Some(*v),
        Datum::Decimal(v) => Some(v.to_f64()),
        _ => None,
    }
}

/// The value of a percentile, or the values of several, of values in their order. None of them is NULL.
pub(super) fn percentile(function: Function, at: &Datum, values: &[Datum]) -> Result<Datum, RowError> {
    if values.is_empty() {
        return Ok(Datum::Null);
    }
    let one = |at: &Datum| match fraction(at)? {
        None => Ok(Datum::Null),
        Some(part) if function == Function::PercentileCont => continuous(part, values),
        Some(part) => Ok(discrete(part, values)),
    };
    match at {
        Datum::Array(parts) => Ok(Datum::Array(parts.iter().map(one).collect::<Result<_, _>>()?)),
        at => one(at),
    }
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^53 rows")]
fn count(values: &[Datum]) -> f64 {
    values.len() as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between nothing and the number of rows")]
fn index(place: f64) -> usize {
    place as usize
}

fn discrete(part: f64, values: &[Datum]) -> Datum {
    let place = (part * count(values)).ceil().max(1.0);
    values.get(index(place) - 1).cloned().unwrap_or(Datum::Null)
}

fn continuous(part: f64, values: &[Datum]) -> Result<Datum, RowError> {
    let place = part * (count(values) - 1.0);
    let at = |place: f64| values.get(index(place)).unwrap_or(&Datum::Null);
    let (low, high, between_them) = (at(place.floor()), at(place.ceil()), place - place.floor());
    match (low, high) {
        (Datum::Interval(low), Datum::Interval(high)) => Ok(Datum::Interval(between(*low, *high, between_them)?)),
        (low, high) => match (double(low), double(high)) {
            (Some(low), Some(high)) if place.floor() < place.ceil() => {
                Ok(Datum::Double(low + between_them * (high - low)))
            }
            (Some(low), Some(_)) => Ok(Datum::Double(low)),
            _ => Err(RowError::new("42804", "PERCENTILE_CONT needs numbers or intervals, not both")),
        },
    }
}
