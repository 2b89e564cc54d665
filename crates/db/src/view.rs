//! Views: names that stand for a pipeline over a collection or over another view.
//!
//! A view is a document of `<db>.system.views`, a collection like others that only DDL writes to; the catalog holds
//! them by name beside the collections (CS-1.7.2).

use std::sync::Arc;

use millstream_query::Collation;
use millstream_storage::{Snapshot, Space};
use millstream_value::{Code, Doc, DocBuf, Namespace, Value};

use crate::catalog::{Catalog, Collection};
use crate::{Db, Error, Reader, Result};

/// Where the views of a database are defined.
pub(crate) const SYSTEM_VIEWS: &str = "system.views";
/// Views that may stand one on the other: MongoDB's limit.
const DEPTH_MAX: usize = 20;

/// A view.
pub(crate) struct View {
    pub(crate) namespace: Namespace,
    /// What it reads: a collection or a view of the same database, existing or not.
    pub(crate) on: Namespace,
    /// Its document in `system.views`: `{_id: <db>.<view>, viewOn, pipeline, [collation]}`.
    pub(crate) definition: DocBuf,
}

/// What reading a view comes to.
#[derive(Clone, Debug)]
pub struct ResolvedView {
    /// The collection at the bottom.
    pub collection: Namespace,
    /// The stages of all views between, those next to the collection first.
    stages: Vec<Value<'static>>,
    /// In which all of them compare; none: the simple one.
    pub collation: Option<Collation>,
}

impl View {
    pub(crate) fn new(namespace: &Namespace, on: &str, pipeline: Doc<'_>, collation: Option<Doc<'_>>) -> Self {
        let mut definition = DocBuf::new();
        definition.push("_id", namespace.to_string()).push("viewOn", on);
        definition.push("pipeline", Value::Array(pipeline.as_bytes().into()));
        definition.push_some("collation", collation);
        Self { namespace: namespace.clone(), on: Namespace::new(&namespace.db, on), definition }
    }

    pub(crate) fn decode(definition: Doc<'_>) -> Option<Self> {
        let namespace = Namespace::parse(definition.str("_id")?);
        let on = Namespace::new(&namespace.db, definition.str("viewOn")?);
        definition.element("pipeline")?.as_array()?;
        Some(Self { namespace, on, definition: definition.to_buf() })
    }

    pub(crate) fn pipeline(&self) -> Doc<'_> {
        self.definition.as_doc().element("pipeline").and_then(|e| e.as_array()).unwrap_or(Doc::empty())
    }

    /// The collation's document with all of its options; none: the simple one.
    pub(crate) fn collation(&self) -> Option<Doc<'_>> {
        self.definition.as_doc().doc("collation")
    }
}

impl ResolvedView {
    /// The pipeline over [`ResolvedView::collection`] that reads the view with these stages. What filters come first
    /// are joined, so that a plan sees all of them.
    #[must_use]
    pub fn pipeline<'v>(&self, more: Vec<Value<'v>>) -> Vec<Value<'v>> {
        let mut stages: Vec<Value<'v>> = self.stages.clone();
        stages.extend(more);
        let filter = |stage: &Value<'_>| stage.as_doc().filter(|s| s.len() == 1)?.doc("$match").map(|f| f.to_buf());
        let filters: Vec<DocBuf> = stages.iter().map_while(filter).collect();
        if filters.len() < 2 {
            return stages;
        }
        let mut joined = DocBuf::new();
        joined.nest("$match", |m| {
            m.array("$and", |all| {
                for filter in &filters {
                    all.push(filter);
                }
            });
        });
        drop(stages.splice(..filters.len(), [Value::from(joined)]));
        stages
    }
}

impl Reader {
    /// What a view comes to; none if the name is not that of a view.
    ///
    /// # Errors
    /// `ViewDepthLimitExceeded`, which a view that could be created never has.
    pub fn resolve_view(&self, namespace: &Namespace) -> Result<Option<ResolvedView>> {
        let catalog = &self.state().catalog;
        let Some(mut view) = catalog.view(namespace) else { return Ok(None) };
        let mut layers = Vec::new();
        loop {
            layers.push(view);
            match catalog.view(&view.on) {
                None => break,
                Some(_) if layers.len() == DEPTH_MAX => return Err(too_deep()),
                Some(below) => view = below,
            }
        }
        let stages = layers.iter().rev().flat_map(|view| view.pipeline().values()).map(Value::into_owned);
        let collation = view.collation().map(Collation::parse).transpose()?.flatten();
        Ok(Some(ResolvedView { collection: view.on.clone(), stages: stages.collect(), collation }))
    }
}

impl Db {
    /// Checks that there is neither a collection nor a view of a name.
    ///
    /// # Errors
    /// `NamespaceExists`.
    pub fn check_free(&self, namespace: &Namespace) -> Result<()> {
        self.state().catalog.check_free(namespace)
    }

    /// Whether a name is that of a view.
    #[must_use]
    pub fn is_view(&self, namespace: &Namespace) -> bool {
        self.state().catalog.view(namespace).is_some()
    }
}

/// Checks that a view, new or changed, leads to a collection within the limit, that those above it still do, and that
/// all of them compare alike.
///
/// # Errors
/// `GraphContainsCycle`, `ViewDepthLimitExceeded`, `OptionNotSupportedOnView` for collations that differ.
pub(crate) fn check_graph(catalog: &Catalog, new: &View) -> Result<()> {
    let below = |namespace: &Namespace| {
        if *namespace == new.namespace { Some(&new.on) } else { catalog.view(namespace).map(|view| &view.on) }
    };
    let mut path = vec![&new.namespace];
    while let Some(next) = path.last().and_then(|last| below(last)) {
        path.push(next);
        if *next == new.namespace {
            let path: Vec<String> = path.iter().map(ToString::to_string).collect();
            let message = format!("View cycle detected: {}", path.join(" => "));
            return Err(Error::invalid(Code::GraphContainsCycle, message));
        }
        if path.len() > DEPTH_MAX + 1 {
            return Err(too_deep());
        }
    }
    for view in catalog.views_in(&new.namespace.db) {
        let neighbours = view.on == new.namespace || view.namespace == new.on;
        if neighbours && view.collation() != new.collation() {
            let message = format!("View {} has conflicting collation with view {}", new.namespace, view.namespace);
            return Err(Error::invalid(Code::OptionNotSupportedOnView, message));
        }
        let mut depth = 0;
        let mut at = &view.namespace;
        while let Some(next) = below(at) {
            depth += 1;
            at = next;
            if depth > DEPTH_MAX {
                return Err(too_deep());
            }
        }
    }
    Ok(())
}

/// The views that the documents of a `system.views` define.
pub(crate) fn load(snapshot: &Snapshot, home: &Collection) -> Result<Vec<Arc<View>>> {
    let prefix = home.number.to_be_bytes();
    let high = crate::plan::successor(&prefix);
    let high = high.as_deref().map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
    let rows = snapshot.range(Space::Records, std::ops::Bound::Included(&prefix), high);
    let mut views = Vec::new();
    for row in rows {
        let (_, document) = row?;
        let view = View::decode(Doc::new(&document)).ok_or_else(|| crate::catalog::damaged("a view"))?;
        views.push(Arc::new(view));
    }
    Ok(views)
}

fn too_deep() -> Error {
    Error::invalid(
        Code::ViewDepthLimitExceeded,
        format!("View depth too deep or view cycle detected; maximum depth is {DEPTH_MAX}"),
    )
}
