//! Reads the parts of a message off the front of its buffer, without copying.

use bytes::Bytes;

use crate::{Error, MAX_DOCUMENT_BYTES, Result};

/// What is left of a message.
pub(crate) struct Cursor {
    rest: Bytes,
}

impl Cursor {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Fails unless everything was read.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Error::Trailing(left)),
        }
    }

    pub(crate) fn into_rest(self) -> Bytes {
        self.rest
    }

    pub(crate) fn u8(&mut self, part: &'static str) -> Result<u8> {
        let bytes = self.take(1, part)?;
        bytes.first().copied().ok_or(Error::Truncated(part))
    }

    pub(crate) fn i32(&mut self, part: &'static str) -> Result<i32> {
        let bytes = self.take(4, part)?;
        let bytes = <[u8; 4]>::try_from(&bytes[..]).map_err(|_| Error::Truncated(part))?;
        Ok(i32::from_le_bytes(bytes))
    }

    pub(crate) fn u32(&mut self, part: &'static str) -> Result<u32> {
        self.i32(part).map(i32::cast_unsigned)
    }

    /// The next `length` bytes, a slice of the same buffer.
    pub(crate) fn take(&mut self, length: usize, part: &'static str) -> Result<Bytes> {
        if length > self.rest.len() {
            return Err(Error::Truncated(part));
        }
        Ok(self.rest.split_to(length))
    }

    /// A zero-terminated UTF-8 string of at most `limit` bytes.
    pub(crate) fn name(&mut self, limit: usize, part: &'static str) -> Result<String> {
        let end =
            self.rest.iter().take(limit.saturating_add(1)).position(|&byte| byte == 0).ok_or(Error::Name(part))?;
        let bytes = self.rest.split_to(end);
        self.take(1, part)?;
        match std::str::from_utf8(&bytes) {
            Ok(name) => Ok(name.to_owned()),
            Err(_) => Err(Error::Name(part)),
        }
    }

    /// The next document, checked fully.
    pub(crate) fn document(&mut self) -> Result<Bytes> {
        let length = document_length(&self.rest)?;
        let document = self.take(length, "a document")?;
        millstream_value::validate(&document)?;
        Ok(document)
    }
}

/// The length that the document at the front of `bytes` states, if it is possible.
pub(crate) fn document_length(bytes: &[u8]) -> Result<usize> {
    let stated = bytes.first_chunk::<4>().ok_or(Error::Truncated("a document"))?;
    let stated = i32::from_le_bytes(*stated);
    usize::try_from(stated)
        .ok()
        .filter(|length| (5..=MAX_DOCUMENT_BYTES).contains(length))
        .ok_or(Error::DocumentLength(stated))
}
