//! What readers see: one durable state of everything.

use std::{ops::Bound, sync::Arc};

use crate::{
    ClusterTime, LogWindow, Result, Slice, Space,
    draft::Staged,
    engine::{Range, Table, View},
    log::segments::{LogState, Segment},
    space::PerSpace,
    touched::Age,
};

/// One durable state of all spaces and of the log. Later writes do not change it.
///
/// Keeping one for long keeps the old versions of rows on disk: take a new one per command or batch.
pub struct Snapshot {
    pub(crate) view: View,
    pub(crate) tables: Arc<PerSpace<Table>>,
    pub(crate) log: LogState,
    /// None of a state that no store has.
    age: Option<Age>,
    over: Option<Over>,
}

/// A state of some rows, of which nothing is held.
#[derive(Clone)]
pub struct Mark {
    age: Option<Age>,
    space: Space,
    key: Vec<u8>,
}

impl Mark {
    /// Whether certainly nobody has changed one of them since. False says nothing.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.age.as_ref().is_some_and(|age| age.is_untouched(self.space, &self.key))
    }
}

/// Rows that are seen instead of those of another state.
struct Over {
    rows: Arc<Staged>,
    below: Arc<Snapshot>,
}

impl Snapshot {
    /// A state of no store: there is nothing to read.
    #[must_use]
    pub fn nothing() -> Self {
        Self::closed(LogWindow::default())
    }

    pub(crate) fn new(view: View, tables: Arc<PerSpace<Table>>, log: LogState, age: Age) -> Self {
        Self { view, tables, log, age: Some(age), over: None }
    }

    /// The same rows, for those who keep them for long: nothing of the log is held, so that it can be cut.
    #[must_use]
    pub fn without_log(&self) -> Self {
        let over = self.over.as_ref();
        let over = over.map(|over| Over { rows: Arc::clone(&over.rows), below: Arc::clone(&over.below) });
        let (view, tables, age) = (self.view.clone(), Arc::clone(&self.tables), self.age.clone());
        Self { view, tables, age, over, ..Self::closed(self.window()) }
    }

    /// A state with staged rows over it.
    pub(crate) fn under(self: &Arc<Self>, rows: Arc<Staged>) -> Self {
        Self { over: Some(Over { rows, below: Arc::clone(self) }), ..Self::closed(self.window()) }
    }

    /// What a closed store shows: how far the log went, and no data. It holds nothing open.
    pub(crate) fn closed(window: LogWindow) -> Self {
        let nowhere = Table::Memory(0);
        let segment = Segment::new(nowhere.clone(), ClusterTime::ZERO);
        Self {
            view: View::Closed,
            tables: Arc::new(PerSpace::of(|_| nowhere.clone())),
            log: LogState { segments: Arc::new([segment]), images: Arc::new([]), window },
            age: None,
            over: None,
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Io` or `Corrupt` if the disk fails, `Closed` after [`crate::Store::close`].
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>> {
        let Some(over) = &self.over else { return self.view.get(self.tables.at(space), key) };
        match over.rows.at(space).get(key) {
            Some(staged) => Ok(staged.clone()),
            None => over.below.get(space, key),
        }
    }

    /// The rows between two bounds, in key order and from both ends. The range owns what it needs:
    /// it may outlive the snapshot and move to other threads. Reversed bounds hold nothing.
    #[must_use]
    pub fn range(&self, space: Space, low: Bound<&[u8]>, high: Bound<&[u8]>) -> Range {
        let Some(over) = &self.over else { return self.view.range(self.tables.at(space), low, high) };
        over.below.range(space, low, high).under(&over.rows, space, low, high)
    }

    /// Whether certainly nobody has changed a row since this state, or another one with the same first four bytes: the row
    /// is here as it is in any newer state. False says nothing.
    #[must_use]
    pub fn is_untouched(&self, space: Space, key: &[u8]) -> bool {
        self.over.is_none() && self.age.as_ref().is_some_and(|age| age.is_untouched(space, key))
    }

    /// How the rows with the first four bytes of this key are in this state, for those who ask later whether they still are.
    #[must_use]
    pub fn mark(&self, space: Space, key: &[u8]) -> Mark {
        let age = self.age.clone().filter(|_| self.over.is_none());
        Mark { age, space, key: key.iter().take(4).copied().collect() }
    }

    /// What a group that follows this state is going to change.
    pub(crate) fn note_next(&self, rows: &Staged) {
        if let Some(Age { group, touched }) = &self.age {
            for space in Space::ALL {
                rows.at(space).keys().for_each(|key| touched.note(space, key, group + 1));
            }
        }
    }

    /// What the log held in this state.
    #[must_use]
    pub fn window(&self) -> LogWindow {
        self.log.window
    }
}
