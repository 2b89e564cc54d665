//! Sums and products as `$inc` and `$mul` make them: the wider of the two types; an int that overflows becomes a
//! long, a long that overflows is nothing.

use millstream_value::{Decimal, Value};

/// `a + b`; `None` if either is no number or a long overflows.
pub(super) fn add(a: &Value<'_>, b: &Value<'_>) -> Option<Value<'static>> {
    combine(a, b, i64::checked_add, |a, b| a + b, Decimal::plus)
}

/// `a * b`; `None` if either is no number or a long overflows.
pub(super) fn multiply(a: &Value<'_>, b: &Value<'_>) -> Option<Value<'static>> {
    combine(a, b, i64::checked_mul, |a, b| a * b, Decimal::times)
}

fn combine(
    a: &Value<'_>,
    b: &Value<'_>,
    integers: fn(i64, i64) -> Option<i64>,
    doubles: fn(f64, f64) -> f64,
    decimals: fn(Decimal, Decimal) -> Decimal,
) -> Option<Value<'static>> {
    if let (Some(x), Some(y)) = (integer(a), integer(b)) {
        let result = integers(x, y)?;
        let narrow = matches!((a, b), (Value::Int32(_), Value::Int32(_)));
        return Some(match i32::try_from(result) {
            Ok(small) if narrow => Value::Int32(small),
            _ => Value::Int64(result),
        });
    }
    if matches!(a, Value::Decimal(_)) || matches!(b, Value::Decimal(_)) {
        return Some(Value::Decimal(decimals(decimal(a)?, decimal(b)?)));
    }
    Some(Value::Double(doubles(a.as_f64()?, b.as_f64()?)))
}

fn integer(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int32(v) => Some(i64::from(*v)),
        Value::Int64(v) => Some(*v),
        _ => None,
    }
}

fn decimal(value: &Value<'_>) -> Option<Decimal> {
    match value {
        Value::Int32(v) => Some((*v).into()),
        Value::Int64(v) => Some((*v).into()),
        Value::Double(v) => Some(Decimal::from_f64_15(*v)),
        Value::Decimal(v) => Some(*v),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_widen() {
        assert_eq!(add(&Value::Int32(5), &Value::Int32(1)), Some(Value::Int32(6)));
        assert_eq!(add(&Value::Int32(i32::MAX), &Value::Int32(1)), Some(Value::Int64(2_147_483_648)));
        assert_eq!(add(&Value::Int64(5), &Value::Int32(1)), Some(Value::Int64(6)));
        assert_eq!(add(&Value::Int64(i64::MAX), &Value::Int32(1)), None);
        assert_eq!(add(&Value::Int32(5), &Value::Double(-0.0)), Some(Value::Double(5.0)));
        let decimal = |text| Value::Decimal(Decimal::parse(text).unwrap());
        assert_eq!(multiply(&decimal("2.5"), &Value::Int32(2)), Some(decimal("5.0")));
        assert_eq!(multiply(&Value::Null, &Value::Int32(2)), None);
    }
}
