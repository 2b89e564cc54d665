//! Building and dropping indexes.
//!
//! An index on a collection with documents is built in three steps, so that writers get in between: it is entered
//! into the catalog as unfinished, from where on every write maintains it; the documents that were there are added
//! in slices; then it is finished and logged. An unfinished one is never planned with, and is dropped at start-up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_query::Collation;
use millstream_query::predicate::Predicate;
use millstream_storage::{Commit, Space};
use millstream_value::{Doc, DocBuf, Namespace, Value};

use super::{create_in_loop, in_loop, log, tell};
use crate::catalog::{Catalog, Collection};
use crate::index::{Index, default_name};
use crate::plan::{Access, Plan};
use crate::read::Rows;
use crate::transaction::Work;
use crate::write::{Logged, Sink};
use crate::{Db, Error, Result, TimeLimit};

/// Indexes of one collection: MongoDB's limit.
const INDEXES_MAX: usize = 64;
/// Documents indexed in one write.
const SLICE_DOCUMENTS: usize = 1_000;

/// What `createIndexes` did.
pub struct IndexesCreated {
    /// How many there were, the one on `_id` included.
    pub before: usize,
    /// How many there are now.
    pub after: usize,
    /// The collection did not exist.
    pub created_collection: bool,
}

impl Db {
    /// Builds the indexes of these specifications, creating the collection if absent.
    ///
    /// # Errors
    /// `CannotCreateIndex` and its like for bad specifications, [`Error::DuplicateKey`] if documents clash in a
    /// unique one. Nothing is left behind then.
    pub fn create_indexes(&self, namespace: &Namespace, specs: &[DocBuf]) -> Result<IndexesCreated> {
        if !self.has_indexes(namespace, specs) {
            self.make_way(|used| used == namespace, &TimeLimit::default())?;
        }
        let (target, wanted) = (namespace.clone(), specs.to_vec());
        let (done, building) = in_loop(self, move |commit, catalog| {
            begin(commit, catalog, &mut Sink::Log(Logged::default()), &target, &wanted)
        })?;
        if building.is_empty() {
            return Ok(done);
        }
        let outcome = self.fill(namespace, &building);
        let (target, numbers) = (namespace.clone(), building);
        match outcome {
            Ok(()) => in_loop(self, move |commit, catalog| {
                finish(commit, catalog, &target, &numbers);
                Ok(())
            })?,
            Err(error) => {
                in_loop(self, move |commit, catalog| {
                    remove(commit, catalog, &target, &numbers);
                    Ok(())
                })?;
                return Err(error);
            }
        }
        Ok(done)
    }

    /// Whether all indexes of these specifications are there already: creating them changes nothing, and need not wait
    /// for transactions.
    #[must_use]
    pub fn has_indexes(&self, namespace: &Namespace, specs: &[DocBuf]) -> bool {
        let state = self.state();
        let Some(collection) = state.catalog.get(namespace) else { return false };
        let is_there = |spec: &DocBuf| has_already(collection, &parse(inheriting(spec, collection).as_doc(), 0)?);
        specs.iter().all(|spec| is_there(spec).unwrap_or(false))
    }

    /// Drops indexes by name, by key, by a list of names, or all with `"*"`; says how many there were.
    ///
    /// # Errors
    /// [`Error::NoCollection`], [`Error::IsView`], [`Error::IndexNotFound`], [`Error::DropIdIndex`].
    pub fn drop_indexes(&self, namespace: &Namespace, which: Value<'static>) -> Result<usize> {
        self.make_way(|used| used == namespace, &TimeLimit::default())?;
        let namespace = namespace.clone();
        in_loop(self, move |commit, catalog| {
            catalog.refuse_view(&namespace)?;
            let collection = catalog.get(&namespace).map(Arc::clone);
            let collection = collection.ok_or_else(|| Error::NoCollection(namespace.clone()))?;
            let doomed = chosen(&collection, &which)?;
            let mut changed = collection.copy();
            changed.indexes.retain(|i| !doomed.iter().any(|d| d.number == i.number));
            catalog.put(changed, commit);
            for index in &doomed {
                commit.delete_prefix(Space::Indexes, index.number);
                let mut command = DocBuf::new();
                command.push("dropIndexes", &namespace.coll).push("index", &index.name);
                log(commit, &namespace.db, Some(collection.uuid), command.as_doc(), Some(index.spec.as_doc()));
            }
            Ok(collection.indexes.len() + 1)
        })
    }

    /// The specifications of a collection's finished indexes, the one on `_id` first.
    ///
    /// # Errors
    /// [`Error::NoCollection`], [`Error::IsView`].
    pub fn list_indexes(&self, namespace: &Namespace) -> Result<Vec<DocBuf>> {
        let state = self.state();
        state.catalog.refuse_view(namespace)?;
        let collection = state.catalog.get(namespace).ok_or_else(|| Error::NoCollection(namespace.clone()))?;
        let mut out = vec![collection.id_index()];
        out.extend(collection.indexes.iter().filter(|i| !i.building).map(|i| i.spec.clone()));
        Ok(out)
    }

    /// Adds the documents that were there before the indexes to them.
    fn fill(&self, namespace: &Namespace, numbers: &[u32]) -> Result<()> {
        let state = self.state();
        let Some(collection) = state.catalog.get(namespace) else { return Ok(()) };
        let plan = Plan { access: Access::Scan { reverse: false }, sorted: true };
        let mut rows = Rows::open(&state.snapshot, collection, &plan, Arc::new(Predicate::always_true()));
        loop {
            let mut slice = Vec::with_capacity(SLICE_DOCUMENTS);
            for row in rows.by_ref().take(SLICE_DOCUMENTS) {
                slice.push(row?.id_key);
            }
            if slice.is_empty() {
                return Ok(());
            }
            let (target, numbers) = (namespace.clone(), numbers.to_vec());
            in_loop(self, move |commit, catalog| {
                let Some(collection) = catalog.get(&target).map(Arc::clone) else { return Ok(()) };
                for id_key in &slice {
                    let record = commit.get(Space::Records, &collection.record_key(id_key))?;
                    let Some(record) = record else { continue };
                    let doc = Doc::new(&record);
                    for index in collection.indexes.iter().filter(|i| numbers.contains(&i.number)) {
                        let keys = index.keys(doc)?;
                        for key in &keys.keys {
                            add_index_row(commit, &collection, index, key, id_key, doc)?;
                        }
                        if keys.multikey {
                            note_multikey(commit, &collection, index);
                        }
                    }
                }
                Ok(())
            })?;
        }
    }
}

/// Adds one key of a document to an index.
pub(crate) fn add_index_row(
    commit: &mut Commit<'_>,
    collection: &Collection,
    index: &Index,
    key: &[u8],
    id_key: &[u8],
    doc: Doc<'_>,
) -> Result<()> {
    let row = index.row_key(key, id_key);
    if row.len() > millstream_storage::KEY_BYTES_MAX {
        return Err(Error::CannotCreateIndex(format!("index key too large for index {}", index.name)));
    }
    if index.unique
        && let Some(holder) = commit.get(Space::Indexes, &row)?
        && *holder != *id_key
    {
        return Err(index.duplicate(&collection.namespace, doc, key));
    }
    commit.put(Space::Indexes, row, id_key.to_vec());
    Ok(())
}

/// Remembers that an index holds several keys of one document.
pub(crate) fn note_multikey(commit: &mut Commit<'_>, collection: &Collection, index: &Index) {
    index.multikey.store(true, Ordering::Release);
    if !index.multikey_stored.swap(true, Ordering::AcqRel) {
        collection.save(commit);
    }
}

/// Drops indexes whose building a crash interrupted.
pub(crate) fn drop_unfinished(db: &Db) -> Result<()> {
    let state = db.state();
    for collection in state.catalog.all() {
        let numbers: Vec<u32> = collection.indexes.iter().filter(|i| i.building).map(|i| i.number).collect();
        if numbers.is_empty() {
            continue;
        }
        tracing::warn!(namespace = %collection.namespace, "dropping an index that was not finished");
        let target = collection.namespace.clone();
        in_loop(db, move |commit, catalog| {
            remove(commit, catalog, &target, &numbers);
            Ok(())
        })?;
    }
    Ok(())
}

/// Creates indexes in a transaction: on a collection that is missing or was created in the same one (CS-2.8.6).
///
/// # Errors
/// As [`Db::create_indexes`]; `OperationNotSupportedInTransaction` for other collections, unless they have the indexes.
pub(crate) fn create_in_draft(
    commit: &mut Commit<'_>,
    catalog: &mut Catalog,
    work: &mut Work,
    namespace: &Namespace,
    specs: &[DocBuf],
) -> Result<IndexesCreated> {
    let existing = catalog.get(namespace).filter(|_| !work.has_created(namespace)).map(Arc::clone);
    let (done, building) = begin(commit, catalog, &mut Sink::Draft(work), namespace, specs)?;
    let refused = existing.is_some_and(|_| done.after != done.before) || !building.is_empty();
    if refused {
        let message =
            format!("Cannot create new indexes on existing collection {namespace} in a multi-document transaction.");
        return Err(Error::invalid(millstream_value::Code::OperationNotSupportedInTransaction, message));
    }
    work.writes_to(namespace);
    Ok(done)
}

/// Checks the specifications and enters them. Gives the numbers of those that have to be filled.
fn begin(
    commit: &mut Commit<'_>,
    catalog: &mut Catalog,
    sink: &mut Sink<'_>,
    namespace: &Namespace,
    specs: &[DocBuf],
) -> Result<(IndexesCreated, Vec<u32>)> {
    catalog.refuse_view(namespace)?;
    let existing = catalog.get(namespace).map(Arc::clone);
    let created_collection = existing.is_none();
    // Specifications are checked before anything is created.
    for spec in specs {
        parse(spec.as_doc(), 0)?;
    }
    let collection = match existing {
        Some(collection) => collection,
        None => create_in_loop(commit, catalog, sink, namespace, DocBuf::new())?,
    };
    let empty = !commit.any_with_prefix(Space::Records, &collection.number.to_be_bytes())?;
    let mut changed = collection.copy();
    let mut building = Vec::new();
    for spec in specs {
        let key = spec.as_doc().doc("key").unwrap_or(Doc::empty());
        if default_name(key) == "_id_1" {
            let wanted = parse(inheriting(spec, &collection).as_doc(), 0)?;
            if wanted.collation != collection.collation {
                let message = "The _id index must have the same collation as the collection.";
                return Err(Error::invalid(millstream_value::Code::BadValue, message));
            }
            continue;
        }
        let mut index = parse(inheriting(spec, &collection).as_doc(), 0)?;
        if has_already(&changed, &index)? {
            continue;
        }
        index.number = sink.next_number(catalog, commit)?;
        if changed.indexes.len() + 2 > INDEXES_MAX {
            return Err(Error::CannotCreateIndex(format!(
                "add index fails, too many indexes for {namespace} key:{}",
                millstream_value::shell::document(index.key())
            )));
        }
        index.building = !empty;
        if empty {
            log_created(commit, sink, &changed, &index);
        } else {
            building.push(index.number);
        }
        changed.indexes.push(Arc::new(index));
    }
    let after = changed.indexes.len() + 1;
    let before = collection.indexes.len() + 1;
    // The same collection as before, where nothing was added: nobody who uses it is to notice.
    if after != before {
        catalog.put(changed, commit);
    }
    Ok((IndexesCreated { before, after, created_collection }, building))
}

/// The specification with the collection's collation, unless it names one itself.
fn inheriting(spec: &DocBuf, collection: &Collection) -> DocBuf {
    let mut spec = spec.clone();
    if !spec.as_doc().has("collation") {
        spec.push_some("collation", collection.collation.as_ref().map(Collation::spec));
    }
    spec
}

/// Reads a specification; what is wrong with it is said as MongoDB does.
fn parse(spec: Doc<'_>, number: u32) -> Result<Index> {
    use millstream_value::Code;
    let within = |message: String| {
        let spec = millstream_value::shell::document(spec);
        format!("Error in specification {spec} :: caused by :: {message}")
    };
    Index::parse(spec, number).map_err(|error| match error {
        Error::CannotCreateIndex(message) => Error::CannotCreateIndex(within(message)),
        Error::Invalid {
            code: code @ (Code::FailedToParse | Code::TypeMismatch | Code::InvalidIndexSpecificationOption),
            message,
        } => Error::invalid(code, within(message)),
        other => other,
    })
}

/// Whether the same index exists; clashes are errors.
fn has_already(collection: &Collection, index: &Index) -> Result<bool> {
    for other in &collection.indexes {
        // The same fields in another collation are another index.
        let same_collation = other.collation == index.collation;
        let same_key = other.key().as_bytes() == index.key().as_bytes() && same_collation;
        let same_name = other.name == index.name;
        let same_options = other.unique == index.unique && other.sparse == index.sparse;
        if same_key && same_name && same_options {
            return Ok(true);
        }
        let shell = millstream_value::shell::document;
        if same_key && same_options && !same_name {
            return Err(Error::IndexOptionsConflict(format!(
                "Index already exists with a different name: {}",
                other.name
            )));
        }
        if same_name {
            return Err(Error::IndexConflict(format!(
                "An existing index has the same name as the requested index. When index names are not specified, \
                 they are auto generated and can cause conflicts. Please refer to our documentation. Requested \
                 index: {}, existing index: {}",
                shell(index.spec.as_doc()),
                shell(other.spec.as_doc())
            )));
        }
        if same_key {
            return Err(Error::IndexOptionsConflict(format!(
                "An equivalent index already exists with the same name but different options. Requested index: {}, \
                 existing index: {}",
                shell(index.spec.as_doc()),
                shell(other.spec.as_doc())
            )));
        }
    }
    Ok(false)
}

fn finish(commit: &mut Commit<'_>, catalog: &mut Catalog, namespace: &Namespace, numbers: &[u32]) {
    let Some(collection) = catalog.get(namespace).map(Arc::clone) else { return };
    let mut changed = collection.copy();
    for slot in &mut changed.indexes {
        if numbers.contains(&slot.number) {
            *slot = Arc::new(slot.finished());
        }
    }
    // One entry for the whole build (CS-1.6.4).
    let mut command = DocBuf::new();
    command.push("commitIndexBuild", &namespace.coll);
    command.push("indexBuildUUID", Value::Binary(4, millstream_value::new_uuid().to_vec().into()));
    command.array("indexes", |list| {
        for index in changed.indexes.iter().filter(|i| numbers.contains(&i.number)) {
            list.push(&index.spec);
        }
    });
    log(commit, &namespace.db, Some(changed.uuid), command.as_doc(), None);
    catalog.put(changed, commit);
}

fn remove(commit: &mut Commit<'_>, catalog: &mut Catalog, namespace: &Namespace, numbers: &[u32]) {
    let Some(collection) = catalog.get(namespace).map(Arc::clone) else { return };
    let mut changed = collection.copy();
    changed.indexes.retain(|i| !numbers.contains(&i.number));
    for number in numbers {
        commit.delete_prefix(Space::Indexes, *number);
    }
    catalog.put(changed, commit);
}

fn log_created(commit: &mut Commit<'_>, sink: &mut Sink<'_>, collection: &Collection, index: &Index) {
    let mut command = DocBuf::new();
    command.push("createIndexes", &collection.namespace.coll);
    command.extend(index.spec.as_doc());
    tell(commit, sink, &collection.namespace.db, Some(collection.uuid), command.as_doc(), None);
}

fn chosen(collection: &Collection, which: &Value<'_>) -> Result<Vec<Arc<Index>>> {
    let by_name = |name: &str| {
        if name == "_id_" {
            return Err(Error::DropIdIndex);
        }
        let found = collection.indexes.iter().find(|i| i.name == name).map(Arc::clone);
        found.ok_or_else(|| Error::IndexNotFound(format!("index not found with name [{name}]")))
    };
    match which {
        Value::String(name) if name == "*" => Ok(collection.indexes.clone()),
        Value::String(name) => Ok(vec![by_name(name)?]),
        Value::Array(names) => {
            let mut out = Vec::new();
            for name in Doc::new(names).values() {
                let name = name.as_str().ok_or_else(|| {
                    Error::invalid(millstream_value::Code::TypeMismatch, "index names must be strings")
                })?;
                out.push(by_name(name)?);
            }
            Ok(out)
        }
        Value::Document(key) => {
            let key = Doc::new(key);
            if default_name(key) == "_id_1" {
                return Err(Error::DropIdIndex);
            }
            let same = |i: &&Arc<Index>| millstream_value::compare_docs(i.key(), key).is_eq();
            let mut all = collection.indexes.iter().filter(same).map(Arc::clone);
            let (found, other) = (all.next(), all.next());
            let shown = millstream_value::shell::document(key);
            if other.is_some() {
                let message = format!("{shown} is the key of several indexes; drop one by its name");
                return Err(Error::invalid(millstream_value::Code::from_number(181), message));
            }
            Ok(vec![found.ok_or_else(|| Error::IndexNotFound(format!("can't find index with key: {shown}")))?])
        }
        other => Err(Error::invalid(
            millstream_value::Code::TypeMismatch,
            format!(
                "BSON field 'dropIndexes.index' is the wrong type '{}', expected types '[string, object]'",
                other.type_name()
            ),
        )),
    }
}
