//! What readers see: one durable state of everything.

use std::{ops::Bound, sync::Arc};

use crate::{
    ClusterTime, LogWindow, Result, Slice, Space,
    engine::{Range, Table, View},
    log::segments::{LogState, Segment},
    space::PerSpace,
};

/// One durable state of all spaces and of the log. Later writes do not change it.
///
/// Keeping one for long keeps the old versions of rows on disk: take a new one per command or batch.
pub struct Snapshot {
    pub(crate) view: View,
    pub(crate) tables: Arc<PerSpace<Table>>,
    pub(crate) log: LogState,
}

impl Snapshot {
    /// What a closed store shows: how far the log went, and no data. It holds nothing open.
    pub(crate) fn closed(window: LogWindow) -> Self {
        let nowhere = Table::Memory(0);
        let segment = Segment::new(nowhere.clone(), ClusterTime::ZERO);
        Self {
            view: View::Closed,
            tables: Arc::new(PerSpace::of(|_| nowhere.clone())),
            log: LogState { segments: Arc::new([segment]), images: Arc::new([]), window },
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Io` or `Corrupt` if the disk fails, `Closed` after [`crate::Store::close`].
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>> {
        self.view.get(self.tables.at(space), key)
    }

    /// The rows between two bounds, in key order and from both ends. The range owns what it needs:
    /// it may outlive the snapshot and move to other threads. Reversed bounds hold nothing.
    #[must_use]
    pub fn range(&self, space: Space, low: Bound<&[u8]>, high: Bound<&[u8]>) -> Range {
        self.view.range(self.tables.at(space), low, high)
    }

    /// What the log held in this state.
    #[must_use]
    pub fn window(&self) -> LogWindow {
        self.log.window
    }
}
