//! Reads: `find`, `count`, `distinct`, `explain`.
//!
//! Shape:  `{ find: <coll>, filter, sort, projection, skip, limit, batchSize, singleBatch, hint, tailable, awaitData }`
//! Limits: the first batch has 101 documents unless the client asks otherwise (CS-15).

use std::sync::Arc;
use std::time::Duration;

use millstream_db::{Find, OPLOG, Source, TimeLimit};
use millstream_query::Collation;
use millstream_query::expression::Scope;
use millstream_query::predicate::Predicate;
use millstream_query::projection::{Kind as ProjectionKind, Projection};
use millstream_query::sort::{Direction, Sort};
use millstream_value::{Code, Doc, DocBuf, Namespace, Value, kind};

use super::cursor::Layout;
use super::{Command, Handler, InTransactions, Operation};
use crate::arguments::Arguments;
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::read_concern::{self, Reading};
use crate::reply::Reply;
use crate::transaction;

/// Documents in a first batch (CS-4.3.1).
pub(super) const FIRST_BATCH: usize = 101;

pub(super) const COUNT: Command = Command {
    name: "count",
    help: "counts documents",
    operation: Operation::Query,
    handler: Handler::Blocking(count),
    ..Command::DEFAULT
};

pub(super) const DISTINCT: Command = Command {
    name: "distinct",
    help: "lists the different values of a field",
    operation: Operation::Query,
    in_transactions: InTransactions::Part,
    snapshots: true,
    handler: Handler::Blocking(distinct),
    ..Command::DEFAULT
};

pub(super) const EXPLAIN: Command = Command {
    name: "explain",
    help: "shows how a query is answered",
    handler: Handler::Blocking(explain),
    ..Command::DEFAULT
};

pub(super) const FIND: Command = Command {
    name: "find",
    help: "reads documents",
    operation: Operation::Query,
    in_transactions: InTransactions::Part,
    snapshots: true,
    handler: Handler::Async(|context| Box::pin(find(context))),
    ..Command::DEFAULT
};

/// The collection that the command's first field names.
pub(super) fn namespace(context: &Context<'_>) -> Result<Namespace> {
    named(context.database, collection_name(context)?)
}

/// The text of the command's first field, whatever it is.
pub(super) fn collection_name<'a>(context: &Context<'a>) -> Result<&'a str> {
    let first = context.body().elements().next();
    match first.map(|e| (e.kind(), e.as_str())) {
        Some((_, Some(coll))) => Ok(coll),
        Some((found, None)) => {
            let message = format!("collection name has invalid type {}", millstream_value::type_name(found));
            Err(Failure::new(Code::BadValue, message))
        }
        None => Ok(""),
    }
}

/// A collection's name, checked as far as reading asks for.
pub(super) fn named(database: &str, coll: &str) -> Result<Namespace> {
    let invalid = |message: String| Err(Failure::new(Code::InvalidNamespace, message));
    if coll.is_empty() {
        return invalid(format!("Invalid namespace specified '{database}.'"));
    }
    if coll.starts_with('.') {
        return invalid(format!("Collection names cannot start with '.': {coll}"));
    }
    if coll.contains('\0') || coll.starts_with('$') {
        return invalid(format!("Invalid collection name specified '{database}.{coll}"));
    }
    Ok(Namespace::new(database, coll))
}

/// What expressions of the command may refer to, and how they compare: as the command says, or else as the collection.
pub(super) fn scope(context: &Context<'_>, default: Option<Collation>) -> Result<Scope> {
    let db = context.server.engine.db();
    let mut scope = Scope::at(i64::try_from(db.now_ms()).unwrap_or(i64::MAX));
    scope.cluster_time = Some(db.committed());
    scope.collation = collation(&context.arguments())?.unwrap_or(default);
    match context.arguments().document("let")? {
        None => Ok(scope),
        Some(variables) => Ok(with_variables(scope, variables)),
    }
}

/// The `collation` of a command or a statement, if it names one; `Some(None)` is the simple one.
pub(super) fn collation(arguments: &Arguments<'_>) -> Result<Option<Option<Collation>>> {
    let spec = arguments.document("collation")?.filter(|spec| !spec.is_empty());
    spec.map(|spec| Collation::parse(spec).map_err(errors::query)).transpose()
}

/// A scope with the variables of a `let` or `c` document.
pub(super) fn with_variables(mut scope: Scope, variables: Doc<'_>) -> Scope {
    for element in variables.elements() {
        scope.variables.push((element.key().to_owned(), element.value().into_owned()));
    }
    scope
}

async fn find(context: &Context<'_>) -> Result<Reply> {
    let namespace = namespace(context)?;
    // One document by its `_id` is read on the spot; anything else may take long.
    let arguments = context.arguments();
    let filter = arguments.document("filter")?.unwrap_or(Doc::empty());
    let is_id = filter.has("_id") && super::crud::single_id(filter).is_some();
    if is_id && arguments.element("collation").is_none() && !context.server.engine.db().is_view(&namespace) {
        return run_find(context, &namespace);
    }
    crate::dispatch::blocking(|| run_find(context, &namespace))
}

fn run_find(context: &Context<'_>, namespace: &Namespace) -> Result<Reply> {
    let arguments = context.arguments();
    transaction::check_collection(context, namespace)?;
    let Reading { reader, at } = read_concern::reading(context)?;
    let view = super::views::resolve(&reader, namespace)?;
    let request = FindRequest::parse(context, reader.default_collation(namespace), &arguments)?;
    let db = context.server.engine.db();
    let source = if let Some(view) = view {
        Source::at(super::views::find(context, &reader, &view, &request)?, request.find.time.clone(), at)
    } else if namespace.to_string() == OPLOG {
        request.oplog(db)?
    } else {
        if request.tailable {
            if db.collection_uuid(namespace).is_some() {
                let message = "error processing query: tailable cursor requested on non capped collection";
                return Err(Failure::new(Code::BadValue, message));
            }
            return Ok(empty_cursor(namespace).into());
        }
        let time = request.find.time.clone();
        let rows = reader.find(namespace, request.find).map_err(errors::failure)?;
        Source::at(rows, time, at)
    };
    let first = if request.single_batch { Batching::Single(request.batch) } else { Batching::First(request.batch) };
    let mut document = DocBuf::with_capacity(512);
    open_batched(context, source, namespace.to_string(), first, request.no_timeout, Layout::First(at), &mut document)?;
    Ok(document.into())
}

pub(super) struct FindRequest {
    pub(super) find: Find,
    batch: usize,
    single_batch: bool,
    pub(super) tailable: bool,
    awaits: bool,
    pub(super) no_timeout: bool,
    natural_backwards: bool,
}

impl FindRequest {
    fn parse(context: &Context<'_>, default: Option<Collation>, arguments: &Arguments<'_>) -> Result<Self> {
        check_fields(arguments)?;
        let time = time_limit(arguments)?;
        let scope = scope(context, default)?;
        let filter = arguments.document("filter")?.unwrap_or(Doc::empty());
        let sort = arguments.document("sort")?.filter(|s| !s.is_empty());
        let natural = sort.and_then(|s| s.get("$natural"));
        let hint = arguments.element("hint").map(|e| e.value().into_owned());
        let hint = hint.filter(|h| h.as_doc().is_none_or(|d| !d.is_empty()));
        let natural_hint =
            hint.as_ref().and_then(|h| h.as_doc()).and_then(|d| d.get("$natural").map(Value::into_owned));
        let natural_backwards =
            [&natural, &natural_hint].iter().any(|n| n.as_ref().and_then(|v| v.as_f64()).is_some_and(|d| d < 0.0));
        let hint = match &natural {
            Some(direction) => {
                let mut hint = DocBuf::new();
                hint.push("$natural", direction.borrowed());
                Some(Value::from(hint))
            }
            None => hint,
        };
        let projection = arguments.document("projection")?.filter(|p| !p.is_empty());
        let (mut limit, mut single_batch) =
            (arguments.i64("limit")?.unwrap_or(0), arguments.flag("singleBatch")?.unwrap_or(false));
        if limit < 0 {
            return Err(negative("limit", limit));
        }
        let skip = arguments.i64("skip")?.unwrap_or(0);
        let skip = u64::try_from(skip).map_err(|_| negative("skip", skip))?;
        let batch = match arguments.i64("batchSize")? {
            None => FIRST_BATCH,
            Some(size) => usize::try_from(size).map_err(|_| negative("batchSize", size))?,
        };
        if limit == 1 {
            single_batch = true;
        }
        if limit == i64::MAX {
            limit = 0;
        }
        let tailable = arguments.flag("tailable")?.unwrap_or(false);
        let awaits = arguments.flag("awaitData")?.unwrap_or(false);
        if awaits && !tailable {
            return Err(Failure::new(Code::FailedToParse, "Cannot set 'awaitData' without also setting 'tailable'"));
        }
        if tailable && (single_batch || natural_backwards || (sort.is_some() && natural.is_none())) {
            let message = "cannot use tailable option with a sort other than {$natural: 1} or with singleBatch";
            return Err(Failure::new(Code::BadValue, message));
        }
        let limit = u64::try_from(limit).ok().filter(|l| *l > 0);
        let sort = if natural.is_some() { None } else { sort };
        Ok(Self {
            find: Find {
                filter: Arc::new(Predicate::parse(filter, &scope).map_err(errors::query)?),
                sort: sort.map(|s| Sort::parse(s, &scope)).transpose().map_err(errors::query)?,
                projection: projection
                    .map(|p| Projection::parse(p, &scope, ProjectionKind::Find))
                    .transpose()
                    .map_err(errors::query)?,
                skip,
                limit,
                hint,
                time,
            },
            batch,
            single_batch,
            tailable,
            awaits,
            no_timeout: arguments.flag("noCursorTimeout")?.unwrap_or(false),
            natural_backwards,
        })
    }

    /// The same query on the log.
    fn oplog(&self, db: &millstream_db::Db) -> Result<Source> {
        if self.tailable {
            let tail = db.tail_oplog(Arc::clone(&self.find.filter), self.find.projection.clone(), self.awaits);
            return Ok(Source::Oplog(Box::new(tail)));
        }
        let by_time = self.find.sort.as_ref().map(|sort| {
            sort.keys()
                .iter()
                .map(|k| (k.path().as_str().to_owned(), k.direction() == Direction::Descending))
                .collect::<Vec<_>>()
        });
        let backwards = match by_time.as_deref() {
            None => self.natural_backwards,
            Some([(path, descending)]) if path == "ts" => *descending,
            Some(_) => {
                let message = "the log can be sorted by ts and by $natural only";
                return Err(Failure::new(Code::BadValue, message));
            }
        };
        let time = self.find.time.clone();
        let rows = db.oplog(Arc::clone(&self.find.filter), backwards, time.clone());
        let skip = usize::try_from(self.find.skip).unwrap_or(usize::MAX);
        let limit = self.find.limit.map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(usize::MAX));
        let rows = rows.skip(skip).take(limit);
        let Some(projection) = self.find.projection.clone() else { return Ok(Source::limited(Box::new(rows), time)) };
        let rows = rows.map(move |doc| Ok(projection.apply(Doc::new(&doc?))?.into_bytes().into()));
        Ok(Source::limited(Box::new(rows), time))
    }
}

fn negative(field: &str, value: i64) -> Failure {
    let message = format!("BSON field '{field}' value must be >= 0, actual value '{value}'");
    Failure::new(Code::Location(51024), message)
}

/// What `find` may have beside the generic fields.
const FIND_FIELDS: &[&str] = &[
    "allowDiskUse",
    "allowPartialResults",
    "awaitData",
    "batchSize",
    "collation",
    "filter",
    "find",
    "hint",
    "let",
    "limit",
    "max",
    "min",
    "noCursorTimeout",
    "oplogReplay",
    "projection",
    "returnKey",
    "showRecordId",
    "singleBatch",
    "skip",
    "sort",
    "tailable",
];

fn check_fields(arguments: &Arguments<'_>) -> Result<()> {
    arguments.only_or_generic(FIND_FIELDS)?;
    for refused in ["max", "min"] {
        if arguments.document(refused)?.is_some_and(|d| !d.is_empty()) {
            return Err(Failure::new(Code::NotImplemented, format!("the option '{refused}' is not supported")));
        }
    }
    for refused in ["returnKey", "showRecordId"] {
        if arguments.flag(refused)?.unwrap_or(false) {
            return Err(Failure::new(Code::NotImplemented, format!("the option '{refused}' is not supported")));
        }
    }
    Ok(())
}

/// `maxTimeMS` fits an int32 and is not negative; 0 is no limit.
pub(crate) fn time_limit(arguments: &Arguments<'_>) -> Result<TimeLimit> {
    match arguments.i64("maxTimeMS")?.map(|limit| (limit, u32::try_from(limit))) {
        None | Some((_, Ok(0))) => Ok(TimeLimit::default()),
        Some((limit, Ok(ms))) if limit <= i64::from(i32::MAX) => Ok(TimeLimit::of(Duration::from_millis(ms.into()))),
        Some((limit, _)) => Err(Failure::new(Code::BadValue, format!("{limit} value for maxTimeMS is out of range"))),
    }
}

/// How much of a result goes into the first reply.
pub(super) enum Batching {
    /// So many; the rest stays in a cursor.
    First(usize),
    /// So many and no more.
    Single(usize),
}

/// The first reply of a cursor, with the command's own `cursor.batchSize`.
pub(super) fn open_cursor(
    context: &Context<'_>,
    source: Source,
    namespace: String,
    layout: Layout,
    document: &mut DocBuf,
) -> Result<()> {
    let arguments = context.arguments();
    let cursor = Arguments::new("cursor", arguments.document("cursor")?.unwrap_or(Doc::empty()));
    let batch = match cursor.i64("batchSize")? {
        None => FIRST_BATCH,
        Some(size) => usize::try_from(size)
            .map_err(|_| Failure::new(Code::BadValue, format!("cursor.batchSize must not be negative, got {size}")))?,
    };
    open_batched(context, source, namespace, Batching::First(batch), false, layout, document)
}

pub(super) fn open_batched(
    context: &Context<'_>,
    mut source: Source,
    namespace: String,
    batching: Batching,
    no_timeout: bool,
    layout: Layout,
    document: &mut DocBuf,
) -> Result<()> {
    let (count, keep) = match batching {
        Batching::First(count) => (count, true),
        Batching::Single(count) => (if count == 0 { 1 } else { count }, false),
    };
    let what = match context.command.name {
        "find" => "Executor error during find command",
        _ => "PlanExecutor error during aggregation",
    };
    let batch = source.batch(count).map_err(|error| during(context, error, what))?;
    let id = if batch.exhausted || !keep {
        0
    } else {
        let cursors = context.server.engine.db().cursors();
        let id = cursors.keep(source, namespace.clone(), context.owner(), no_timeout).map_err(errors::failure)?;
        if let Some(turn) = context.turn {
            turn.lock().opened(id).map_err(errors::failure)?;
        }
        id
    };
    super::cursor::write(document, layout, &batch, id, &namespace);
    Ok(())
}

/// A failure while documents are produced, as MongoDB words it for change streams and pipelines (CS-8.2.2).
pub(super) fn during(context: &Context<'_>, error: millstream_db::Error, what: &str) -> Failure {
    let prefixed = matches!(error, millstream_db::Error::Change(_) | millstream_db::Error::Query(_));
    let mut failure = errors::failure(error);
    if prefixed {
        if failure.code == Code::BSONObjectTooLarge {
            context.server.counters.large_events_failed.add(1);
        }
        failure.message = format!("{what} :: caused by :: {}", failure.message).into();
    }
    failure
}

fn empty_cursor(namespace: &Namespace) -> DocBuf {
    let mut document = DocBuf::new();
    let batch = millstream_db::Batch::default();
    super::cursor::write(&mut document, Layout::First(None), &batch, 0, &namespace.to_string());
    document
}

fn count(context: &Context<'_>) -> Result<Reply> {
    let namespace = namespace(context)?;
    let arguments = context.arguments();
    arguments.only_or_generic(&["collation", "count", "fields", "hint", "limit", "query", "skip"])?;
    let Reading { reader, .. } = read_concern::reading(context)?;
    let time = time_limit(&arguments)?;
    let scope = scope(context, reader.default_collation(&namespace))?;
    let filter = arguments.document("query")?.unwrap_or(Doc::empty());
    let limit = arguments.i64("limit")?.unwrap_or(0).unsigned_abs();
    let skip = arguments.i64("skip")?.unwrap_or(0);
    let find = Find {
        filter: Arc::new(Predicate::parse(filter, &scope).map_err(errors::query)?),
        sort: None,
        projection: None,
        skip: u64::try_from(skip).map_err(|_| negative("skip", skip))?,
        limit: Some(limit).filter(|l| *l > 0),
        hint: arguments.element("hint").map(|e| e.value().into_owned()),
        time,
    };
    let count = match super::views::resolve(&reader, &namespace)? {
        Some(view) => super::views::count(context, &reader, &view, &find.time)?,
        None => reader.count(&namespace, &find).map_err(errors::failure)?,
    };
    let mut document = DocBuf::new();
    match i32::try_from(count) {
        Ok(count) => document.push("n", count),
        Err(_) => document.push("n", i64::try_from(count).unwrap_or(i64::MAX)),
    };
    Ok(document.into())
}

fn distinct(context: &Context<'_>) -> Result<Reply> {
    let namespace = namespace(context)?;
    let arguments = context.arguments();
    arguments.only_or_generic(&["collation", "distinct", "hint", "key", "query"])?;
    transaction::check_collection(context, &namespace)?;
    let Reading { reader, at } = read_concern::reading(context)?;
    let time = time_limit(&arguments)?;
    let scope = scope(context, reader.default_collation(&namespace))?;
    let path = arguments.required("key", arguments.str("key")?)?;
    let filter = arguments.document("query")?.unwrap_or(Doc::empty());
    let filter = Arc::new(Predicate::parse(filter, &scope).map_err(errors::query)?);
    let hint = arguments.element("hint").map(|e| e.value());
    let values = match super::views::resolve(&reader, &namespace)? {
        Some(view) => super::views::distinct(context, &reader, &view, path, &time)?,
        None => reader.distinct(&namespace, path, &filter, hint.as_ref(), &time).map_err(errors::failure)?,
    };
    let mut document = DocBuf::new();
    document.push("values", values).push_some("atClusterTime", at);
    Ok(document.into())
}

fn explain(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let command = arguments.required("explain", arguments.document("explain")?)?;
    let verbosity = arguments.str("verbosity")?.unwrap_or("allPlansExecution");
    let run = match verbosity {
        "queryPlanner" => false,
        "executionStats" | "allPlansExecution" => true,
        _ => {
            let message = "verbosity string must be one of {'queryPlanner', 'executionStats', 'allPlansExecution'}";
            return Err(Failure::new(Code::FailedToParse, message));
        }
    };
    explain_command(context, command, run)
}

/// Explains a command document; also what `explain: true` in an `aggregate` comes to.
pub(super) fn explain_command(context: &Context<'_>, command: Doc<'_>, run: bool) -> Result<Reply> {
    let first = command.elements().next();
    let (name, coll) = (first.map_or("", |e| e.key()), first.and_then(|e| e.as_str()));
    let namespace = named(context.database, coll.unwrap_or_default())?;
    let inner = Arguments::new(name, command);
    let reader = context.server.engine.db().now();
    if let Some(view) = super::views::resolve(&reader, &namespace)? {
        let document = super::views::explain(context, &view, &namespace, (name, &inner), run)?;
        return Ok(explained(context, command, document));
    }
    let mut scope = scope(context, reader.default_collation(&namespace))?;
    let statement = |field: &str| {
        let statements = inner.array(field)?;
        Ok::<_, Failure>(statements.and_then(|s| s.elements().next()).and_then(|e| e.as_doc()).unwrap_or(Doc::empty()))
    };
    let (filter, options) = match name {
        "find" => (command.doc("filter"), command),
        "count" | "distinct" => (command.doc("query"), command),
        "findAndModify" | "findandmodify" => (command.doc("query"), command),
        "update" => {
            let first = statement("updates")?;
            (first.doc("q"), first)
        }
        "delete" => {
            let first = statement("deletes")?;
            (first.doc("q"), first)
        }
        "aggregate" => {
            let stages = inner.array("pipeline")?.unwrap_or(Doc::empty());
            let first = stages.elements().next().and_then(|e| e.as_doc());
            (first.and_then(|s| s.doc("$match")), command)
        }
        other => {
            let message = format!("Explain failed due to unknown command: {other}");
            return Err(Failure::new(Code::CommandNotFound, message));
        }
    };
    if let Some(own) = collation(&Arguments::new(name, options))? {
        scope.collation = own;
    }
    let filter = filter.unwrap_or(Doc::empty());
    let sort = if matches!(name, "find" | "findAndModify" | "findandmodify") { options.doc("sort") } else { None };
    let hint = options.element("hint").filter(|e| e.kind() != kind::NULL).map(|e| e.value().into_owned());
    let find = Find {
        filter: Arc::new(Predicate::parse(filter, &scope).map_err(errors::query)?),
        sort: sort.filter(|s| !s.is_empty()).map(|s| Sort::parse(s, &scope)).transpose().map_err(errors::query)?,
        projection: None,
        skip: 0,
        limit: None,
        hint,
        time: TimeLimit::default(),
    };
    let document = reader.explain(&namespace, &find, filter, run).map_err(errors::failure)?;
    Ok(explained(context, command, document))
}

fn explained(context: &Context<'_>, command: Doc<'_>, mut document: DocBuf) -> Reply {
    document.push("command", command);
    document.nest("serverInfo", |info| {
        info.push("host", context.connection.address.as_str()).push("version", super::diagnostics::COMPATIBLE_VERSION);
    });
    document.into()
}
