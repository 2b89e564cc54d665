//! `$cmp`, `$eq`, `$ne`, `$lt`, `$lte`, `$gt`, `$gte`: the order of all values.
//!
//! Shape:  two arguments.
//! Absent: missing sorts before everything but `MinKey`, and after it.
//! Result: bool; `$cmp` gives -1, 0 or 1.
//! Source: MongoDB manual 8.0, "Comparison Expression Operators".

use std::cmp::Ordering;

use millstream_value::{TextOrder, Value, compare_by};

use super::operator::{Args, Operator};
use crate::Result;

pub(super) static CMP: Operator = Operator::exactly("$cmp", 2, |args| {
    Ok(Some(Value::Int32(match order(args) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    })))
});
pub(super) static EQ: Operator = Operator::exactly("$eq", 2, |args| answer(order(args).is_eq()));
pub(super) static GT: Operator = Operator::exactly("$gt", 2, |args| answer(order(args).is_gt()));
pub(super) static GTE: Operator = Operator::exactly("$gte", 2, |args| answer(order(args).is_ge()));
pub(super) static LT: Operator = Operator::exactly("$lt", 2, |args| answer(order(args).is_lt()));
pub(super) static LTE: Operator = Operator::exactly("$lte", 2, |args| answer(order(args).is_le()));
pub(super) static NE: Operator = Operator::exactly("$ne", 2, |args| answer(order(args).is_ne()));

fn order(args: &Args<'_, '_>) -> Ordering {
    compare_optional(args.get(0), args.get(1), args.order())
}

fn answer<'v>(truth: bool) -> Result<Option<Value<'v>>> {
    Ok(Some(truth.into()))
}

/// The order of values of which either may be missing. Missing equals undefined's place: below null, above `MinKey`.
pub(super) fn compare_optional(
    left: Option<&Value<'_>>,
    right: Option<&Value<'_>>,
    order: Option<&dyn TextOrder>,
) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => compare_by(left, right, order),
        (None, None) => Ordering::Equal,
        (None, Some(Value::MinKey)) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (Some(Value::MinKey), None) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
    }
}
