//! The ends of multi-document transactions: `commitTransaction`, `abortTransaction`.
//!
//! Shape:  `{ commitTransaction: 1, lsid, txnNumber, autocommit: false, [writeConcern] }` on `admin`
//! Result: a commit that is sent again is answered as the first time, also after a restart
//! Errors: `NoSuchTransaction` 251, `TransactionCommitted` 256, `WriteConflict` 112
//! Source: CS-2.8; MongoDB manual 8.0, "commitTransaction".

use std::future::poll_fn;

use millstream_db::{Committing, TransactionId};
use millstream_value::{Code, DocBuf};

use super::{Command, Database, Fields, Handler, InTransactions};
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::reply::Reply;
use crate::write_concern;

pub(super) const ABORT_TRANSACTION: Command = Command {
    name: "abortTransaction",
    help: "gives up a transaction",
    database: Database::Admin,
    fields: Fields::Only(&["recoveryToken"]),
    in_transactions: InTransactions::Ends,
    handler: Handler::Inline(abort),
    ..Command::DEFAULT
};

pub(super) const COMMIT_TRANSACTION: Command = Command {
    name: "commitTransaction",
    help: "makes what a transaction has written durable and visible, all at once",
    database: Database::Admin,
    fields: Fields::Only(&["recoveryToken"]),
    in_transactions: InTransactions::Ends,
    handler: Handler::Async(|context| Box::pin(commit(context))),
    ..Command::DEFAULT
};

fn id(context: &Context<'_>) -> Result<TransactionId> {
    let membership = context.transaction.ok_or_else(|| {
        Failure::new(Code::CommandFailed, format!("{} must be run within a transaction", context.command.name))
    })?;
    Ok(membership.id)
}

async fn commit(context: &Context<'_>) -> Result<Reply> {
    let concern = write_concern::check(context)?;
    let (id, db) = (id(context)?, context.server.engine.db());
    let committing = poll_fn(|cx| db.poll_commit(id, cx.waker())).await.map_err(errors::failure)?;
    let time = match committing {
        Committing::Done(time) => time,
        Committing::Waits(pending) => pending.await.map_err(errors::failure)?,
    };
    let mut document = DocBuf::new();
    document.push_some("writeConcernError", concern);
    Ok(Reply { document, operation_time: Some(time), ..Reply::default() })
}

fn abort(context: &Context<'_>) -> Result<Reply> {
    let concern = write_concern::check(context)?;
    context.server.engine.db().abort_transaction(id(context)?).map_err(errors::failure)?;
    let mut document = DocBuf::new();
    document.push_some("writeConcernError", concern);
    Ok(document.into())
}
