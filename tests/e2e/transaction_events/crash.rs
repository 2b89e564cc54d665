//! The server is killed at random moments while transactions are committed: each is there as a whole or not at all, what
//! its client was told stays true, and a watcher sees each once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Cursor, Session, token};
use crate::crash::read_all;
use crate::support::{Connection, Server};

const DB: &str = "crash";
/// Every transaction inserts the same `_id` into both.
const COLLECTIONS: [&str; 2] = ["left", "right"];
const KILLS: usize = 25;
/// How long the server runs before each kill, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 20..300;
const WRITERS: i64 = 3;
/// How long the watcher may need for the rest once the writing is over.
const CATCH_UP_MAX: Duration = Duration::from_secs(30);

/// How transactions ended, by their `_id`s, as their clients were told.
#[derive(Default)]
struct Told {
    committed: BTreeSet<i64>,
    /// Those whose commit was never sent, or was answered with `NoSuchTransaction`.
    not_committed: BTreeSet<i64>,
}

/// What a watcher saw: tokens and times of inserts, in which collection and of which `_id`.
type Seen = Vec<(String, bson::Timestamp, String, i64)>;

/// CS-2.8.1, CS-2.8.3, CS-8.1.1 and CS-8.1.4: a commit that is tried again until it is answered says what has happened.
#[test]
fn killed_again_and_again_transactions_stay_whole() {
    let seed: u64 = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::durable();
    for collection in COLLECTIONS {
        server.connect().command(DB, doc! {"create": collection}).expect("a reply");
    }
    let address = server.address();
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::new(Mutex::new(Told::default()));
    let seen = Arc::new(Mutex::new(Seen::new()));
    let start = open(&mut server.connect(), None).expect("open the stream").token();
    let watcher = std::thread::spawn({
        let (address, stop, seen) = (address.clone(), stop.clone(), seen.clone());
        move || watch(&address, start, &stop, &seen)
    });
    let writers: Vec<_> = (0..WRITERS)
        .map(|first| {
            let (address, stop, told) = (address.clone(), stop.clone(), told.clone());
            let random = StdRng::seed_from_u64(random.random());
            std::thread::spawn(move || write(first, &address, random, &stop, &told))
        })
        .collect();
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(random.random_range(LIFE_MS)));
        server.kill();
        server.start_again();
    }
    std::thread::sleep(Duration::from_millis(200));
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.join().expect("a writer");
    }

    let mut connection = server.connect();
    let [left, right] = COLLECTIONS.map(|collection| {
        let found = read_all(&mut connection, DB, doc! {"find": collection});
        found.iter().map(|found| found.get_i64("_id").expect("an id")).collect::<BTreeSet<i64>>()
    });
    let began = Instant::now();
    while seen.lock().unwrap().len() < left.len() * 2 && began.elapsed() < CATCH_UP_MAX {
        std::thread::sleep(Duration::from_millis(10));
    }
    // One more moment, in which a repeated event would arrive.
    std::thread::sleep(Duration::from_millis(300));
    drop(server);
    watcher.join().expect("the watcher");

    let told = told.lock().unwrap();
    println!("{} committed, {} not, {} there", told.committed.len(), told.not_committed.len(), left.len());
    assert!(told.committed.len() > KILLS && !told.not_committed.is_empty(), "seed {seed}: too little happened");
    assert_eq!(left, right, "seed {seed}: transactions in part");
    let lost: Vec<_> = told.committed.difference(&left).collect();
    assert!(lost.is_empty(), "seed {seed}: said to be committed, and lost: {lost:?}");
    let risen: Vec<_> = told.not_committed.intersection(&left).collect();
    assert!(risen.is_empty(), "seed {seed}: never committed, and there: {risen:?}");
    let seen = seen.lock().unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "seed {seed}: tokens go up");
    let mut by_id: BTreeMap<i64, Vec<(bson::Timestamp, &str)>> = BTreeMap::new();
    for (_, time, collection, id) in seen.iter() {
        by_id.entry(*id).or_default().push((*time, collection));
    }
    assert!(by_id.keys().eq(left.iter()), "seed {seed}: seen and there: {} and {}", by_id.len(), left.len());
    for (id, events) in by_id {
        let (times, collections): (Vec<_>, Vec<_>) = events.into_iter().unzip();
        assert_eq!(collections, COLLECTIONS, "seed {seed}: {id}");
        assert_eq!(times[0], times[1], "seed {seed}: {id}");
    }
}

/// One transaction after the other, each with an `_id` of its own, until it is told to stop.
fn write(first: i64, address: &str, mut random: StdRng, stop: &AtomicBool, told: &Mutex<Told>) {
    let mut session = Session::new();
    let mut connection = Connection::open(address);
    for id in (first..).step_by(usize::try_from(WRITERS).expect("a count")) {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        session.begin();
        let done = statements(&mut session, &mut connection, id).is_some();
        if !done || random.random_bool(0.2) {
            told.lock().unwrap().not_committed.insert(id);
            if connection.is_err() {
                connection = connect(address);
            }
            continue;
        }
        // The commit is tried until somebody says what has become of it.
        loop {
            let open = connection.as_mut().ok();
            let reply = open.and_then(|open| session.try_command(open, "admin", doc! {"commitTransaction": 1}).ok());
            match reply {
                Some(reply) if reply.get_f64("ok").ok() == Some(1.0) => {
                    told.lock().unwrap().committed.insert(id);
                    break;
                }
                Some(reply) if reply.get_i32("code").ok() == Some(251) => {
                    told.lock().unwrap().not_committed.insert(id);
                    break;
                }
                Some(reply) if !is_shutdown(&reply) => panic!("commitTransaction: {reply}"),
                _ => connection = connect(address),
            }
        }
    }
}

/// The statements of a transaction; nothing if one of them was not answered.
fn statements(session: &mut Session, connection: &mut std::io::Result<Connection>, id: i64) -> Option<()> {
    for collection in COLLECTIONS {
        let insert = doc! {"insert": collection, "documents": [{"_id": id, "pad": "x".repeat(100)}]};
        let reply = match connection.as_mut().map(|open| session.try_command(open, DB, insert)) {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                *connection = Err(error);
                return None;
            }
            Err(_) => return None,
        };
        // Behind a restart the first half of the transaction is gone.
        let gone = reply.get_i32("code").is_ok_and(|code| code == 251);
        if gone || is_shutdown(&reply) {
            return None;
        }
        assert_eq!(reply.get_i32("n").ok(), Some(1), "insert: {reply}");
    }
    Some(())
}

fn connect(address: &str) -> std::io::Result<Connection> {
    let opened = Connection::open(address);
    if opened.is_err() {
        std::thread::sleep(Duration::from_millis(2));
    }
    opened
}

/// Follows the database with saved tokens, over every crash. Ends when the server is gone and `stop` is set.
fn watch(address: &str, start: Document, stop: &AtomicBool, seen: &Mutex<Seen>) {
    let mut place = start;
    loop {
        let Ok(mut connection) = Connection::open(address) else {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        let Some(mut cursor) = open(&mut connection, Some(&place)) else { continue };
        loop {
            for event in cursor.events() {
                let time = event.get_timestamp("clusterTime").expect("a time");
                let id = event.get_document("documentKey").and_then(|key| key.get_i64("_id")).expect("an id");
                let collection = event.get_document("ns").and_then(|ns| ns.get_str("coll")).expect("a name").to_owned();
                place = token(&event);
                let data = place.get_str("_data").expect("a token").to_owned();
                seen.lock().unwrap().push((data, time, collection, id));
            }
            let id = cursor.0.get_i64("id").expect("an id");
            // One at a time, so that many are left off in the middle of a transaction.
            let more = doc! {"getMore": id, "collection": "$cmd.aggregate", "batchSize": 1, "maxTimeMS": 50};
            match connection.command(DB, more) {
                Ok(reply) if reply.contains_key("cursor") => {
                    cursor = Cursor(reply.get_document("cursor").expect("a cursor").clone());
                }
                Ok(reply) => {
                    assert!(is_shutdown(&reply), "getMore: {reply}");
                    break;
                }
                Err(_) => break,
            }
        }
    }
}

/// A stream over the database; nothing if the server has just gone.
fn open(connection: &mut Connection, place: Option<&Document>) -> Option<Cursor> {
    let options: Document = place.map(|place| ("resumeAfter".to_owned(), place.clone().into())).into_iter().collect();
    let pipeline = vec![doc! {"$changeStream": options}];
    let command = doc! {"aggregate": 1, "pipeline": pipeline, "cursor": {"batchSize": 1}};
    let reply = connection.command(DB, command).ok().filter(|reply| !is_shutdown(reply))?;
    Some(Cursor(reply.get_document("cursor").unwrap_or_else(|_| panic!("aggregate: {reply}")).clone()))
}

fn is_shutdown(reply: &Document) -> bool {
    matches!(reply.get_i32("code"), Ok(91 | 11600 | 11602))
}
