//! The total order of values, across all types.
//!
//! Source: MongoDB manual 8.0, "Comparison/Sort Order". Numbers compare by value whatever their type; NaN sorts
//! before every other number; documents compare field by field: type, then name, then value.

use std::cmp::Ordering;

use crate::document::{Element, kind};
use crate::{Doc, Value};

/// An order of texts other than that of their bytes: a collation.
///
/// Its two methods agree: bytes that [`TextOrder::append_key`] makes compare as [`TextOrder::compare`] says.
pub trait TextOrder: Send + Sync {
    /// Orders two texts.
    fn compare(&self, a: &str, b: &str) -> Ordering;
    /// Appends bytes whose order is the order of the texts they were made from.
    fn append_key(&self, text: &str, out: &mut Vec<u8>);
}

/// Orders two values, texts by their bytes.
#[must_use]
pub fn compare(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    compare_by(a, b, None)
}

/// Orders two values, texts (also inside documents and arrays) by `order` if there is one. Names of fields, code and
/// regular expressions always compare by their bytes.
#[must_use]
pub fn compare_by(a: &Value<'_>, b: &Value<'_>, order: Option<&dyn TextOrder>) -> Ordering {
    let by_type = canonical_type(a.kind()).cmp(&canonical_type(b.kind()));
    if by_type != Ordering::Equal {
        return by_type;
    }
    match (a, b) {
        (Value::String(x) | Value::Symbol(x), Value::String(y) | Value::Symbol(y)) => match order {
            None => x.as_bytes().cmp(y.as_bytes()),
            Some(order) => order.compare(x, y),
        },
        (Value::Code(x), Value::Code(y)) => x.as_bytes().cmp(y.as_bytes()),
        (Value::Document(x), Value::Document(y)) => compare_elements(Doc::new(x), Doc::new(y), Names::Count, order),
        (Value::Array(x), Value::Array(y)) => compare_elements(Doc::new(x), Doc::new(y), Names::Ignored, order),
        (Value::Binary(s, x), Value::Binary(t, y)) => x.len().cmp(&y.len()).then(s.cmp(t)).then_with(|| x.cmp(y)),
        (Value::ObjectId(x), Value::ObjectId(y)) => x.cmp(y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::Date(x), Value::Date(y)) => x.cmp(y),
        (Value::Timestamp(x), Value::Timestamp(y)) => x.cmp(y),
        (Value::Regex(p, o), Value::Regex(q, r)) => p.cmp(q).then_with(|| o.cmp(r)),
        (Value::DbPointer(n, i), Value::DbPointer(m, j)) => n.len().cmp(&m.len()).then_with(|| n.cmp(m)).then(i.cmp(j)),
        (Value::CodeWithScope(c, s), Value::CodeWithScope(d, t)) => {
            c.cmp(d).then_with(|| compare_docs(Doc::new(s), Doc::new(t)))
        }
        _ => compare_numbers(a, b),
    }
}

/// Whether two values are equal for the database: `1 == 1.0 == NumberLong(1)`.
#[must_use]
pub fn equal(a: &Value<'_>, b: &Value<'_>) -> bool {
    compare(a, b) == Ordering::Equal
}

/// [`equal`], with texts as `order` compares them.
#[must_use]
pub fn equal_by(a: &Value<'_>, b: &Value<'_>, order: Option<&dyn TextOrder>) -> bool {
    compare_by(a, b, order) == Ordering::Equal
}

/// Orders two documents: field by field by type, then name, then value; a document that ends first is smaller.
#[must_use]
pub fn compare_docs(a: Doc<'_>, b: Doc<'_>) -> Ordering {
    compare_elements(a, b, Names::Count, None)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Count,
    /// The names of an array's elements are only their places.
    Ignored,
}

fn compare_elements(a: Doc<'_>, b: Doc<'_>, names: Names, order: Option<&dyn TextOrder>) -> Ordering {
    let (mut left, mut right) = (a.elements(), b.elements());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let same = |x: Element<'_>, y: Element<'_>| match names {
                    Names::Count => x.key_bytes().cmp(y.key_bytes()),
                    Names::Ignored => Ordering::Equal,
                };
                let found =
                    canonical_type(x.kind()).cmp(&canonical_type(y.kind())).then_with(|| same(x, y)).then_with(|| {
                        if x.same_value(y) { Ordering::Equal } else { compare_by(&x.value(), &y.value(), order) }
                    });
                if found != Ordering::Equal {
                    return found;
                }
            }
        }
    }
}

/// The rank of a type in the order; types that compare with each other share one.
#[must_use]
pub const fn canonical_type(tag: u8) -> u8 {
    match tag {
        kind::MIN_KEY => 0,
        kind::UNDEFINED => 1,
        kind::NULL => 5,
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL => 10,
        kind::STRING | kind::SYMBOL => 15,
        kind::DOCUMENT => 20,
        kind::ARRAY => 25,
        kind::BINARY => 30,
        kind::OBJECT_ID => 35,
        kind::BOOL => 40,
        kind::DATE => 45,
        kind::TIMESTAMP => 47,
        kind::REGEX => 50,
        kind::DB_POINTER => 55,
        kind::CODE => 60,
        kind::CODE_WITH_SCOPE => 65,
        _ => 127,
    }
}

fn compare_numbers(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Int32(x), Value::Int32(y)) => x.cmp(y),
        (Value::Int32(x), Value::Int64(y)) => i64::from(*x).cmp(y),
        (Value::Int64(x), Value::Int32(y)) => x.cmp(&i64::from(*y)),
        (Value::Int64(x), Value::Int64(y)) => x.cmp(y),
        (Value::Double(x), Value::Double(y)) => compare_doubles(*x, *y),
        (Value::Int32(x), Value::Double(y)) => compare_doubles(f64::from(*x), *y),
        (Value::Double(x), Value::Int32(y)) => compare_doubles(*x, f64::from(*y)),
        (Value::Int64(x), Value::Double(y)) => compare_integer_double(*x, *y),
        (Value::Double(x), Value::Int64(y)) => compare_integer_double(*y, *x).reverse(),
        (Value::Decimal(x), Value::Decimal(y)) => x.compare(*y),
        (Value::Decimal(x), Value::Double(y)) => x.compare_f64(*y),
        (Value::Double(x), Value::Decimal(y)) => y.compare_f64(*x).reverse(),
        (Value::Decimal(x), Value::Int32(y)) => x.compare((*y).into()),
        (Value::Decimal(x), Value::Int64(y)) => x.compare((*y).into()),
        (Value::Int32(x), Value::Decimal(y)) => y.compare((*x).into()).reverse(),
        (Value::Int64(x), Value::Decimal(y)) => y.compare((*x).into()).reverse(),
        // What is left are types without content: min key, null, undefined, max key.
        _ => Ordering::Equal,
    }
}

fn compare_doubles(a: f64, b: f64) -> Ordering {
    match a.partial_cmp(&b) {
        Some(order) => order,
        // At least one is NaN, which sorts first.
        None => a.is_nan().cmp(&b.is_nan()).reverse(),
    }
}

fn compare_integer_double(integer: i64, double: f64) -> Ordering {
    if double.is_nan() {
        return Ordering::Greater;
    }
    match crate::number::truncated_i64(double) {
        None if double > 0.0 => Ordering::Less,
        None => Ordering::Greater,
        Some(whole) => integer
            .cmp(&whole)
            .then_with(|| 0.0_f64.partial_cmp(&(double - crate::number::to_f64(whole))).unwrap_or(Ordering::Equal)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{ClusterTime, Decimal};

    /// One of everything, in order; equal values share an inner list.
    pub(crate) fn ladder() -> Vec<Vec<Value<'static>>> {
        let decimal = |text| Value::Decimal(Decimal::parse(text).unwrap());
        let doc = |d: bson::Document| Value::from(crate::from_bson_document(&d));
        let array = |values: Vec<i32>| Value::from(values.into_iter().collect::<crate::ArrayBuf>());
        vec![
            vec![Value::MinKey],
            vec![Value::Undefined],
            vec![Value::Null],
            vec![Value::Double(f64::NAN), decimal("NaN")],
            vec![Value::Double(f64::NEG_INFINITY), decimal("-Infinity")],
            vec![decimal("-1E+400")],
            vec![Value::Double(f64::MIN)],
            vec![Value::Double(-9_223_372_036_854_777_856.0)],
            vec![Value::Int64(i64::MIN), Value::Double(-9_223_372_036_854_775_808.0)],
            vec![Value::Int64(i64::MIN + 1)],
            vec![Value::Int32(-300), Value::Int64(-300), Value::Double(-300.0), decimal("-3E+2")],
            vec![Value::Double(-1.5), decimal("-1.50")],
            vec![Value::Int32(-1)],
            vec![Value::Double(-0.1)],
            vec![decimal("-0.1")],
            vec![decimal("-1E-400")],
            vec![Value::Int32(0), Value::Double(0.0), Value::Double(-0.0), decimal("0E+10")],
            vec![decimal("1E-400")],
            vec![Value::Double(5e-324)],
            vec![Value::Double(1e-300)],
            vec![decimal("0.1")],
            vec![Value::Double(0.1)],
            vec![Value::Double(0.5), decimal("0.5")],
            vec![Value::Int32(1), decimal("1.00")],
            vec![decimal("1.1")],
            vec![Value::Double(1.1)],
            vec![Value::Int32(127)],
            vec![Value::Int32(128), Value::Double(128.0)],
            vec![Value::Double(128.25)],
            vec![Value::Int64(i64::MAX - 1)],
            vec![Value::Int64(i64::MAX)],
            vec![Value::Double(9_223_372_036_854_775_808.0), decimal("9223372036854775808")],
            vec![decimal("9223372036854775809")],
            vec![Value::Double(1e300)],
            vec![Value::Double(f64::MAX)],
            vec![decimal("1E+400")],
            vec![Value::Double(f64::INFINITY)],
            vec!["".into()],
            vec!["a".into(), Value::Symbol("a".into())],
            vec!["a\0b".into()],
            vec!["ab".into()],
            vec!["é".into()],
            vec![Value::empty_document()],
            vec![doc(bson::doc! {"a": 1})],
            vec![doc(bson::doc! {"a": 1, "b": 1})],
            vec![doc(bson::doc! {"b": 0})],
            vec![doc(bson::doc! {"a": "x"})],
            vec![Value::empty_array()],
            vec![array(vec![1])],
            vec![array(vec![1, 2])],
            vec![array(vec![2])],
            vec![Value::Binary(0, vec![9].into())],
            vec![Value::Binary(4, vec![1].into())],
            vec![Value::Binary(0, vec![1, 2].into())],
            vec![Value::ObjectId([1; 12])],
            vec![Value::Bool(false)],
            vec![Value::Bool(true)],
            vec![Value::Date(-1)],
            vec![Value::Date(1)],
            vec![Value::Timestamp(ClusterTime::new(1, 2))],
            vec![Value::Regex("a".into(), "".into())],
            vec![Value::Regex("a".into(), "i".into())],
            vec![Value::DbPointer("a".into(), [0; 12])],
            vec![Value::Code("f".into())],
            vec![Value::CodeWithScope("f".into(), crate::document::EMPTY.into())],
            vec![Value::MaxKey],
        ]
    }

    #[test]
    fn the_ladder_is_in_order() {
        let ladder = ladder();
        for (i, left) in ladder.iter().enumerate() {
            for (j, right) in ladder.iter().enumerate() {
                for a in left {
                    for b in right {
                        assert_eq!(compare(a, b), i.cmp(&j), "{a:?} against {b:?}");
                    }
                }
            }
        }
    }
}
