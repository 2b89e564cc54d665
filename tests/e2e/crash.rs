//! The server is killed at random moments; nothing that was acknowledged is lost, nothing repeats, and of a transaction
//! there is all or nothing.

mod transactions;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::{Connection, Server};

const DB: &str = "crash";
const COLLECTION: &str = "steps";
/// How often the server is killed.
const KILLS: usize = 50;
/// How long it runs before each kill, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 20..300;
/// How often a start is followed by a kill in the middle of it, and after how many milliseconds.
const KILLED_WHILE_STARTING: (f64, std::ops::Range<u64>) = (0.25, 0..80);
/// How many write at the same time, so that commits have more than one write in them.
const WRITERS: i64 = 4;
/// How many of others write in transactions.
const TRANSACTORS: i64 = 2;
/// How long the watcher may need for the rest once the writing is over.
const CATCH_UP_MAX: Duration = Duration::from_secs(30);

/// CS-2.8.1, CS-2.8.3, CS-8.1.1, CS-8.1.4.
#[test]
fn killed_fifty_times_nothing_is_lost_or_repeated() {
    let seed: u64 = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::durable();
    let address = server.address();

    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let transactions = Arc::new(Mutex::new(Vec::new()));
    let history = Arc::new(Mutex::new(Vec::new()));
    // So that no two transactions want to create it.
    server.connect().command(DB, doc! {"create": COLLECTION}).expect("create the collection");
    // The watcher's first stream is open before the first write.
    let start = open_stream(&mut server.connect(), None).expect("open the stream").1;
    let watcher = std::thread::spawn({
        let (address, stop, history) = (address.clone(), stop.clone(), history.clone());
        move || watch(&address, start, &stop, &history)
    });
    let writers: Vec<_> = (0..WRITERS)
        .map(|first| {
            let (address, stop, acknowledged) = (address.clone(), stop.clone(), acknowledged.clone());
            std::thread::spawn(move || write(first, &address, &stop, &acknowledged))
        })
        .chain((WRITERS..WRITERS + TRANSACTORS).map(|first| {
            let (address, stop, transactions) = (address.clone(), stop.clone(), transactions.clone());
            let random = StdRng::seed_from_u64(random.random());
            std::thread::spawn(move || transactions::write(first, &address, random, &stop, &transactions))
        }))
        .collect();

    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(random.random_range(LIFE_MS)));
        server.kill();
        if random.random_bool(KILLED_WHILE_STARTING.0) {
            server.start_and_kill(Duration::from_millis(random.random_range(KILLED_WHILE_STARTING.1)));
        }
        server.start_again();
    }
    std::thread::sleep(Duration::from_millis(200));
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.join().expect("a writer");
    }

    let mut connection = server.connect();
    let stored = ids_of_collection(&mut connection);
    let logged = ids_of_log(&mut connection);
    let began = Instant::now();
    while history.lock().unwrap().len() < logged.len() && began.elapsed() < CATCH_UP_MAX {
        std::thread::sleep(Duration::from_millis(10));
    }
    // One more moment, in which a repeated event would arrive.
    std::thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::SeqCst);
    drop(server);
    watcher.join().expect("the watcher");

    let history = history.lock().unwrap();
    let seen: Vec<i64> = history.iter().map(|event| event.id).collect();
    let acknowledged = acknowledged.lock().unwrap();
    let transactions = transactions.lock().unwrap();
    println!(
        "{} acknowledged, {} transactions, {} stored, {} events",
        acknowledged.len(),
        transactions.len(),
        stored.len(),
        seen.len()
    );
    assert!(acknowledged.len() > KILLS, "seed {seed}: too few writes to mean anything");
    let missing: Vec<_> = acknowledged.iter().filter(|id| stored.binary_search(id).is_err()).collect();
    assert!(missing.is_empty(), "seed {seed}: acknowledged and lost: {missing:?}");
    let mut sorted = logged.clone();
    sorted.sort_unstable();
    assert!(sorted == stored, "seed {seed}: the log and the collection: {}", difference(&sorted, &stored));
    assert!(seen == logged, "seed {seed}: the watcher's history and the log: {}", difference(&seen, &logged));
    let increasing = history.windows(2).all(|pair| pair[0].token < pair[1].token);
    assert!(increasing, "seed {seed}: tokens go up");
    transactions::check(&transactions, &stored, &history, seed);
}

/// What the watcher saw.
struct Event {
    token: String,
    id: i64,
    /// Of the transaction that it is part of.
    number: Option<i64>,
}

/// The numbers of one writer: from `first` on, and nobody else's.
fn numbers(first: i64) -> impl Iterator<Item = i64> {
    (first..).step_by(usize::try_from(WRITERS + TRANSACTORS).expect("a count"))
}

/// Inserts its numbers, now one, now three at once; a number whose acknowledgement was lost is not used again.
fn write(first: i64, address: &str, stop: &AtomicBool, acknowledged: &Mutex<Vec<i64>>) {
    let mut ids = numbers(first);
    let mut count = 1;
    while !stop.load(Ordering::SeqCst) {
        let Ok(mut connection) = Connection::open(address) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        while !stop.load(Ordering::SeqCst) {
            let group: Vec<i64> = ids.by_ref().take(count).collect();
            let documents: Vec<Document> = group.iter().map(|id| doc! {"_id": id, "pad": "x".repeat(100)}).collect();
            let n = i32::try_from(count).ok();
            count = 4 - count;
            match connection.command(DB, doc! {"insert": COLLECTION, "documents": documents}) {
                Ok(reply) if reply.get_i32("n").ok() == n => acknowledged.lock().unwrap().extend(group),
                Ok(reply) => assert!(is_shutdown(&reply), "insert: {reply}"),
                Err(_) => break,
            }
        }
    }
}

/// Follows the collection with saved tokens, over every crash. Ends when the server is gone and
/// `stop` is set.
fn watch(address: &str, start: Bson, stop: &AtomicBool, history: &Mutex<Vec<Event>>) {
    let mut token = start;
    loop {
        let Ok(mut connection) = Connection::open(address) else {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        let Ok((mut cursor, _)) = open_stream(&mut connection, Some(&token)) else {
            continue;
        };
        loop {
            for event in cursor.batch() {
                let event = event.as_document().expect("an event");
                assert_eq!(event.get_str("operationType").ok(), Some("insert"));
                let id = event.get_document("_id").expect("a token");
                let key = event.get_document("documentKey").expect("a key");
                history.lock().unwrap().push(Event {
                    token: id.get_str("_data").expect("token data").to_owned(),
                    id: key.get_i64("_id").expect("an id"),
                    number: event.get_i64("txnNumber").ok(),
                });
                token = Bson::Document(id.clone());
            }
            let more = doc! {"getMore": cursor.id(), "collection": COLLECTION, "maxTimeMS": 50};
            match connection.command(DB, more) {
                Ok(reply) if reply.contains_key("cursor") => cursor = Cursor(reply),
                Ok(reply) => {
                    assert!(is_shutdown(&reply), "getMore: {reply}");
                    break;
                }
                Err(_) => break,
            }
        }
    }
}

struct Cursor(Document);

impl Cursor {
    fn part(&self) -> &Document {
        self.0.get_document("cursor").expect("a cursor")
    }

    fn id(&self) -> i64 {
        self.part().get_i64("id").expect("an id")
    }

    fn batch(&self) -> Vec<Bson> {
        let batch = self.part().get_array("firstBatch").or(self.part().get_array("nextBatch"));
        batch.expect("a batch").clone()
    }
}

/// Opens a stream, after a token if there is one, and returns where it starts.
fn open_stream(connection: &mut Connection, token: Option<&Bson>) -> std::io::Result<(Cursor, Bson)> {
    let mut options = Document::new();
    if let Some(token) = token {
        options.insert("resumeAfter", token.clone());
    }
    let pipeline = [doc! {"$changeStream": options}];
    let command = doc! {"aggregate": COLLECTION, "pipeline": pipeline.to_vec(), "cursor": {}};
    let reply = connection.command(DB, command)?;
    if is_shutdown(&reply) {
        return Err(std::io::Error::other("shutting down"));
    }
    let cursor = reply.get_document("cursor").unwrap_or_else(|_| panic!("aggregate: {reply}"));
    let token = cursor.get("postBatchResumeToken").expect("a token").clone();
    Ok((Cursor(reply), token))
}

/// Where two long lists begin to differ, and what only one of them has.
fn difference(left: &[i64], right: &[i64]) -> String {
    let at = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    let around = |list: &[i64]| list[at.saturating_sub(4)..list.len().min(at + 8)].to_vec();
    let only = |list: &[i64], other: &[i64]| {
        let other: std::collections::HashSet<i64> = other.iter().copied().collect();
        list.iter().copied().filter(|id| !other.contains(id)).take(20).collect::<Vec<_>>()
    };
    format!(
        "at {at} of {} and {}: {:?} and {:?}; only left {:?}, only right {:?}",
        left.len(),
        right.len(),
        around(left),
        around(right),
        only(left, right),
        only(right, left)
    )
}

fn is_shutdown(reply: &Document) -> bool {
    matches!(reply.get_i32("code"), Ok(91 | 11600 | 11602))
}

fn ids_of_collection(connection: &mut Connection) -> Vec<i64> {
    let found = read_all(connection, DB, doc! {"find": COLLECTION, "sort": {"_id": 1}});
    found.iter().map(|found| found.get_i64("_id").expect("an id")).collect()
}

/// Those of transactions are operations of an entry of theirs.
fn ids_of_log(connection: &mut Connection) -> Vec<i64> {
    let namespace = format!("{DB}.{COLLECTION}");
    let filter = doc! {"$or": [{"op": "i", "ns": &namespace}, {"op": "c", "o.applyOps.ns": &namespace}]};
    let entries = read_all(connection, "local", doc! {"find": "oplog.rs", "filter": filter});
    let id = |entry: &Document| entry.get_document("o").and_then(|o| o.get_i64("_id")).expect("an id");
    let ids = |entry: &Document| match entry.get_document("o").and_then(|o| o.get_array("applyOps")) {
        Ok(operations) => operations.iter().map(|one| id(one.as_document().expect("an operation"))).collect(),
        Err(_) => vec![id(entry)],
    };
    entries.iter().flat_map(ids).collect()
}

/// Every document of a find, over all its batches.
pub(crate) fn read_all(connection: &mut Connection, db: &str, find: Document) -> Vec<Document> {
    let collection = find.get_str("find").expect("a collection").to_owned();
    let mut all = Vec::new();
    let mut cursor = Cursor(connection.command(db, find).expect("a reply"));
    loop {
        all.extend(cursor.batch().iter().map(|found| found.as_document().expect("a document").clone()));
        if cursor.id() == 0 {
            return all;
        }
        let more = doc! {"getMore": cursor.id(), "collection": &collection};
        cursor = Cursor(connection.command(db, more).expect("a reply"));
    }
}
