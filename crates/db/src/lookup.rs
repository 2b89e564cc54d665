//! Finding the present state of a document for `updateLookup` (CS-4.4), by the collection's own collation (CS-4.4.3).

use millstream_change::{Contents, Lookup};
use millstream_storage::Space;
use millstream_value::{Code, Doc, Namespace};

use crate::Db;

impl Lookup for Db {
    fn contents(&self) -> millstream_change::Result<Box<dyn Contents>> {
        self.contents_now()
            .map_err(|error| millstream_change::Error::Lookup { code: Code::InternalError, message: error.to_string() })
    }

    fn find(
        &self,
        db: &str,
        coll: &str,
        uuid: Option<[u8; 16]>,
        document_key: Doc<'_>,
    ) -> millstream_change::Result<Option<Vec<u8>>> {
        let state = self.state();
        let Some(collection) = state.catalog.get(&Namespace::new(db, coll)) else { return Ok(None) };
        if uuid.is_some_and(|uuid| uuid != collection.uuid) {
            return Ok(None);
        }
        let Some(id) = document_key.get("_id") else { return Ok(None) };
        let found = state.snapshot.get(Space::Records, &collection.record_key(&collection.id_key(&id)))?;
        Ok(found.map(|doc| doc.to_vec()))
    }
}
