//! The bank: money is moved between accounts, and there is always the same amount of it, in every snapshot and after every
//! transaction of a change stream.

mod events;
mod teller;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::{Document, Timestamp, doc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;

use super::caller::{Caller, Clock};
use super::run::{CLIENTS, Size, live, runtime};
use crate::crash::read_all;
use crate::soak::number_of;
use crate::support::Server;
use events::{Unit, follow, units};
use teller::Teller;

const DATABASE: &str = "bank";
const ACCOUNTS_COLLECTION: &str = "accounts";
const MARKS: &str = "marks";
const ACCOUNTS: i64 = 20;
/// Far more than can be moved away from it.
const BALANCE: i64 = 1 << 40;
const TOTAL: i64 = ACCOUNTS * BALANCE;
/// How long the watcher may need for the rest once the moving is over.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Amounts are numbers that are used once: a wrong total says whose half is missing.
    next: AtomicI64,
    /// What became of each transfer that was not acknowledged is for the log to say.
    committed: Mutex<Vec<i64>>,
    aborted: Mutex<Vec<i64>>,
    totals: AtomicU64,
    /// The watcher reads up to this time; 0 until it is known.
    end: AtomicU64,
}

/// CS-2.8.1, CS-2.8.3, CS-5.8.1, CS-8.1.4.
#[test]
fn the_money_of_the_bank_is_always_the_same() {
    let size = Size::chosen(20);
    let seed = size.seed;
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::durable();
    let start = open_accounts(&server);
    let shared = Arc::new(Shared::default());
    shared.next.store(1, Ordering::SeqCst);
    let runtime = runtime();
    let clock = Clock::start();
    let tellers: Vec<JoinHandle<Result<(), String>>> = (0..CLIENTS)
        .map(|number| {
            let (random, shared) = (StdRng::seed_from_u64(random.random()), shared.clone());
            let uri = server.uri();
            runtime.spawn(async move {
                let caller = Caller::connect(&uri, clock).await;
                Teller::new(number, caller, random, shared).run().await
            })
        })
        .collect();
    let watcher = runtime.spawn(follow(server.uri(), start, 3, shared.clone()));
    let restarts =
        live(&mut server, &size, &mut random, &|| watcher.is_finished() || tellers.iter().any(JoinHandle::is_finished));
    shared.stop.store(true, Ordering::SeqCst);
    let ended = tellers.into_iter().filter_map(|teller| runtime.block_on(teller).expect("a teller").err());
    let mut failures: Vec<String> = ended.collect();
    server.kill();
    server.start_again();
    shared.end.store(mark(&server), Ordering::SeqCst);
    let live = runtime.block_on(watcher).expect("the watcher");
    // The same again in large batches, from the disk.
    let again = runtime.block_on(follow(server.uri(), start, 1000, shared.clone()));
    let (live, again) = match (live, again) {
        (Ok(live), Ok(again)) => (live, again),
        (live, again) => panic!("seed {seed}: {failures:?} {:?} {:?}", live.err(), again.err()),
    };
    if live != again {
        let at = live.iter().zip(&again).take_while(|(left, right)| left == right).count();
        failures.push(format!(
            "the watcher saw {} events, and there are {}; at {at}: {:?} and {:?}",
            live.len(),
            again.len(),
            live.get(at),
            again.get(at)
        ));
    }
    let balances = read_all(&mut server.connect(), DATABASE, doc! {"find": ACCOUNTS_COLLECTION});
    match units(&again) {
        Ok(units) => failures.extend(compare(&units, &balances, &shared)),
        Err(failure) => failures.push(failure),
    }
    let committed = shared.committed.lock().unwrap().len();
    let (aborted, totals) = (shared.aborted.lock().unwrap().len(), shared.totals.load(Ordering::SeqCst));
    println!("{restarts} restarts, {committed} transfers, {aborted} aborted, {totals} totals, {} events", again.len());
    assert!(failures.is_empty(), "seed {seed}: {}", failures.join("\n"));
    assert!(committed > 200 && totals > 100 && restarts > 0, "seed {seed}: too little happened");
}

/// What is wrong with what the stream shows, beside the totals.
fn compare(units: &[Unit], balances: &[Document], shared: &Shared) -> Vec<String> {
    let mut failures = Vec::new();
    let mut seen: Vec<i64> = units.iter().filter_map(|unit| unit.transfer).collect();
    seen.sort_unstable();
    if let Some(twice) = seen.windows(2).find(|pair| pair[0] == pair[1]) {
        failures.push(format!("the transfer {} was made twice", twice[0]));
    }
    let has = |transfer: &&i64| seen.binary_search(transfer).is_ok();
    if let Some(lost) = shared.committed.lock().unwrap().iter().find(|transfer| !has(transfer)) {
        failures.push(format!("the transfer {lost} was acknowledged and is not in the log"));
    }
    if let Some(kept) = shared.aborted.lock().unwrap().iter().find(has) {
        failures.push(format!("the transfer {kept} was aborted and is in the log"));
    }
    let total: i64 = balances.iter().map(balance).sum();
    if total != TOTAL {
        failures.push(wrong(total, "in the end"));
    }
    failures
}

fn balance(account: &Document) -> i64 {
    account.get_i64("balance").expect("a balance")
}

/// Tells of a wrong total. As amounts are used once, the difference is often a transfer of which a half is missing.
fn wrong(total: i64, when: &str) -> String {
    format!(
        "{when} the total is off by {}: that is the amount of a transfer of which one half is missing",
        total - TOTAL
    )
}

/// Makes the accounts; the time of the log after that.
fn open_accounts(server: &Server) -> Timestamp {
    let accounts: Vec<Document> = (0..ACCOUNTS).map(|id| doc! {"_id": id, "balance": BALANCE}).collect();
    let insert = doc! {"insert": ACCOUNTS_COLLECTION, "documents": accounts};
    let reply = server.connect().command(DATABASE, insert).expect("a reply");
    assert_eq!(reply.get_i32("n").map(i64::from).ok(), Some(ACCOUNTS), "{reply}");
    let time = reply.get_timestamp("operationTime").expect("a time");
    Timestamp { time: time.time, increment: time.increment + 1 }
}

/// A write behind all others; its time.
fn mark(server: &Server) -> u64 {
    let reply = server.connect().command(DATABASE, doc! {"insert": MARKS, "documents": [{}]}).expect("a reply");
    assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
    number_of(reply.get_timestamp("operationTime").expect("a time"))
}
