//! Creating, changing and dropping views: writes to `<db>.system.views`, and logged as such (CS-1.7.2).

use std::sync::Arc;

use bytes::Bytes;
use millstream_change::entry::{self, Stamp, Target};
use millstream_query::Collation;
use millstream_query::expression::Scope;
use millstream_query::stage::{Pipeline, Place};
use millstream_storage::{Commit, Space};
use millstream_value::{Code, Doc, DocBuf, Namespace, Value};

use super::collections::create_unchecked;
use super::in_loop;
use crate::catalog::{Catalog, Collection, id_key};
use crate::view::{SYSTEM_VIEWS, View, check_graph};
use crate::write::{DOCUMENT_BYTES_MAX, too_large};
use crate::write::{Logged, Sink};
use crate::{Db, Error, Result, Size, size};

impl Db {
    /// Creates a view of a collection or of another view, existing or not.
    ///
    /// # Errors
    /// [`Error::InvalidNamespace`], `NamespaceExists`, `OptionNotSupportedOnView` for a stage that cannot be in a view,
    /// or a collation that is not that of the view below, whatever else is wrong with the pipeline,
    /// `GraphContainsCycle`, `ViewDepthLimitExceeded`.
    pub fn create_view(
        &self,
        namespace: &Namespace,
        on: &str,
        pipeline: Doc<'_>,
        collation: Option<Collation>,
    ) -> Result<()> {
        crate::write::check_collection_name(namespace)?;
        check_source(on)?;
        self.check_pipeline(namespace, pipeline)?;
        let (namespace, on, pipeline) = (namespace.clone(), on.to_owned(), pipeline.to_buf());
        in_loop(self, move |commit, catalog| {
            catalog.check_free(&namespace)?;
            define(
                commit,
                catalog,
                View::new(&namespace, &on, pipeline.as_doc(), collation.as_ref().map(Collation::spec)),
            )
        })
    }

    /// Changes what a view reads; what is not given stays.
    ///
    /// # Errors
    /// [`Error::NoCollection`] if there is no such view, and those of [`Db::create_view`].
    pub fn modify_view(&self, namespace: &Namespace, on: Option<&str>, pipeline: Option<Doc<'_>>) -> Result<()> {
        on.map_or(Ok(()), check_source)?;
        pipeline.map_or(Ok(()), |pipeline| self.check_pipeline(namespace, pipeline))?;
        let namespace = namespace.clone();
        let (on, pipeline) = (on.map(str::to_owned), pipeline.map(Doc::to_buf));
        in_loop(self, move |commit, catalog| {
            let view = catalog.view(&namespace).map(Arc::clone);
            let view = view.ok_or_else(|| Error::NoCollection(namespace.clone()))?;
            let pipeline = pipeline.as_ref().map_or_else(|| view.pipeline(), DocBuf::as_doc);
            let on = on.as_deref().unwrap_or(&view.on.coll);
            define(commit, catalog, View::new(&namespace, on, pipeline, view.collation()))
        })
    }

    /// Checks that a pipeline can be in a view, as far as that can be told without documents.
    fn check_pipeline(&self, namespace: &Namespace, pipeline: Doc<'_>) -> Result<()> {
        let within = |message: String| format!("Invalid pipeline for view {namespace} :: caused by :: {message}");
        let stages: Vec<Value<'_>> = pipeline.values().collect();
        for (at, stage) in stages.iter().enumerate() {
            let name = stage.as_doc().and_then(|stage| stage.elements().next()).map_or("", |first| first.key());
            let refusal = match name {
                "$changeStream" => "$changeStream cannot be used in a view definition".to_owned(),
                "$merge" | "$out" => format!(
                    "The aggregation stage {name} in location {at} of the pipeline cannot be used in the view definition of \
                     {namespace} because it writes to disk"
                ),
                _ => continue,
            };
            return Err(Error::invalid(Code::OptionNotSupportedOnView, within(refusal)));
        }
        let now = Scope::at(i64::try_from(self.now_ms()).unwrap_or(i64::MAX));
        match Pipeline::parse(&stages, &now, Place::Aggregate) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::invalid(error.code, within(error.message))),
        }
    }
}

/// Stores and logs a view's document, a new one or another one.
fn define(commit: &mut Commit<'_>, catalog: &mut Catalog, view: View) -> Result<()> {
    check_graph(catalog, &view)?;
    let document = view.definition.as_doc();
    if document.as_bytes().len() > DOCUMENT_BYTES_MAX {
        return Err(too_large(document.as_bytes().len()));
    }
    let home = Namespace::new(&view.namespace.db, SYSTEM_VIEWS);
    let home = match catalog.get(&home).map(Arc::clone) {
        Some(home) => home,
        None => create_unchecked(commit, catalog, &mut Sink::Log(Logged::default()), &home, DocBuf::new())?,
    };
    let (id, key) = place(&home, &view.namespace);
    let before = commit.get(Space::Records, &key)?;
    let held = before.as_ref().map_or_else(Size::default, |before| Size::of(1, before.len()));
    size::change(commit, home.number, Size::of(1, document.as_bytes().len()).minus(held))?;
    let write = if before.is_some() { entry::replace } else { entry::insert };
    commit.put(Space::Records, key, Bytes::copy_from_slice(document.as_bytes()));
    let time = commit.tick();
    let stamp = Stamp { time, wall_ms: commit.wall_ms(), retry: None };
    commit.append(time, write(Some(stamp), target(&home), document, id.as_doc()));
    catalog.put_view(view);
    Ok(())
}

/// Drops a view that exists.
pub(super) fn drop_in_loop(commit: &mut Commit<'_>, catalog: &mut Catalog, namespace: &Namespace) -> Result<()> {
    let home = Namespace::new(&namespace.db, SYSTEM_VIEWS);
    let home = catalog.get(&home).map(Arc::clone).ok_or(Error::NoCollection(home))?;
    let (id, key) = place(&home, namespace);
    let held = commit.get(Space::Records, &key)?.map_or_else(Size::default, |held| Size::of(1, held.len()));
    size::change(commit, home.number, Size::default().minus(held))?;
    commit.delete(Space::Records, key);
    let time = commit.tick();
    let stamp = Stamp { time, wall_ms: commit.wall_ms(), retry: None };
    commit.append(time, entry::delete(Some(stamp), target(&home), id.as_doc()));
    catalog.remove_view(namespace);
    Ok(())
}

/// A view's document: its `{_id}` and the key of its record.
fn place(home: &Collection, view: &Namespace) -> (DocBuf, Vec<u8>) {
    let name = view.to_string();
    let mut id = DocBuf::new();
    id.push("_id", &name);
    let key = home.record_key(&id_key(&Value::from(&name)));
    (id, key)
}

fn target(home: &Collection) -> Target<'_> {
    Target { ns: &home.name, uuid: Some(home.uuid) }
}

/// Checks the name of what a view reads.
fn check_source(on: &str) -> Result<()> {
    if on.is_empty() {
        return Err(Error::invalid(Code::BadValue, "'viewOn' cannot be empty"));
    }
    if on.contains(['$', '\0']) || on.starts_with('.') || on.ends_with('.') {
        return Err(Error::InvalidNamespace(format!("Invalid collection name for 'viewOn': {on}")));
    }
    Ok(())
}
