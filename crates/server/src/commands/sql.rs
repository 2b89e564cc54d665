//! SQL.
//!
//! Shape:  `{ sql: <text>, [params: [<value>, ..]], [cursor: { batchSize }], [maxTimeMS] }`
//! Result: of a query `{ cursor: { firstBatch, id, ns: "<db>.$cmd.sql" }, columns: [{ name, type }], notices: [..] }`,
//!         of anything else `{ command: <tag>, [n], [rows], notices: [..] }`
//! Errors: 115 CommandNotSupported where nobody runs SQL; else with `sqlstate`, `hint`, `position`, `statement`
//! Source: SQL-1.4, SQL-21.1.

use std::time::Duration;

use millstream_db::Source;
use millstream_value::{Code, Doc, DocBuf};

use super::cursor::Layout;
use super::find::open_cursor;
use super::{Command, Fields, Handler};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::reply::Reply;
use crate::sql::{SqlFailure, SqlRequest, SqlRows};

pub(super) const SQL: Command = Command {
    name: "sql",
    help: "runs SQL: queries, changes as they come, writes and definitions",
    fields: Fields::Only(&["cursor", "params"]),
    waits: true,
    handler: Handler::Async(|context| Box::pin(sql(context))),
    ..Command::DEFAULT
};

/// Where its cursors seem to be.
const NAMESPACE: &str = "$cmd.sql";

async fn sql(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let text = arguments.required("sql", arguments.str("sql")?)?;
    let parameters = arguments.array("params")?.unwrap_or(Doc::empty()).to_buf();
    let limit = arguments.i64("maxTimeMS")?.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
    let Some(runner) = &context.server.options.sql else {
        return Err(Failure::new(Code::CommandNotSupported, "this server runs no SQL"));
    };
    let (database, text) = (context.database.to_owned(), text.to_owned());
    let running = runner.run(SqlRequest { database, text, parameters });
    let done = match limit {
        None => running.await,
        Some(ms) => match tokio::time::timeout(Duration::from_millis(ms), running).await {
            Ok(done) => done,
            Err(_) => return Err(timed_out(ms)),
        },
    };
    let answer = done.map_err(failure)?;
    let mut document = DocBuf::new();
    if let Some(rows) = answer.rows {
        let source = match rows {
            SqlRows::There(rows) => Source::documents(Box::new(rows.into_iter().map(Ok))),
            SqlRows::Coming(tail) => Source::Tail(tail),
        };
        let namespace = format!("{}.{NAMESPACE}", context.database);
        open_cursor(context, source, namespace, Layout::First(None), &mut document)?;
    }
    document.extend(answer.fields.as_doc());
    Ok(document.into())
}

fn timed_out(ms: u64) -> Failure {
    let mut details = DocBuf::new();
    details.push("sqlstate", "57014");
    let message = format!("the statement was cancelled after {ms} ms (maxTimeMS)");
    Failure { details: Some(details), ..Failure::new(Code::MaxTimeMSExpired, message) }
}

fn failure(failure: SqlFailure) -> Failure {
    let SqlFailure { code, message, details, is_transient } = failure;
    let labels = if is_transient { vec!["TransientTransactionError".into()] } else { Vec::new() };
    Failure { labels, details: Some(details), ..Failure::new(Code::from_number(code), message) }
}
