//! Writers whose writes are transactions, and what must have become of those.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc};
use rand::Rng;
use rand::rngs::StdRng;

use super::{COLLECTION, DB, Event, is_shutdown, numbers};
use crate::support::Connection;

/// How many numbers a transaction inserts, each with a statement of its own.
const STATEMENTS: std::ops::Range<usize> = 1..5;
/// How many transactions are aborted in the end.
const ABORTED: f64 = 0.2;
/// How often a transaction begins with that those that follow are chains of entries in the log.
const CHAINED: f64 = 0.02;
const NO_SUCH_TRANSACTION: i32 = 251;

pub(super) struct Transaction {
    /// In the order of their statements.
    ids: Vec<i64>,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Committed,
    Aborted,
    /// The test ended before the answer came.
    Unknown,
}

/// Inserts its numbers in transactions. A commit whose answer was lost is sent again, to the server that was started after
/// it.
pub(super) fn write(
    first: i64,
    address: &str,
    mut random: StdRng,
    stop: &AtomicBool,
    transactions: &Mutex<Vec<Transaction>>,
) {
    let session = Binary { subtype: BinarySubtype::Uuid, bytes: random.random::<[u8; 16]>().to_vec() };
    let mut ids = numbers(first);
    let mut connection = None;
    for number in 1_i64.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        if random.random_bool(CHAINED) {
            // From now on, until the next restart, a transaction is a chain of entries.
            let set = doc! {"setParameter": 1, "maxNumberOfTransactionOperationsInSingleOplogEntry": 2};
            let reply = send(&mut connection, address, "admin", set);
            assert!(reply.is_none_or(|reply| is_shutdown(&reply) || reply.contains_key("was")), "setParameter");
        }
        let ids: Vec<i64> = ids.by_ref().take(random.random_range(STATEMENTS)).collect();
        let part = doc! {"lsid": {"id": session.clone()}, "txnNumber": number, "autocommit": false};
        let mut outcome = Outcome::Aborted;
        if insert(&mut connection, address, &ids, &part) {
            if random.random_bool(ABORTED) {
                end("abortTransaction", &mut connection, address, &part);
            } else {
                outcome = commit(&mut connection, address, &part, stop);
            }
        }
        transactions.lock().unwrap().push(Transaction { ids, outcome });
    }
}

/// Whether all of it was done.
fn insert(connection: &mut Option<Connection>, address: &str, ids: &[i64], part: &Document) -> bool {
    ids.iter().enumerate().all(|(place, id)| {
        let mut command = doc! {"insert": COLLECTION, "documents": [{"_id": *id, "pad": "x".repeat(100)}]};
        command.extend(part.clone());
        if place == 0 {
            command.insert("startTransaction", true);
        }
        let Some(reply) = send(connection, address, DB, command) else { return false };
        let done = reply.get_i32("n").is_ok_and(|n| n == 1);
        assert!(done || is_shutdown(&reply) || is_gone(&reply), "insert: {reply}");
        done
    })
}

fn commit(connection: &mut Option<Connection>, address: &str, part: &Document, stop: &AtomicBool) -> Outcome {
    loop {
        match end("commitTransaction", connection, address, part) {
            Some(reply) if reply.get_f64("ok").is_ok_and(|ok| ok == 1.0) => return Outcome::Committed,
            // It was never committed, and the server that knew of it is gone.
            Some(reply) if is_gone(&reply) => return Outcome::Aborted,
            Some(reply) => assert!(is_shutdown(&reply), "commitTransaction: {reply}"),
            None => {}
        }
        if stop.load(Ordering::SeqCst) {
            return Outcome::Unknown;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn end(command: &str, connection: &mut Option<Connection>, address: &str, part: &Document) -> Option<Document> {
    let mut command = doc! {command: 1};
    command.extend(part.clone());
    send(connection, address, "admin", command)
}

/// The reply, if the server is there to the end.
fn send(connection: &mut Option<Connection>, address: &str, db: &str, command: Document) -> Option<Document> {
    if connection.is_none() {
        *connection = Connection::open(address).ok();
    }
    if connection.is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let reply = connection.as_mut().and_then(|open| open.command(db, command).ok());
    if reply.is_none() {
        *connection = None;
    }
    reply
}

/// Whether the server does not know the transaction, and says that it can be tried again.
fn is_gone(reply: &Document) -> bool {
    let transient = Bson::from("TransientTransactionError");
    reply.get_i32("code").is_ok_and(|code| code == NO_SUCH_TRANSACTION)
        && reply.get_array("errorLabels").is_ok_and(|labels| labels.contains(&transient))
}

/// All of what was committed is there, nothing of what was aborted, of everything all or nothing; and the events of a
/// transaction are one after the other, in the order of its statements.
pub(super) fn check(transactions: &[Transaction], stored: &[i64], history: &[Event], seed: u64) {
    let places: HashMap<i64, usize> = history.iter().enumerate().map(|(place, event)| (event.id, place)).collect();
    let mut committed = 0;
    for Transaction { ids, outcome } in transactions {
        let here = ids.iter().filter(|id| stored.binary_search(id).is_ok()).count();
        let all = here == ids.len();
        let right = match outcome {
            Outcome::Committed => all,
            Outcome::Aborted => here == 0,
            Outcome::Unknown => all || here == 0,
        };
        assert!(right, "seed {seed}: {outcome:?}, and {here} of {ids:?} are there");
        if here == 0 {
            continue;
        }
        committed += 1;
        let first = places[&ids[0]];
        let events = &history[first..first + ids.len()];
        let together = events.iter().zip(ids).all(|(event, id)| event.id == *id);
        assert!(together, "seed {seed}: the events of {ids:?} are not together, or not in order");
        let number = events[0].number;
        assert!(number.is_some() && events.iter().all(|event| event.number == number), "seed {seed}: {ids:?}");
    }
    let aborted = transactions.len() - committed;
    assert!(committed > 20 && aborted > 5, "seed {seed}: {committed} committed, {aborted} not: too few");
}
