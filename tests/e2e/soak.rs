//! Many watchers of every kind, random writes, and a server that is ended again and again: every watcher's own
//! history is what the log says, event by event.
//!
//! A few seconds by default. `SOAK_SECONDS=600` makes it long and large, `SOAK_SEED` makes the same random choices.

mod history;
mod plan;
mod watcher;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bson::{Document, Timestamp, doc};
use mongodb::Client;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::ClientOptions;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::support::Server;
use history::{History, Tokens};
use plan::Plan;
use watcher::{Record, Watcher};

const DATABASES: [&str; 3] = ["soak0", "soak1", "soak2"];
const COLLECTIONS: [&str; 4] = ["a", "b", "c", "d"];
/// Where the marks of the beginning and the end are written; only streams on the whole cluster see it.
const MARKS: &str = "soak_marks";
/// How many watchers share the connections of one client.
const WATCHERS_PER_CLIENT: usize = 50;
const PROGRESS: Duration = Duration::from_secs(10);

struct Size {
    length: Duration,
    watchers: usize,
    writers: i64,
    /// How long the server lives before it is ended, in milliseconds.
    life_ms: std::ops::Range<u64>,
    /// How long a writer waits between two writes, in milliseconds: what keeps the watchers' work in bounds.
    pause_ms: std::ops::Range<u64>,
    /// How long a watcher may need for the rest, once the writing is over.
    drain: Duration,
    /// Whether progress is told.
    long: bool,
}

impl Size {
    fn chosen() -> Self {
        match number("SOAK_SECONDS") {
            Some(seconds) => {
                // About 20 s; less where there would be no restart at all.
                let life_ms = (seconds * 1000 / 3).clamp(1000, 20_000);
                Self {
                    length: Duration::from_secs(seconds),
                    watchers: 200,
                    writers: 6,
                    life_ms: life_ms * 3 / 4..life_ms * 5 / 4,
                    pause_ms: 40..160,
                    drain: Duration::from_secs(300),
                    long: true,
                }
            }
            None => Self {
                length: Duration::from_secs(6),
                watchers: 40,
                writers: 4,
                life_ms: 1500..2500,
                pause_ms: 1..20,
                drain: Duration::from_secs(60),
                long: false,
            },
        }
    }
}

/// What all of them look at.
struct Shared {
    /// From where those read that begin at the beginning.
    start: Timestamp,
    /// The writers end.
    stop: AtomicBool,
    /// The time up to which watchers read; 0 until it is known.
    end: AtomicU64,
    drain: Duration,
    tokens: Tokens,
    /// The marks of the inserts that were acknowledged.
    acknowledged: std::sync::Mutex<Vec<i64>>,
    /// The marks of the inserts of each transaction, and whether it was to be committed.
    transactions: std::sync::Mutex<Vec<(Vec<i64>, bool)>>,
    writes: AtomicU64,
    events: AtomicU64,
    opened: AtomicU64,
    invalidated: AtomicU64,
    /// How far each watcher is, as a time of the log.
    places: Vec<AtomicU64>,
}

type Task<T> = JoinHandle<Result<T, String>>;

/// CS-2.8.1, CS-2.8.3, CS-5.6.9, CS-5.7.2, CS-5.7.3, CS-7.2, CS-8.1.1 to CS-8.1.4, CS-16.4.
#[test]
fn every_watcher_sees_what_the_log_says_over_restarts() {
    let size = Size::chosen();
    let seed = number("SOAK_SEED").unwrap_or_else(rand::random);
    println!("SOAK_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::with(&["--oplog-bytes", "8GiB"]);
    let shared = Arc::new(Shared {
        start: mark(&server, "begin"),
        stop: AtomicBool::new(false),
        end: AtomicU64::new(0),
        drain: size.drain,
        tokens: Tokens::default(),
        acknowledged: std::sync::Mutex::default(),
        transactions: std::sync::Mutex::default(),
        writes: AtomicU64::new(0),
        events: AtomicU64::new(0),
        opened: AtomicU64::new(0),
        invalidated: AtomicU64::new(0),
        places: (0..size.watchers).map(|_| AtomicU64::new(0)).collect(),
    });
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");

    let watchers = start_watchers(&runtime, &server, &size, &mut random, &shared);
    let client = client(&runtime, &server);
    let writers: Vec<Task<()>> = (0..size.writers)
        .map(|number| {
            let random = StdRng::seed_from_u64(random.random());
            let pause_ms = size.pause_ms.clone();
            runtime.spawn(writer::write(number, size.writers, pause_ms, random, client.clone(), shared.clone()))
        })
        .collect();

    let restarts = live(&mut server, &size, &mut random, &shared, || {
        watchers.iter().any(JoinHandle::is_finished) || writers.iter().any(JoinHandle::is_finished)
    });
    shared.stop.store(true, Ordering::SeqCst);
    let mut failures = Vec::new();
    for writer in writers {
        failures.extend(runtime.block_on(writer).expect("a writer").err());
    }
    // What the watchers are compared up to, and behind it what tells them that they have it all.
    let last = number_of(mark(&server, "end"));
    let end = number_of(mark(&server, "behind the end"));
    // What is compared below was read again from the disk.
    server.kill();
    server.start_again();
    shared.end.store(end, Ordering::SeqCst);
    let records = drain(&runtime, watchers, &size, &shared, &mut failures);

    let master = runtime.block_on(History::read(&client, shared.start, last, end)).expect("the log as a stream");
    let acknowledged = shared.acknowledged.lock().unwrap();
    let seen: u64 = shared.events.load(Ordering::SeqCst);
    println!(
        "{restarts} restarts; {} events in the log, {seen} seen by {} watchers; {} acknowledged inserts, {} transactions; \
         opened {} times, {} invalidations",
        master.events.len(),
        records.len(),
        acknowledged.len(),
        shared.transactions.lock().unwrap().len(),
        shared.opened.load(Ordering::SeqCst),
        shared.invalidated.load(Ordering::SeqCst),
    );
    failures.extend(master.complaints(&acknowledged));
    let transactions = shared.transactions.lock().unwrap();
    failures.extend(transactions.iter().filter_map(|(marks, is_committed)| master.torn(marks, *is_committed)));
    failures.extend(records.iter().filter_map(|record| master.difference(record, last)));
    let told: Vec<&str> = failures.iter().take(8).map(String::as_str).collect();
    assert!(failures.is_empty(), "seed {seed}: {} failures:\n{}", failures.len(), told.join("\n"));
    let enough = restarts > 0 && acknowledged.len() > 100 && transactions.len() > 10;
    assert!(enough, "seed {seed}: too little happened to mean anything");
}

/// Watchers of every kind; about half have the same pipeline as another one.
fn start_watchers(
    runtime: &Runtime,
    server: &Server,
    size: &Size,
    random: &mut StdRng,
    shared: &Arc<Shared>,
) -> Vec<Task<Record>> {
    let mut plans: Vec<Plan> = Vec::new();
    let mut clients: Vec<Client> = Vec::new();
    (0..size.watchers)
        .map(|number| {
            if number % WATCHERS_PER_CLIENT == 0 {
                clients.push(client(runtime, server));
            }
            let shares = random.random_bool(0.5);
            let plan = plans.choose(random).filter(|_| shares).cloned().unwrap_or_else(|| Plan::chosen(random));
            plans.push(plan.clone());
            let watcher = Watcher::chosen(number, plan, StdRng::seed_from_u64(random.random()));
            runtime.spawn(watcher.run(clients[clients.len() - 1].clone(), shared.clone()))
        })
        .collect()
}

/// Ends and starts the server until the time is over or something `failed`; says how often.
fn live(server: &mut Server, size: &Size, random: &mut StdRng, shared: &Shared, failed: impl Fn() -> bool) -> usize {
    let began = Instant::now();
    let mut restarts = 0;
    let mut told = Instant::now();
    let mut next = Instant::now() + Duration::from_millis(random.random_range(size.life_ms.clone()));
    while began.elapsed() < size.length && !failed() {
        std::thread::sleep(Duration::from_millis(50));
        if size.long && told.elapsed() >= PROGRESS {
            told = Instant::now();
            tell(&format!("{:>4} s, {restarts} restarts", began.elapsed().as_secs()), shared);
        }
        if Instant::now() < next {
            continue;
        }
        if restarts % 2 == 0 {
            let (status, _) = server.terminate();
            assert!(status.success(), "the server ended with {status}");
        } else {
            server.kill();
        }
        server.start_again();
        restarts += 1;
        next = Instant::now() + Duration::from_millis(random.random_range(size.life_ms.clone()));
    }
    restarts
}

/// Waits for the watchers, which end by themselves.
fn drain(
    runtime: &Runtime,
    watchers: Vec<Task<Record>>,
    size: &Size,
    shared: &Shared,
    failures: &mut Vec<String>,
) -> Vec<Record> {
    let mut told = Instant::now();
    while watchers.iter().any(|watcher| !watcher.is_finished()) {
        std::thread::sleep(Duration::from_millis(20));
        if size.long && told.elapsed() >= PROGRESS {
            told = Instant::now();
            tell("the rest", shared);
        }
    }
    let mut records = Vec::new();
    for watcher in watchers {
        match runtime.block_on(watcher).expect("a watcher") {
            Ok(record) => records.push(record),
            Err(failure) => failures.push(failure),
        }
    }
    records
}

/// One line of progress, at once: what tests print is held back until their end.
fn tell(when: &str, shared: &Shared) {
    use std::io::Write;
    let places = shared.places.iter().map(|place| place.load(Ordering::Relaxed) >> 32);
    let (last, first) = (places.clone().max().unwrap_or(0), places.min().unwrap_or(0));
    let [writes, events, opened, invalidated] = [&shared.writes, &shared.events, &shared.opened, &shared.invalidated]
        .map(|count| count.load(Ordering::Relaxed));
    let _ = writeln!(
        std::io::stderr(),
        "soak: {when}: {writes} writes, {events} events seen, streams opened {opened} times, {invalidated} \
         invalidations, the last watcher is {} s behind the first",
        last - first
    );
}

fn client(runtime: &Runtime, server: &Server) -> Client {
    runtime.block_on(async {
        let mut options = ClientOptions::parse(server.uri()).await.expect("options");
        // A waiting watcher holds a connection.
        options.max_pool_size = Some(u32::try_from(WATCHERS_PER_CLIENT).expect("a count") * 2);
        options.max_connecting = Some(8);
        // When the driver (3.9) retries the command by which it resumes a stream, it has forgotten the token and goes
        // back to where the stream was opened. So the watchers, who resume by themselves, see that error instead.
        options.retry_reads = Some(false);
        Client::with_options(options).expect("a client")
    })
}

/// Inserts a mark and says the time of the log after it.
fn mark(server: &Server, name: &str) -> Timestamp {
    let insert = doc! {"insert": "marks", "documents": [{"_id": name}]};
    let reply: Document = server.connect().command(MARKS, insert).expect("a reply");
    assert_eq!(reply.get_i32("n").ok(), Some(1), "{reply}");
    reply.get_timestamp("operationTime").expect("a time")
}

/// A cluster time as a number of the same order.
pub(crate) fn number_of(time: Timestamp) -> u64 {
    (u64::from(time.time) << 32) | u64::from(time.increment)
}

/// The cluster time of a token, as a number of the same order (CS-5.3.1).
fn time_of(token: &str) -> Result<u64, String> {
    let digits = token.get(2..18).ok_or_else(|| format!("the token {token}"))?;
    u64::from_str_radix(digits, 16).map_err(|error| format!("the token {token}: {error}"))
}

/// A whole number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// The code of a server's error.
pub(crate) fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::InsertMany(error) => {
            error.write_errors.as_ref().and_then(|errors| errors.first()).map(|one| one.code)
        }
        _ => None,
    }
}

/// Whether an error only says that the server is not there, or about to go.
pub(crate) fn is_outage(error: &Error) -> bool {
    let gone = matches!(
        error.kind.as_ref(),
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } | ErrorKind::ServerSelection { .. }
    );
    gone || matches!(code(error), Some(91 | 11600 | 11602))
}
