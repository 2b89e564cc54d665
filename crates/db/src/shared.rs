//! What the commit loop shares with the rest of the database.

use std::sync::Arc;

use arc_swap::ArcSwap;
use millstream_change::Tail;
use millstream_storage::{LogEntry, Observer};
use parking_lot::Mutex;

use crate::catalog::Catalog;

/// The catalog as the commit loop sees it: with changes that are not durable yet. Only writes inside the loop lock it.
pub(crate) type LoopCatalog = Mutex<Catalog>;

/// Shows each durable group to the readers: first the catalog, then the entries.
pub(crate) struct Publisher {
    pub(crate) tail: Arc<Tail>,
    pub(crate) looped: Arc<LoopCatalog>,
    pub(crate) published: Arc<ArcSwap<Catalog>>,
}

impl Observer for Publisher {
    fn published(&self, group: &[LogEntry]) {
        self.publish_catalog();
        self.tail.published(group);
    }

    fn settled(&self) {
        self.tail.settled();
    }
}

impl Publisher {
    pub(crate) fn publish_catalog(&self) {
        self.published.store(Arc::new(self.looped.lock().clone()));
    }
}
