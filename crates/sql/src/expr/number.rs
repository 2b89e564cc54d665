//! Numbers as text.

use millstream_flow::Datum;
use millstream_value::Decimal;

/// The value of a literal: integer, bigint or numeric, the first that it fits (SQL-2.2).
pub(crate) fn literal(text: &str) -> Option<Datum> {
    if text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(whole) = text.parse::<i64>()
    {
        return Some(i32::try_from(whole).map_or(Datum::Long(whole), Datum::Int));
    }
    Decimal::parse(text).filter(|value| value.is_finite()).map(Datum::Decimal)
}
