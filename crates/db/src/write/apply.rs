//! One statement inside the commit loop: finds the documents again, checks them again, changes them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use millstream_change::entry::{self, Target};
use millstream_query::collation;
use millstream_query::predicate::Predicate;
use millstream_query::update::Outcome as Updated;
use millstream_storage::{Commit, Space};
use millstream_value::{ClusterTime, Doc, DocBuf, Namespace, Value};

use super::prepare::{DOCUMENT_BYTES_MAX, too_large};
use super::sink::Sink;
use super::{Action, Change, Image, Insert, Outcome, Removal};
use crate::catalog::{self, Catalog, Collection};
use crate::ddl;
use crate::error::DuplicateKey;
use crate::index::{Index, Keys};
use crate::{Error, Result, Size};

/// The documents that a statement is about, as a search outside the loop found them.
pub(crate) enum Targets {
    /// The filter names one `_id`: look there.
    ById,
    /// These, by the keys of their `_id`s, in order.
    Found(Vec<Bytes>),
}

/// What one statement works on: in the commit loop, or in the draft of a transaction.
pub(crate) struct Scene<'s, 'c> {
    pub(crate) commit: &'s mut Commit<'c>,
    pub(crate) catalog: &'s mut Catalog,
    pub(crate) images_always: bool,
    pub(crate) sink: Sink<'s>,
    /// The collection that changed, by its number, and by how much it has grown.
    pub(crate) grown: Option<(u32, Size)>,
    /// Indexes that have got several keys of one document, and whose row in the catalog does not say so yet. It must say
    /// so once the statement counts, and only then: what is noted about an index is not undone with a statement.
    pub(crate) spread: Vec<(Arc<Collection>, Arc<Index>)>,
}

/// A statement's result, or the wish to be searched for again.
pub(crate) enum Applied {
    Done(Outcome),
    /// What the search found has changed since: search again.
    Stale,
}

impl Scene<'_, '_> {
    pub(crate) fn run(
        &mut self,
        namespace: &Namespace,
        id: i32,
        action: &Action,
        targets: &Targets,
    ) -> Result<Applied> {
        self.catalog.refuse_view(namespace)?;
        match action {
            Action::Insert(insert) => {
                let collection = self.collection(namespace)?;
                self.insert(&collection, insert, id)?;
                Ok(Applied::Done(Outcome { n: 1, ..Outcome::default() }))
            }
            Action::Update(change) => self.update(namespace, id, change, targets),
            Action::Delete(removal) => self.delete(namespace, id, removal, targets),
        }
    }

    /// The collection, created if absent.
    fn collection(&mut self, namespace: &Namespace) -> Result<Arc<Collection>> {
        if let Some(collection) = self.catalog.get(namespace) {
            return Ok(Arc::clone(collection));
        }
        self.sink.claim(Space::Catalog, &catalog::row_key(namespace).into())?;
        ddl::create_in_loop(self.commit, self.catalog, &mut self.sink, namespace, DocBuf::new())
    }

    fn insert(&mut self, collection: &Arc<Collection>, insert: &Insert, statement: i32) -> Result<()> {
        let doc = Doc::new(&insert.doc);
        let id_key = own_id_key(collection, insert)?;
        let key = Bytes::from(collection.record_key(&id_key));
        self.sink.claim(Space::Records, &key)?;
        if self.commit.has_record(&key)? {
            return Err(duplicate_id(collection, doc));
        }
        self.index_changes(collection, None, Some(doc), &id_key)?;
        self.commit.put(Space::Records, key, insert.doc.clone());
        self.grow(collection, Size::of(1, insert.doc.len()));
        self.sink.tell(self.commit, statement, None, |stamp| {
            entry::insert(stamp, target(collection), doc, key_of(doc).as_doc())
        });
        Ok(())
    }

    fn update(&mut self, namespace: &Namespace, statement: i32, change: &Change, targets: &Targets) -> Result<Applied> {
        let mut outcome = Outcome::default();
        if let Some(collection) = self.catalog.get(namespace).map(Arc::clone) {
            let mut stale = false;
            let Some(id_keys) = target_keys(&collection, targets, change.id.as_ref(), &change.filter) else {
                return Ok(Applied::Stale);
            };
            for id_key in id_keys {
                let Some(before) = self.commit.get(Space::Records, &collection.record_key(&id_key))? else {
                    stale = true;
                    continue;
                };
                let Some(position) = change.filter.matches_at(Doc::new(&before))? else {
                    stale = true;
                    continue;
                };
                outcome.n += 1;
                let updated = change.update.apply(Doc::new(&before), Some(position), false)?;
                let after = match updated {
                    Updated::Unchanged => before.clone(),
                    Updated::Changed { after, delta } => {
                        let after = Bytes::from(after.into_bytes());
                        let described = delta.as_ref().map(DocBuf::as_doc);
                        self.replace(&collection, &before, &after, described, &id_key, statement)?;
                        outcome.modified += 1;
                        after
                    }
                };
                outcome.image = match change.image {
                    Image::None => None,
                    Image::Before => Some(before),
                    Image::After => Some(after),
                };
                if !change.multi {
                    return Ok(Applied::Done(outcome));
                }
            }
            let searched = matches!(targets, Targets::Found(_));
            if outcome.n == 0 && stale && searched && !change.multi {
                return Ok(Applied::Stale);
            }
        }
        if outcome.n == 0 && change.upsert {
            return self.upsert(namespace, statement, change).map(Applied::Done);
        }
        Ok(Applied::Done(outcome))
    }

    fn upsert(&mut self, namespace: &Namespace, statement: i32, change: &Change) -> Result<Outcome> {
        let new = change.update.new_document(&change.filter)?;
        let bytes = Bytes::from(new.into_bytes());
        let insert = super::insert_document(&bytes, self.now())?;
        let collection = self.collection(namespace)?;
        self.insert(&collection, &insert, statement)?;
        let id = Doc::new(&insert.doc).get("_id").map(Value::into_owned);
        let image = (change.image == Image::After).then(|| insert.doc.clone());
        Ok(Outcome { n: 1, upserted: Some(id.unwrap_or(Value::Null)), image, ..Outcome::default() })
    }

    fn delete(
        &mut self,
        namespace: &Namespace,
        statement: i32,
        removal: &Removal,
        targets: &Targets,
    ) -> Result<Applied> {
        let mut outcome = Outcome::default();
        let Some(collection) = self.catalog.get(namespace).map(Arc::clone) else { return Ok(Applied::Done(outcome)) };
        let mut stale = false;
        let Some(id_keys) = target_keys(&collection, targets, removal.id.as_ref(), &removal.filter) else {
            return Ok(Applied::Stale);
        };
        for id_key in id_keys {
            let key = Bytes::from(collection.record_key(&id_key));
            let before = self.commit.get(Space::Records, &key)?;
            let Some(before) = before.filter(|b| !b.is_empty()) else {
                stale = true;
                continue;
            };
            let doc = Doc::new(&before);
            if !removal.filter.matches(doc)? {
                stale = true;
                continue;
            }
            self.sink.claim(Space::Records, &key)?;
            self.index_changes(&collection, Some(doc), None, &id_key)?;
            self.commit.delete(Space::Records, key);
            self.grow(&collection, Size::default().minus(Size::of(1, before.len())));
            let image = self.keeps_images(&collection).then(|| before.clone());
            self.sink.tell(self.commit, statement, image, |stamp| {
                entry::delete(stamp, target(&collection), key_of(doc).as_doc())
            });
            outcome.n += 1;
            if removal.image == Image::Before {
                outcome.image = Some(before);
            }
            if !removal.multi {
                return Ok(Applied::Done(outcome));
            }
        }
        let searched = matches!(targets, Targets::Found(_));
        if outcome.n == 0 && stale && searched && !removal.multi {
            return Ok(Applied::Stale);
        }
        Ok(Applied::Done(outcome))
    }

    /// Stores the new state of a document and logs the change.
    fn replace(
        &mut self,
        collection: &Arc<Collection>,
        before: &Bytes,
        after: &Bytes,
        delta: Option<Doc<'_>>,
        id_key: &[u8],
        statement: i32,
    ) -> Result<()> {
        if after.len() > DOCUMENT_BYTES_MAX {
            return Err(too_large(after.len()));
        }
        let new = Doc::new(after);
        let key = Bytes::from(collection.record_key(id_key));
        self.sink.claim(Space::Records, &key)?;
        self.index_changes(collection, Some(Doc::new(before)), Some(new), id_key)?;
        self.commit.put(Space::Records, key, after.clone());
        self.grow(collection, Size::of(0, after.len()).minus(Size::of(0, before.len())));
        let image = self.keeps_images(collection).then(|| before.clone());
        let key = key_of(new);
        self.sink.tell(self.commit, statement, image, |stamp| match delta {
            Some(diff) => entry::update(stamp, target(collection), diff, key.as_doc()),
            None => entry::replace(stamp, target(collection), new, key.as_doc()),
        });
        Ok(())
    }

    /// Brings the indexes from one state of a document to another.
    fn index_changes(
        &mut self,
        collection: &Arc<Collection>,
        before: Option<Doc<'_>>,
        after: Option<Doc<'_>>,
        id_key: &[u8],
    ) -> Result<()> {
        for index in &collection.indexes {
            let none = || Keys { keys: Vec::new(), multikey: false };
            let old = before.map_or_else(|| Ok(none()), |doc| index.keys(doc))?;
            let new = after.map_or_else(|| Ok(none()), |doc| index.keys(doc))?;
            for key in old.keys.iter().filter(|k| !new.keys.contains(k)) {
                let row = Bytes::from(index.row_key(key, id_key));
                // Rows of other indexes belong to the document, which is claimed already.
                if index.unique {
                    self.sink.claim(Space::Indexes, &row)?;
                }
                self.commit.delete(Space::Indexes, row);
            }
            for key in new.keys.iter().filter(|k| !old.keys.contains(k)) {
                if index.unique {
                    self.sink.claim(Space::Indexes, &index.row_key(key, id_key).into())?;
                }
                ddl::add_index_row(self.commit, collection, index, key, id_key, after.unwrap_or(Doc::empty()))?;
            }
            if new.multikey {
                // Plans go by this from now on, also if the statement is undone: they are the slower ones, never wrong.
                index.multikey.store(true, Ordering::Release);
                match &mut self.sink {
                    Sink::Log(_) if index.multikey_stored.load(Ordering::Acquire) => {}
                    Sink::Log(_) => self.spread.push((Arc::clone(collection), Arc::clone(index))),
                    Sink::Draft(work) => work.spreads(&collection.namespace, index.number),
                }
            }
        }
        match &mut self.sink {
            Sink::Log(_) => Ok(()),
            Sink::Draft(work) => {
                work.writes_to(&collection.namespace);
                work.check_size(self.commit.bytes())
            }
        }
    }

    /// A statement changes one collection only.
    fn grow(&mut self, collection: &Collection, by: Size) {
        let so_far = self.grown.map_or_else(Size::default, |(_, size)| size);
        self.grown = Some((collection.number, so_far.plus(by)));
    }

    /// The collection's own option, or the server's for all collections of users.
    fn keeps_images(&self, collection: &Collection) -> bool {
        let name = &collection.namespace;
        collection.images || (self.images_always && !name.is_internal() && !name.is_system())
    }

    /// What a zero timestamp in a new document becomes.
    fn now(&self) -> ClusterTime {
        ClusterTime::new(u32::try_from(self.commit.wall_ms() / 1000).unwrap_or(u32::MAX), 1)
    }
}

fn target(collection: &Collection) -> Target<'_> {
    Target { ns: &collection.name, uuid: Some(collection.uuid) }
}

/// `{_id: <value>}` of a document.
fn key_of(doc: Doc<'_>) -> DocBuf {
    let mut key = DocBuf::with_capacity(32);
    match doc.element("_id") {
        Some(id) => key.push_element(id),
        None => key.push("_id", Value::Null),
    };
    key
}

/// The keys of the records to look at; `None` if the one `_id` of the filter may mean several documents, because it
/// is compared in another collation than the collection has.
fn target_keys(
    collection: &Collection,
    targets: &Targets,
    id: Option<&Value<'_>>,
    filter: &Predicate,
) -> Option<Vec<Bytes>> {
    let id = match targets {
        Targets::Found(keys) => return Some(keys.clone()),
        Targets::ById => id,
    };
    let same = filter.collation() == collection.collation.as_ref();
    if !same && id.is_some_and(collation::applies_to) {
        return None;
    }
    Some(id.map(|id| Bytes::from(collection.id_key(id))).into_iter().collect())
}

/// The key of a new document's `_id`, which was prepared without knowing the collection.
fn own_id_key<'i>(collection: &Collection, insert: &'i Insert) -> Result<Cow<'i, [u8]>> {
    if collection.collation.is_none() {
        return Ok(Cow::Borrowed(&insert.id_key));
    }
    let key = collection.id_key(&Doc::new(&insert.doc).get("_id").unwrap_or(Value::Null));
    if key.len() + 4 > millstream_storage::KEY_BYTES_MAX {
        return Err(Error::TooLarge("the _id is too large to be a key".into()));
    }
    Ok(Cow::Owned(key))
}

pub(super) fn duplicate_id(collection: &Collection, doc: Doc<'_>) -> Error {
    let mut pattern = DocBuf::new();
    pattern.push("_id", 1);
    let mut value = DocBuf::new();
    value.push("_id", doc.get("_id").unwrap_or(Value::Null));
    Error::DuplicateKey(Box::new(DuplicateKey {
        namespace: collection.namespace.clone(),
        index: "_id_".to_owned(),
        key_pattern: pattern,
        key_value: value,
    }))
}
