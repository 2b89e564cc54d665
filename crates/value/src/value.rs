//! One value of a document: borrowed from its bytes where possible.

use std::borrow::Cow;

use crate::document::{EMPTY, kind, length, text};
use crate::{ClusterTime, Decimal, Doc};

/// A BSON value. Documents and arrays stay encoded; strings and bytes borrow where they can.
///
/// A missing value is `Option::<Value>::None`, never a variant. `PartialEq` is the equality of the *type and
/// content*; for the database's equality (`1 == 1.0`) use [`crate::compare`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Sorts before everything.
    MinKey,
    /// The deprecated undefined.
    Undefined,
    /// null.
    Null,
    /// 64-bit IEEE float.
    Double(f64),
    /// 32-bit integer.
    Int32(i32),
    /// 64-bit integer.
    Int64(i64),
    /// 128-bit decimal.
    Decimal(Decimal),
    /// UTF-8 text.
    String(Cow<'a, str>),
    /// The deprecated symbol.
    Symbol(Cow<'a, str>),
    /// An encoded document, length and terminator included.
    Document(Cow<'a, [u8]>),
    /// An encoded array: a document whose names are `0`, `1`, ….
    Array(Cow<'a, [u8]>),
    /// Bytes with their subtype.
    Binary(u8, Cow<'a, [u8]>),
    /// 12 bytes.
    ObjectId([u8; 12]),
    /// true or false.
    Bool(bool),
    /// Milliseconds since the epoch, UTC.
    Date(i64),
    /// A cluster time.
    Timestamp(ClusterTime),
    /// Pattern and options.
    Regex(Cow<'a, str>, Cow<'a, str>),
    /// The deprecated pointer: namespace and id.
    DbPointer(Cow<'a, str>, [u8; 12]),
    /// JavaScript text.
    Code(Cow<'a, str>),
    /// JavaScript text with an encoded scope document.
    CodeWithScope(Cow<'a, str>, Cow<'a, [u8]>),
    /// Sorts after everything.
    MaxKey,
}

impl<'a> Value<'a> {
    /// Decodes the bytes of one element. Bytes that do not fit their type decode as null: they were checked on entry.
    #[must_use]
    pub fn decode(kind: u8, bytes: &'a [u8]) -> Self {
        Self::try_decode(kind, bytes).unwrap_or(Self::Null)
    }

    fn try_decode(tag: u8, bytes: &'a [u8]) -> Option<Self> {
        Some(match tag {
            kind::DOUBLE => Self::Double(f64::from_le_bytes(fixed(bytes)?)),
            kind::STRING => Self::String(Cow::Borrowed(text(bytes)?)),
            kind::DOCUMENT => Self::Document(Cow::Borrowed(bytes)),
            kind::ARRAY => Self::Array(Cow::Borrowed(bytes)),
            kind::BINARY => {
                let (&subtype, data) = bytes.get(4..)?.split_first()?;
                Self::Binary(subtype, Cow::Borrowed(data))
            }
            kind::UNDEFINED => Self::Undefined,
            kind::OBJECT_ID => Self::ObjectId(fixed(bytes)?),
            kind::BOOL => Self::Bool(*bytes.first()? != 0),
            kind::DATE => Self::Date(i64::from_le_bytes(fixed(bytes)?)),
            kind::NULL => Self::Null,
            kind::REGEX => {
                let whole = std::str::from_utf8(bytes).ok()?;
                let mut parts = whole.split('\0');
                Self::Regex(Cow::Borrowed(parts.next()?), Cow::Borrowed(parts.next()?))
            }
            kind::DB_POINTER => {
                let (name, id) = bytes.split_at_checked(bytes.len().checked_sub(12)?)?;
                Self::DbPointer(Cow::Borrowed(text(name)?), fixed(id)?)
            }
            kind::CODE => Self::Code(Cow::Borrowed(text(bytes)?)),
            kind::SYMBOL => Self::Symbol(Cow::Borrowed(text(bytes)?)),
            kind::CODE_WITH_SCOPE => {
                let rest = bytes.get(4..)?;
                let (code, scope) = rest.split_at_checked(length(rest)?.checked_add(4)?)?;
                Self::CodeWithScope(Cow::Borrowed(text(code)?), Cow::Borrowed(scope))
            }
            kind::INT32 => Self::Int32(i32::from_le_bytes(fixed(bytes)?)),
            kind::TIMESTAMP => Self::Timestamp(ClusterTime::from_u64(u64::from_le_bytes(fixed(bytes)?))),
            kind::INT64 => Self::Int64(i64::from_le_bytes(fixed(bytes)?)),
            kind::DECIMAL => Self::Decimal(Decimal::from_le_bytes(fixed(bytes)?)),
            kind::MAX_KEY => Self::MaxKey,
            kind::MIN_KEY => Self::MinKey,
            _ => return None,
        })
    }

    /// The type byte, one of [`kind`].
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::MinKey => kind::MIN_KEY,
            Self::Undefined => kind::UNDEFINED,
            Self::Null => kind::NULL,
            Self::Double(_) => kind::DOUBLE,
            Self::Int32(_) => kind::INT32,
            Self::Int64(_) => kind::INT64,
            Self::Decimal(_) => kind::DECIMAL,
            Self::String(_) => kind::STRING,
            Self::Symbol(_) => kind::SYMBOL,
            Self::Document(_) => kind::DOCUMENT,
            Self::Array(_) => kind::ARRAY,
            Self::Binary(..) => kind::BINARY,
            Self::ObjectId(_) => kind::OBJECT_ID,
            Self::Bool(_) => kind::BOOL,
            Self::Date(_) => kind::DATE,
            Self::Timestamp(_) => kind::TIMESTAMP,
            Self::Regex(..) => kind::REGEX,
            Self::DbPointer(..) => kind::DB_POINTER,
            Self::Code(_) => kind::CODE,
            Self::CodeWithScope(..) => kind::CODE_WITH_SCOPE,
            Self::MaxKey => kind::MAX_KEY,
        }
    }

    /// The type's name as `$type` and error messages spell it.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        type_name(self.kind())
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        fn own<B: ?Sized + ToOwned>(value: Cow<'_, B>) -> Cow<'static, B> {
            Cow::Owned(value.into_owned())
        }
        match self {
            Self::MinKey => Value::MinKey,
            Self::Undefined => Value::Undefined,
            Self::Null => Value::Null,
            Self::Double(v) => Value::Double(v),
            Self::Int32(v) => Value::Int32(v),
            Self::Int64(v) => Value::Int64(v),
            Self::Decimal(v) => Value::Decimal(v),
            Self::String(v) => Value::String(own(v)),
            Self::Symbol(v) => Value::Symbol(own(v)),
            Self::Document(v) => Value::Document(own(v)),
            Self::Array(v) => Value::Array(own(v)),
            Self::Binary(t, v) => Value::Binary(t, own(v)),
            Self::ObjectId(v) => Value::ObjectId(v),
            Self::Bool(v) => Value::Bool(v),
            Self::Date(v) => Value::Date(v),
            Self::Timestamp(v) => Value::Timestamp(v),
            Self::Regex(p, o) => Value::Regex(own(p), own(o)),
            Self::DbPointer(n, id) => Value::DbPointer(own(n), id),
            Self::Code(v) => Value::Code(own(v)),
            Self::CodeWithScope(c, s) => Value::CodeWithScope(own(c), own(s)),
            Self::MaxKey => Value::MaxKey,
        }
    }

    /// The same value, borrowing from this one.
    #[must_use]
    pub fn borrowed(&self) -> Value<'_> {
        match self {
            Self::String(v) => Value::String(Cow::Borrowed(v)),
            Self::Symbol(v) => Value::Symbol(Cow::Borrowed(v)),
            Self::Document(v) => Value::Document(Cow::Borrowed(v)),
            Self::Array(v) => Value::Array(Cow::Borrowed(v)),
            Self::Binary(t, v) => Value::Binary(*t, Cow::Borrowed(v)),
            Self::Regex(p, o) => Value::Regex(Cow::Borrowed(p), Cow::Borrowed(o)),
            Self::DbPointer(n, id) => Value::DbPointer(Cow::Borrowed(n), *id),
            Self::Code(v) => Value::Code(Cow::Borrowed(v)),
            Self::CodeWithScope(c, s) => Value::CodeWithScope(Cow::Borrowed(c), Cow::Borrowed(s)),
            Self::MinKey => Value::MinKey,
            Self::Undefined => Value::Undefined,
            Self::Null => Value::Null,
            Self::Double(v) => Value::Double(*v),
            Self::Int32(v) => Value::Int32(*v),
            Self::Int64(v) => Value::Int64(*v),
            Self::Decimal(v) => Value::Decimal(*v),
            Self::ObjectId(v) => Value::ObjectId(*v),
            Self::Bool(v) => Value::Bool(*v),
            Self::Date(v) => Value::Date(*v),
            Self::Timestamp(v) => Value::Timestamp(*v),
            Self::MaxKey => Value::MaxKey,
        }
    }

    /// The nested document, if it is one (not an array).
    #[must_use]
    pub fn as_doc(&self) -> Option<Doc<'_>> {
        match self {
            Self::Document(bytes) => Some(Doc::new(bytes)),
            _ => None,
        }
    }

    /// The array in document form, if it is one.
    #[must_use]
    pub fn as_array(&self) -> Option<Doc<'_>> {
        match self {
            Self::Array(bytes) => Some(Doc::new(bytes)),
            _ => None,
        }
    }

    /// The text, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is one of the four number types.
    #[must_use]
    pub const fn is_number(&self) -> bool {
        matches!(self, Self::Double(_) | Self::Int32(_) | Self::Int64(_) | Self::Decimal(_))
    }

    /// Whether it is null or undefined.
    #[must_use]
    pub const fn is_nullish(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }

    /// The number as an integer if it is one exactly (`3`, `3.0`, `NumberDecimal("3")`).
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Int32(v) => Some(i64::from(*v)),
            Self::Int64(v) => Some(*v),
            Self::Double(v) => crate::number::exact_i64(*v),
            Self::Decimal(v) => v.to_i64_exact(),
            _ => None,
        }
    }

    /// The number as the nearest double.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int32(v) => Some(f64::from(*v)),
            Self::Int64(v) => Some(crate::number::to_f64(*v)),
            Self::Double(v) => Some(*v),
            Self::Decimal(v) => Some(v.to_f64()),
            _ => None,
        }
    }

    /// Truth as the aggregation language and command options see it: everything but false, 0, null and undefined.
    #[must_use]
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Bool(v) => *v,
            Self::Null | Self::Undefined => false,
            Self::Int32(v) => *v != 0,
            Self::Int64(v) => *v != 0,
            Self::Double(v) => *v != 0.0,
            Self::Decimal(v) => !v.is_zero(),
            _ => true,
        }
    }

    /// The empty document.
    #[must_use]
    pub const fn empty_document() -> Value<'static> {
        Value::Document(Cow::Borrowed(EMPTY))
    }

    /// The empty array.
    #[must_use]
    pub const fn empty_array() -> Value<'static> {
        Value::Array(Cow::Borrowed(EMPTY))
    }

    /// Appends the value's encoding, without type and name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::MinKey | Self::MaxKey | Self::Null | Self::Undefined => {}
            Self::Double(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::Int32(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::Int64(v) | Self::Date(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::Decimal(v) => out.extend_from_slice(&v.to_le_bytes()),
            Self::String(v) | Self::Symbol(v) | Self::Code(v) => encode_text(v, out),
            Self::Document(v) | Self::Array(v) => out.extend_from_slice(v),
            Self::Binary(subtype, v) => {
                out.extend_from_slice(&size_bytes(v.len()));
                out.push(*subtype);
                out.extend_from_slice(v);
            }
            Self::ObjectId(v) => out.extend_from_slice(v),
            Self::Bool(v) => out.push(u8::from(*v)),
            Self::Timestamp(v) => out.extend_from_slice(&v.to_u64().to_le_bytes()),
            Self::Regex(pattern, options) => {
                out.extend_from_slice(pattern.as_bytes());
                out.push(0);
                out.extend_from_slice(options.as_bytes());
                out.push(0);
            }
            Self::DbPointer(name, id) => {
                encode_text(name, out);
                out.extend_from_slice(id);
            }
            Self::CodeWithScope(code, scope) => {
                out.extend_from_slice(&size_bytes(code.len() + 9 + scope.len()));
                encode_text(code, out);
                out.extend_from_slice(scope);
            }
        }
    }
}

/// The name of a type byte as `$type` and error messages spell it.
#[must_use]
pub const fn type_name(tag: u8) -> &'static str {
    match tag {
        kind::DOUBLE => "double",
        kind::STRING => "string",
        kind::DOCUMENT => "object",
        kind::ARRAY => "array",
        kind::BINARY => "binData",
        kind::UNDEFINED => "undefined",
        kind::OBJECT_ID => "objectId",
        kind::BOOL => "bool",
        kind::DATE => "date",
        kind::NULL => "null",
        kind::REGEX => "regex",
        kind::DB_POINTER => "dbPointer",
        kind::CODE => "javascript",
        kind::SYMBOL => "symbol",
        kind::CODE_WITH_SCOPE => "javascriptWithScope",
        kind::INT32 => "int",
        kind::TIMESTAMP => "timestamp",
        kind::INT64 => "long",
        kind::DECIMAL => "decimal",
        kind::MIN_KEY => "minKey",
        kind::MAX_KEY => "maxKey",
        _ => "missing",
    }
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&size_bytes(text.len() + 1));
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

pub(crate) fn size_bytes(size: usize) -> [u8; 4] {
    i32::try_from(size).unwrap_or(i32::MAX).to_le_bytes()
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

macro_rules! from {
    ($($from:ty => $make:expr),* $(,)?) => { $(
        impl<'a> From<$from> for Value<'a> {
            fn from(value: $from) -> Self { ($make)(value) }
        }
    )* };
}
from! {
    bool => Value::Bool,
    f64 => Value::Double,
    i32 => Value::Int32,
    i64 => Value::Int64,
    ClusterTime => Value::Timestamp,
    Decimal => Value::Decimal,
    String => |v| Value::String(Cow::Owned(v)),
    crate::DocBuf => |v: crate::DocBuf| Value::Document(Cow::Owned(v.into_bytes())),
    crate::ArrayBuf => |v: crate::ArrayBuf| Value::Array(Cow::Owned(v.into_bytes())),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::String(Cow::Borrowed(value))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::String(Cow::Borrowed(value))
    }
}

impl<'a> From<Doc<'a>> for Value<'a> {
    fn from(value: Doc<'a>) -> Self {
        Value::Document(Cow::Borrowed(value.as_bytes()))
    }
}

impl<'a> From<&'a crate::DocBuf> for Value<'a> {
    fn from(value: &'a crate::DocBuf) -> Self {
        value.as_doc().into()
    }
}
