//! Views in commands: making and changing them, and reading through them.
//!
//! Shape:  `{ create: <view>, viewOn: <source>, [pipeline], [collation] }`, `{ collMod: <view>, [viewOn], [pipeline] }`
//! Result: a read of a view is a pipeline over the collection at the bottom: the stages of the views, then the command's
//!         own
//! Errors: `InvalidOptions` 72 for options of collections, `InvalidPipelineOperator` 168 for options that no pipeline has,
//!         `OptionNotSupportedOnView` 167 for a read in another collation
//! Source: MongoDB manual 8.0, "Views".

use std::sync::Arc;

use millstream_db::{Documents, Find, Reader, ResolvedView, TimeLimit, distinct_values};
use millstream_query::expression::Scope;
use millstream_query::predicate::Predicate;
use millstream_query::stage::{Pipeline, Place};
use millstream_value::{ArrayBuf, Code, Doc, DocBuf, Namespace, Value, kind};

use super::find::FindRequest;
use crate::arguments::{Arguments, GENERIC_FIELDS};
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};

/// Makes a view of what the command's `viewOn` names.
pub(super) fn create(arguments: &Arguments<'_>, context: &Context<'_>, namespace: &Namespace, on: &str) -> Result<()> {
    check_options(context, &["collation", "pipeline", "viewOn"])?;
    let collation = super::find::collation(arguments)?.flatten();
    let pipeline = arguments.array("pipeline")?.unwrap_or(Doc::empty());
    context.server.engine.db().create_view(namespace, on, pipeline, collation).map_err(errors::failure)
}

/// Changes a view; a command that says nothing about it changes nothing.
pub(super) fn modify(arguments: &Arguments<'_>, context: &Context<'_>, namespace: &Namespace) -> Result<()> {
    check_options(context, &["pipeline", "viewOn"])?;
    let (on, pipeline) = (arguments.str("viewOn")?, arguments.array("pipeline")?);
    if on.is_none() && pipeline.is_none() {
        return Ok(());
    }
    context.server.engine.db().modify_view(namespace, on, pipeline).map_err(errors::failure)
}

/// Fails on options that only collections have (CS-9.1.2).
fn check_options(context: &Context<'_>, allowed: &[&str]) -> Result<()> {
    let mut options = context.body().elements().skip(1).map(|option| option.key());
    match options.find(|option| !allowed.contains(option) && GENERIC_FIELDS.binary_search(option).is_err()) {
        None => Ok(()),
        Some(option) => Err(Failure::new(Code::InvalidOptions, format!("option not supported on a view: {option}"))),
    }
}

/// The view of this name, if it is one in the state that is read.
pub(super) fn resolve(reader: &Reader, namespace: &Namespace) -> Result<Option<ResolvedView>> {
    reader.resolve_view(namespace).map_err(errors::failure)
}

/// The documents of a view that a `find` asks for.
pub(super) fn find(
    context: &Context<'_>,
    reader: &Reader,
    view: &ResolvedView,
    request: &FindRequest,
) -> Result<Documents> {
    let arguments = context.arguments();
    let refused = [
        (request.tailable, "tailable"),
        (request.no_timeout, "noCursorTimeout"),
        (arguments.document("sort")?.is_some_and(|sort| sort.has("$natural")), "$natural"),
    ];
    if let Some((_, option)) = refused.iter().find(|(given, _)| *given) {
        let message = format!("Option {option} not supported in aggregation.");
        return Err(Failure::new(Code::InvalidPipelineOperator, message));
    }
    read(context, reader, view, &arguments, &request.find.time)
}

/// The number of documents of a view that a `count` asks for.
pub(super) fn count(context: &Context<'_>, reader: &Reader, view: &ResolvedView, time: &TimeLimit) -> Result<u64> {
    let mut count = 0;
    for document in read(context, reader, view, &context.arguments(), time)? {
        document.map_err(errors::failure)?;
        count += 1;
    }
    Ok(count)
}

/// The values in the documents of a view that a `distinct` asks for.
pub(super) fn distinct(
    context: &Context<'_>,
    reader: &Reader,
    view: &ResolvedView,
    path: &str,
    time: &TimeLimit,
) -> Result<ArrayBuf> {
    let rows = read(context, reader, view, &context.arguments(), time)?;
    distinct_values(rows, path, view.collation.as_ref(), time).map_err(errors::failure)
}

fn read(
    context: &Context<'_>,
    reader: &Reader,
    view: &ResolvedView,
    arguments: &Arguments<'_>,
    time: &TimeLimit,
) -> Result<Documents> {
    let pipeline = compile(context, view, arguments, &view.pipeline(stages(context.command.name, arguments)?))?;
    let hint = arguments.element("hint").map(|e| e.value());
    super::aggregate::run(context, reader, &view.collection, &pipeline, hint.as_ref(), time)
}

/// Compiles the stages that read a view, in the collation of the view: a command may name that one, but no other.
pub(super) fn compile(
    context: &Context<'_>,
    view: &ResolvedView,
    arguments: &Arguments<'_>,
    stages: &[Value<'_>],
) -> Result<Pipeline> {
    if super::find::collation(arguments)?.is_some_and(|given| given != view.collation) {
        let message = "Cannot override a view's default collation";
        return Err(Failure::new(Code::OptionNotSupportedOnView, message));
    }
    let scope = Scope { collation: view.collation.clone(), ..super::find::scope(context, None)? };
    Pipeline::parse(stages, &scope, Place::Aggregate).map_err(errors::query)
}

/// What a view's reading command adds to the pipeline.
fn stages<'a>(command: &str, arguments: &Arguments<'a>) -> Result<Vec<Value<'a>>> {
    if command == "aggregate" {
        return Ok(arguments.array("pipeline")?.unwrap_or(Doc::empty()).values().collect());
    }
    let mut stages = Vec::new();
    let mut add = |name: &str, value: Option<Value<'_>>| {
        if let Some(value) = value {
            let mut stage = DocBuf::new();
            stage.push(name, value);
            stages.push(Value::from(stage));
        }
    };
    let document = |name: &str| Ok::<_, Failure>(arguments.document(name)?.filter(|d| !d.is_empty()).map(Value::from));
    let number = |name: &str| Ok::<_, Failure>(arguments.i64(name)?.filter(|n| *n != 0));
    let is_find = command == "find";
    add("$match", document(if is_find { "filter" } else { "query" })?);
    if command == "distinct" {
        return Ok(stages);
    }
    if is_find {
        add("$sort", document("sort")?);
    }
    add("$skip", number("skip")?.map(Value::Int64));
    // A negative limit of `count` is a limit all the same.
    add("$limit", number("limit")?.map(|limit| Value::Int64(limit.saturating_abs())));
    if is_find {
        add("$project", document("projection")?);
    }
    Ok(stages)
}

/// Explains a command on a view: how the collection at the bottom is read.
pub(super) fn explain(
    context: &Context<'_>,
    view: &ResolvedView,
    namespace: &Namespace,
    (command, arguments): (&str, &Arguments<'_>),
    run: bool,
) -> Result<DocBuf> {
    let is_view = || errors::failure(millstream_db::Error::IsView(namespace.clone()));
    if !matches!(command, "aggregate" | "count" | "distinct" | "find") {
        return Err(is_view());
    }
    let own = stages(command, arguments)?;
    if own.first().and_then(|stage| stage.as_doc()).is_some_and(|stage| stage.has("$changeStream")) {
        return Err(is_view());
    }
    let stages = view.pipeline(own);
    let pipeline = compile(context, view, arguments, &stages)?;
    let filter = stages.first().and_then(|stage| stage.as_doc()).and_then(|stage| stage.doc("$match"));
    let prefix = pipeline.prefix();
    let find = Find {
        filter: Arc::new(prefix.predicate.map_or_else(Predicate::always_true, Clone::clone)),
        sort: prefix.sort.cloned(),
        projection: None,
        skip: 0,
        limit: None,
        time: TimeLimit::default(),
        hint: arguments.element("hint").filter(|e| e.kind() != kind::NULL).map(|e| e.value().into_owned()),
    };
    let filter = filter.unwrap_or(Doc::empty());
    context.server.engine.db().now().explain(&view.collection, &find, filter, run).map_err(errors::failure)
}
