//! Creating, dropping and renaming collections.

use std::sync::Arc;

use millstream_storage::{Commit, Space};
use millstream_value::{DocBuf, Namespace, Value};

use super::{in_loop, log, tell};
use crate::catalog::{Catalog, Collection, default_collation, images_enabled};
use crate::view::SYSTEM_VIEWS;
use crate::write::{Logged, Sink};
use crate::{Db, Error, Result, TimeLimit, size};

/// What a drop took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// There was nothing of that name.
    Nothing,
    /// A collection.
    Collection {
        /// How many it had, the one on `_id` included.
        indexes: usize,
    },
    /// A view.
    View,
}

/// What a rename replaced.
pub struct Renamed {
    /// The UUID of the collection that had the new name.
    pub dropped: Option<[u8; 16]>,
}

/// Creates a collection, inside the commit loop or in a draft. It must not exist.
pub(crate) fn create_in_loop(
    commit: &mut Commit<'_>,
    catalog: &mut Catalog,
    sink: &mut Sink<'_>,
    namespace: &Namespace,
    options: DocBuf,
) -> Result<Arc<Collection>> {
    crate::write::check_collection_name(namespace)?;
    create_unchecked(commit, catalog, sink, namespace, options)
}

/// The same for a collection that only the server itself may create.
pub(super) fn create_unchecked(
    commit: &mut Commit<'_>,
    catalog: &mut Catalog,
    sink: &mut Sink<'_>,
    namespace: &Namespace,
    options: DocBuf,
) -> Result<Arc<Collection>> {
    let number = sink.next_number(catalog, commit)?;
    let uuid = millstream_value::new_uuid();
    let images = images_enabled(options.as_doc());
    let collation = default_collation(options.as_doc())?;
    let collection = Collection {
        namespace: namespace.clone(),
        name: namespace.to_string(),
        number,
        uuid,
        options,
        images,
        collation,
        indexes: Vec::new(),
    };
    let mut command = DocBuf::new();
    command.push("create", &namespace.coll);
    command.extend(collection.options.as_doc());
    command.push("idIndex", collection.id_index());
    let collection = catalog.put(collection, commit);
    size::begin(commit, number);
    tell(commit, sink, &namespace.db, Some(uuid), command.as_doc(), None);
    if let Sink::Draft(work) = sink {
        work.creates(namespace);
    }
    Ok(collection)
}

impl Db {
    /// Creates a collection with options as they are to be stored.
    ///
    /// # Errors
    /// `NamespaceExists` if it exists, or a view of that name.
    pub fn create(&self, namespace: &Namespace, options: DocBuf) -> Result<()> {
        self.make_way(|used| used == namespace, &TimeLimit::default())?;
        let namespace = namespace.clone();
        in_loop(self, move |commit, catalog| {
            catalog.check_free(&namespace)?;
            let sink = &mut Sink::Log(Logged::default());
            create_in_loop(commit, catalog, sink, &namespace, options.clone()).map(drop)
        })
    }

    /// Drops a collection or a view. With `system.views` go all views of the database.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn drop_collection(&self, namespace: &Namespace) -> Result<Dropped> {
        self.make_way(|used| used == namespace, &TimeLimit::default())?;
        let namespace = namespace.clone();
        in_loop(self, move |commit, catalog| {
            if catalog.view(&namespace).is_some() {
                return super::views::drop_in_loop(commit, catalog, &namespace).map(|()| Dropped::View);
            }
            let Some(collection) = catalog.get(&namespace).map(Arc::clone) else { return Ok(Dropped::Nothing) };
            drop_in_loop(commit, catalog, &collection)?;
            Ok(Dropped::Collection { indexes: collection.indexes.len() + 1 })
        })
    }

    /// Drops a database: each of its collections, then itself (CS-7.6). Its views go with `system.views`, without a log
    /// entry each. Says whether there was anything to drop.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn drop_database(&self, name: &str) -> Result<bool> {
        self.make_way(|used| used.db == name, &TimeLimit::default())?;
        let name = name.to_owned();
        in_loop(self, move |commit, catalog| {
            let collections: Vec<_> = catalog.in_database(&name).map(Arc::clone).collect();
            if collections.is_empty() {
                return Ok(false);
            }
            for collection in &collections {
                drop_in_loop(commit, catalog, collection)?;
            }
            let mut command = DocBuf::new();
            command.push("dropDatabase", 1);
            log(commit, &name, None, command.as_doc(), None);
            Ok(true)
        })
    }

    /// Renames a collection within its database, replacing the one of the new name if allowed.
    ///
    /// # Errors
    /// [`Error::NoCollection`], [`Error::IsView`], `NamespaceExists`, [`Error::InvalidNamespace`].
    pub fn rename(&self, from: &Namespace, to: &Namespace, replace: bool) -> Result<Renamed> {
        self.make_way(|used| used == from || used == to, &TimeLimit::default())?;
        crate::write::check_collection_name(to)?;
        if from.db != to.db {
            return Err(Error::invalid(
                millstream_value::Code::CommandNotSupported,
                "renaming a collection into another database is not supported",
            ));
        }
        if from.coll == SYSTEM_VIEWS {
            let message = "renaming system.views collection or renaming to system.views is not allowed";
            return Err(Error::invalid(millstream_value::Code::IllegalOperation, message));
        }
        let (from, to) = (from.clone(), to.clone());
        in_loop(self, move |commit, catalog| {
            catalog.refuse_view(&from)?;
            let collection = catalog.get(&from).map(Arc::clone).ok_or_else(|| Error::NoCollection(from.clone()))?;
            if from == to {
                return Err(Error::invalid(
                    millstream_value::Code::IllegalOperation,
                    "Can't rename a collection to itself",
                ));
            }
            if catalog.view(&to).is_some() {
                let message = format!("a view already exists with that name: {to}");
                return Err(Error::invalid(millstream_value::Code::NamespaceExists, message));
            }
            let target = catalog.get(&to).map(Arc::clone);
            if target.is_some() && !replace {
                return Err(Error::invalid(millstream_value::Code::NamespaceExists, "target namespace exists"));
            }
            let replaced = target.as_ref().map(|target| forget(commit, catalog, target)).transpose()?.flatten();
            catalog.remove(&from, commit);
            let mut renamed = collection.copy();
            renamed.rename(to.clone());
            catalog.put(renamed, commit);
            let mut command = DocBuf::new();
            command.push("renameCollection", from.to_string()).push("to", to.to_string()).push("stayTemp", false);
            if let Some(target) = &target {
                command.push("dropTarget", Value::Binary(4, target.uuid.as_slice().into()));
            }
            log(commit, &from.db, Some(collection.uuid), command.as_doc(), replaced.as_ref().map(DocBuf::as_doc));
            Ok(Renamed { dropped: target.map(|t| t.uuid) })
        })
    }
}

fn drop_in_loop(commit: &mut Commit<'_>, catalog: &mut Catalog, collection: &Arc<Collection>) -> Result<()> {
    let dropped = forget(commit, catalog, collection)?;
    let mut command = DocBuf::new();
    command.push("drop", &collection.namespace.coll);
    let dropped = dropped.as_ref().map(DocBuf::as_doc);
    log(commit, &collection.namespace.db, Some(collection.uuid), command.as_doc(), dropped);
    Ok(())
}

/// Takes a collection out of the catalog and has its rows removed in time. Says how much is gone, as the log tells it.
fn forget(commit: &mut Commit<'_>, catalog: &mut Catalog, collection: &Arc<Collection>) -> Result<Option<DocBuf>> {
    let held = size::in_loop(commit, collection.number)?;
    catalog.remove(&collection.namespace, commit);
    commit.delete_prefix(Space::Records, collection.number);
    for index in &collection.indexes {
        commit.delete_prefix(Space::Indexes, index.number);
    }
    size::end(commit, collection.number);
    Ok(held.map(|size| {
        let mut dropped = DocBuf::new();
        match i32::try_from(size.documents) {
            Ok(documents) => dropped.push("numRecords", documents),
            Err(_) => dropped.push("numRecords", size.documents),
        };
        dropped
    }))
}
