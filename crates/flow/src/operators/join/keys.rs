//! Join keys as bytes: values that `=` holds for have equal bytes.
//!
//! A numeric equals a double if it rounds to it (SQL-4.5), so numbers are filed under their nearest double. Numbers that
//! are no doubles may share it with others: where such a *coarse* one is involved, the values are compared once more.

use crate::operators::eval_all;
use crate::{Datum, Row, RowError, ScalarRef, key};

pub(super) struct JoinKey {
    pub(super) bytes: Vec<u8>,
    pub(super) is_coarse: bool,
}

impl JoinKey {
    /// The key of a row; `None` if a part of it is NULL, which matches nothing.
    pub(super) fn of(keys: &[ScalarRef], row: &Row) -> Result<Option<Self>, RowError> {
        let mut key = Self { bytes: Vec::with_capacity(16), is_coarse: false };
        let mut has_null = false;
        for expression in keys {
            let value = expression.eval(row)?;
            has_null |= value.is_null();
            match nearest(&value) {
                Some(double) => {
                    key.is_coarse = true;
                    key::append(&Datum::Double(double), &mut key.bytes);
                }
                None => key::append(&value, &mut key.bytes),
            }
        }
        Ok((!has_null).then_some(key))
    }
}

/// All integers up to here are doubles.
const INTEGER_MAX: i64 = 1 << 53;

/// The double nearest to a number that is none.
#[expect(clippy::cast_precision_loss, reason = "the nearest is wanted")]
fn nearest(value: &Datum) -> Option<f64> {
    let is_small = |value: i64| (-INTEGER_MAX..=INTEGER_MAX).contains(&value);
    match value {
        Datum::Long(v) if !is_small(*v) => Some(*v as f64),
        Datum::Decimal(v) if v.is_finite() && !v.to_i64_exact().is_some_and(is_small) => Some(v.to_f64()),
        _ => None,
    }
}

/// Whether `=` holds for all values of two keys whose bytes are equal.
pub(super) fn are_equal(left_keys: &[ScalarRef], left: &Row, right_keys: &[ScalarRef], right: &Row) -> bool {
    let (Ok(left), Ok(right)) = (eval_all(left_keys, left), eval_all(right_keys, right)) else { return false };
    left.iter().zip(&right).all(|(a, b)| match (a, b) {
        // Their nearest doubles are equal.
        (Datum::Decimal(_), Datum::Double(_)) | (Datum::Double(_), Datum::Decimal(_)) => true,
        (a, b) => key::equal(a, b),
    })
}
