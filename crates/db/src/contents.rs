//! All documents as they are, for streams that begin with them.

use std::ops::Bound;
use std::sync::Arc;

use millstream_change::{CollectionName, Contents, StoredDocuments};
use millstream_storage::{ClusterTime, Snapshot, Space};
use millstream_value::Value;

use crate::Db;
use crate::catalog::Collection;
use crate::plan::successor;

/// A state of the store, and the collections of exactly that state.
struct Everything {
    snapshot: Arc<Snapshot>,
    /// By UUID.
    collections: Vec<Arc<Collection>>,
}

impl Db {
    pub(crate) fn contents_now(&self) -> crate::Result<Box<dyn Contents>> {
        let state = self.state();
        let mut collections: Vec<_> = state.catalog.all().cloned().collect();
        collections.sort_unstable_by_key(|collection| collection.uuid);
        Ok(Box::new(Everything { snapshot: Arc::clone(&state.snapshot), collections }))
    }
}

impl Everything {
    fn collection(&self, uuid: &[u8; 16]) -> Option<&Arc<Collection>> {
        let found = self.collections.binary_search_by_key(uuid, |collection| collection.uuid);
        self.collections.get(found.ok()?)
    }
}

impl Contents for Everything {
    fn time(&self) -> ClusterTime {
        self.snapshot.window().newest
    }

    fn wall_ms(&self) -> i64 {
        i64::try_from(self.snapshot.window().newest_wall_ms).unwrap_or(i64::MAX)
    }

    fn collections(&self) -> Vec<CollectionName> {
        let name = |collection: &Arc<Collection>| CollectionName {
            uuid: collection.uuid,
            db: collection.namespace.db.clone(),
            coll: collection.namespace.coll.clone(),
            collated: collection.collation.is_some(),
        };
        self.collections.iter().map(name).collect()
    }

    fn key(&self, uuid: &[u8; 16], id: &Value<'_>) -> Option<Vec<u8>> {
        Some(self.collection(uuid)?.id_key(id))
    }

    fn documents(&self, uuid: &[u8; 16], from: Bound<&[u8]>) -> StoredDocuments {
        let Some(collection) = self.collection(uuid) else {
            return Box::new(std::iter::empty());
        };
        let (first, low);
        let low = match from {
            Bound::Unbounded => {
                first = collection.record_key(&[]);
                Bound::Included(first.as_slice())
            }
            Bound::Included(key) => {
                low = collection.record_key(key);
                Bound::Included(low.as_slice())
            }
            Bound::Excluded(key) => {
                low = collection.record_key(key);
                Bound::Excluded(low.as_slice())
            }
        };
        let end = successor(&collection.number.to_be_bytes());
        let high = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.snapshot.range(Space::Records, low, high);
        Box::new(rows.map(|row| {
            let (key, document) = row?;
            Ok((key.slice(4..), document))
        }))
    }
}
