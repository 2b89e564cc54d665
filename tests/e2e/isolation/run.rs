//! A run: sixteen clients, a server that is ended and started again meanwhile, and what is there in the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::caller::{Caller, Clock};
use super::client::{Client, DATABASE, GROUPS, LISTS, Shared};
use super::definer::{create_index, define};
use super::history::History;
use super::statement::values;
use crate::crash::read_all;
use crate::soak::number;
use crate::support::Server;

pub(super) const CLIENTS: usize = 16;
/// How often a start is followed by a kill in the middle of it, and after how many milliseconds.
const KILLED_WHILE_STARTING: (f64, std::ops::Range<u64>) = (0.25, 0..80);
/// How often the server is asked to end rather than killed.
const TERMINATED: f64 = 0.2;

/// How long, and with which random choices.
#[derive(Clone)]
pub(super) struct Size {
    pub(super) length: Duration,
    /// How long the server lives before it is ended, in milliseconds; without, it is not.
    pub(super) life_ms: Option<std::ops::Range<u64>>,
    pub(super) seed: u64,
    /// Whether the server looks for conflicts. Where updates are lost, indexes and the log lead to other states than the
    /// documents: then nobody looks there.
    pub(super) sound: bool,
}

impl Size {
    /// `ISOLATION_SECONDS` and `ISOLATION_SEED`, or so many seconds.
    pub(super) fn chosen(seconds: u64) -> Self {
        let seed = number("ISOLATION_SEED").unwrap_or_else(rand::random);
        println!("ISOLATION_SEED={seed}");
        let length = Duration::from_secs(number("ISOLATION_SECONDS").unwrap_or(seconds));
        Self { length, life_ms: Some(1000..5000), seed, sound: true }
    }
}

pub(super) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// The history of one run.
pub(super) fn histories(server: &mut Server, size: &Size) -> History {
    let mut random = StdRng::seed_from_u64(size.seed);
    let runtime = runtime();
    prepare(server);
    let shared = Arc::new(Shared::new(size.sound));
    let clock = Clock::start();
    let clients: Vec<JoinHandle<_>> = (0..CLIENTS)
        .map(|number| {
            let (random, shared) = (StdRng::seed_from_u64(random.random()), shared.clone());
            let uri = server.uri();
            runtime.spawn(async move {
                let caller = Caller::connect(&uri, clock).await;
                Client::new(number, caller, random, shared).run().await
            })
        })
        .collect();
    let definer = {
        let (random, shared, uri) = (StdRng::seed_from_u64(random.random()), shared.clone(), server.uri());
        let sound = size.sound;
        runtime.spawn(async move {
            if sound { define(Caller::connect(&uri, clock).await, random, shared).await } else { Ok(()) }
        })
    };
    live(server, size, &mut random, &|| {
        (size.sound && definer.is_finished()) || clients.iter().any(JoinHandle::is_finished)
    });
    shared.stop.store(true, Ordering::SeqCst);
    let mut history = History::default();
    let mut failures: Vec<String> = runtime.block_on(definer).expect("the definer").err().into_iter().collect();
    for client in clients {
        match runtime.block_on(client).expect("a client") {
            Ok(transactions) => history.transactions.extend(transactions),
            Err(failure) => failures.push(failure),
        }
    }
    assert!(failures.is_empty(), "seed {}: {}", size.seed, failures.join("\n"));
    if size.life_ms.is_some() {
        // What is read in the end was read again from the disk.
        server.kill();
        server.start_again();
    }
    end(server, &mut history);
    if size.sound {
        compare_index(server, &history);
    }
    history
}

/// Ends and starts the server until the time is over or something `failed`; says how often.
pub(super) fn live(server: &mut Server, size: &Size, random: &mut StdRng, failed: &dyn Fn() -> bool) -> usize {
    let began = Instant::now();
    let mut restarts = 0;
    let next = |random: &mut StdRng| {
        let life = size.life_ms.clone().map(|life_ms| Duration::from_millis(random.random_range(life_ms)));
        Instant::now() + life.unwrap_or(size.length)
    };
    let mut end = next(random);
    while began.elapsed() < size.length && !failed() {
        std::thread::sleep(Duration::from_millis(7));
        if size.life_ms.is_none() || Instant::now() < end {
            continue;
        }
        if random.random_bool(TERMINATED) {
            let (status, _) = server.terminate();
            assert!(status.success(), "seed {}: the server ended with {status}", size.seed);
        } else {
            server.kill();
        }
        if random.random_bool(KILLED_WHILE_STARTING.0) {
            server.start_and_kill(Duration::from_millis(random.random_range(KILLED_WHILE_STARTING.1)));
        }
        server.start_again();
        restarts += 1;
        end = next(random);
    }
    println!("{restarts} restarts");
    restarts
}

fn prepare(server: &Server) {
    let mut connection = server.connect();
    for command in [doc! {"create": LISTS}, doc! {"create": GROUPS}] {
        let reply = connection.command(DATABASE, command).expect("a reply");
        assert_eq!(reply.get_f64("ok").ok(), Some(1.0), "{reply}");
    }
}

/// Reads all that is there.
fn end(server: &Server, history: &mut History) {
    let mut connection = server.connect();
    let all = |collection: &str| doc! {"find": collection, "batchSize": 1000};
    for list in read_all(&mut connection, DATABASE, all(LISTS)) {
        history.lists.insert(list.get_str("_id").expect("a name").to_owned(), values(&list));
    }
    for member in read_all(&mut connection, DATABASE, all(GROUPS)) {
        let text = |member: &Document| member.get_str("group").expect("a group").to_owned();
        history.groups.entry(text(&member)).or_default().push(member.get_i64("_id").expect("a number"));
    }
}

fn compare_index(server: &Server, history: &History) {
    let mut connection = server.connect();
    // The index may be there already: then it was kept by all those transactions.
    connection.command(DATABASE, create_index()).expect("a reply");
    let by_index = doc! {"find": GROUPS, "hint": "group_1", "batchSize": 1000};
    let found = read_all(&mut connection, DATABASE, by_index).len();
    let all: usize = history.groups.values().map(Vec::len).sum();
    assert_eq!(found, all, "what the index has, and the collection");
}
