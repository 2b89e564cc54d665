//! What exists, for those who list it.

use millstream_query::Collation;
use millstream_value::{DocBuf, Namespace, Value};

use crate::Db;
use crate::oplog::OPLOG;

/// A collection as `listCollections` shows it.
pub struct CollectionInfo {
    /// Its name.
    pub namespace: Namespace,
    /// The creation options as stored.
    pub options: DocBuf,
    /// None for the log, which is no collection.
    pub uuid: Option<[u8; 16]>,
    /// The index on `_id`, if it has one.
    pub id_index: Option<DocBuf>,
}

/// A database as `listDatabases` shows it.
pub struct DatabaseInfo {
    /// Its name.
    pub name: String,
    /// Bytes of the log; other databases share their files and are not measured one by one.
    pub bytes: Option<u64>,
}

impl Db {
    /// The collections of a database, by name.
    #[must_use]
    pub fn collections(&self, db: &str) -> Vec<CollectionInfo> {
        let catalog = self.catalog();
        let mut out: Vec<CollectionInfo> = catalog
            .in_database(db)
            .map(|c| CollectionInfo {
                namespace: c.namespace.clone(),
                options: c.options.clone(),
                uuid: Some(c.uuid),
                id_index: Some(c.id_index()),
            })
            .collect();
        if db == "local" {
            let mut options = DocBuf::new();
            options.push("capped", true);
            options.push("size", i64::try_from(self.oplog_bytes_max()).unwrap_or(i64::MAX));
            options.push("autoIndexId", Value::Bool(false));
            out.push(CollectionInfo { namespace: Namespace::parse(OPLOG), options, uuid: None, id_index: None });
        }
        out
    }

    /// The databases that hold a collection, by name, and `local`.
    #[must_use]
    pub fn databases(&self) -> Vec<DatabaseInfo> {
        let catalog = self.catalog();
        let mut names: Vec<String> = catalog.all().map(|c| c.namespace.db.clone()).collect();
        names.push("local".to_owned());
        names.sort_unstable();
        names.dedup();
        let bytes = |name: &str| (name == "local").then(|| self.window().bytes);
        names.into_iter().map(|name| DatabaseInfo { bytes: bytes(&name), name }).collect()
    }

    /// The collation that commands on a collection use unless they name one; none: the simple one.
    #[must_use]
    pub fn default_collation(&self, namespace: &Namespace) -> Option<Collation> {
        self.catalog().get(namespace)?.collation.clone()
    }

    /// The UUID of a collection.
    #[must_use]
    pub fn collection_uuid(&self, namespace: &Namespace) -> Option<[u8; 16]> {
        self.catalog().get(namespace).map(|c| c.uuid)
    }
}
