//! Cursors: `getMore`, `killCursors`, and the form of a cursor's replies.
//!
//! Shape:  `{ getMore: <long>, collection: <string>, [batchSize], [maxTimeMS] }` (CS-8.3)
//!         `{ killCursors: <coll>, cursors: [<long>, ..] }` (CS-8.4)

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use millstream_db::Batch;
use millstream_value::{ArrayBuf, ClusterTime, Code, DocBuf, kind};
use tokio::time::{Instant, timeout_at};

use super::{Command, Fields, Handler, InTransactions, Operation};
use crate::arguments::wrong_type;
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::reply::{Afterwards, Reply};

/// How long a `getMore` waits for something unless the client says otherwise (CS-8.3.2).
const AWAIT_DEFAULT: Duration = Duration::from_secs(1);

pub(super) const GET_MORE: Command = Command {
    name: "getMore",
    help: "reads the next documents of a cursor",
    fields: Fields::Only(&["batchSize", "collection", "term"]),
    operation: Operation::GetMore,
    waits: true,
    in_transactions: InTransactions::Later,
    handler: Handler::Async(|context| Box::pin(get_more(context))),
    ..Command::DEFAULT
};

pub(super) const KILL_CURSORS: Command = Command {
    name: "killCursors",
    help: "closes cursors",
    fields: Fields::Only(&["cursors"]),
    in_transactions: InTransactions::Later,
    handler: Handler::Inline(kill_cursors),
    ..Command::DEFAULT
};

/// The order of fields in a reply's `cursor`, which differs by command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `firstBatch, [postBatchResumeToken], [invalidated], [atClusterTime], id, ns` of queries and streams (CS-8.2.1);
    /// the time is that of a snapshot that was asked for.
    First(Option<ClusterTime>),
    /// The same with `nextBatch`.
    Next,
    /// `id, firstBatch, ns` of `bulkWrite`.
    Bulk,
    /// `id, ns, firstBatch` of `listCollections` and `listIndexes`.
    Listing,
}

/// Writes `cursor: {..}`.
pub(super) fn write(document: &mut DocBuf, layout: Layout, batch: &Batch, id: i64, namespace: &str) {
    let size: usize = batch.documents.iter().map(|d| d.len() + 12).sum();
    document.reserve(size + 512);
    document.nest("cursor", |cursor| {
        match layout {
            Layout::First(_) | Layout::Next => {}
            Layout::Bulk => {
                cursor.push("id", id);
            }
            Layout::Listing => {
                cursor.push("id", id).push("ns", namespace);
            }
        }
        cursor.array(if layout == Layout::Next { "nextBatch" } else { "firstBatch" }, |list| {
            for doc in &batch.documents {
                list.push_document(doc);
            }
        });
        if let Some(token) = &batch.post_batch_token {
            cursor.push("postBatchResumeToken", token);
        }
        if batch.invalidated {
            cursor.push("invalidated", true);
        }
        if let Layout::First(Some(at)) = layout {
            cursor.push("atClusterTime", at);
        }
        match layout {
            Layout::First(_) | Layout::Next => {
                cursor.push("id", id).push("ns", namespace);
            }
            Layout::Bulk => {
                cursor.push("ns", namespace);
            }
            Layout::Listing => {}
        }
    });
}

async fn get_more(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let id = match context.body().elements().next() {
        Some(e) if e.kind() == kind::INT64 => e.value().as_integer().unwrap_or(0),
        other => return Err(wrong_type("getMore.getMore", other.map_or(0, |e| e.kind()), "long")),
    };
    let coll = arguments.required("collection", arguments.str("collection")?)?;
    let count = match arguments.i64("batchSize")? {
        None | Some(0) => usize::MAX,
        Some(size) => usize::try_from(size).map_err(|_| {
            Failure::new(Code::BadValue, format!("batchSize for getMore must be positive, found: {size}"))
        })?,
    };
    let wait = arguments.i64("maxTimeMS")?;
    let namespace = format!("{}.{coll}", context.database);
    let cursors = context.server.engine.db().cursors();
    let owner = context.owner();
    let mut lease =
        poll_fn(|cx| cursors.poll_lease(id, &namespace, owner, cx.waker())).await.map_err(errors::failure)?;
    let source = lease.source().map_err(errors::failure)?;
    let awaits = source.awaits();
    if wait.is_some_and(|ms| ms > 0) && !awaits {
        lease.give_back();
        let message = "cannot set maxTimeMS on getMore command for a non-awaitData cursor";
        return Err(Failure::new(Code::BadValue, message));
    }
    let wait = wait.map_or(AWAIT_DEFAULT, |ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
    let mut deadline = None;
    let mut batch = loop {
        let source = lease.source().map_err(errors::failure)?;
        let long = source.may_take_long();
        let mut read = || source.batch(count);
        let batch = if long { crate::dispatch::blocking(read) } else { read() };
        let batch = batch.map_err(|e| super::find::during(context, e, "Executor error during getMore"))?;
        if !awaits || batch.exhausted || !batch.documents.is_empty() || wait.is_zero() {
            break batch;
        }
        if batch.unfinished {
            continue;
        }
        let until = *deadline.get_or_insert_with(|| Instant::now() + wait);
        let ready = poll_fn(|cx| if lease.poll_ready(cx.waker()) { Poll::Ready(()) } else { Poll::Pending });
        if timeout_at(until, ready).await.is_err() {
            // One last look: the empty reply's token is to tell how far the log was seen.
            let source = lease.source().map_err(errors::failure)?;
            break source.batch(count).map_err(|e| super::find::during(context, e, "Executor error during getMore"))?;
        }
    };
    let mut document = DocBuf::with_capacity(256);
    let id = if batch.exhausted { 0 } else { id };
    write(&mut document, Layout::Next, &batch, id, &namespace);
    let mut afterwards = Afterwards { share: batch.share.take(), read_ahead: None };
    // A client that is behind gets its next batch made while it works on this one.
    if awaits && batch.unfinished && !batch.documents.is_empty() {
        afterwards.read_ahead = Some(lease.read_ahead());
    } else if !batch.exhausted {
        lease.give_back();
    }
    Ok(Reply { document, afterwards, ..Reply::default() })
}

fn kill_cursors(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let ids = arguments.required("cursors", arguments.array("cursors")?)?;
    let ids: Vec<i64> = ids.values().filter_map(|v| v.as_integer()).collect();
    let found = context.server.engine.db().cursors().kill(&ids);
    let pick = |want: bool| -> ArrayBuf {
        ids.iter().zip(&found).filter(|(_, found)| **found == want).map(|(id, _)| *id).collect()
    };
    let mut document = DocBuf::new();
    document.push("cursorsKilled", pick(true)).push("cursorsNotFound", pick(false));
    document.push("cursorsAlive", ArrayBuf::new()).push("cursorsUnknown", ArrayBuf::new());
    Ok(document.into())
}
