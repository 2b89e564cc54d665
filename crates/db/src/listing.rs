//! What exists, for those who list it.

use std::collections::BTreeMap;

use millstream_query::Collation;
use millstream_value::{DocBuf, Namespace, Value};

use crate::oplog::OPLOG;
use crate::preimages::PREIMAGES;
use crate::{Db, Reader, Result, size};

/// A collection or a view as `listCollections` shows it.
pub struct CollectionInfo {
    /// Its name.
    pub namespace: Namespace,
    /// Whether it is a view.
    pub is_view: bool,
    /// The creation options as stored; of a view its definition.
    pub options: DocBuf,
    /// None for views, and for the log and the pre-images, which are no collections.
    pub uuid: Option<[u8; 16]>,
    /// The index on `_id`, if it has one.
    pub id_index: Option<DocBuf>,
}

/// A database as `listDatabases` shows it.
pub struct DatabaseInfo {
    /// Its name.
    pub name: String,
    /// Bytes of its documents; of `local` those of the log.
    pub bytes: u64,
}

impl Db {
    /// The collections and views of a database, by name.
    #[must_use]
    pub fn collections(&self, db: &str) -> Vec<CollectionInfo> {
        let state = self.state();
        let catalog = &state.catalog;
        let mut out: Vec<CollectionInfo> = catalog
            .in_database(db)
            .map(|c| CollectionInfo {
                namespace: c.namespace.clone(),
                is_view: false,
                options: c.options.clone(),
                uuid: Some(c.uuid),
                id_index: Some(c.id_index()),
            })
            .collect();
        out.extend(catalog.views_in(db).map(|v| {
            let mut options = DocBuf::new();
            for field in v.definition.as_doc().elements().filter(|field| field.key() != "_id") {
                options.push_element(field);
            }
            CollectionInfo { namespace: v.namespace.clone(), is_view: true, options, uuid: None, id_index: None }
        }));
        out.sort_by(|a, b| a.namespace.cmp(&b.namespace));
        if db == "local" {
            let mut options = DocBuf::new();
            options.push("capped", true);
            options.push("size", i64::try_from(self.oplog_bytes_max()).unwrap_or(i64::MAX));
            options.push("autoIndexId", Value::Bool(false));
            let namespace = Namespace::parse(OPLOG);
            out.push(CollectionInfo { namespace, is_view: false, options, uuid: None, id_index: None });
        }
        if db == "config" {
            let mut options = DocBuf::new();
            options.nest("clusteredIndex", |index| {
                index.push("v", 2);
                index.nest("key", |key| {
                    key.push("_id", 1);
                });
                index.push("name", "_id_").push("unique", true);
            });
            let namespace = Namespace::parse(PREIMAGES);
            out.push(CollectionInfo { namespace, is_view: false, options, uuid: None, id_index: None });
        }
        out
    }

    /// The databases that hold a collection, by name, and `local`.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        let state = self.state();
        let mut bytes = BTreeMap::from([("local", self.window().bytes)]);
        for collection in state.catalog.all() {
            let size = size::stored(&state.snapshot, collection)?.unwrap_or_default();
            *bytes.entry(&collection.namespace.db).or_default() += u64::try_from(size.bytes).unwrap_or(0);
        }
        Ok(bytes.into_iter().map(|(name, bytes)| DatabaseInfo { name: name.to_owned(), bytes }).collect())
    }

    /// The UUID of a collection.
    #[must_use]
    pub fn collection_uuid(&self, namespace: &Namespace) -> Option<[u8; 16]> {
        self.state().catalog.get(namespace).map(|c| c.uuid)
    }
}

impl Reader {
    /// The collation that commands on a collection use unless they name one; none: the simple one.
    #[must_use]
    pub fn default_collation(&self, namespace: &Namespace) -> Option<Collation> {
        self.state().catalog.get(namespace)?.collation.clone()
    }
}
