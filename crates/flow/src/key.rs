//! Order-keeping bytes: comparing two keys as bytes compares the values they were made from, in SQL's total order.
//!
//! The order is SQL-4.4 and SQL-4.5: classes as in BSON, numbers by exact value with NaN above all of them, NULL above
//! everything (so ascending keys put it last and descending ones first). Values that are equal give equal keys.

use std::cmp::Ordering;

use millstream_value::key as bson;
use millstream_value::{Doc, Value};

use crate::Datum;

const NAN: u8 = 0x3B; // between the numbers and the texts
const TEXT: u8 = 0x3C;
const EXACTLY: u8 = 0x80; // between the 01 and the FF of decimals
const DOCUMENT: u8 = 0x46;
const ARRAY: u8 = 0x50;
const INTERVAL: u8 = 0xB0;
const TIME: u8 = 0xB4;
const NULL: u8 = 0xFE;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The key of one value.
#[must_use]
pub fn of(value: &Datum) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    append(value, &mut out);
    out
}

/// The key of several values, the first one deciding first.
#[must_use]
pub fn of_all<'a>(values: impl IntoIterator<Item = &'a Datum>) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    for value in values {
        append(value, &mut out);
    }
    out
}

/// Appends the key of `value`. No key is the beginning of another, so that keys can follow each other.
pub fn append(value: &Datum, out: &mut Vec<u8>) {
    match value {
        Datum::Missing | Datum::Null => out.push(NULL),
        Datum::Int(v) => bson::append(&Value::Int32(*v), out),
        Datum::Long(v) => append_number(&Value::Int64(*v), out),
        Datum::Double(v) if v.is_nan() => out.push(NAN),
        Datum::Double(v) => append_number(&Value::Double(*v), out),
        Datum::Decimal(v) if v.is_nan() => out.push(NAN),
        Datum::Decimal(v) => append_number(&Value::Decimal(*v), out),
        Datum::Text(v) => append_text(v, out),
        Datum::Document(bytes) => {
            out.push(DOCUMENT);
            for element in Doc::new(bytes).elements() {
                let key = of(&Datum::from_value(&element.value()));
                let first = key.first().copied().unwrap_or(NULL);
                out.push(bson::generic_type_of_key(if first == NAN { 0x1E } else { first }));
                out.extend_from_slice(element.key().as_bytes());
                out.push(0);
                out.extend_from_slice(&key);
            }
            out.push(0);
        }
        Datum::Array(values) => {
            out.push(ARRAY);
            for value in values.iter() {
                append(value, out);
            }
            out.push(0);
        }
        Datum::Binary(subtype, bytes) => bson::append(&Value::Binary(*subtype, bytes.as_ref().into()), out),
        Datum::ObjectId(id) => bson::append(&Value::ObjectId(*id), out),
        Datum::Bool(v) => bson::append(&Value::Bool(*v), out),
        Datum::Instant(ms) | Datum::Timestamp(ms) => bson::append(&Value::Date(*ms), out),
        Datum::Date(days) => bson::append(&Value::Date(i64::from(*days) * DAY_MS), out),
        Datum::BsonTimestamp(time) => bson::append(&Value::Timestamp(*time), out),
        Datum::Interval(interval) => {
            out.push(INTERVAL);
            out.extend_from_slice(&(interval.length_micros() ^ i128::MIN).to_be_bytes());
        }
        Datum::Time(micros) => {
            out.push(TIME);
            out.extend_from_slice(&(micros ^ i64::MIN).to_be_bytes());
        }
        Datum::Opaque(value) => bson::append(value, out),
    }
}

/// Keys of nine bytes are those of doubles and of what is as large; the key of a decimal that no double holds begins with
/// the key of a double beside it. The byte in between keeps their order whatever follows.
fn append_number(value: &Value<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    bson::append(value, out);
    if out.len() - start == 9 {
        out.push(EXACTLY);
    }
}

/// A zero byte in a text is followed by `FF`, the one at its end by another zero.
fn append_text(text: &str, out: &mut Vec<u8>) {
    out.push(TEXT);
    for (at, part) in text.as_bytes().split(|&byte| byte == 0).enumerate() {
        if at > 0 {
            out.extend_from_slice(&[0, 0xFF]);
        }
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&[0, 0]);
}

/// Appends the key of `value` so that it sorts the other way around.
pub fn append_descending(value: &Datum, out: &mut Vec<u8>) {
    let start = out.len();
    append(value, out);
    for byte in out.iter_mut().skip(start) {
        *byte = !*byte;
    }
}

/// The place of two values in the total order.
#[must_use]
pub fn compare(a: &Datum, b: &Datum) -> Ordering {
    match (a, b) {
        (Datum::Int(a), Datum::Int(b)) => a.cmp(b),
        (Datum::Long(a), Datum::Long(b)) | (Datum::Instant(a), Datum::Instant(b)) => a.cmp(b),
        (Datum::Text(a), Datum::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Datum::ObjectId(a), Datum::ObjectId(b)) => a.cmp(b),
        (Datum::Bool(a), Datum::Bool(b)) => a.cmp(b),
        _ if a.is_null() && b.is_null() => Ordering::Equal,
        _ => of(a).cmp(&of(b)),
    }
}

/// Whether two values are one key (SQL-4.12).
#[must_use]
pub fn equal(a: &Datum, b: &Datum) -> bool {
    compare(a, b) == Ordering::Equal
}

/// The place of two lists of values in the total order, the first difference deciding.
#[must_use]
pub fn compare_all(a: &[Datum], b: &[Datum]) -> Ordering {
    let first = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
    first.unwrap_or_else(|| a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millstream_value::{Decimal, DocBuf};

    use super::*;

    fn sorted() -> Vec<Datum> {
        let document = |name: &str, value: i32| {
            let mut doc = DocBuf::new();
            doc.push(name, value);
            Datum::Document(Arc::from(doc.into_bytes()))
        };
        vec![
            Datum::Opaque(Arc::new(Value::MinKey)),
            Datum::Double(f64::NEG_INFINITY),
            Datum::Decimal(Decimal::parse("-1.5000000000000000000000001").unwrap()),
            Datum::Double(-1.5),
            Datum::Int(-1),
            Datum::Decimal(Decimal::parse("-0.1000000000000000055511151231257828").unwrap()),
            Datum::Double(-0.1),
            Datum::Decimal(Decimal::parse("-0.1").unwrap()),
            Datum::Double(0.0),
            Datum::Decimal(Decimal::parse("0.1").unwrap()),
            Datum::Double(0.1),
            Datum::Long(5),
            Datum::Long(i64::MAX),
            Datum::Double(9_223_372_036_854_775_808.0),
            Datum::Decimal(Decimal::parse("9223372036854775808.5").unwrap()),
            Datum::Double(f64::INFINITY),
            Datum::Double(f64::NAN),
            Datum::text(""),
            Datum::text("a"),
            Datum::text("a\0"),
            Datum::text("b"),
            document("a", 1),
            document("a", 2),
            document("b", 0),
            Datum::Array(Arc::from([])),
            Datum::Array(Arc::from([Datum::Int(5)])),
            Datum::Array(Arc::from([Datum::Int(5), Datum::Int(0)])),
            Datum::Binary(0, Arc::from([9])),
            Datum::Binary(0, Arc::from([1, 1])),
            Datum::ObjectId([1; 12]),
            Datum::Bool(false),
            Datum::Bool(true),
            Datum::Instant(-5),
            Datum::Date(0),
            Datum::Interval(crate::Interval { months: 1, days: 0, micros: -1 }),
            Datum::Interval(crate::Interval { months: 0, days: 30, micros: 0 }),
            Datum::Time(0),
            Datum::Opaque(Arc::new(Value::MaxKey)),
            Datum::Null,
        ]
    }

    /// SQL-4.4, SQL-4.5
    #[test]
    fn bytes_keep_the_order_both_ways() {
        let values = sorted();
        for (at, a) in values.iter().enumerate() {
            for (bt, b) in values.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&bt), "{a:?} and {b:?}");
                let descending = |value| {
                    let mut out = Vec::new();
                    append_descending(value, &mut out);
                    out
                };
                assert_eq!(descending(a).cmp(&descending(b)), bt.cmp(&at), "{a:?} and {b:?}, descending");
            }
        }
    }

    /// SQL-4.12: values that are equal are one key.
    #[test]
    fn equal_values_are_one_key() {
        let fives =
            [Datum::Int(5), Datum::Long(5), Datum::Double(5.0), Datum::Decimal(Decimal::parse("5.00").unwrap())];
        assert!(fives.iter().all(|five| of(five) == of(&Datum::Int(5))));
        assert_eq!(of(&Datum::Double(-0.0)), of(&Datum::Int(0)));
        assert_eq!(of(&Datum::Missing), of(&Datum::Null));
        assert_eq!(of(&Datum::Date(1)), of(&Datum::Instant(DAY_MS)));
    }
}
