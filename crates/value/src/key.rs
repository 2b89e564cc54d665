//! Order-keeping bytes: comparing two keys as bytes compares the values they were made from.
//!
//! The layout is MongoDB's KeyString version 1 (spec CS-5.3), so that resume tokens made from it are MongoDB's.
//! Equal values (`1`, `1.0`, `NumberLong(1)`) give equal keys; their types go to [`TypeBits`] where they matter.
//! Decimals that no double holds get a suffix of our own that keeps their place between the doubles around them.

use crate::document::kind;
use crate::{Decimal, Doc, TextOrder, Value};

/// The byte that ends a whole key in a resume token.
pub const END: u8 = 0x04;

/// The key of one value.
#[must_use]
pub fn of(value: &Value<'_>) -> Vec<u8> {
    of_by(value, None)
}

/// The key of one value whose texts compare as `order` says, if there is one.
#[must_use]
pub fn of_by(value: &Value<'_>, order: Option<&dyn TextOrder>) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    append_by(value, order, &mut out);
    out
}

/// Appends the key of `value`.
pub fn append(value: &Value<'_>, out: &mut Vec<u8>) {
    append_by(value, None, out);
}

/// Appends the key of `value`, whose texts compare as `order` says.
pub fn append_by(value: &Value<'_>, order: Option<&dyn TextOrder>, out: &mut Vec<u8>) {
    write(value, out, &mut TypeBits::ignored(), order);
}

/// Appends the key of `value` so that it sorts the other way around.
pub fn append_descending(value: &Value<'_>, out: &mut Vec<u8>) {
    append_descending_by(value, None, out);
}

/// [`append_descending`], with texts that compare as `order` says.
pub fn append_descending_by(value: &Value<'_>, order: Option<&dyn TextOrder>, out: &mut Vec<u8>) {
    let start = out.len();
    append_by(value, order, out);
    for byte in out.iter_mut().skip(start) {
        *byte = !*byte;
    }
}

/// Appends the key of `value` and notes its type.
pub fn append_typed(value: &Value<'_>, out: &mut Vec<u8>, types: &mut TypeBits) {
    write(value, out, types, None);
}

/// What a key alone does not tell: which of several equal types a value had (CS-5.3.4).
#[derive(Clone, Debug, Default)]
pub struct TypeBits {
    bytes: Vec<u8>,
    count: usize,
    ignored: bool,
}

/// The bit of the size byte that tells it from bits.
const LONG: u8 = 0x80;

impl TypeBits {
    /// No bits yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn ignored() -> Self {
        Self { ignored: true, ..Self::default() }
    }

    fn push(&mut self, bit: bool) {
        if self.ignored {
            return;
        }
        if self.count.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if bit && let Some(last) = self.bytes.last_mut() {
            *last |= 1 << (self.count % 8);
        }
        self.count += 1;
    }

    /// The bits of a zero that is no plain one: both bits of a decimal, and which one it is.
    fn push_special_zero(&mut self, which: [bool; 3]) {
        for bit in [[true, true].as_slice(), which.as_slice()].concat() {
            self.push(bit);
        }
    }

    /// The encoded bits, or `None` if all are zero.
    #[must_use]
    pub fn encoded(&self) -> Option<Vec<u8>> {
        if self.bytes.iter().all(|&b| b == 0) {
            return None;
        }
        if let [only] = self.bytes.as_slice()
            && only & 0x80 == 0
        {
            return Some(vec![*only]);
        }
        let mut out = Vec::with_capacity(self.bytes.len() + 5);
        match u8::try_from(self.bytes.len()) {
            Ok(size) if size < LONG => out.push(LONG | size),
            // A size byte without a size: the size follows in four bytes.
            _ => {
                out.push(LONG);
                out.extend_from_slice(&u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            }
        }
        out.extend_from_slice(&self.bytes);
        Some(out)
    }
}

fn write(value: &Value<'_>, out: &mut Vec<u8>, types: &mut TypeBits, order: Option<&dyn TextOrder>) {
    match value {
        Value::MinKey => out.push(0x0A),
        Value::Undefined => out.push(0x0F),
        Value::Null => out.push(0x14),
        Value::Int32(v) => {
            types.push(false);
            types.push(false);
            integer(i64::from(*v), out);
        }
        Value::Int64(v) => {
            types.push(false);
            types.push(true);
            integer(*v, out);
        }
        Value::Double(v) => {
            if *v == 0.0 && v.is_sign_negative() {
                types.push_special_zero([false, false, false]);
            } else {
                types.push(true);
                types.push(false);
            }
            double(*v, out);
        }
        Value::Decimal(v) => {
            if v.is_zero() {
                types.push_special_zero([false, false, true]);
            } else {
                types.push(true);
                types.push(true);
            }
            decimal(*v, out);
        }
        Value::String(v) => {
            types.push(false);
            ordered_text(v, order, out);
        }
        Value::Symbol(v) => {
            types.push(true);
            ordered_text(v, order, out);
        }
        Value::Document(bytes) => {
            out.push(0x46);
            fields(Doc::new(bytes), out, types, order);
        }
        Value::Array(bytes) => {
            out.push(0x50);
            for element in Doc::new(bytes).elements() {
                write(&element.value(), out, types, order);
            }
            out.push(0);
        }
        Value::Binary(subtype, bytes) => {
            out.push(0x5A);
            match u8::try_from(bytes.len()) {
                Ok(size) if size < 0xFF => out.push(size),
                _ => {
                    out.push(0xFF);
                    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
                }
            }
            out.push(*subtype);
            out.extend_from_slice(bytes);
        }
        Value::ObjectId(v) => {
            out.push(0x64);
            out.extend_from_slice(v);
        }
        Value::Bool(v) => out.push(if *v { 0x6F } else { 0x6E }),
        Value::Date(v) => {
            out.push(0x78);
            out.extend_from_slice(&(*v ^ i64::MIN).to_be_bytes());
        }
        Value::Timestamp(v) => {
            out.push(0x82);
            out.extend_from_slice(&v.to_be_bytes());
        }
        Value::Regex(pattern, options) => {
            out.push(0x8C);
            out.extend_from_slice(pattern.as_bytes());
            out.push(0);
            out.extend_from_slice(options.as_bytes());
            out.push(0);
        }
        Value::DbPointer(name, id) => {
            out.push(0x96);
            out.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(id);
        }
        Value::Code(v) => text(0xA0, v.as_bytes(), out),
        Value::CodeWithScope(code, scope) => {
            text(0xAA, code.as_bytes(), out);
            fields(Doc::new(scope), out, types, None);
        }
        Value::MaxKey => out.push(0xF0),
    }
}

fn fields(doc: Doc<'_>, out: &mut Vec<u8>, types: &mut TypeBits, order: Option<&dyn TextOrder>) {
    for element in doc.elements() {
        out.push(generic_type(element.kind()));
        out.extend_from_slice(element.key_bytes());
        out.push(0);
        write(&element.value(), out, types, order);
    }
    out.push(0);
}

/// The byte that stands for a whole family of types before a field's name (CS-5.3.2).
fn generic_type(tag: u8) -> u8 {
    match tag {
        kind::MIN_KEY => 0x0A,
        kind::UNDEFINED => 0x0F,
        kind::NULL => 0x14,
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL => 0x1E,
        kind::STRING | kind::SYMBOL => 0x3C,
        kind::DOCUMENT => 0x46,
        kind::ARRAY => 0x50,
        kind::BINARY => 0x5A,
        kind::OBJECT_ID => 0x64,
        kind::BOOL => 0x6E,
        kind::DATE => 0x78,
        kind::TIMESTAMP => 0x82,
        kind::REGEX => 0x8C,
        kind::DB_POINTER => 0x96,
        kind::CODE => 0xA0,
        kind::CODE_WITH_SCOPE => 0xAA,
        _ => 0xF0,
    }
}

/// The byte that stands for the family of a key's value before a field's name, from the first byte of the key.
#[must_use]
pub const fn generic_type_of_key(first: u8) -> u8 {
    match first {
        NOT_A_NUMBER..=POSITIVE_LARGE => NOT_A_NUMBER,
        0x6F => 0x6E,
        tag => tag,
    }
}

fn ordered_text(value: &str, order: Option<&dyn TextOrder>, out: &mut Vec<u8>) {
    let Some(order) = order else { return text(0x3C, value.as_bytes(), out) };
    let mut key = Vec::with_capacity(value.len() + 8);
    order.append_key(value, &mut key);
    text(0x3C, &key, out);
}

fn text(tag: u8, text: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    for (at, part) in text.split(|&byte| byte == 0).enumerate() {
        if at > 0 {
            out.extend_from_slice(&[0, 0xFF]);
        }
        out.extend_from_slice(part);
    }
    out.push(0);
}

const ZERO: u8 = 0x29;
const POSITIVE_BELOW_ONE: u8 = 0x2A;
const NEGATIVE_BELOW_ONE: u8 = 0x28;
const POSITIVE_ONE_BYTE: u8 = 0x2B;
const NEGATIVE_ONE_BYTE: u8 = 0x27;
const POSITIVE_LARGE: u8 = 0x33;
const NEGATIVE_LARGE: u8 = 0x1F;
const NOT_A_NUMBER: u8 = 0x1E;

fn integer(value: i64, out: &mut Vec<u8>) {
    if value == i64::MIN {
        // 2 * 2^63 does not fit: MongoDB files it with the large doubles.
        return large(crate::number::to_f64(value), out);
    }
    if value == 0 {
        return out.push(ZERO);
    }
    whole(value.unsigned_abs(), false, value < 0, out);
}

/// `2 * magnitude`, plus one if a fraction follows, in as few bytes as it takes.
fn whole(magnitude: u64, fraction: bool, negative: bool, out: &mut Vec<u8>) -> usize {
    let doubled = (magnitude << 1) | u64::from(fraction);
    let bytes = doubled.to_be_bytes();
    let skip = bytes.iter().take_while(|&&b| b == 0).count().min(7);
    let extra = u8::try_from(7 - skip).unwrap_or(0);
    out.push(if negative { NEGATIVE_ONE_BYTE - extra } else { POSITIVE_ONE_BYTE + extra });
    if !fraction {
        push_bytes(bytes.get(skip..).unwrap_or_default(), negative, out);
    }
    skip
}

fn push_bytes(bytes: &[u8], negative: bool, out: &mut Vec<u8>) {
    out.extend(bytes.iter().map(|&b| if negative { !b } else { b }));
}

fn double(value: f64, out: &mut Vec<u8>) {
    let magnitude = value.abs();
    let negative = value < 0.0;
    if value.is_nan() {
        out.push(NOT_A_NUMBER);
    } else if value == 0.0 {
        out.push(ZERO);
    } else if magnitude < 1.0 {
        below_one(magnitude, negative, out);
    } else if let Some(integral) = crate::number::exact_i64(magnitude) {
        whole(integral.unsigned_abs(), false, negative, out);
    } else if let Some(integral) = crate::number::truncated_i64(magnitude) {
        with_fraction(magnitude, integral.unsigned_abs(), negative, out);
    } else {
        large(value, out);
    }
}

fn below_one(magnitude: f64, negative: bool, out: &mut Vec<u8>) {
    out.push(if negative { NEGATIVE_BELOW_ONE } else { POSITIVE_BELOW_ONE });
    // Below one the two top bits are clear, so the shift loses nothing.
    push_bytes(&(magnitude.to_bits() << 2).to_be_bytes(), negative, out);
}

fn large(value: f64, out: &mut Vec<u8>) {
    out.push(if value < 0.0 { NEGATIVE_LARGE } else { POSITIVE_LARGE });
    push_bytes(&value.abs().to_bits().to_be_bytes(), value < 0.0, out);
}

/// Eight bytes: the number scaled by the bytes that its integer part leaves free, marked as having a fraction.
fn with_fraction(magnitude: f64, integral: u64, negative: bool, out: &mut Vec<u8>) {
    let skip = whole(integral, true, negative, out);
    let free_bits = u32::try_from(8 * skip).unwrap_or(0);
    let scaled = magnitude * 2_f64.powi(i32::try_from(free_bits).unwrap_or(0));
    let bits = double_to_u64(scaled).wrapping_add((integral + 1) << free_bits);
    push_bytes(&bits.to_be_bytes(), negative, out);
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and below 2^64 by construction")]
fn double_to_u64(value: f64) -> u64 {
    value as u64
}

fn decimal(value: Decimal, out: &mut Vec<u8>) {
    if value.is_nan() || !value.is_finite() || value.is_zero() {
        return double(value.to_f64(), out);
    }
    if let Some(exact) = value.to_i64_exact() {
        return integer(exact, out);
    }
    let (cut, rest) = value.truncate();
    let negative = value.is_signed();
    if cut == 0.0 {
        below_one(0.0, negative, out);
    } else if let Some(integral) = crate::number::exact_i64(cut.abs()).filter(|_| rest) {
        // An integral double with more behind it must not look like the integer itself.
        with_fraction(cut.abs(), integral.unsigned_abs(), negative, out);
    } else {
        double(cut, out);
    }
    if rest {
        let (exponent, digits) = value.normalized();
        let biased = u16::try_from(exponent + 0x4000).unwrap_or(0);
        out.push(if negative { 0x01 } else { 0xFF });
        push_bytes(&biased.to_be_bytes(), negative, out);
        push_bytes(&digits.to_be_bytes(), negative, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::ladder;

    fn hex(value: &Value<'_>) -> String {
        of(value).iter().map(|b| format!("{b:02X}")).collect()
    }

    #[test]
    fn bytes_order_is_value_order() {
        let ladder = ladder();
        for (i, left) in ladder.iter().enumerate() {
            for (j, right) in ladder.iter().enumerate() {
                for a in left {
                    for b in right {
                        let (mut x, mut y) = (of(a), of(b));
                        x.push(END);
                        y.push(END);
                        assert_eq!(x.cmp(&y), i.cmp(&j), "{a:?} {x:02X?} against {b:?} {y:02X?}");
                        let (mut x, mut y) = (vec![], vec![]);
                        append_descending(a, &mut x);
                        append_descending(b, &mut y);
                        x.push(END);
                        y.push(END);
                        assert_eq!(x.cmp(&y), j.cmp(&i), "descending {a:?} against {b:?}");
                    }
                }
            }
        }
    }

    /// CS-5.3.1.
    #[test]
    fn numbers_are_laid_out_as_mongodb_does() {
        assert_eq!(hex(&1.into()), "2B02");
        assert_eq!(hex(&128.into()), "2C0100");
        assert_eq!(hex(&(-300).into()), "26FDA7");
        assert_eq!(hex(&0.into()), "29");
        assert_eq!(hex(&Value::Int64(7)), "2B0E");
        assert_eq!(hex(&7.0.into()), "2B0E");
    }

    /// CS-5.3.4 and the vectors of CS-5.3.5.
    #[test]
    fn type_bits() {
        let bits = |value: Value<'_>| {
            let mut types = TypeBits::new();
            append_typed(&value, &mut vec![], &mut types);
            types.encoded()
        };
        assert_eq!(bits(7.into()), None);
        assert_eq!(bits(Value::Int64(7)), Some(vec![0x02]));
        assert_eq!(bits(7.0.into()), Some(vec![0x01]));
        assert_eq!(bits(Value::Symbol("s".into())), Some(vec![0x01]));
        assert_eq!(bits("s".into()), None);
        assert_eq!(bits(Value::Decimal(Decimal::parse("7").unwrap())), Some(vec![0x03]));
        // 0.0 is a double like any; -0.0 shares the decimals' bits, and three more say what it is.
        assert_eq!(bits(0.0.into()), Some(vec![0x01]));
        assert_eq!(bits((-0.0).into()), Some(vec![0x03]));
        // More bits go to the next bytes, with their number before them; from 128 bytes on it takes four bytes more.
        let list = |count: usize| {
            let mut list = crate::DocBuf::new();
            for _ in 0..count {
                list.push("d", 1.5);
            }
            bits(Value::from(&list)).unwrap()
        };
        assert_eq!(list(4), [0x55]);
        assert_eq!(list(5), [0x82, 0x55, 0x01]);
        assert_eq!(list(4 * 127), [[0xFF].as_slice(), [0x55; 127].as_slice()].concat());
        assert_eq!(list(4 * 128), [[0x80, 128, 0, 0, 0].as_slice(), [0x55; 128].as_slice()].concat());
    }

    /// CS-5.3.2.
    #[test]
    fn a_field_is_filed_under_its_family_of_types() {
        let generic = |value: Value<'_>| {
            let mut doc = crate::DocBuf::new();
            doc.push("f", value);
            of(&Value::from(&doc))[1]
        };
        assert_eq!(generic(1.into()), 0x1E);
        assert_eq!(generic(1.5.into()), 0x1E);
        assert_eq!(generic("s".into()), 0x3C);
        assert_eq!(generic(Value::Symbol("s".into())), 0x3C);
        assert_eq!(generic(Value::from(&crate::DocBuf::new())), 0x46);
        assert_eq!(generic(Value::Binary(0, vec![1].into())), 0x5A);
        assert_eq!(generic(Value::ObjectId([1; 12])), 0x64);
        assert_eq!(generic(true.into()), 0x6E);
        assert_eq!(generic(Value::Date(1)), 0x78);
        assert_eq!(generic(Value::Timestamp(crate::ClusterTime::new(1, 1))), 0x82);
        assert_eq!(generic(Value::Regex("a".into(), "".into())), 0x8C);
        assert_eq!(generic(Value::Code("c".into())), 0xA0);
        assert_eq!(generic(Value::Null), 0x14);
    }

    #[test]
    fn a_key_tells_the_family_of_its_value() {
        for value in ladder().iter().flatten() {
            let mut doc = crate::DocBuf::new();
            doc.push("a", value.clone());
            let family = doc.as_doc().elements().next().map(|element| generic_type(element.kind())).unwrap();
            assert_eq!(generic_type_of_key(of(value)[0]), family, "{value:?}");
        }
    }

    #[test]
    fn random_numbers_keep_their_order() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 11
        };
        let mut values: Vec<Value<'static>> = Vec::new();
        for _ in 0..25 {
            values.push(Value::Double(f64::from_bits(next() << 11)));
            values.push(Value::Double(crate::number::to_f64(i64::try_from(next()).unwrap()) / 1024.0));
            values.push(Value::Int64(i64::try_from(next()).unwrap() - (1 << 52)));
            values.push(Value::Decimal(Decimal::parse(&format!("{}E-{}", next(), next() % 40)).unwrap()));
        }
        for a in &values {
            for b in &values {
                let (mut x, mut y) = (of(a), of(b));
                x.push(END);
                y.push(END);
                assert_eq!(x.cmp(&y), crate::compare(a, b), "{a:?} {x:02X?} against {b:?} {y:02X?}");
            }
        }
    }
}
