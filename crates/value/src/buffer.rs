//! Writing documents: a growing buffer that is always a well-formed document.

use crate::document::{EMPTY, Element, kind};
use crate::value::size_bytes;
use crate::{Doc, Value};

/// An owned BSON document that grows at its end.
///
/// ```
/// use millstream_value::DocBuf;
/// let mut doc = DocBuf::new();
/// doc.push("a", 1).push("b", "text");
/// doc.nest("c", |c| { c.push("d", true); });
/// assert_eq!(doc.as_doc().doc("c").and_then(|c| c.get("d")), Some(true.into()));
/// ```
#[derive(Clone)]
pub struct DocBuf {
    bytes: Vec<u8>,
    /// Where this document begins: a nested one is written behind the fields of the one around it.
    start: usize,
}

impl DocBuf {
    /// The document without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::from_bytes(EMPTY.to_vec())
    }

    /// The document without fields, with room for `bytes` bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(bytes.max(EMPTY.len()));
        buffer.extend_from_slice(EMPTY);
        Self::from_bytes(buffer)
    }

    /// Takes bytes that are a well-formed document (checked with [`crate::validate`], or written by this type).
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }

    /// For reading.
    #[must_use]
    pub fn as_doc(&self) -> Doc<'_> {
        Doc::new(self.as_bytes())
    }

    /// The whole encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The whole encoding, owned.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Size of the encoding in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Makes room for so many more bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Appends a field.
    pub fn push<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) -> &mut Self {
        let value = value.into();
        self.append(key, value.kind(), |out| value.encode(out))
    }

    /// Appends a field if there is a value.
    pub fn push_some<'v>(&mut self, key: &str, value: Option<impl Into<Value<'v>>>) -> &mut Self {
        match value {
            Some(value) => self.push(key, value),
            None => self,
        }
    }

    /// Appends a field copied from another document.
    pub fn push_element(&mut self, element: Element<'_>) -> &mut Self {
        self.push_as(element.key(), element)
    }

    /// Appends a copied value under another name.
    pub fn push_as(&mut self, key: &str, element: Element<'_>) -> &mut Self {
        self.append(key, element.kind(), |out| out.extend_from_slice(element.bytes()))
    }

    /// Appends every field of `doc`.
    pub fn extend(&mut self, doc: Doc<'_>) -> &mut Self {
        let inner = doc.as_bytes();
        let inner = inner.get(4..inner.len().saturating_sub(1)).unwrap_or_default();
        self.bytes.pop();
        self.bytes.extend_from_slice(inner);
        self.close()
    }

    /// Appends a nested document, written in place by `fill`.
    pub fn nest(&mut self, key: &str, fill: impl FnOnce(&mut DocBuf)) -> &mut Self {
        self.open(key, kind::DOCUMENT);
        let mut inner = self.lend();
        fill(&mut inner);
        self.take_back(inner)
    }

    /// Appends a nested array, written by `fill`.
    pub fn array(&mut self, key: &str, fill: impl FnOnce(&mut ArrayBuf)) -> &mut Self {
        self.open(key, kind::ARRAY);
        let mut inner = ArrayBuf(self.lend(), 0);
        fill(&mut inner);
        self.take_back(inner.0)
    }

    fn append(&mut self, key: &str, tag: u8, encode: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.open(key, tag);
        encode(&mut self.bytes);
        self.close()
    }

    /// Writes a field's type and name.
    fn open(&mut self, key: &str, tag: u8) {
        self.bytes.pop();
        self.bytes.push(tag);
        let key = key.as_bytes();
        // A name cannot hold NUL in the encoding; what follows one would be read as a value.
        let key = key.split(|&b| b == 0).next().unwrap_or_default();
        self.bytes.extend_from_slice(key);
        self.bytes.push(0);
    }

    /// Hands the buffer to a document nested at its end.
    fn lend(&mut self) -> Self {
        let mut bytes = std::mem::take(&mut self.bytes);
        let start = bytes.len();
        bytes.extend_from_slice(EMPTY);
        Self { bytes, start }
    }

    fn take_back(&mut self, inner: Self) -> &mut Self {
        self.bytes = inner.bytes;
        self.close()
    }

    fn close(&mut self) -> &mut Self {
        self.bytes.push(0);
        let size = size_bytes(self.size());
        if let Some(head) = self.bytes.get_mut(self.start..).and_then(|b| b.first_chunk_mut::<4>()) {
            *head = size;
        }
        self
    }
}

impl Default for DocBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for DocBuf {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for DocBuf {}

impl std::hash::Hash for DocBuf {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl std::fmt::Debug for DocBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_doc().fmt(f)
    }
}

/// An owned BSON array that grows at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ArrayBuf(DocBuf, usize);

impl ArrayBuf {
    /// The array without elements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an element.
    pub fn push<'v>(&mut self, value: impl Into<Value<'v>>) -> &mut Self {
        let value = value.into();
        self.append(value.kind(), |out| value.encode(out))
    }

    /// Appends a copied value.
    pub fn push_element(&mut self, element: Element<'_>) -> &mut Self {
        self.append(element.kind(), |out| out.extend_from_slice(element.bytes()))
    }

    /// Appends an encoded document.
    pub fn push_document(&mut self, bytes: &[u8]) -> &mut Self {
        self.append(kind::DOCUMENT, |out| out.extend_from_slice(bytes))
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.1
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.1 == 0
    }

    /// Size of the encoding in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// For reading, in document form.
    #[must_use]
    pub fn as_doc(&self) -> Doc<'_> {
        self.0.as_doc()
    }

    /// The whole encoding, owned.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }

    fn append(&mut self, tag: u8, encode: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let mut digits = [0u8; 20];
        let key = index_name(self.1, &mut digits);
        self.0.append(key, tag, encode);
        self.1 += 1;
        self
    }
}

impl<'v, V: Into<Value<'v>>> FromIterator<V> for ArrayBuf {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        let mut array = Self::new();
        for value in values {
            array.push(value);
        }
        array
    }
}

/// The decimal digits of an array index, without allocating.
fn index_name(mut index: usize, digits: &mut [u8; 20]) -> &str {
    let mut at = digits.len();
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(index % 10).unwrap_or_default();
        at -= 1;
        index /= 10;
        if index == 0 {
            break;
        }
    }
    digits.get(at..).and_then(|d| std::str::from_utf8(d).ok()).unwrap_or("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_the_bson_crate_reads() {
        let mut doc = DocBuf::new();
        doc.push("a", 1).push("b", 2.5).push("c", "text");
        doc.nest("d", |d| {
            d.push("e", true);
        });
        doc.array("f", |f| {
            for n in 0..12 {
                f.push(n);
            }
        });
        let read = bson::Document::from_reader(doc.as_bytes()).unwrap();
        let want = bson::doc! {"a": 1, "b": 2.5, "c": "text", "d": {"e": true}, "f": (0..12).collect::<Vec<i32>>()};
        assert_eq!(read, want);
        assert_eq!(doc.as_bytes(), want.to_vec().unwrap());
    }

    #[test]
    fn extend_joins_documents() {
        let mut doc = DocBuf::new();
        doc.push("a", 1);
        let other = doc.clone();
        doc.extend(other.as_doc());
        assert_eq!(doc.as_doc().len(), 2);
        assert_eq!(crate::validate(doc.as_bytes()), Ok(()));
    }
}
