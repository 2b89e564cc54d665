//! Ordered tables with atomic batches and snapshots: on disk or in memory, behind one face.
//!
//! The engine belongs to the commit loop alone; readers hold [`View`]s.

mod disk;
mod journal;
mod memory;
mod merge;

use std::{ops::Bound, path::Path, sync::Arc};

use fjall::Readable as _;

use crate::{Error, Options, Result, Slice, Space, draft::Staged};

use self::{disk::Disk, memory::Memory};

/// Where the tables are.
pub(crate) enum Engine {
    Disk(Disk),
    Memory(Memory),
}

/// One ordered table; cheap to clone.
#[derive(Clone)]
pub(crate) enum Table {
    Disk(fjall::Keyspace),
    Memory(memory::TableId),
}

/// What a table is used for, which decides how its files are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Point reads and short ranges.
    Rows,
    /// Written once in order, read in order.
    Log,
}

impl Engine {
    pub(crate) fn in_folder(folder: &Path, options: &Options) -> Result<Self> {
        Disk::open(folder, options).map(Self::Disk)
    }

    pub(crate) fn in_memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// The names of all tables.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Disk(disk) => disk.names(),
            Self::Memory(memory) => memory.names(),
        }
    }

    /// Opens the table, creating it if absent; a new table is durable at once.
    pub(crate) fn table(&mut self, name: &str, usage: Use) -> Result<Table> {
        match self {
            Self::Disk(disk) => disk.table(name, usage).map(Table::Disk),
            Self::Memory(memory) => Ok(Table::Memory(memory.table(name))),
        }
    }

    /// Drops a table whole. Views taken before still read it; its files go with the last of them.
    pub(crate) fn drop_table(&mut self, table: Table) -> Result<()> {
        match (self, table) {
            (Self::Disk(disk), Table::Disk(keyspace)) => disk.drop_table(keyspace),
            (Self::Memory(memory), Table::Memory(id)) => {
                memory.drop_table(id);
                Ok(())
            }
            _ => Err(mixed()),
        }
    }

    /// Nothing more will be written to this table.
    pub(crate) fn seal(&mut self, table: &Table) -> Result<()> {
        match (self, table) {
            (Self::Disk(disk), Table::Disk(keyspace)) => disk.seal(keyspace),
            (Self::Memory(_), Table::Memory(_)) => Ok(()),
            _ => Err(mixed()),
        }
    }

    /// Keeps the memory within its limits; to be called between commits. May wait for the disk.
    pub(crate) fn keep_small(&self) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.keep_small(),
            Self::Memory(_) => Ok(()),
        }
    }

    pub(crate) fn batch(&self) -> Batch {
        match self {
            Self::Disk(disk) => Batch::Disk(disk.batch()),
            Self::Memory(_) => Batch::Memory(Vec::new()),
        }
    }

    /// Applies the batch whole or not at all, and makes it as durable as the options ask for.
    pub(crate) fn commit(&mut self, batch: Batch) -> Result<()> {
        match (self, batch) {
            (Self::Disk(_), Batch::Disk(batch)) => batch.commit().map_err(Error::disk("write a group to the journal")),
            (Self::Memory(memory), Batch::Memory(rows)) => {
                memory.apply(rows);
                Ok(())
            }
            _ => Err(mixed()),
        }
    }

    /// The state after the last commit.
    pub(crate) fn view(&self) -> View {
        match self {
            Self::Disk(disk) => View::Disk(disk.view()),
            Self::Memory(memory) => View::Memory(memory.view()),
        }
    }

    /// Leaves everything behind so that the next opening is quick.
    pub(crate) fn close(self) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.close(),
            Self::Memory(_) => Ok(()),
        }
    }
}

/// Changes that are applied together.
pub(crate) enum Batch {
    Disk(fjall::OwnedWriteBatch),
    Memory(Vec<memory::Row>),
}

impl Batch {
    pub(crate) fn put(&mut self, table: &Table, key: Slice, value: Slice) {
        match (self, table) {
            (Self::Disk(batch), Table::Disk(keyspace)) => batch.insert(keyspace, key, value),
            (Self::Memory(rows), Table::Memory(id)) => rows.push((*id, key, Some(value))),
            _ => debug_assert!(false, "a table of another engine"),
        }
    }

    pub(crate) fn delete(&mut self, table: &Table, key: Slice) {
        match (self, table) {
            (Self::Disk(batch), Table::Disk(keyspace)) => batch.remove(keyspace, key),
            (Self::Memory(rows), Table::Memory(id)) => rows.push((*id, key, None)),
            _ => debug_assert!(false, "a table of another engine"),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Disk(batch) => batch.is_empty(),
            Self::Memory(rows) => rows.is_empty(),
        }
    }
}

/// One state of all tables, unaffected by later commits.
#[derive(Clone)]
pub(crate) enum View {
    Disk(fjall::Snapshot),
    Memory(memory::Tables),
    /// What a closed store shows.
    Closed,
}

impl View {
    pub(crate) fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Slice>> {
        match (self, table) {
            (Self::Disk(snapshot), Table::Disk(keyspace)) => {
                let found = snapshot.get(keyspace, key).map_err(Error::disk("read a row"))?;
                Ok(found.map(Slice::from))
            }
            (Self::Memory(tables), Table::Memory(id)) => Ok(tables.get(id).and_then(|rows| rows.get(key)).cloned()),
            (Self::Closed, _) => Err(Error::Closed),
            _ => Err(mixed()),
        }
    }

    /// The rows between two bounds, from both ends. The range owns what it needs.
    pub(crate) fn range(&self, table: &Table, low: Bound<&[u8]>, high: Bound<&[u8]>) -> Range {
        if is_empty_range(low, high) {
            return Range(Kind::Empty);
        }
        Range(match (self, table) {
            (Self::Disk(snapshot), Table::Disk(keyspace)) => {
                let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (low, high);
                Kind::Disk(Box::new(snapshot.range::<&[u8], _>(keyspace, bounds)))
            }
            (Self::Memory(tables), Table::Memory(id)) => match tables.get(id) {
                Some(rows) => Kind::Memory(memory::Cursor::new(rows.clone(), low, high)),
                None => Kind::Empty,
            },
            (Self::Closed, _) => Kind::Error(Some(Error::Closed)),
            _ => Kind::Error(Some(mixed())),
        })
    }
}

/// Rows in key order, from both ends: `(key, value)` or the error that ends them.
pub struct Range(Kind);

enum Kind {
    Disk(Box<fjall::Iter>),
    Memory(memory::Cursor),
    Merged(Box<merge::Merged>),
    Error(Option<Error>),
    Empty,
}

impl Range {
    /// The same range with staged rows in front of its own; no value hides one.
    pub(crate) fn under(self, rows: &Arc<Staged>, space: Space, low: Bound<&[u8]>, high: Bound<&[u8]>) -> Self {
        let mut staged = merge::Few::new(Arc::clone(rows), space, low, high);
        if staged.first().is_none() { self } else { Self(Kind::Merged(Box::new(merge::Merged::new(staged, self)))) }
    }
}

impl Iterator for Range {
    type Item = Result<(Slice, Slice)>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Kind::Disk(iter) => iter.next().map(row),
            Kind::Memory(cursor) => cursor.next().map(Ok),
            Kind::Merged(merged) => merged.next(),
            Kind::Error(error) => error.take().map(Err),
            Kind::Empty => None,
        }
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Kind::Disk(iter) => iter.next_back().map(row),
            Kind::Memory(cursor) => cursor.next_back().map(Ok),
            Kind::Merged(merged) => merged.next_back(),
            Kind::Error(error) => error.take().map(Err),
            Kind::Empty => None,
        }
    }
}

fn row(guard: fjall::Guard) -> Result<(Slice, Slice)> {
    let (key, value) = guard.into_inner().map_err(Error::disk("read a range"))?;
    Ok((key.into(), value.into()))
}

/// Ordered maps panic on reversed bounds; for us they are simply empty.
pub(crate) fn is_empty_range(low: Bound<&[u8]>, high: Bound<&[u8]>) -> bool {
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => low >= high,
    }
}

fn mixed() -> Error {
    Error::Bug("a table of another engine".into())
}
