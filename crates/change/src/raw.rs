//! Writing documents straight into bytes, where the general [`millstream_value::DocBuf`] would cost too much: entries
//! and events are written once per change.

use millstream_value::document::kind;
use millstream_value::{ClusterTime, Doc, Element};

/// A buffer in which documents are opened, filled and closed.
pub(crate) struct Raw(Vec<u8>);

/// An open document: where its length will be written.
#[must_use]
pub(crate) struct Open(usize);

impl Raw {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Writes behind what is there.
    pub(crate) fn behind(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Opens the outermost document.
    pub(crate) fn open(&mut self) -> Open {
        let at = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        Open(at)
    }

    /// Opens a nested document.
    pub(crate) fn open_doc(&mut self, name: &str) -> Open {
        self.name(kind::DOCUMENT, name);
        self.open()
    }

    /// Opens an array: a document whose names are `0`, `1`, and so on.
    pub(crate) fn open_array(&mut self, name: &str) -> Open {
        self.name(kind::ARRAY, name);
        self.open()
    }

    /// The document at a position of an array.
    pub(crate) fn item(&mut self, at: usize, doc: Doc<'_>) {
        self.0.push(kind::DOCUMENT);
        let start = self.0.len();
        let mut rest = at;
        loop {
            // The last digit first.
            self.0.push(b'0' + u8::try_from(rest % 10).unwrap_or_default());
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.0.get_mut(start..).unwrap_or_default().reverse();
        self.0.push(0);
        self.0.extend_from_slice(doc.as_bytes());
    }

    /// Ends the document that was opened last.
    pub(crate) fn close(&mut self, open: Open) {
        self.0.push(0);
        let size = i32::try_from(self.0.len() - open.0).unwrap_or(i32::MAX).to_le_bytes();
        if let Some(head) = self.0.get_mut(open.0..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *head = size;
        }
    }

    pub(crate) fn str(&mut self, name: &str, text: &str) {
        self.name(kind::STRING, name);
        self.size(text.len() + 1);
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    pub(crate) fn doc(&mut self, name: &str, doc: Doc<'_>) {
        self.name(kind::DOCUMENT, name);
        self.0.extend_from_slice(doc.as_bytes());
    }

    pub(crate) fn array(&mut self, name: &str, array: Doc<'_>) {
        self.name(kind::ARRAY, name);
        self.0.extend_from_slice(array.as_bytes());
    }

    pub(crate) fn element(&mut self, element: Element<'_>) {
        self.0.push(element.kind());
        self.0.extend_from_slice(element.key_bytes());
        self.0.push(0);
        self.0.extend_from_slice(element.bytes());
    }

    pub(crate) fn bool(&mut self, name: &str, value: bool) {
        self.name(kind::BOOL, name);
        self.0.push(u8::from(value));
    }

    pub(crate) fn null(&mut self, name: &str) {
        self.name(kind::NULL, name);
    }

    pub(crate) fn int(&mut self, name: &str, value: i32) {
        self.name(kind::INT32, name);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn long(&mut self, name: &str, value: i64) {
        self.name(kind::INT64, name);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn date(&mut self, name: &str, ms: i64) {
        self.name(kind::DATE, name);
        self.0.extend_from_slice(&ms.to_le_bytes());
    }

    pub(crate) fn time(&mut self, name: &str, time: ClusterTime) {
        self.name(kind::TIMESTAMP, name);
        self.0.extend_from_slice(&time.to_u64().to_le_bytes());
    }

    pub(crate) fn uuid(&mut self, name: &str, uuid: &[u8; 16]) {
        self.binary(name, UUID_SUBTYPE, uuid);
    }

    pub(crate) fn binary(&mut self, name: &str, subtype: u8, bytes: &[u8]) {
        self.name(kind::BINARY, name);
        self.size(bytes.len());
        self.0.push(subtype);
        self.0.extend_from_slice(bytes);
    }

    /// A string written as the upper-case hexadecimal digits of `bytes`.
    pub(crate) fn hex(&mut self, name: &str, bytes: &[u8]) {
        self.name(kind::STRING, name);
        self.size(bytes.len() * 2 + 1);
        let start = self.0.len();
        // The NUL at the end is one of these zeros.
        self.0.resize(start + bytes.len() * 2 + 1, 0);
        let (pairs, _) = self.0.get_mut(start..).unwrap_or_default().as_chunks_mut::<2>();
        for (pair, &byte) in pairs.iter_mut().zip(bytes) {
            *pair = digits(byte);
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn name(&mut self, tag: u8, name: &str) {
        self.0.push(tag);
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
    }

    fn size(&mut self, bytes: usize) {
        self.0.extend_from_slice(&i32::try_from(bytes).unwrap_or(i32::MAX).to_le_bytes());
    }
}

/// The subtype of UUIDs.
pub(crate) const UUID_SUBTYPE: u8 = 4;

/// The two upper-case digits of a byte.
pub(crate) fn digits(byte: u8) -> [u8; 2] {
    DIGITS.get(usize::from(byte)).copied().unwrap_or_default()
}

#[expect(clippy::indexing_slicing, reason = "computed by the compiler, within 256 and 16")]
const fn all_digits() -> [[u8; 2]; 256] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [HEX[byte >> 4], HEX[byte & 15]];
        byte += 1;
    }
    table
}

static DIGITS: [[u8; 2]; 256] = all_digits();
