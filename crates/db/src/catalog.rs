//! What exists: collections with their indexes, and views, as one immutable map that is replaced at each change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_query::{Collation, collation};
use millstream_storage::{Commit, Snapshot, Space};
use millstream_value::{Doc, DocBuf, Namespace, Value, key};

use crate::index::Index;
use crate::view::{self, SYSTEM_VIEWS, View};
use crate::{Error, Result};

/// All collections and views, by name. Cloning is cheap and shares everything.
#[derive(Clone, Default)]
pub(crate) struct Catalog {
    collections: imbl::OrdMap<Namespace, Arc<Collection>>,
    /// What the `system.views` among the collections define.
    views: imbl::OrdMap<Namespace, Arc<View>>,
    /// The last number given to a collection or an index. Numbers are never used again.
    last_number: u32,
}

/// A collection.
pub(crate) struct Collection {
    pub(crate) namespace: Namespace,
    /// `<database>.<collection>`.
    pub(crate) name: String,
    /// First four bytes of the keys of its records.
    pub(crate) number: u32,
    pub(crate) uuid: [u8; 16],
    /// The creation options as stored, without `uuid`.
    pub(crate) options: DocBuf,
    /// Keep how documents were before each change.
    pub(crate) images: bool,
    /// How texts compare in it where a command does not say, and in the keys of its records.
    pub(crate) collation: Option<Collation>,
    /// Without the one on `_id`, which is the collection itself.
    pub(crate) indexes: Vec<Arc<Index>>,
}

const COLLECTION: u8 = b'c';
const LAST_NUMBER: &[u8] = b"n";

impl Catalog {
    /// Reads the stored catalog.
    ///
    /// # Errors
    /// If the disk fails or a row cannot be read.
    pub(crate) fn load(snapshot: &Snapshot) -> Result<Self> {
        let mut catalog = Self::default();
        if let Some(number) = snapshot.get(Space::Catalog, LAST_NUMBER)? {
            let bytes = <[u8; 4]>::try_from(&*number).map_err(|_| damaged("the last number"))?;
            catalog.last_number = u32::from_be_bytes(bytes);
        }
        let (low, high) = ([COLLECTION], [COLLECTION + 1]);
        let rows = snapshot.range(
            Space::Catalog,
            std::ops::Bound::Included(low.as_slice()),
            std::ops::Bound::Excluded(high.as_slice()),
        );
        for row in rows {
            let (_, value) = row?;
            let collection = Collection::decode(Doc::new(&value)).ok_or_else(|| damaged("a collection"))?;
            if collection.namespace.coll == SYSTEM_VIEWS {
                let views = view::load(snapshot, &collection)?;
                catalog.views.extend(views.into_iter().map(|view| (view.namespace.clone(), view)));
            }
            catalog.collections.insert(collection.namespace.clone(), Arc::new(collection));
        }
        Ok(catalog)
    }

    pub(crate) fn get(&self, namespace: &Namespace) -> Option<&Arc<Collection>> {
        self.collections.get(namespace)
    }

    /// Collections of a database, by name.
    pub(crate) fn in_database<'a>(&'a self, db: &'a str) -> impl Iterator<Item = &'a Arc<Collection>> {
        let from = Namespace::new(db, "");
        self.collections.range(from..).map(|(_, c)| c).take_while(move |c| c.namespace.db == db)
    }

    pub(crate) fn view(&self, namespace: &Namespace) -> Option<&Arc<View>> {
        self.views.get(namespace)
    }

    /// Views of a database, by name.
    pub(crate) fn views_in<'a>(&'a self, db: &'a str) -> impl Iterator<Item = &'a Arc<View>> {
        let from = Namespace::new(db, "");
        self.views.range(from..).map(|(_, v)| v).take_while(move |v| v.namespace.db == db)
    }

    /// Checks that a name is not that of a view.
    ///
    /// # Errors
    /// [`Error::IsView`].
    pub(crate) fn refuse_view(&self, namespace: &Namespace) -> Result<()> {
        if self.views.contains_key(namespace) { Err(Error::IsView(namespace.clone())) } else { Ok(()) }
    }

    /// Checks that a name is that of nothing.
    ///
    /// # Errors
    /// `NamespaceExists`.
    pub(crate) fn check_free(&self, namespace: &Namespace) -> Result<()> {
        if self.views.contains_key(namespace) {
            let message = format!("A view already exists. NS: {namespace}");
            return Err(Error::invalid(millstream_value::Code::NamespaceExists, message));
        }
        match self.get(namespace) {
            Some(_) => Err(Error::NamespaceExists(namespace.clone())),
            None => Ok(()),
        }
    }

    /// All collections, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Collection>> {
        self.collections.values()
    }

    /// A number that was never used. Stage it with [`Catalog::save_numbers`].
    pub(crate) fn next_number(&mut self) -> u32 {
        self.last_number += 1;
        self.last_number
    }

    pub(crate) fn save_numbers(&self, commit: &mut Commit<'_>) {
        commit.put(Space::Catalog, LAST_NUMBER, self.last_number.to_be_bytes().to_vec());
    }

    /// Adds or replaces a collection, here and in the store.
    pub(crate) fn put(&mut self, collection: Collection, commit: &mut Commit<'_>) -> Arc<Collection> {
        let collection = Arc::new(collection);
        commit.put(Space::Catalog, row_key(&collection.namespace), collection.encode().into_bytes());
        self.collections.insert(collection.namespace.clone(), Arc::clone(&collection));
        collection
    }

    /// Whether exactly the same exists, in the same form.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.collections.ptr_eq(&other.collections) && self.views.ptr_eq(&other.views)
    }

    /// Adds a collection that is stored by somebody else, or will be.
    pub(crate) fn add(&mut self, collection: Arc<Collection>) {
        self.collections.insert(collection.namespace.clone(), collection);
    }

    /// Forgets a collection's name. Its records stay until their prefix is deleted.
    pub(crate) fn remove(&mut self, namespace: &Namespace, commit: &mut Commit<'_>) {
        commit.delete(Space::Catalog, row_key(namespace));
        self.collections.remove(namespace);
        if namespace.coll == SYSTEM_VIEWS {
            let views: Vec<Namespace> = self.views_in(&namespace.db).map(|view| view.namespace.clone()).collect();
            for view in views {
                self.views.remove(&view);
            }
        }
    }

    /// Adds or replaces a view, whose document is in the store.
    pub(crate) fn put_view(&mut self, view: View) {
        self.views.insert(view.namespace.clone(), Arc::new(view));
    }

    /// Forgets a view, whose document is gone.
    pub(crate) fn remove_view(&mut self, namespace: &Namespace) {
        self.views.remove(namespace);
    }
}

impl Collection {
    /// Gives the collection another name.
    pub(crate) fn rename(&mut self, namespace: Namespace) {
        self.name = namespace.to_string();
        self.namespace = namespace;
    }

    /// The key of a document's `_id`.
    pub(crate) fn id_key(&self, id: &Value<'_>) -> Vec<u8> {
        key::of_by(id, collation::order(self.collation.as_ref()))
    }

    /// The specification of the index on `_id`, which is the collection itself.
    pub(crate) fn id_index(&self) -> DocBuf {
        let mut spec = DocBuf::new();
        spec.push("v", 2);
        spec.nest("key", |k| {
            k.push("_id", 1);
        });
        spec.push("name", "_id_");
        spec.push_some("collation", self.collation.as_ref().map(Collation::spec));
        spec
    }

    /// The key of a record from the key of its `_id`.
    pub(crate) fn record_key(&self, id_key: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + id_key.len());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(id_key);
        out
    }

    /// Writes the row again after something in it changed.
    pub(crate) fn save(&self, commit: &mut Commit<'_>) {
        commit.put(Space::Catalog, row_key(&self.namespace), self.encode().into_bytes());
    }

    /// The same collection with changes applied to a copy.
    pub(crate) fn copy(&self) -> Self {
        Self {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            number: self.number,
            uuid: self.uuid,
            options: self.options.clone(),
            images: self.images,
            collation: self.collation.clone(),
            indexes: self.indexes.clone(),
        }
    }

    fn encode(&self) -> DocBuf {
        let mut doc = DocBuf::new();
        doc.push("db", &self.namespace.db).push("coll", &self.namespace.coll);
        doc.push("number", i64::from(self.number));
        doc.push("uuid", Value::Binary(4, self.uuid.as_slice().into()));
        doc.push("options", &self.options);
        doc.array("indexes", |list| {
            for index in &self.indexes {
                let mut row = DocBuf::new();
                row.push("number", i64::from(index.number)).push("spec", &index.spec);
                row.push("multikey", index.multikey_stored.load(Ordering::Acquire)).push("building", index.building);
                list.push(row);
            }
        });
        doc
    }

    fn decode(doc: Doc<'_>) -> Option<Self> {
        let options = doc.doc("options")?.to_buf();
        let mut indexes = Vec::new();
        for row in doc.get("indexes")?.as_array()?.values() {
            let row = row.as_doc()?;
            let number = u32::try_from(row.get("number")?.as_integer()?).ok()?;
            let mut index = Index::parse(row.doc("spec")?, number).ok()?;
            let multikey = row.get("multikey")?.is_truthy();
            (index.multikey, index.multikey_stored) = (AtomicBool::new(multikey), AtomicBool::new(multikey));
            index.building = row.get("building")?.is_truthy();
            indexes.push(Arc::new(index));
        }
        let Value::Binary(_, uuid) = doc.get("uuid")? else { return None };
        let namespace = Namespace::new(doc.str("db")?, doc.str("coll")?);
        Some(Self {
            name: namespace.to_string(),
            namespace,
            number: u32::try_from(doc.get("number")?.as_integer()?).ok()?,
            uuid: uuid.as_ref().try_into().ok()?,
            images: images_enabled(options.as_doc()),
            collation: default_collation(options.as_doc()).ok()?,
            options,
            indexes,
        })
    }
}

/// Whether creation options ask for pre-images (CS-9.1).
pub(crate) fn images_enabled(options: Doc<'_>) -> bool {
    let images = options.doc("changeStreamPreAndPostImages");
    images.and_then(|o| o.get("enabled")).is_some_and(|v| v == Value::Bool(true))
}

/// The collation that creation options name.
pub(crate) fn default_collation(options: Doc<'_>) -> Result<Option<Collation>> {
    Ok(Collation::parse(options.doc("collation").unwrap_or(Doc::empty()))?)
}

/// The key of an `_id` in a collection without a collation.
pub(crate) fn id_key(id: &Value<'_>) -> Vec<u8> {
    key::of(id)
}

/// Where a collection's row is in the catalog's space.
pub(crate) fn row_key(namespace: &Namespace) -> Vec<u8> {
    let mut out = vec![COLLECTION];
    out.extend_from_slice(namespace.db.as_bytes());
    out.push(0);
    out.extend_from_slice(namespace.coll.as_bytes());
    out
}

pub(crate) fn damaged(what: &str) -> Error {
    millstream_storage::Error::Corrupt(format!("catalog: {what}")).into()
}
