//! Commands in multi-document transactions: which may, in which state they run, and what follows from an error.
//!
//! Shape:  `{ <command>, lsid, txnNumber: <long>, autocommit: false, [startTransaction: true] }`
//! Errors: `InvalidOptions` 72, `OperationNotSupportedInTransaction` 263, `NoSuchTransaction` 251,
//!         `TransactionCommitted` 256, `TransactionTooOld` 225, `WriteConflict` 112
//! Source: CS-2.8, CS-13.9; MongoDB manual 8.0, "Transactions".

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use millstream_db::{
    Attempt, Held, NextTurn, Progress, Statement, TransactionId, Tried, Turn, WriteCommand, WriteReply,
};
use millstream_value::{Code, Namespace};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use crate::arguments::Arguments;
use crate::commands::{Command, InTransactions};
use crate::context::Context;
use crate::engine::SessionId;
use crate::errors;
use crate::failure::{Failure, Result};

/// How long a statement waits for one other transaction before that is a conflict. One that waited for long would hold
/// up a program that uses two sessions in turn. Where many want the same, each end of one is a new chance: then the time
/// starts again.
const HELD_MAX: Duration = Duration::from_millis(25);

/// The place of a command in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) id: TransactionId,
    /// `startTransaction`.
    pub(crate) starts: bool,
}

/// `lsid`, `txnNumber`, `autocommit` and `startTransaction` of a command.
pub(crate) struct Numbers {
    /// Of a retryable write.
    pub(crate) retry: Option<i64>,
    pub(crate) membership: Option<Membership>,
}

/// Reads the fields by which a command says that it is retryable, or part of a transaction.
pub(crate) fn numbers(
    arguments: &Arguments<'_>,
    command: &Command,
    session: Option<SessionId>,
    database: &str,
) -> Result<Numbers> {
    let number = arguments.i64("txnNumber")?;
    let autocommit = arguments.bool("autocommit")?;
    let starts = arguments.bool("startTransaction")?;
    let invalid = |message: &'static str| Err(Failure::new(Code::InvalidOptions, message));
    match (number, session, autocommit, starts) {
        (Some(_), None, ..) => invalid("Transaction number requires a session ID to also be specified"),
        (None, _, Some(_), _) => invalid("'autocommit' field requires a transaction number to also be specified"),
        (_, _, None, Some(_)) => invalid("'startTransaction' field requires 'autocommit' field to also be specified"),
        (_, _, Some(true), _) => invalid("Specifying autocommit=true is not allowed."),
        (_, _, _, Some(false)) => invalid("Specifying startTransaction=false is not allowed."),
        (Some(number), Some(_), ..) if number < 0 => invalid("Transaction number cannot be negative"),
        (Some(number), Some(SessionId(session)), Some(false), starts) => {
            allowed(command, database, starts.is_some())?;
            let membership = Membership { id: TransactionId { session, number }, starts: starts.is_some() };
            Ok(Numbers { retry: None, membership: Some(membership) })
        }
        (number, ..) => {
            if command.in_transactions == InTransactions::Ends {
                let message = format!("{} must be run within a transaction", command.name);
                return Err(Failure::new(Code::CommandFailed, message));
            }
            if number.is_some() && !command.retryable {
                return Err(Failure::new(Code::NotARetryableWriteCommand, not_retryable(command)));
            }
            Ok(Numbers { retry: number, membership: None })
        }
    }
}

fn not_retryable(command: &Command) -> String {
    format!(
        "txnNumber may only be provided for multi-document transactions and retryable write commands. autocommit:false \
         was not provided, and {} is not a retryable write command.",
        command.name
    )
}

/// Fails for what transactions do not offer. Such a command leaves the transaction as it is.
fn allowed(command: &Command, database: &str, starts: bool) -> Result<()> {
    let refuse = |message: String| Err(Failure::new(Code::OperationNotSupportedInTransaction, message));
    let name = command.name;
    match command.in_transactions {
        InTransactions::Never => {
            let instead = match name {
                "count" => {
                    " Please see http://dochub.mongodb.org/core/transaction-count for a recommended alternative."
                }
                _ => "",
            };
            refuse(format!("Cannot run '{name}' in a multi-document transaction.{instead}"))
        }
        InTransactions::Ends if starts => refuse(format!("Cannot start a transaction with '{name}'")),
        InTransactions::Later if starts => {
            refuse(format!("Cannot run '{name}' as the first operation of a transaction."))
        }
        InTransactions::Ends => Ok(()),
        InTransactions::Part
            if matches!(database, "config" | "local") || (database == "admin" && name != "bulkWrite") =>
        {
            refuse(format!("Cannot run command against the '{database}' database in a transaction."))
        }
        InTransactions::Part | InTransactions::Later => Ok(()),
    }
}

/// Checks a collection that a statement names.
pub(crate) fn check_collection(context: &Context<'_>, namespace: &Namespace) -> Result<()> {
    let Some(turn) = context.turn else { return Ok(()) };
    if namespace.is_internal() || namespace.is_system() {
        let message = format!("Cannot run command against the '{namespace}' namespace in a transaction");
        return Err(Failure::new(Code::OperationNotSupportedInTransaction, message));
    }
    turn.lock().uses(namespace).map_err(errors::failure)
}

/// Takes the turn of a command in its transaction; none if it has none, or ends it.
pub(crate) async fn enter(context: &Context<'_>) -> Result<Option<Mutex<Turn>>> {
    let Some(Membership { id, starts }) = context.transaction else { return Ok(None) };
    let db = context.server.engine.db();
    if context.command.in_transactions == InTransactions::Ends {
        return Ok(None);
    }
    let arguments = context.arguments();
    let invalid = |message: &'static str| Failure::new(Code::InvalidOptions, message);
    if arguments.element("writeConcern").is_some() {
        return Err(invalid("writeConcern is not allowed within a multi-statement transaction"));
    }
    let turn = if starts {
        let (reader, fixed) = crate::read_concern::beginning(context)?;
        db.begin(id, &reader, fixed).map_err(errors::failure)?
    } else {
        if arguments.element("readConcern").is_some() {
            return Err(invalid("Only the first command in a transaction may specify a readConcern"));
        }
        poll_fn(|cx| db.poll_turn(id, cx.waker())).await.map_err(errors::failure)?
    };
    Ok(Some(Mutex::new(turn)))
}

/// Waits until what a transaction has gone on from is durable; the error if it never will be.
pub(crate) async fn until_durable(turn: &Mutex<Turn>) -> Option<Failure> {
    let leader = turn.lock().leader()?;
    leader.ended().await;
    let mut turn = turn.lock();
    match turn.is_durable() {
        Ok(true) => None,
        Ok(false) => Some(errors::failure(turn.conflict())),
        Err(error) => Some(errors::failure(error)),
    }
}

/// Runs a write command, in its transaction if it is part of one.
pub(crate) async fn write(context: &Context<'_>, command: WriteCommand) -> Result<WriteReply> {
    let Some(turn) = context.turn else { return write_alone(context, command).await };
    let mut checked: Option<&Arc<Namespace>> = None;
    for Statement { namespace, .. } in &command.statements {
        // Nearly all commands write to one collection.
        if !checked.is_some_and(|checked| Arc::ptr_eq(checked, namespace)) {
            check_collection(context, namespace)?;
            checked = Some(namespace);
        }
    }
    let searches = command.searches();
    let mut attempt = Attempt::new(command);
    // Of the row that was waited for, until it was tried.
    let mut place = None;
    loop {
        let mut go = || turn.lock().write(&mut attempt);
        let tried = if searches { crate::dispatch::blocking(go) } else { go() };
        match tried.map_err(errors::failure)? {
            Tried::Done(reply) => return Ok(reply),
            Tried::NeedsNumbers => {
                crate::dispatch::blocking(|| turn.lock().reserve()).map_err(errors::failure)?;
            }
            Tried::Held(held) => {
                place = next_turn(held, place.is_some()).await;
                if place.is_none() {
                    return Err(errors::failure(turn.lock().conflict()));
                }
            }
        }
    }
}

/// Waits for a row that another transaction holds; none: for too long. `before`: it has waited already.
async fn next_turn(held: Held, before: bool) -> Option<NextTurn> {
    let mut turn = held.turn(before);
    let began = Instant::now();
    loop {
        let Some(held_for) = turn.since() else { return Some(turn) };
        let left = HELD_MAX.saturating_sub(held_for.min(began.elapsed()));
        if left.is_zero() {
            return None;
        }
        if timeout(left, &mut turn).await.is_ok() {
            return Some(turn);
        }
    }
}

/// Runs a write command outside of transactions: it waits for those that hold what it changes.
async fn write_alone(context: &Context<'_>, command: WriteCommand) -> Result<WriteReply> {
    let began = Instant::now();
    let mut run = context.server.engine.db().write(command);
    loop {
        match run.advance().await.map_err(errors::failure)? {
            Progress::Done(reply) => return Ok(reply),
            Progress::Held(ending) => {
                let limit = context.arguments().i64("maxTimeMS")?.and_then(|ms| u64::try_from(ms).ok());
                let limit = limit.filter(|ms| *ms > 0).map(Duration::from_millis);
                match limit.and_then(|limit| began.checked_add(limit)) {
                    None => ending.ended().await,
                    Some(deadline) => timeout_at(deadline, ending.ended())
                        .await
                        .map_err(|_| Failure::new(Code::MaxTimeMSExpired, "operation exceeded time limit"))?,
                }
            }
        }
    }
}

/// Waits until no open transaction uses what a command is going to change.
pub(crate) fn make_way(context: &Context<'_>, concerned: impl Fn(&Namespace) -> bool) -> Result<()> {
    let time = crate::commands::time_limit(&context.arguments())?;
    context.server.engine.db().make_way(concerned, &time).map_err(errors::failure)
}

/// Changes what exists in a transaction; may wait.
pub(crate) fn change<T>(
    turn: &Mutex<Turn>,
    mut change: impl FnMut(&mut Turn) -> millstream_db::Result<Tried<T>>,
) -> Result<T> {
    loop {
        let tried = change(&mut turn.lock());
        match tried.map_err(errors::failure)? {
            Tried::Done(done) => return Ok(done),
            Tried::NeedsNumbers => turn.lock().reserve().map_err(errors::failure)?,
            Tried::Held(held) => {
                if !held.wait(HELD_MAX) {
                    return Err(errors::failure(turn.lock().conflict()));
                }
            }
        }
    }
}
