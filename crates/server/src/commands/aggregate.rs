//! `aggregate`: pipelines over a collection, and change streams.
//!
//! Shape:  `{ aggregate: <coll> | 1, pipeline: [..], cursor: {batchSize}, [explain], [hint], [let], .. }`
//! Errors: CS-3.2, CS-4.2, CS-6.1 for change streams

use millstream_change::Spec;
use millstream_db::{Documents, Reader, Source, TimeLimit};
use millstream_query::stage::{Pipeline, Place};
use millstream_value::{Code, Doc, DocBuf, Namespace, Value};

use super::cursor::Layout;
use super::{Command, Handler, InTransactions, Operation};
use crate::arguments::Arguments;
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::read_concern::{self, Reading};
use crate::reply::Reply;
use crate::transaction;

pub(super) const AGGREGATE: Command = Command {
    name: "aggregate",
    help: "runs a pipeline, or opens a change stream",
    operation: Operation::Query,
    in_transactions: InTransactions::Part,
    snapshots: true,
    handler: Handler::Blocking(aggregate),
    ..Command::DEFAULT
};

const FIELDS: &[&str] = &[
    "aggregate",
    "allowDiskUse",
    "bypassDocumentValidation",
    "collation",
    "collectionUUID",
    "cursor",
    "explain",
    "hint",
    "let",
    "pipeline",
];

fn aggregate(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    arguments.only_or_generic(FIELDS)?;
    let coll = collection(context)?;
    let stages = arguments.required("pipeline", arguments.array("pipeline")?)?;
    let stages: Vec<Value<'_>> = stages.values().collect();
    let explain = arguments.flag("explain")?.unwrap_or(false);
    if arguments.document("cursor")?.is_none() && !explain {
        let message = "The 'cursor' option is required, except for aggregate with the explain argument";
        return Err(Failure::new(Code::FailedToParse, message));
    }
    let time = super::find::time_limit(&arguments)?;
    let first = stages.first().and_then(|s| s.as_doc()).and_then(|s| s.elements().next());
    if context.turn.is_some() {
        check_in_transaction(first.map_or("", |stage| stage.key()), explain)?;
    }
    if let Some(options) = first.filter(|e| e.key() == "$changeStream") {
        read_concern::check(context)?;
        return watch(context, &arguments, coll, &options.value(), stages.get(1..).unwrap_or_default(), explain);
    }
    let Some(coll) = coll else {
        read_concern::check(context)?;
        let scope = super::find::scope(context, None)?;
        Pipeline::parse(&stages, &scope, Place::Aggregate).map_err(errors::query)?;
        let stage = first.map_or("an empty pipeline", |stage| stage.key());
        let message = format!("{{aggregate: 1}} is not valid for '{stage}'; a collection is required.");
        return Err(Failure::new(Code::InvalidNamespace, message));
    };
    let namespace = super::find::named(context.database, coll)?;
    transaction::check_collection(context, &namespace)?;
    let Reading { reader, at } = read_concern::reading(context)?;
    if explain {
        return super::find::explain_command(context, context.body(), true);
    }
    // `$collStats` is about the name itself; everything else reads what a view shows.
    let view = match first.map(|e| e.key()) {
        Some("$collStats") => None,
        _ => super::views::resolve(&reader, &namespace)?,
    };
    let (source, pipeline) = match &view {
        None => {
            let scope = super::find::scope(context, reader.default_collation(&namespace))?;
            (&namespace, Pipeline::parse(&stages, &scope, Place::Aggregate).map_err(errors::query)?)
        }
        Some(view) => {
            (&view.collection, super::views::compile(context, view, &arguments, &view.pipeline(stages.clone()))?)
        }
    };
    let hint = arguments.element("hint").map(|e| e.value());
    let rows = run(context, &reader, source, &pipeline, hint.as_ref(), &time)?;
    let mut document = DocBuf::with_capacity(512);
    super::find::open_cursor(
        context,
        Source::at(rows, time, at),
        namespace.to_string(),
        Layout::First(at),
        &mut document,
    )?;
    Ok(document.into())
}

/// Fails for what looks at more than a transaction's own state: at what is to come, at statistics, at plans.
fn check_in_transaction(first: &str, explain: bool) -> Result<()> {
    let message = match first {
        "$changeStream" | "$collStats" => format!(
            "Operation not permitted in transaction :: caused by :: Aggregation stage {first} cannot run within a \
             multi-document transaction"
        ),
        _ if explain => "Cannot run 'explain' in a multi-document transaction.".to_owned(),
        _ => return Ok(()),
    };
    Err(Failure::new(Code::OperationNotSupportedInTransaction, message))
}

/// The documents that a pipeline makes of a collection.
pub(super) fn run(
    context: &Context<'_>,
    reader: &Reader,
    collection: &Namespace,
    pipeline: &Pipeline,
    hint: Option<&Value<'_>>,
    time: &TimeLimit,
) -> Result<Documents> {
    let Some(options) = pipeline.coll_stats() else {
        return reader.aggregate(collection, pipeline, hint, time).map_err(errors::failure);
    };
    let stats = super::stats::stage(context, collection, options)?;
    let rows = pipeline.run(std::iter::once(Ok(stats)));
    Ok(Box::new(rows.map(|row| Ok(row?.into_bytes().into()))))
}

/// The collection, or none for `{aggregate: 1}` (CS-3.1.1).
fn collection<'a>(context: &Context<'a>) -> Result<Option<&'a str>> {
    let first = context.body().elements().next();
    match first.map(|e| (e.as_str(), e.value())) {
        Some((Some(coll), _)) if coll.starts_with("$cmd") => {
            let message = format!("Invalid namespace specified '{}.{coll}'", context.database);
            Err(Failure::new(Code::InvalidNamespace, message))
        }
        Some((Some(coll), _)) => Ok(Some(coll)),
        Some((None, number)) if number.as_integer() == Some(1) => Ok(None),
        _ => {
            let message = "Invalid command format: the 'aggregate' field must specify a collection name or 1";
            Err(Failure::new(Code::FailedToParse, message))
        }
    }
}

fn watch(
    context: &Context<'_>,
    arguments: &Arguments<'_>,
    coll: Option<&str>,
    options: &Value<'_>,
    stages: &[Value<'_>],
    explain: bool,
) -> Result<Reply> {
    if arguments.element("collectionUUID").is_some() {
        return Err(Failure::new(Code::Location(4_928_900), "collectionUUID is not supported on a change stream"));
    }
    let options = millstream_change::Options::parse(options).map_err(|e| errors::failure(e.into()))?;
    let level = arguments.document("readConcern")?.and_then(|c| c.str("level"));
    if level.is_some_and(|level| level != "majority") {
        let message = format!(
            "$changeStream cannot run with a readConcern other than 'majority'. Current readConcern: {{ level: \"{}\" }}",
            level.unwrap_or_default()
        );
        return Err(Failure::new(Code::InvalidOptions, message));
    }
    if arguments.flag("apiStrict")?.unwrap_or(false) {
        refuse_unstable(context)?;
    }
    let scope =
        millstream_change::Scope::of(context.database, coll, &options).map_err(|e| errors::failure(e.into()))?;
    // The collation of the collection is not inherited (CS-3.3.4).
    let variables = super::find::scope(context, None)?;
    let counters = &context.server.counters;
    counters.change_streams.add(1);
    counters.expanded_streams.add(u64::from(options.show_expanded_events));
    let spec = Spec { scope, options, stages, variables: &variables };
    let stream = context.server.engine.db().watch(spec).map_err(errors::failure)?;
    if explain {
        let mut document = DocBuf::new();
        document.nest("queryPlanner", |p| {
            p.push("winningPlan", "change stream");
        });
        return Ok(document.into());
    }
    let namespace = match coll {
        Some(coll) => Namespace::new(context.database, coll).to_string(),
        None => format!("{}.$cmd.aggregate", context.database),
    };
    let mut document = DocBuf::with_capacity(512);
    super::find::open_cursor(
        context,
        Source::Changes(Box::new(stream)),
        namespace,
        Layout::First(None),
        &mut document,
    )?;
    Ok(document.into())
}

/// Options that are not in the stable API (CS-4.2.9).
fn refuse_unstable(context: &Context<'_>) -> Result<()> {
    let stages = context.arguments().array("pipeline")?.unwrap_or(Doc::empty());
    let options = stages.elements().next().and_then(|e| e.as_doc()).and_then(|s| s.doc("$changeStream"));
    for unstable in ["millstream", "showExpandedEvents", "showRawUpdateDescription", "showSystemEvents"] {
        if options.is_some_and(|o| o.has(unstable)) {
            let message = format!(
                "stage $changeStream is not allowed to have '{unstable}' with 'apiStrict: true' in API Version 1"
            );
            return Err(Failure::new(Code::APIStrictError, message));
        }
    }
    Ok(())
}
