//! Comparing values (SQL-4.3 to SQL-4.5).

use std::cmp::Ordering;

use millstream_flow::{Datum, key};

use super::eval::Side;
use super::{Comparison, Context, calendar, number};

/// True, false or NULL.
pub(crate) type Truth = Option<bool>;

/// Compares two operands.
pub(crate) fn sides(how: Comparison, a: &Side<'_>, b: &Side<'_>, context: &Context) -> Truth {
    let (a, b) = a.meet(b);
    values(how, a, b, context)
}

pub(crate) fn values(how: Comparison, a: &Datum, b: &Datum, context: &Context) -> Truth {
    let two_valued = matches!(how, Comparison::Distinct | Comparison::NotDistinct);
    if a.is_null() || b.is_null() {
        let same = a.is_null() && b.is_null();
        return two_valued.then_some(same == (how == Comparison::NotDistinct));
    }
    let order = order(a, b, context);
    Some(match (how, order) {
        (Comparison::Equal | Comparison::NotDistinct, order) => order == Some(Ordering::Equal),
        (Comparison::NotEqual | Comparison::Distinct, order) => order != Some(Ordering::Equal),
        (_, None) => return None,
        (Comparison::Less, Some(order)) => order.is_lt(),
        (Comparison::LessOrEqual, Some(order)) => order.is_le(),
        (Comparison::Greater, Some(order)) => order.is_gt(),
        (Comparison::GreaterOrEqual, Some(order)) => order.is_ge(),
    })
}

/// The order of two values of one class; `None`: they are of different ones.
pub(crate) fn order(a: &Datum, b: &Datum, context: &Context) -> Option<Ordering> {
    use Datum as D;
    match (a, b) {
        (D::Text(a), D::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        _ if number::is_number(a) && number::is_number(b) => Some(number::compare(a, b)),
        (D::Date(a), D::Date(b)) => Some(a.cmp(b)),
        (D::Timestamp(a), D::Timestamp(b)) | (D::Instant(a), D::Instant(b)) => Some(a.cmp(b)),
        (D::Instant(_) | D::Timestamp(_) | D::Date(_), D::Instant(_) | D::Timestamp(_) | D::Date(_)) => {
            let zone = &context.time_zone;
            Some(calendar::instant_of(a, zone).cmp(&calendar::instant_of(b, zone)))
        }
        (D::Opaque(a), D::Opaque(b)) => {
            (a.kind() == b.kind()).then(|| key::compare(&D::Opaque(a.clone()), &D::Opaque(b.clone())))
        }
        _ if std::mem::discriminant(a) == std::mem::discriminant(b) => Some(key::compare(a, b)),
        _ => None,
    }
}
