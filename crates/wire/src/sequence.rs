//! A run of documents outside the command document: a kind 1 section.

use bytes::Bytes;

use crate::Result;
use crate::cursor::{Cursor, document_length};

/// Documents that belong to one field of the command, such as `insert`'s `documents`.
///
/// They lie one after the other in the message's buffer and were checked when it was decoded.
#[derive(Debug, Clone)]
pub struct Sequence {
    name: String,
    region: Bytes,
    count: usize,
}

impl Sequence {
    /// Checks every document of `region`.
    pub(crate) fn decode(name: String, region: Bytes) -> Result<Self> {
        let mut cursor = Cursor::new(region.clone());
        let mut count = 0;
        while !cursor.is_empty() {
            cursor.document()?;
            count += 1;
        }
        Ok(Self { name, region, count })
    }

    /// The field that the documents belong to.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The documents, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let mut rest = &self.region[..];
        std::iter::from_fn(move || {
            // Lengths were checked by `decode`; an impossible one would end the walk.
            let length = document_length(rest).ok()?;
            let (document, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(document)
        })
    }

    /// The documents, in order, each keeping the message's buffer alive.
    pub fn documents(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.iter().map(|document| self.region.slice_ref(document))
    }
}
