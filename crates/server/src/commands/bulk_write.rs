//! `bulkWrite`: writes to several collections in one command.
//!
//! Shape:  `{ bulkWrite: 1, ops: [{insert: <i>, document} | {update: <i>, filter, updateMods, ..} |
//!         {delete: <i>, filter, multi}], nsInfo: [{ns}], ordered, errorsOnly }`, on `admin`
//! Result: `{ cursor: {firstBatch: [{ok, idx, n, ..}]}, nErrors, nInserted, nMatched, nModified, nUpserted, nDeleted }`
//! Source: MongoDB manual 8.0, "bulkWrite".

use std::sync::Arc;

use bytes::Bytes;
use millstream_db::{Action, Image, Outcome, Source, Statement, WriteCommand, check_collection_name, insert_document};
use millstream_query::expression::Scope;
use millstream_value::{Code, Doc, DocBuf, Namespace};

use super::crud::{self, UpdateParts};
use super::cursor::Layout;
use super::{Command, Database, Fields, Handler, InTransactions};
use crate::arguments::Arguments;
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::own;
use crate::reply::Reply;
use crate::write_concern;

pub(super) const BULK_WRITE: Command = Command {
    name: "bulkWrite",
    help: "writes to several collections at once",
    database: Database::Admin,
    fields: Fields::Only(&[
        "bypassDocumentValidation",
        "cursor",
        "errorsOnly",
        "let",
        "nsInfo",
        "ops",
        "ordered",
        "stmtId",
        "stmtIds",
    ]),
    retryable: true,
    in_transactions: InTransactions::Part,
    handler: Handler::Async(|context| Box::pin(bulk_write(context))),
    ..Command::DEFAULT
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Insert,
    Update,
    Delete,
}

async fn bulk_write(context: &Context<'_>) -> Result<Reply> {
    let ops = crud::documents(context, "ops")?;
    let concern = write_concern::check(context)?;
    let namespaces = namespaces(context)?;
    let ids = crud::statement_ids(context, ops.len())?;
    let arguments = context.arguments();
    let scope = super::find::scope(context, None)?;
    // The statements on a collection compare as it does.
    let of = |ns: &Arc<Namespace>| Scope { collation: crud::default_collation(context, ns), ..scope.clone() };
    let scopes: Vec<Scope> = namespaces.iter().map(of).collect();
    let mut verbs = Vec::with_capacity(ops.len());
    let mut statements = Vec::with_capacity(ops.len());
    let now = context.server.engine.db().clock_time();
    for (op, id) in ops.iter().zip(ids) {
        let doc = Doc::new(op);
        let (verb, at) = verb(doc)?;
        let found = usize::try_from(at).ok().and_then(|at| namespaces.get(at).zip(scopes.get(at)));
        let (namespace, scope) = found.ok_or_else(|| {
            Failure::new(Code::BadValue, format!("BulkWrite ops entry has an invalid nsInfo index {at}."))
        })?;
        let action = match verb {
            Verb::Insert => insert(op, doc, now)?,
            Verb::Update => update(doc, scope)?,
            Verb::Delete => delete(doc, scope)?,
        };
        verbs.push(verb);
        statements.push(Statement { namespace: Arc::clone(namespace), id, action });
    }
    let retry = crud::retry(context);
    if retry.is_some() && statements.iter().any(|s| crud::is_multi(&s.action)) {
        return Err(Failure::new(Code::InvalidOptions, "Cannot use (or request) retryable writes with multi=true"));
    }
    let ordered = arguments.bool("ordered")?.unwrap_or(true);
    let errors_only = arguments.bool("errorsOnly")?.unwrap_or(false);
    let command = WriteCommand { statements, ordered, retry };
    let reply = crate::transaction::write(context, command).await?;
    let mut document = DocBuf::new();
    let rows = rows(&reply.outcomes, &verbs, errors_only);
    let source = Source::documents(Box::new(rows.into_iter().map(Ok)));
    super::find::open_cursor(context, source, "admin.$cmd.bulkWrite".to_owned(), Layout::Bulk, &mut document)?;
    let total = |of: Verb, count: fn(&Outcome) -> u64| {
        crud::int(reply.outcomes.iter().zip(&verbs).filter(|(_, verb)| **verb == of).map(|(o, _)| count(o)).sum())
    };
    let upserted = |o: &Outcome| u64::from(o.upserted.is_some());
    document.push("nErrors", crud::int(reply.outcomes.iter().map(|o| u64::from(o.error.is_some())).sum()));
    document.push("nInserted", total(Verb::Insert, |o| o.n));
    document.push("nMatched", total(Verb::Update, |o| if o.upserted.is_some() { 0 } else { o.n }));
    document.push("nModified", total(Verb::Update, |o| o.modified));
    document.push("nUpserted", total(Verb::Update, upserted));
    document.push("nDeleted", total(Verb::Delete, |o| o.n));
    document.push_some("writeConcernError", concern);
    Ok(Reply { document, operation_time: Some(reply.time), ..Reply::default() })
}

fn namespaces(context: &Context<'_>) -> Result<Vec<Arc<Namespace>>> {
    let infos = crud::documents(context, "nsInfo")?;
    let mut out = Vec::with_capacity(infos.len());
    for info in &infos {
        let arguments = Arguments::new("bulkWrite.nsInfo", Doc::new(info));
        let name = arguments.required("ns", arguments.str("ns")?)?;
        let namespace = Namespace::parse(name);
        if namespace.db.is_empty() || namespace.coll.is_empty() {
            return Err(Failure::new(
                Code::InvalidNamespace,
                format!("Invalid namespace specified for bulkWrite: '{name}'"),
            ));
        }
        check_collection_name(&namespace).map_err(errors::failure)?;
        own::check(context.connection, &namespace.db)?;
        own::check_view(context, &namespace)?;
        out.push(Arc::new(namespace));
    }
    Ok(out)
}

fn verb(op: Doc<'_>) -> Result<(Verb, i64)> {
    let first = op.elements().next();
    let verb = match first.map(|e| e.key()) {
        Some("insert") => Verb::Insert,
        Some("update") => Verb::Update,
        Some("delete") => Verb::Delete,
        other => {
            let message = format!("Unrecognized bulkWrite operation '{}'", other.unwrap_or_default());
            return Err(Failure::new(Code::FailedToParse, message));
        }
    };
    let at = first.and_then(|e| e.value().as_integer());
    Ok((
        verb,
        at.ok_or_else(|| Failure::new(Code::TypeMismatch, "a bulkWrite operation names its namespace by number"))?,
    ))
}

type Parsed = std::result::Result<Action, millstream_db::Error>;

fn insert(op: &Bytes, doc: Doc<'_>, now: millstream_value::ClusterTime) -> Result<Parsed> {
    let arguments = Arguments::new("bulkWrite.ops", doc);
    let document = arguments.required("document", arguments.document("document")?)?;
    Ok(insert_document(&op.slice_ref(document.as_bytes()), now).map(Action::Insert))
}

fn update(doc: Doc<'_>, scope: &Scope) -> Result<Parsed> {
    let arguments = Arguments::new("bulkWrite.ops", doc);
    let parts = UpdateParts::read(&arguments, "filter", "updateMods")?;
    let scope = crud::of_statement(scope, &arguments, arguments.document("constants")?)?;
    Ok(crud::change(parts, &scope).map(|c| Action::Update(Box::new(c))))
}

fn delete(doc: Doc<'_>, scope: &Scope) -> Result<Parsed> {
    let arguments = Arguments::new("bulkWrite.ops", doc);
    let scope = crud::of_statement(scope, &arguments, None)?;
    let filter = arguments.required("filter", arguments.document("filter")?)?;
    let multi = arguments.flag("multi")?.unwrap_or(false);
    let hint = arguments.element("hint").map(|e| e.value().into_owned());
    Ok(crud::removal(filter, multi, None, hint, Image::None, &scope).map(|r| Action::Delete(Box::new(r))))
}

fn rows(outcomes: &[Outcome], verbs: &[Verb], errors_only: bool) -> Vec<Bytes> {
    let mut out = Vec::new();
    for (at, (outcome, verb)) in outcomes.iter().zip(verbs).enumerate() {
        if errors_only && outcome.error.is_none() {
            continue;
        }
        let mut row = DocBuf::new();
        row.push("ok", if outcome.error.is_some() { 0.0 } else { 1.0 });
        row.push("idx", crud::int(u64::try_from(at).unwrap_or(u64::MAX)));
        if let Some(error) = &outcome.error {
            let failure = errors::failure(error.clone());
            row.push("code", failure.code.number()).push("errmsg", &*failure.message);
            if let Some(details) = &failure.details {
                row.extend(details.as_doc());
            }
        }
        row.push("n", crud::int(outcome.n));
        if *verb == Verb::Update {
            row.push("nModified", crud::int(outcome.modified));
        }
        if let Some(id) = &outcome.upserted {
            row.nest("upserted", |u| {
                u.push("_id", id.borrowed());
            });
        }
        out.push(Bytes::from(row.into_bytes()));
    }
    out
}
