//! What the commit loop shares with the rest of the database.

use std::sync::Arc;

use arc_swap::ArcSwap;
use millstream_change::Tail;
use millstream_storage::{LogEntry, Observer, Snapshot};
use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::history::History;

/// The catalog as the commit loop sees it: with changes that are not durable yet. Only writes inside the loop lock it.
pub(crate) type LoopCatalog = Mutex<Catalog>;

/// One state of the database: its data, and exactly what exists in them.
pub(crate) struct State {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) catalog: Catalog,
}

/// Shows each durable group to the readers: first the data, then the entries.
pub(crate) struct Publisher {
    pub(crate) tail: Arc<Tail>,
    pub(crate) looped: Arc<LoopCatalog>,
    pub(crate) published: Arc<ArcSwap<State>>,
    pub(crate) history: Arc<History>,
}

impl Observer for Publisher {
    fn published(&self, now: &Arc<Snapshot>, group: &[LogEntry]) {
        let snapshot = Arc::new(now.without_log());
        let state = Arc::new(State { snapshot, catalog: self.looped.lock().clone() });
        let old = self.published.swap(Arc::clone(&state));
        self.history.note(&old, &state, group);
        self.tail.published(now, group);
    }

    fn settled(&self) {
        self.tail.settled();
    }

    fn closed(&self, nothing: &Arc<Snapshot>) {
        self.history.clear();
        self.published.store(Arc::new(State { snapshot: Arc::clone(nothing), catalog: self.looped.lock().clone() }));
    }
}
