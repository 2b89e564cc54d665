//! What aggregates compute (SQL-7), without rows and groups: those are the business of [`crate::Node::Aggregate`].
//!
//! Two kinds of state. An [`Accumulator`] is small and takes values back as well as it takes them in: `COUNT`, `SUM`, `AVG`,
//! the boolean ones and those of the variance. All others look at values in an order: [`Fold`] computes them from the
//! arguments of all rows, one after the other. [`check`] comes before either: it tells whether a row's arguments can be taken.

mod accumulator;
mod average;
mod exact;
mod fold;
mod interval;
mod moments;
mod percentile;
mod round;
mod sum;
#[cfg(test)]
mod tests;
mod wide;

use std::cmp::Ordering;

use crate::{AggregateFunction as Function, Datum, RowError, key};

pub(crate) use accumulator::Accumulator;
pub(crate) use fold::Fold;
#[cfg(test)]
pub(crate) use fold::fold;

/// Whether a function can take these arguments: not if they have types that it knows nothing of.
///
/// # Errors
/// What is wrong with the row (42804, 22004, 22003).
pub(crate) fn check(function: Function, arguments: &[Datum]) -> Result<(), RowError> {
    let wrong = |wanted: &str| Err(RowError::new("42804", format!("{} needs {wanted}", name(function))));
    let all = |allowed: fn(&Datum) -> bool| arguments.iter().all(|value| value.is_null() || allowed(value));
    match function {
        Function::Sum | Function::Avg if !all(|v| is_number(v) || matches!(v, Datum::Interval(_))) => {
            wrong("numbers or intervals")
        }
        Function::BoolAnd | Function::BoolOr if !all(|v| matches!(v, Datum::Bool(_))) => wrong("booleans"),
        Function::Corr
        | Function::CovarPop
        | Function::CovarSamp
        | Function::StddevPop
        | Function::StddevSamp
        | Function::VarPop
        | Function::VarSamp
            if !all(is_number) =>
        {
            wrong("numbers")
        }
        Function::StringAgg if !all(|v| matches!(v, Datum::Text(_))) => wrong("texts"),
        Function::JsonbObjectAgg => match arguments.first() {
            Some(name) if name.is_null() => Err(RowError::new("22004", "a field's name must not be NULL")),
            Some(name) if fold::field_name(name).is_none() => wrong("a text as the field's name"),
            _ => Ok(()),
        },
        Function::PercentileCont | Function::PercentileDisc => percentile::check(function, arguments),
        _ => Ok(()),
    }
}

fn is_number(value: &Datum) -> bool {
    matches!(value, Datum::Int(_) | Datum::Long(_) | Datum::Double(_) | Datum::Decimal(_))
}

fn name(function: Function) -> &'static str {
    match function {
        Function::AnyValue => "ANY_VALUE",
        Function::ArrayAgg => "ARRAY_AGG",
        Function::Avg => "AVG",
        Function::BoolAnd => "BOOL_AND",
        Function::BoolOr => "BOOL_OR",
        Function::Corr => "CORR",
        Function::Count => "COUNT",
        Function::CovarPop => "COVAR_POP",
        Function::CovarSamp => "COVAR_SAMP",
        Function::JsonbObjectAgg => "JSONB_OBJECT_AGG",
        Function::Max => "MAX",
        Function::Min => "MIN",
        Function::Mode => "MODE",
        Function::PercentileCont => "PERCENTILE_CONT",
        Function::PercentileDisc => "PERCENTILE_DISC",
        Function::StddevPop => "STDDEV_POP",
        Function::StddevSamp => "STDDEV_SAMP",
        Function::StringAgg => "STRING_AGG",
        Function::Sum => "SUM",
        Function::VarPop => "VAR_POP",
        Function::VarSamp => "VAR_SAMP",
    }
}

/// Which of two values that are one key is shown (SQL-4.12): integer, bigint, double, numeric, then fewest digits; what the
/// rule leaves open is settled by the bytes.
pub(crate) fn compare_alike(a: &Datum, b: &Datum) -> Ordering {
    let rank = |value: &Datum| match value {
        Datum::Int(_) => (0, 0),
        Datum::Long(_) => (1, 0),
        Datum::Double(_) => (2, 0),
        Datum::Decimal(v) => (3, exact::digits(*v)),
        _ => (4, 0),
    };
    rank(a).cmp(&rank(b)).then_with(|| {
        let bytes = |value: &Datum| {
            let mut out = Vec::new();
            crate::codec::write_datum(value, &mut out);
            out
        };
        if a == b { Ordering::Equal } else { bytes(a).cmp(&bytes(b)) }
    })
}

/// [`compare_alike`] for several values, the first difference deciding.
pub(crate) fn compare_all_alike(a: &[Datum], b: &[Datum]) -> Ordering {
    let first = a.iter().zip(b).map(|(a, b)| compare_alike(a, b)).find(|order| order.is_ne());
    first.unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// The place of two values in the total order, and then the one that is shown first.
pub(crate) fn compare_shown(a: &Datum, b: &Datum) -> Ordering {
    key::compare(a, b).then_with(|| compare_alike(a, b))
}
