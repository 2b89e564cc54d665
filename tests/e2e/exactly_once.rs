//! Effects that are committed together with the position: each is there once, whoever is killed and when.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use futures::TryStreamExt;
use millstream_watch::{
    Backoff, ChangeStreams, CollectionTransactions, DeadLetters, Error, Event, Handle, InTransaction, OnFailure,
    PostgresTransactions, Result, Settings, Watch,
};
use mongodb::error::{ErrorKind, InsertManyError};
use mongodb::{ClientSession, Collection};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use crate::support::programs::Program;
use crate::support::{Postgres, Server};

/// How often the program is killed, for each store.
const KILLS: usize = 50;
/// How often that happens while it starts.
const KILLED_WHILE_STARTING: f64 = 0.2;
/// Every so many kills the database that it writes to is killed as well.
const DATABASE_EVERY: usize = 13;
/// How long it works before, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 0..80;
/// Orders that come at once.
const TOGETHER: i32 = 4;
/// For how long a busy machine may need for anything.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What tells the program what to do, and where.
const ROLE: &str = "MS_EXACTLY_ONCE";
const POSTGRES: &str = "MS_EXACTLY_ONCE_POSTGRES";

fn key(event: &Event) -> i32 {
    event.document_key().unwrap().get_i32("_id").unwrap()
}

fn quick() -> Backoff {
    Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(100), ..Backoff::default() }
}

fn watch(streams: &ChangeStreams, save_events: u64) -> Watch {
    let settings =
        Settings { save_events, save_every: Duration::from_millis(10), pause: quick(), ..Settings::default() };
    streams.watch_collection("shop", "orders").operations(["insert"]).settings(settings).backoff(quick())
}

fn into_mongodb(streams: &ChangeStreams) -> CollectionTransactions {
    CollectionTransactions::new(streams.connection(), "shop", "auditor").backoff(quick())
}

fn into_postgresql(uri: &str) -> PostgresTransactions {
    PostgresTransactions::new(uri, "auditor").unwrap().backoff(quick())
}

/// One row for each event, and a sum: both tell if it was done twice.
fn audit<'t>(events: &'t [Event], session: &'t mut ClientSession) -> InTransaction<'t> {
    Box::pin(async move {
        let shop = session.client().database("shop");
        let (audit, totals) = (shop.collection::<Document>("audit"), shop.collection::<Document>("totals"));
        for event in events {
            audit.insert_one(doc! {"n": key(event)}).session(&mut *session).await?;
            let more = doc! {"$inc": {"count": 1}};
            totals.update_one(doc! {"_id": key(event) % 3}, more).upsert(true).session(&mut *session).await?;
        }
        Ok(())
    })
}

fn audit_in_sql<'t>(events: &'t [Event], transaction: &'t tokio_postgres::Transaction<'t>) -> InTransaction<'t> {
    Box::pin(async move {
        for event in events {
            let n = key(event);
            transaction.execute("INSERT INTO audit (n) VALUES ($1)", &[&n]).await?;
            transaction.execute("UPDATE totals SET count = count + 1 WHERE id = $1", &[&(n % 3)]).await?;
        }
        Ok(())
    })
}

/// A step of waiting for something; not for ever.
async fn wait(since: Instant) {
    assert!(since.elapsed() < WAIT_MAX, "waited in vain");
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// The program that is killed: this very file, in a process of its own that a test below starts. By itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_program() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let streams = ChangeStreams::connect(&std::env::var("CHANGE_STREAM_DB").unwrap()).await.unwrap();
    let watch = watch(&streams, rand::random_range(1..6));
    let handle = match role.as_str() {
        "mongodb" => watch.for_each_in_transaction(into_mongodb(&streams), audit).await,
        _ => {
            let store = into_postgresql(&std::env::var(POSTGRES).unwrap());
            watch.for_each_in_transaction(store, audit_in_sql).await
        }
    };
    let handle = handle.unwrap();
    eprintln!("watching");
    handle.join().await.unwrap();
}

fn start(role: &str, server: &Server, postgres: &str) -> Program {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "exactly_once::the_program", "--nocapture"]);
    command.env(ROLE, role).env(POSTGRES, postgres).env("CHANGE_STREAM_DB", server.uri());
    Program::start(role, &mut command)
}

/// Places orders until it is told to stop; each is there once, also if the server was away.
struct Writer {
    sent: Arc<AtomicI32>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    fn start(orders: Collection<Document>) -> Self {
        let (sent, stop) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::SeqCst) {
                let n = count.load(Ordering::SeqCst);
                let some = (n..n + TOGETHER).map(|n| doc! {"_id": n});
                match orders.insert_many(some).ordered(false).await {
                    Ok(_) => drop(count.fetch_add(TOGETHER, Ordering::SeqCst)),
                    // They were there, though that was not answered.
                    Err(error) if are_there(&error) => drop(count.fetch_add(TOGETHER, Ordering::SeqCst)),
                    Err(_) => {}
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        });
        Self { sent, stop, task }
    }

    async fn end(self) -> i32 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.sent.load(Ordering::SeqCst)
    }
}

fn are_there(error: &mongodb::error::Error) -> bool {
    let ErrorKind::InsertMany(InsertManyError { write_errors: Some(errors), .. }) = error.kind.as_ref() else {
        return false;
    };
    errors.iter().all(|error| error.code == 11000)
}

/// Kills the program over and over, and the database with it now and then.
fn kill_often(role: &str, server: &mut Server, postgres: &mut Option<Postgres>) {
    let seed: u64 = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let uri = postgres.as_ref().map(Postgres::uri).unwrap_or_default();
    for kill in 1..=KILLS {
        let mut program = start(role, server, &uri);
        // One that starts while its database is away ends with that error.
        let database_too = kill % DATABASE_EVERY == 0;
        if database_too || !random.random_bool(KILLED_WHILE_STARTING) {
            program.wait_for_error_line("watching");
        }
        if database_too {
            server.kill();
            server.start_again();
            if let Some(postgres) = postgres {
                postgres.stop();
                postgres.start_again();
            }
        }
        std::thread::sleep(Duration::from_millis(random.random_range(LIFE_MS)));
        let ended = program.child.try_wait().unwrap();
        assert!(ended.is_none(), "seed {seed}, kill {kill}: it ended by itself\n{}", program.errors.join("\n"));
    }
}

async fn all_audited(streams: &ChangeStreams) -> (BTreeMap<i32, u32>, i64) {
    let shop = streams.connection().client().database("shop");
    let rows: Vec<Document> = shop.collection("audit").find(doc! {}).await.unwrap().try_collect().await.unwrap();
    let totals: Vec<Document> = shop.collection("totals").find(doc! {}).await.unwrap().try_collect().await.unwrap();
    let mut audited = BTreeMap::new();
    for row in rows {
        *audited.entry(row.get_i32("n").unwrap()).or_default() += 1;
    }
    (audited, totals.iter().map(|total| i64::from(total.get_i32("count").unwrap())).sum())
}

async fn all_audited_in_sql(client: &Client) -> (BTreeMap<i32, u32>, i64) {
    let mut audited = BTreeMap::new();
    for row in client.query("SELECT n FROM audit", &[]).await.unwrap() {
        *audited.entry(row.get(0)).or_default() += 1;
    }
    let sum = client.query_one("SELECT sum(count)::bigint FROM totals", &[]).await.unwrap();
    (audited, sum.get(0))
}

async fn make_tables(client: &Client) {
    let tables = "CREATE TABLE audit (n int); CREATE TABLE totals (id int PRIMARY KEY, count int);
                  INSERT INTO totals VALUES (0, 0), (1, 0), (2, 0)";
    client.batch_execute(tables).await.unwrap();
}

fn check((audited, sum): &(BTreeMap<i32, u32>, i64), sent: i32) {
    let several: Vec<_> = audited.iter().filter(|(_, count)| **count != 1).collect();
    assert!(several.is_empty(), "not once each: {several:?}");
    let missing: Vec<_> = (0..sent).filter(|n| !audited.contains_key(n)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!((audited.len(), *sum), (usize::try_from(sent).unwrap(), i64::from(sent)));
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_in_mongodb_are_there_once_after_many_kills() {
    let mut server = Server::durable();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    // The first run's position is before all orders.
    start("mongodb", &server, "").wait_for_error_line("watching");
    let orders = streams.connection().client().database("shop").collection::<Document>("orders");
    let writer = Writer::start(orders);
    tokio::task::block_in_place(|| kill_often("mongodb", &mut server, &mut None));
    let sent = writer.end().await;
    println!("{sent} orders, {KILLS} kills");
    assert!(usize::try_from(sent).unwrap() > KILLS, "too few orders to mean anything: {sent}");

    let began = Instant::now();
    let _program = start("mongodb", &server, "");
    let mut audited = all_audited(&streams).await;
    while audited.0.len() < usize::try_from(sent).unwrap() {
        wait(began).await;
        audited = all_audited(&streams).await;
    }
    check(&audited, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_in_postgresql_are_there_once_after_many_kills() {
    let (mut server, postgres) = (Server::durable(), Postgres::start());
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    make_tables(&postgres.connect().await).await;
    start("postgresql", &server, &postgres.uri()).wait_for_error_line("watching");
    let orders = streams.connection().client().database("shop").collection::<Document>("orders");
    let writer = Writer::start(orders);
    let mut postgres = Some(postgres);
    tokio::task::block_in_place(|| kill_often("postgresql", &mut server, &mut postgres));
    let postgres = postgres.unwrap();
    let sent = writer.end().await;
    println!("{sent} orders, {KILLS} kills");
    assert!(usize::try_from(sent).unwrap() > KILLS, "too few orders to mean anything: {sent}");

    let began = Instant::now();
    let _program = start("postgresql", &server, &postgres.uri());
    let client = postgres.connect().await;
    let mut audited = all_audited_in_sql(&client).await;
    while audited.0.len() < usize::try_from(sent).unwrap() {
        wait(began).await;
        audited = all_audited_in_sql(&client).await;
    }
    check(&audited, sent);
}

/// Who begins under the same name goes on where the other was, and that one stops.
#[tokio::test(flavor = "multi_thread")]
async fn only_one_process_commits_under_a_name() {
    let began = Instant::now();
    let (server, postgres) = (Server::memory(), Postgres::start());
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let client = postgres.connect().await;
    make_tables(&client).await;
    let orders = streams.connection().client().database("shop").collection::<Document>("orders");
    let taken_over = |ended: Result<()>| match ended {
        Err(Error::TakenOver { watcher }) => watcher,
        other => panic!("{other:?}"),
    };

    let mongodb = |watch: Watch| watch.for_each_in_transaction(into_mongodb(&streams), audit);
    let sql = |watch: Watch| watch.for_each_in_transaction(into_postgresql(&postgres.uri()), audit_in_sql);
    let first: [Handle; 2] = [mongodb(watch(&streams, 2)).await.unwrap(), sql(watch(&streams, 2)).await.unwrap()];
    let writer = Writer::start(orders);
    while writer.sent.load(Ordering::SeqCst) < 20 {
        wait(began).await;
    }
    let second: [Handle; 2] = [mongodb(watch(&streams, 2)).await.unwrap(), sql(watch(&streams, 2)).await.unwrap()];
    let [one, other] = first;
    assert_eq!(taken_over(one.join().await), "auditor in shop.change_stream_tokens");
    let name = taken_over(other.join().await);
    assert!(name.starts_with("auditor in \"change_stream_tokens\" of PostgreSQL at 127.0.0.1"), "{name}");
    let sent = writer.end().await;
    while all_audited(&streams).await.0.len() < usize::try_from(sent).unwrap()
        || all_audited_in_sql(&client).await.0.len() < usize::try_from(sent).unwrap()
    {
        wait(began).await;
    }
    for handle in second {
        handle.stop();
        handle.join().await.unwrap();
    }
    check(&all_audited(&streams).await, sent);
    check(&all_audited_in_sql(&client).await, sent);

    // The position is for that watch only.
    let other = streams.watch_collection("shop", "others");
    let text = mongodb(other).await.map(drop).unwrap_err().to_string();
    assert!(text.contains("auditor in shop.change_stream_tokens") && text.contains("another scope"), "{text}");
    let text = sql(streams.watch_collection("shop", "others")).await.map(drop).unwrap_err().to_string();
    assert!(text.contains("another scope"), "{text}");
    // A watch that keeps its position in the usual way may go on from it.
    let mut queue = watch(&streams, 1).keep_position("shop", "auditor").queue().await.unwrap();
    streams.connection().client().database("shop").collection("orders").insert_one(doc! {"_id": sent}).await.unwrap();
    assert_eq!(queue.get().await.map(|event| key(&event)), Some(sent));
}

/// Of many events at once, the one that cannot be dealt with is found, tried, and put aside; the others have their effects.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_is_given_up_alone() {
    let began = Instant::now();
    let server = Server::memory();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let shop = streams.connection().client().database("shop");
    let letters = DeadLetters::new(streams.connection(), "shop", "dead_letters", "auditor");
    let settings = Settings {
        pause: quick(),
        retries: 2,
        on_failure: OnFailure::GoOn,
        save_every: Duration::from_millis(10),
        ..Settings::default()
    };
    let hold = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&hold);
    let handle = watch(&streams, 100)
        .settings(settings)
        .dead_letters(letters.clone())
        .for_each_in_transaction(into_mongodb(&streams), move |events, session| {
            let held = Arc::clone(&held);
            Box::pin(async move {
                // So that the others wait behind the first, and come together.
                if !events.is_empty() {
                    drop(held.acquire().await?);
                }
                audit(events, session).await?;
                match events.iter().find(|event| key(event) == 7 || key(event) == 11) {
                    Some(event) if key(event) == 7 => Err(format!("no {}", key(event)).into()),
                    Some(_) => panic!("not at all"),
                    None => Ok(()),
                }
            })
        })
        .await
        .unwrap();
    let orders = shop.collection::<Document>("orders");
    for n in 0..20 {
        orders.insert_one(doc! {"_id": n}).await.unwrap();
    }
    hold.add_permits(1);
    while handle.stats().delivered + handle.stats().given_up < 20 {
        wait(began).await;
    }
    handle.stop();
    handle.join().await.unwrap();
    let (audited, sum) = all_audited(&streams).await;
    let expected: BTreeMap<i32, u32> = (0..20).filter(|n| ![7, 11].contains(n)).map(|n| (n, 1)).collect();
    assert_eq!((audited, sum), (expected, 18));
    let put: Vec<_> = letters.list().await.unwrap();
    let told: Vec<_> = put.iter().map(|letter| (key(&letter.event), letter.attempts, letter.error.as_str())).collect();
    assert_eq!(told, [(7, 3, "no 7"), (11, 3, "the callback panicked: not at all")]);
    // Put aside again, as after a crash just behind it: it is there once.
    letters.put(&put[0].event, "again", 4).await.unwrap();
    let again: Vec<_> = letters.list().await.unwrap();
    let told: Vec<_> = again.iter().map(|letter| (key(&letter.event), letter.attempts)).collect();
    assert_eq!((told, again[0].id), (vec![(7, 4), (11, 3)], put[0].id));
}

/// The same where the transaction only fails when it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_that_is_broken_at_the_commit_is_the_callbacks_failure() {
    let (began, server, postgres) = (Instant::now(), Server::memory(), Postgres::start());
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let client = postgres.connect().await;
    make_tables(&client).await;
    let once = "ALTER TABLE audit ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED; INSERT INTO audit VALUES (2)";
    client.batch_execute(once).await.unwrap();
    let letters = DeadLetters::new(streams.connection(), "shop", "dead_letters", "auditor");
    let settings = Settings { pause: quick(), retries: 1, on_failure: OnFailure::GoOn, ..Settings::default() };
    let store = into_postgresql(&postgres.uri());
    let watch = watch(&streams, 100).settings(settings).dead_letters(letters.clone());
    let handle = watch.for_each_in_transaction(store, audit_in_sql).await.unwrap();
    let orders = streams.connection().client().database("shop").collection::<Document>("orders");
    orders.insert_many((0..4).map(|n| doc! {"_id": n})).await.unwrap();
    while handle.stats().delivered + handle.stats().given_up < 4 {
        wait(began).await;
    }
    handle.stop();
    handle.join().await.unwrap();
    let (audited, sum) = all_audited_in_sql(&client).await;
    assert_eq!((audited, sum), ((0..4).map(|n| (n, 1)).collect(), 3));
    let put = letters.list().await.unwrap();
    let told: Vec<_> = put.iter().map(|letter| (key(&letter.event), letter.attempts)).collect();
    assert_eq!(told, [(2, 2)]);
    assert!(put[0].error.contains("duplicate key value"), "{}", put[0].error);
}

/// Commits whose answer is lost, and conflicts with other transactions, are no failures of the callback.
#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_by_itself() {
    let began = Instant::now();
    let server = Server::with(&["--memory", "--test-commands"]);
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let client = streams.connection().client();
    let shop = client.database("shop");
    let totals = shop.collection::<Document>("totals");
    totals.insert_many((0..3).map(|n| doc! {"_id": n, "count": 0})).await.unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let handle = watch(&streams, 100)
        .for_each_in_transaction(into_mongodb(&streams), move |events, session| {
            counted.fetch_add(u32::from(!events.is_empty()), Ordering::SeqCst);
            audit(events, session)
        })
        .await
        .unwrap();
    let orders = shop.collection::<Document>("orders");

    // Somebody else changes the same document, in a transaction that takes its time.
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    totals.update_one(doc! {"_id": 0}, doc! {"$set": {"other": 1}}).session(&mut session).await.unwrap();
    orders.insert_one(doc! {"_id": 0}).await.unwrap();
    while calls.load(Ordering::SeqCst) < 3 {
        wait(began).await;
    }
    session.commit_transaction().await.unwrap();
    while handle.stats().delivered < 1 {
        wait(began).await;
    }
    // The connection breaks before a commit is answered.
    for (n, times) in [(1, 1), (2, 3)] {
        let fail = doc! {"failCommands": ["commitTransaction"], "closeConnection": true};
        let point = doc! {"configureFailPoint": "failCommand", "mode": {"times": times}, "data": fail};
        client.database("admin").run_command(point).await.unwrap();
        orders.insert_one(doc! {"_id": n}).await.unwrap();
        while handle.stats().delivered <= u64::try_from(n).unwrap() {
            wait(began).await;
        }
    }
    assert_eq!(handle.stats().failures, 0);
    handle.stop();
    handle.join().await.unwrap();
    check(&all_audited(&streams).await, 3);
}
