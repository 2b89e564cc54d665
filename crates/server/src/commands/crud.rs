//! Writes: `insert`, `update`, `delete`, `findAndModify`.
//!
//! Shape:  `{ insert: <coll>, documents: [..] }`, `{ update: <coll>, updates: [{q, u, ..}] }`,
//!         `{ delete: <coll>, deletes: [{q, limit}] }`, `{ findAndModify: <coll>, query, update | remove, .. }`
//! Result: `{ n, [nModified], [upserted], [writeErrors], [writeConcernError] }` (CS-13.10)
//! Limits: 1 to 100,000 statements, `InvalidLength` 16 otherwise.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use millstream_db::{
    Action, Change, Image, Outcome, Removal, Retry, Statement, WriteCommand, WriteReply, check_collection_name,
    insert_document,
};
use millstream_query::Collation;
use millstream_query::expression::Scope;
use millstream_query::predicate::Predicate;
use millstream_query::projection::{Kind as ProjectionKind, Projection};
use millstream_query::sort::Sort;
use millstream_query::update::Update;
use millstream_value::{ArrayBuf, Code, Doc, DocBuf, Namespace, Value, kind};

use super::{Command, Fields, Handler, InTransactions, Operation};
use crate::arguments::{Arguments, wrong_type};
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::own;
use crate::reply::Reply;
use crate::write_concern;

/// Statements of one command (CS-15).
pub(super) const STATEMENTS_MAX: usize = 100_000;

pub(super) const DELETE: Command = Command {
    name: "delete",
    help: "removes documents",
    fields: Fields::Only(&["bypassDocumentValidation", "deletes", "let", "ordered", "stmtId", "stmtIds"]),
    operation: Operation::Delete,
    writes: true,
    retryable: true,
    in_transactions: InTransactions::Part,
    handler: Handler::Async(|context| Box::pin(batch(context, "deletes", delete_statement))),
    ..Command::DEFAULT
};

pub(super) const FIND_AND_MODIFY: Command = Command {
    name: "findAndModify",
    aliases: &["findandmodify"],
    help: "changes or removes one document and hands it back",
    fields: Fields::Only(&[
        "arrayFilters",
        "bypassDocumentValidation",
        "collation",
        "fields",
        "hint",
        "let",
        "new",
        "query",
        "remove",
        "sort",
        "stmtId",
        "update",
        "upsert",
    ]),
    writes: true,
    retryable: true,
    in_transactions: InTransactions::Part,
    handler: Handler::Async(|context| Box::pin(find_and_modify(context))),
    ..Command::DEFAULT
};

pub(super) const INSERT: Command = Command {
    name: "insert",
    help: "stores documents",
    fields: Fields::Only(&["bypassDocumentValidation", "documents", "ordered", "stmtId", "stmtIds"]),
    operation: Operation::Insert,
    writes: true,
    retryable: true,
    in_transactions: InTransactions::Part,
    handler: Handler::Async(|context| Box::pin(insert(context))),
    ..Command::DEFAULT
};

pub(super) const UPDATE: Command = Command {
    name: "update",
    help: "changes documents",
    fields: Fields::Only(&["bypassDocumentValidation", "let", "ordered", "stmtId", "stmtIds", "updates"]),
    operation: Operation::Update,
    writes: true,
    retryable: true,
    in_transactions: InTransactions::Part,
    handler: Handler::Async(|context| Box::pin(batch(context, "updates", update_statement))),
    ..Command::DEFAULT
};

/// The collection that the command's first field names, fit to be written to.
pub(super) fn writable(context: &Context<'_>) -> Result<Arc<Namespace>> {
    let namespace = super::find::namespace(context)?;
    check_collection_name(&namespace).map_err(errors::failure)?;
    own::check_view(context, &namespace)?;
    Ok(Arc::new(namespace))
}

/// The documents of a field that may come as an array or as a sequence.
pub(super) fn documents(context: &Context<'_>, field: &str) -> Result<Vec<Bytes>> {
    let documents = match context.request.sequence(field) {
        Some(sequence) => sequence.documents().collect(),
        None => {
            let arguments = context.arguments();
            let array = arguments.required(field, arguments.array(field)?)?;
            // Documents of one command are mostly of about the same length.
            let first = array.elements().next().map_or(1, |first| first.bytes().len().max(1));
            let mut out = Vec::with_capacity((array.as_bytes().len() / first).min(STATEMENTS_MAX));
            for (position, element) in array.elements().enumerate() {
                if element.kind() != kind::DOCUMENT {
                    let path = format!("{}.{field}.{position}", context.command.name);
                    return Err(wrong_type(&path, element.kind(), "object"));
                }
                out.push(context.request.body.slice_ref(element.bytes()));
            }
            out
        }
    };
    check_count(documents.len())?;
    Ok(documents)
}

pub(super) fn check_count(count: usize) -> Result<()> {
    if count == 0 || count > STATEMENTS_MAX {
        let message = format!("Write batch sizes must be between 1 and {STATEMENTS_MAX}. Got {count} operations.");
        return Err(Failure::new(Code::InvalidLength, message));
    }
    Ok(())
}

/// How the statements of a command are numbered for a retry: `stmtIds`, or from `stmtId` or 0 on.
pub(super) fn statement_ids(context: &Context<'_>, count: usize) -> Result<Vec<i32>> {
    let arguments = context.arguments();
    if let Some(ids) = arguments.array("stmtIds")? {
        let ids: Vec<i32> =
            ids.values().filter_map(|v| v.as_integer()).filter_map(|id| i32::try_from(id).ok()).collect();
        if ids.len() != count {
            let message = format!(
                "Number of statement ids must match the number of batch entries. Got {} statement ids but {count} operations",
                ids.len()
            );
            return Err(Failure::new(Code::InvalidLength, message));
        }
        return Ok(ids);
    }
    let first = arguments.i64("stmtId")?.and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
    Ok((0..count).map(|at| first.saturating_add(i32::try_from(at).unwrap_or(i32::MAX))).collect())
}

/// Who retries, if this write can be.
pub(super) fn retry(context: &Context<'_>) -> Option<Retry> {
    Some(Retry { session: context.session?.0, number: context.transaction_number? })
}

async fn insert(context: &Context<'_>) -> Result<Reply> {
    let namespace = writable(context)?;
    let documents = documents(context, "documents")?;
    let concern = write_concern::check(context)?;
    let ids = statement_ids(context, documents.len())?;
    let now = context.server.engine.db().clock_time();
    let statements = documents.iter().zip(ids).map(|(document, id)| Statement {
        namespace: Arc::clone(&namespace),
        id,
        action: insert_document(document, now).map(Action::Insert),
    });
    let ordered = context.arguments().bool("ordered")?.unwrap_or(true);
    let command = WriteCommand { statements: statements.collect(), ordered, retry: retry(context) };
    let reply = crate::transaction::write(context, command).await?;
    Ok(report(&reply, concern, false))
}

type ParseStatement = fn(&Context<'_>, Doc<'_>, &Scope) -> Result<std::result::Result<Action, millstream_db::Error>>;

async fn batch(context: &Context<'_>, field: &'static str, parse: ParseStatement) -> Result<Reply> {
    let namespace = writable(context)?;
    let documents = documents(context, field)?;
    let concern = write_concern::check(context)?;
    let ids = statement_ids(context, documents.len())?;
    let scope = super::find::scope(context, default_collation(context, &namespace))?;
    let mut statements = Vec::with_capacity(documents.len());
    for (document, id) in documents.iter().zip(ids) {
        let action = parse(context, Doc::new(document), &scope)?;
        statements.push(Statement { namespace: Arc::clone(&namespace), id, action });
    }
    let retry = retry(context);
    if retry.is_some() && statements.iter().any(|s| is_multi(&s.action)) {
        return Err(Failure::new(Code::InvalidOptions, "Cannot use (or request) retryable writes with multi=true"));
    }
    let ordered = context.arguments().bool("ordered")?.unwrap_or(true);
    let command = WriteCommand { statements, ordered, retry };
    let reply = crate::transaction::write(context, command).await?;
    Ok(report(&reply, concern, field == "updates"))
}

pub(super) fn is_multi(action: &std::result::Result<Action, millstream_db::Error>) -> bool {
    match action {
        Ok(Action::Update(change)) => change.multi,
        Ok(Action::Delete(removal)) => removal.multi,
        Ok(Action::Insert(_)) | Err(_) => false,
    }
}

fn update_statement(
    _: &Context<'_>,
    statement: Doc<'_>,
    scope: &Scope,
) -> Result<std::result::Result<Action, millstream_db::Error>> {
    let arguments = Arguments::new("update.updates", statement);
    arguments.only(&[
        "arrayFilters",
        "c",
        "collation",
        "hint",
        "multi",
        "q",
        "sort",
        "u",
        "upsert",
        "upsertSupplied",
    ])?;
    let parts = UpdateParts::read(&arguments, "q", "u")?;
    let scope = of_statement(scope, &arguments, arguments.document("c")?)?;
    Ok(change(parts, &scope).map(|c| Action::Update(Box::new(c))))
}

/// The collation of a collection that is written to, as the command's transaction sees it if it is part of one.
pub(super) fn default_collation(context: &Context<'_>, namespace: &Namespace) -> Option<Collation> {
    match context.turn {
        Some(turn) => turn.lock().default_collation(namespace),
        None => context.server.engine.db().now().default_collation(namespace),
    }
}

/// The scope of one statement, which may have constants and a collation of its own.
pub(super) fn of_statement<'s>(
    scope: &'s Scope,
    arguments: &Arguments<'_>,
    constants: Option<Doc<'_>>,
) -> Result<Cow<'s, Scope>> {
    let own = super::find::collation(arguments)?;
    if own.is_none() && constants.is_none() {
        return Ok(Cow::Borrowed(scope));
    }
    let scope = Scope { collation: own.unwrap_or_else(|| scope.collation.clone()), ..scope.clone() };
    Ok(Cow::Owned(match constants {
        None => scope,
        Some(constants) => super::find::with_variables(scope, constants),
    }))
}

/// An update as its command spells it.
pub(super) struct UpdateParts<'a> {
    pub(super) filter: Doc<'a>,
    pub(super) update: Value<'a>,
    pub(super) multi: bool,
    pub(super) upsert: bool,
    pub(super) array_filters: Option<Doc<'a>>,
    pub(super) sort: Option<Doc<'a>>,
    pub(super) hint: Option<Value<'static>>,
    pub(super) image: Image,
}

impl<'a> UpdateParts<'a> {
    /// Reads one statement of `update` or `bulkWrite`, which call the filter and the update by different names.
    pub(super) fn read(arguments: &Arguments<'a>, filter: &str, update: &str) -> Result<Self> {
        let filter = arguments.required(filter, arguments.document(filter)?)?;
        let update = arguments.required(update, arguments.element(update))?;
        if !matches!(update.kind(), kind::DOCUMENT | kind::ARRAY) {
            return Err(Failure::new(Code::FailedToParse, "Update argument must be either an object or an array"));
        }
        Ok(Self {
            filter,
            update: update.value(),
            multi: arguments.flag("multi")?.unwrap_or(false),
            upsert: arguments.flag("upsert")?.unwrap_or(false),
            array_filters: arguments.array("arrayFilters")?,
            sort: arguments.document("sort")?,
            hint: arguments.element("hint").map(|e| e.value().into_owned()),
            image: Image::None,
        })
    }
}

/// Compiles an update; what is wrong with it is this statement's own error.
pub(super) fn change(parts: UpdateParts<'_>, scope: &Scope) -> std::result::Result<Change, millstream_db::Error> {
    let filter = Predicate::parse(parts.filter, scope)?;
    let mut array_filters = Vec::new();
    for filter in parts.array_filters.iter().flat_map(|array| array.elements()) {
        let filter = filter
            .as_doc()
            .ok_or_else(|| millstream_db::Error::invalid(Code::TypeMismatch, "array filters must be objects"))?;
        array_filters.push(filter);
    }
    let update = Update::parse(&parts.update, &array_filters, scope)?;
    if parts.multi && update.is_replacement() {
        let message = "multi update is not supported for replacement-style update";
        return Err(millstream_db::Error::invalid(Code::FailedToParse, message));
    }
    let sort = parts.sort.filter(|s| !s.is_empty()).map(|s| Sort::parse(s, scope)).transpose()?;
    Ok(Change {
        id: single_id(parts.filter),
        filter: Arc::new(filter),
        update,
        multi: parts.multi,
        upsert: parts.upsert,
        sort,
        hint: parts.hint,
        image: parts.image,
    })
}

fn delete_statement(
    _: &Context<'_>,
    statement: Doc<'_>,
    scope: &Scope,
) -> Result<std::result::Result<Action, millstream_db::Error>> {
    let arguments = Arguments::new("delete.deletes", statement);
    arguments.only(&["collation", "hint", "limit", "q"])?;
    let filter = arguments.required("q", arguments.document("q")?)?;
    let limit = arguments.required("limit", arguments.i64("limit")?)?;
    if !matches!(limit, 0 | 1) {
        let message = format!("The limit field in delete objects must be 0 or 1. Got {limit}");
        return Err(Failure::new(Code::FailedToParse, message));
    }
    let scope = of_statement(scope, &arguments, None)?;
    let hint = arguments.element("hint").map(|e| e.value().into_owned());
    Ok(removal(filter, limit == 0, None, hint, Image::None, &scope).map(|r| Action::Delete(Box::new(r))))
}

/// Compiles a deletion; what is wrong with it is this statement's own error.
pub(super) fn removal(
    filter: Doc<'_>,
    multi: bool,
    sort: Option<Doc<'_>>,
    hint: Option<Value<'static>>,
    image: Image,
    scope: &Scope,
) -> std::result::Result<Removal, millstream_db::Error> {
    let predicate = Predicate::parse(filter, scope)?;
    let sort = sort.filter(|s| !s.is_empty()).map(|s| Sort::parse(s, scope)).transpose()?;
    Ok(Removal { id: single_id(filter), filter: Arc::new(predicate), multi, sort, hint, image })
}

/// The `_id` that a filter asks for, if it asks for exactly one. Whether that is one document depends on collations.
pub(super) fn single_id(filter: Doc<'_>) -> Option<Value<'static>> {
    let id = filter.element("_id")?;
    let value = match id.as_doc() {
        // `{_id: {$eq: 1}}` and `{_id: {a: 1}}`: the second is a value.
        Some(doc) => {
            let first = doc.elements().next();
            match first {
                Some(e) if e.key() == "$eq" && doc.len() == 1 => e.value(),
                Some(e) if e.key().starts_with('$') => return None,
                _ => id.value(),
            }
        }
        None => id.value(),
    };
    (!matches!(value.kind(), kind::REGEX | kind::ARRAY | kind::UNDEFINED | kind::NULL)).then(|| value.into_owned())
}

/// The reply of `insert`, `update` and `delete`.
fn report(reply: &WriteReply, concern: Option<DocBuf>, updates: bool) -> Reply {
    let mut document = DocBuf::new();
    let total = |count: fn(&Outcome) -> u64| int(reply.outcomes.iter().map(count).sum());
    document.push("n", total(|o| o.n));
    let upserted: Vec<_> =
        reply.outcomes.iter().enumerate().filter_map(|(at, o)| Some((at, o.upserted.as_ref()?))).collect();
    if !upserted.is_empty() {
        document.array("upserted", |list| {
            for (at, id) in upserted {
                let mut row = DocBuf::new();
                row.push("index", int(u64::try_from(at).unwrap_or(u64::MAX))).push("_id", id.borrowed());
                list.push(row);
            }
        });
    }
    let errors = write_errors(&reply.outcomes);
    if !errors.is_empty() {
        document.push("writeErrors", errors);
    }
    if updates {
        document.push("nModified", total(|o| o.modified));
    }
    document.push_some("writeConcernError", concern);
    Reply { document, operation_time: Some(reply.time), ..Reply::default() }
}

fn write_errors(outcomes: &[Outcome]) -> ArrayBuf {
    let mut list = ArrayBuf::new();
    for (at, error) in outcomes.iter().enumerate().filter_map(|(at, o)| Some((at, o.error.as_ref()?))) {
        let failure = errors::failure(error.clone());
        let mut row = DocBuf::new();
        row.push("index", int(u64::try_from(at).unwrap_or(u64::MAX))).push("code", failure.code.number());
        if let Some(details) = &failure.details {
            row.extend(details.as_doc());
        }
        row.push("errmsg", &*failure.message);
        list.push(row);
    }
    list
}

/// A count as the int32 that drivers expect.
pub(super) fn int(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

async fn find_and_modify(context: &Context<'_>) -> Result<Reply> {
    let namespace = writable(context)?;
    let concern = write_concern::check(context)?;
    let arguments = context.arguments();
    let scope = super::find::scope(context, default_collation(context, &namespace))?;
    let filter = arguments.document("query")?.unwrap_or(Doc::empty());
    let remove = arguments.flag("remove")?.unwrap_or(false);
    let new = arguments.flag("new")?.unwrap_or(false);
    let upsert = arguments.flag("upsert")?.unwrap_or(false);
    let update = arguments.element("update");
    let refuse = |message: &'static str| Err(Failure::new(Code::FailedToParse, message));
    match (remove, &update) {
        (false, None) => return refuse("Either an update or remove=true must be specified"),
        (true, Some(_)) => return refuse("Cannot specify both an update and remove=true"),
        (true, None) if upsert => return refuse("Cannot specify both upsert=true and remove=true "),
        (true, None) if new => {
            return refuse(
                "Cannot specify both new=true and remove=true; 'remove' always returns the deleted document",
            );
        }
        _ => {}
    }
    let sort = arguments.document("sort")?;
    let hint = arguments.element("hint").map(|e| e.value().into_owned());
    let action = match update {
        None => removal(filter, false, sort, hint, Image::Before, &scope).map(|r| Action::Delete(Box::new(r))),
        Some(update) => {
            if !matches!(update.kind(), kind::DOCUMENT | kind::ARRAY) {
                return Err(Failure::new(Code::FailedToParse, "Update argument must be either an object or an array"));
            }
            let parts = UpdateParts {
                filter,
                update: update.value(),
                multi: false,
                upsert,
                array_filters: arguments.array("arrayFilters")?,
                sort,
                hint,
                image: if new { Image::After } else { Image::Before },
            };
            change(parts, &scope).map(|c| Action::Update(Box::new(c)))
        }
    };
    let action = action.map_err(errors::failure)?;
    let fields = arguments.document("fields")?.filter(|f| !f.is_empty());
    let projection =
        fields.map(|f| Projection::parse(f, &scope, ProjectionKind::Find)).transpose().map_err(errors::query)?;
    let ids = statement_ids(context, 1)?;
    let statement = Statement { namespace, id: ids.first().copied().unwrap_or(0), action: Ok(action) };
    let command = WriteCommand { statements: vec![statement], ordered: true, retry: retry(context) };
    let reply = crate::transaction::write(context, command).await?;
    let outcome = reply.outcomes.into_iter().next().unwrap_or_default();
    if let Some(error) = outcome.error {
        let mut failure = errors::failure(error);
        failure.message =
            format!("Plan executor error during findAndModify :: caused by :: {}", failure.message).into();
        return Err(failure);
    }
    let mut last = DocBuf::new();
    last.push("n", int(outcome.n));
    if !remove {
        last.push("updatedExisting", outcome.n > 0 && outcome.upserted.is_none());
        if let Some(id) = &outcome.upserted {
            last.push("upserted", id.borrowed());
        }
    }
    let mut document = DocBuf::new();
    document.push("lastErrorObject", last);
    match (outcome.image, projection) {
        (None, _) => document.push("value", Value::Null),
        (Some(image), None) => document.push("value", Doc::new(&image)),
        (Some(image), Some(projection)) => {
            document.push("value", projection.apply(Doc::new(&image)).map_err(errors::query)?)
        }
    };
    document.push_some("writeConcernError", concern);
    Ok(Reply { document, operation_time: Some(reply.time), ..Reply::default() })
}
