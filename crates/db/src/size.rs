//! How many documents a collection holds, and their bytes: one row for each collection, changed together with the
//! documents, so that nobody has to count them.
//!
//! A collection without such a row was created before there were any. It is counted by reading it.

use millstream_storage::{Commit, Space};
use millstream_value::Namespace;

use crate::catalog::Collection;
use crate::preimages::PREIMAGES;
use crate::{Db, Result};

/// What a collection holds, or by how much that changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Documents.
    pub documents: i64,
    /// Their bytes.
    pub bytes: i64,
}

const SIZE: u8 = b'k';

impl Size {
    /// Of these documents together.
    pub(crate) fn of(documents: i64, bytes: usize) -> Self {
        Self { documents, bytes: i64::try_from(bytes).unwrap_or(i64::MAX) }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            documents: self.documents.saturating_add(other.documents),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            documents: self.documents.saturating_sub(other.documents),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    fn encode(self) -> Vec<u8> {
        [self.documents.to_be_bytes(), self.bytes.to_be_bytes()].concat()
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let (documents, bytes) = row.split_first_chunk::<8>()?;
        let bytes = i64::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { documents: i64::from_be_bytes(*documents), bytes })
    }
}

/// Begins to count a new collection.
pub(crate) fn begin(commit: &mut Commit<'_>, number: u32) {
    commit.put(Space::Catalog, key(number).to_vec(), Size::default().encode());
}

/// The size inside the commit loop.
pub(crate) fn in_loop(commit: &Commit<'_>, number: u32) -> Result<Option<Size>> {
    Ok(commit.get(Space::Catalog, &key(number))?.and_then(|row| Size::decode(&row)))
}

/// Notes that a collection has grown or, with negative numbers, shrunk.
pub(crate) fn change(commit: &mut Commit<'_>, number: u32, by: Size) -> Result<()> {
    if by != Size::default()
        && let Some(size) = in_loop(commit, number)?
    {
        commit.put(Space::Catalog, key(number).to_vec(), size.plus(by).encode());
    }
    Ok(())
}

/// Forgets a collection that is dropped.
pub(crate) fn end(commit: &mut Commit<'_>, number: u32) {
    commit.delete(Space::Catalog, key(number).to_vec());
}

fn key(number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [SIZE, a, b, c, d]
}

impl Db {
    /// What a collection holds, without reading it; none if that is not known.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn size(&self, namespace: &Namespace) -> Result<Option<Size>> {
        let state = self.state();
        let Some(collection) = state.catalog.get(namespace) else {
            return Ok((namespace.to_string() != PREIMAGES).then(Size::default));
        };
        stored(&state.snapshot, collection)
    }
}

pub(crate) fn stored(snapshot: &millstream_storage::Snapshot, collection: &Collection) -> Result<Option<Size>> {
    Ok(snapshot.get(Space::Catalog, &key(collection.number))?.and_then(|row| Size::decode(&row)))
}
