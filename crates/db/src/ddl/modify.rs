//! `collMod`: changes options of a collection or of one of its indexes.
//!
//! Result: one entry in the log, with the arguments and with the options before (CS-1.6.7), also if nothing changed.

use std::sync::Arc;

use millstream_storage::Commit;
use millstream_value::{Code, Doc, DocBuf, Namespace, Value};

use super::{in_loop, log};
use crate::catalog::{Catalog, Collection, images_enabled};
use crate::index::Index;
use crate::{Db, Error, Result, TimeLimit};

/// What to change; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Modification {
    /// Hide an index from plans, or show it again.
    pub hide: Option<HideIndex>,
    /// Keep pre- and post-images, or no longer (CS-9.1).
    pub images: Option<bool>,
}

/// The option `hidden` of an index.
#[derive(Clone, Debug)]
pub struct HideIndex {
    /// Which index: its name, or the document of its key.
    pub index: Value<'static>,
    /// Whether plans may not read it.
    pub hidden: bool,
}

impl Db {
    /// Changes options of a collection. Says whether the index that was named was hidden before.
    ///
    /// # Errors
    /// [`Error::NoCollection`], [`Error::IndexNotFound`], `InvalidOptions` for images on an internal database.
    pub fn modify(&self, namespace: &Namespace, change: Modification) -> Result<Option<bool>> {
        self.make_way(|used| used == namespace, &TimeLimit::default())?;
        if change.images.is_some() && namespace.is_internal() {
            let message = format!("changeStreamPreAndPostImages is not allowed on the '{}' database", namespace.db);
            return Err(Error::invalid(Code::InvalidOptions, message));
        }
        let namespace = namespace.clone();
        in_loop(self, move |commit, catalog| modify_in_loop(commit, catalog, &namespace, &change))
    }
}

fn modify_in_loop(
    commit: &mut Commit<'_>,
    catalog: &mut Catalog,
    namespace: &Namespace,
    change: &Modification,
) -> Result<Option<bool>> {
    let collection = catalog.get(namespace).ok_or_else(|| Error::NoCollection(namespace.clone()))?;
    let mut changed = collection.copy();
    let (mut command, mut before) = (DocBuf::new(), DocBuf::new());
    command.push("collMod", &namespace.coll);
    before.nest("collectionOptions_old", |old| {
        old.push("uuid", Value::Binary(4, changed.uuid.as_slice().into()));
        old.extend(changed.options.as_doc());
    });
    let hidden = match &change.hide {
        Some(hide) => Some(hide_index(&mut changed, hide, &mut command, &mut before)?),
        None => None,
    };
    if let Some(enabled) = change.images {
        changed.options = with_images(changed.options.as_doc(), enabled);
        changed.images = images_enabled(changed.options.as_doc());
        command.nest("changeStreamPreAndPostImages", |o| {
            o.push("enabled", enabled);
        });
    }
    let changed = catalog.put(changed, commit);
    log(commit, &namespace.db, Some(changed.uuid), command.as_doc(), Some(before.as_doc()));
    Ok(hidden)
}

/// Says whether it was hidden before.
fn hide_index(
    collection: &mut Collection,
    hide: &HideIndex,
    command: &mut DocBuf,
    before: &mut DocBuf,
) -> Result<bool> {
    let key = hide.index.as_doc();
    let shown =
        key.map_or_else(|| hide.index.as_str().unwrap_or_default().to_owned(), millstream_value::shell::document);
    if shown == "_id_" || key.is_some_and(|key| crate::index::default_name(key) == "_id_1") {
        return Err(Error::invalid(Code::BadValue, "can't hide _id index"));
    }
    let is_meant = |index: &&mut Arc<Index>| match key {
        Some(key) => millstream_value::compare_docs(index.key(), key).is_eq(),
        None => index.name == shown,
    };
    let namespace = &collection.namespace;
    let not_found = || Error::IndexNotFound(format!("cannot find index {shown} for ns {namespace}"));
    let index = collection.indexes.iter_mut().find(is_meant).ok_or_else(not_found)?;
    command.nest("index", |o| {
        o.push("name", &index.name).push("hidden", hide.hidden);
    });
    let hidden = index.hidden;
    before.nest("indexOptions_old", |old| {
        old.push("hidden", hidden);
    });
    *index = Arc::new(index.with_hidden(hide.hidden));
    Ok(hidden)
}

/// The options with images on, or without any word of them when off: as MongoDB stores them, and in its order, where what else there
/// is comes after them (CS-1.6.1).
fn with_images(options: Doc<'_>, enabled: bool) -> DocBuf {
    let mut out = DocBuf::new();
    if enabled {
        out.nest("changeStreamPreAndPostImages", |o| {
            o.push("enabled", true);
        });
    }
    for element in options.elements().filter(|e| e.key() != "changeStreamPreAndPostImages") {
        out.push_element(element);
    }
    out
}
