//! Raw documents: reading bytes in place.
//!
//! Bytes are checked once, by [`crate::validate`], where they enter the process. After that reading is total:
//! bytes that are not well formed end an iteration early and never panic.

use crate::Value;

/// A borrowed BSON document, or the document form of an array (keys `"0"`, `"1"`, …).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Doc<'a>(&'a [u8]);

/// The empty document.
pub const EMPTY: &[u8] = &[5, 0, 0, 0, 0];

impl<'a> Doc<'a> {
    /// Reads `bytes` (with their leading length) as a document.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The document without fields.
    #[must_use]
    pub const fn empty() -> Doc<'static> {
        Doc(EMPTY)
    }

    /// The whole encoding, length and terminator included.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The fields in order.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        Elements { rest: self.0.get(4..).unwrap_or_default() }
    }

    /// The first field called `name`.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.element(name).map(Element::value)
    }

    /// The first field called `name`, undecoded.
    #[must_use]
    pub fn element(self, name: &str) -> Option<Element<'a>> {
        self.elements().find(|e| e.key_bytes() == name.as_bytes())
    }

    /// Whether there is a field called `name`.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.element(name).is_some()
    }

    /// The nested document called `name`, if it is one.
    #[must_use]
    pub fn doc(self, name: &str) -> Option<Doc<'a>> {
        self.element(name).and_then(Element::as_doc)
    }

    /// The string called `name`, if it is one.
    #[must_use]
    pub fn str(self, name: &str) -> Option<&'a str> {
        self.element(name).and_then(Element::as_str)
    }

    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.elements().next().is_none()
    }

    /// How many fields there are; counts by walking.
    #[must_use]
    pub fn len(self) -> usize {
        self.elements().count()
    }

    /// The values in order, for an array.
    pub fn values(self) -> impl Iterator<Item = Value<'a>> {
        self.elements().map(Element::value)
    }

    /// An owned copy.
    #[must_use]
    pub fn to_buf(self) -> crate::DocBuf {
        crate::DocBuf::from_bytes(self.0.to_vec())
    }
}

impl std::fmt::Debug for Doc<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::shell::document(*self))
    }
}

/// BSON's type bytes.
#[expect(missing_docs, reason = "the names are the types")]
pub mod kind {
    pub const DOUBLE: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const DOCUMENT: u8 = 0x03;
    pub const ARRAY: u8 = 0x04;
    pub const BINARY: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const OBJECT_ID: u8 = 0x07;
    pub const BOOL: u8 = 0x08;
    pub const DATE: u8 = 0x09;
    pub const NULL: u8 = 0x0A;
    pub const REGEX: u8 = 0x0B;
    pub const DB_POINTER: u8 = 0x0C;
    pub const CODE: u8 = 0x0D;
    pub const SYMBOL: u8 = 0x0E;
    pub const CODE_WITH_SCOPE: u8 = 0x0F;
    pub const INT32: u8 = 0x10;
    pub const TIMESTAMP: u8 = 0x11;
    pub const INT64: u8 = 0x12;
    pub const DECIMAL: u8 = 0x13;
    pub const MAX_KEY: u8 = 0x7F;
    pub const MIN_KEY: u8 = 0xFF;
}

/// One field: its name, type byte and undecoded value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    kind: u8,
    key: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Element<'a> {
    /// The field's name.
    #[must_use]
    pub fn key(self) -> &'a str {
        std::str::from_utf8(self.key).unwrap_or_default()
    }

    /// The field's name as bytes, for comparing without decoding.
    #[must_use]
    pub const fn key_bytes(self) -> &'a [u8] {
        self.key
    }

    /// The type byte, one of [`kind`].
    #[must_use]
    pub const fn kind(self) -> u8 {
        self.kind
    }

    /// The value's encoding, without type and name.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The decoded value, borrowing from the document.
    #[must_use]
    pub fn value(self) -> Value<'a> {
        Value::decode(self.kind, self.bytes)
    }

    /// The nested document, if it is one (not an array).
    #[must_use]
    pub fn as_doc(self) -> Option<Doc<'a>> {
        (self.kind == kind::DOCUMENT).then_some(Doc(self.bytes))
    }

    /// The nested array, if it is one.
    #[must_use]
    pub fn as_array(self) -> Option<Doc<'a>> {
        (self.kind == kind::ARRAY).then_some(Doc(self.bytes))
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        if self.kind != kind::STRING {
            return None;
        }
        text(self.bytes)
    }

    /// Same type and same bytes: the equality that decides whether a write changed anything.
    #[must_use]
    pub fn same_value(self, other: Element<'_>) -> bool {
        self.kind == other.kind && self.bytes == other.bytes
    }
}

impl std::fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}", self.key(), self.value())
    }
}

/// The fields of a document in order.
#[derive(Clone, Copy, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&kind, rest) = self.rest.split_first()?;
        if kind == 0 {
            self.rest = &[];
            return None;
        }
        let end = rest.iter().position(|&b| b == 0)?;
        let (key, rest) = (rest.get(..end)?, rest.get(end + 1..)?);
        let size = value_size(kind, rest)?;
        let (bytes, rest) = rest.split_at_checked(size)?;
        self.rest = rest;
        Some(Element { kind, key, bytes })
    }
}

/// How many bytes a value of type `kind` takes at the start of `rest`; `None` if it does not fit.
pub(crate) fn value_size(kind: u8, rest: &[u8]) -> Option<usize> {
    let size = match kind {
        kind::DOUBLE | kind::DATE | kind::TIMESTAMP | kind::INT64 => 8,
        kind::STRING | kind::CODE | kind::SYMBOL => length(rest)?.checked_add(4)?,
        kind::DOCUMENT | kind::ARRAY | kind::CODE_WITH_SCOPE => length(rest)?,
        kind::BINARY => length(rest)?.checked_add(5)?,
        kind::UNDEFINED | kind::NULL | kind::MIN_KEY | kind::MAX_KEY => 0,
        kind::OBJECT_ID => 12,
        kind::BOOL => 1,
        kind::REGEX => {
            let pattern = rest.iter().position(|&b| b == 0)? + 1;
            pattern + rest.get(pattern..)?.iter().position(|&b| b == 0)? + 1
        }
        kind::DB_POINTER => length(rest)?.checked_add(16)?,
        kind::INT32 => 4,
        kind::DECIMAL => 16,
        _ => return None,
    };
    (size <= rest.len()).then_some(size)
}

/// The leading little-endian int32 as a length.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let (head, _) = bytes.split_first_chunk::<4>()?;
    usize::try_from(i32::from_le_bytes(*head)).ok()
}

/// The text of an encoded BSON string (length, bytes, NUL).
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    let body = bytes.get(4..bytes.len().checked_sub(1)?)?;
    std::str::from_utf8(body).ok()
}
