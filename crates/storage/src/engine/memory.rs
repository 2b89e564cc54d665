//! Tables in memory: persistent maps, so that a snapshot is a clone of the root.

use std::{collections::BTreeMap, ops::Bound};

use imbl::OrdMap;

use crate::Slice;

/// Never reused, so that a view cannot take one table for another.
pub(crate) type TableId = u32;

/// Every table's rows.
pub(crate) type Tables = OrdMap<TableId, Rows>;

/// A row to write; no value deletes.
pub(crate) type Row = (TableId, Slice, Option<Slice>);

type Rows = OrdMap<Slice, Slice>;

#[derive(Default)]
pub(crate) struct Memory {
    names: BTreeMap<String, TableId>,
    tables: Tables,
    last: TableId,
}

impl Memory {
    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn table(&mut self, name: &str) -> TableId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        self.last += 1;
        self.names.insert(name.to_owned(), self.last);
        self.tables.insert(self.last, Rows::new());
        self.last
    }

    pub(super) fn drop_table(&mut self, id: TableId) {
        self.names.retain(|_, other| *other != id);
        self.tables.remove(&id);
    }

    pub(super) fn apply(&mut self, rows: Vec<Row>) {
        for (id, key, value) in rows {
            let Some(table) = self.tables.get_mut(&id) else {
                continue;
            };
            match value {
                Some(value) => table.insert(key, value),
                None => table.remove(&key),
            };
        }
    }

    pub(super) fn view(&self) -> Tables {
        self.tables.clone()
    }
}

/// A range that owns its map: each step seeks anew from where the last one ended.
pub(crate) struct Cursor {
    rows: Rows,
    low: Bound<Slice>,
    high: Bound<Slice>,
    done: bool,
}

impl Cursor {
    pub(super) fn new(rows: Rows, low: Bound<&[u8]>, high: Bound<&[u8]>) -> Self {
        let (low, high) = (low.map(Slice::copy_from_slice), high.map(Slice::copy_from_slice));
        Self { rows, low, high, done: false }
    }

    pub(super) fn next(&mut self) -> Option<(Slice, Slice)> {
        let found = self.find(|range| range.next())?;
        self.low = Bound::Excluded(found.0.clone());
        Some(found)
    }

    pub(super) fn next_back(&mut self) -> Option<(Slice, Slice)> {
        let found = self.find(|range| range.next_back())?;
        self.high = Bound::Excluded(found.0.clone());
        Some(found)
    }

    fn find(
        &mut self,
        step: impl FnOnce(&mut dyn DoubleEndedIterator<Item = (Slice, Slice)>) -> Option<(Slice, Slice)>,
    ) -> Option<(Slice, Slice)> {
        if self.done
            || super::is_empty_range(self.low.as_ref().map(AsRef::as_ref), self.high.as_ref().map(AsRef::as_ref))
        {
            return None;
        }
        let bounds = (self.low.as_ref().map(|key| &key[..]), self.high.as_ref().map(|key| &key[..]));
        let mut range = self.rows.range::<_, [u8]>(bounds).map(|(key, value)| (key.clone(), value.clone()));
        let found = step(&mut range);
        self.done = found.is_none();
        found
    }
}
