//! Writes beside many watchers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bson::{Document, doc};
use futures::{StreamExt as _, TryStreamExt as _};
use millstream_watch::Connection;
use mongodb::Collection;
use tokio::task::JoinSet;

use super::Stream;
use crate::bench::arguments::{Mode, Plan};
use crate::bench::case::Job;
use crate::bench::limits;
use crate::bench::measure::Measure;
use crate::bench::target::{DATABASE, Target, order};

/// Tasks that write.
const WRITERS: u64 = 8;

/// Watchers of one client: more would wait for each other in its pool.
const WATCHERS_PER_CLIENT: u32 = 500;

/// Streams that are opened at the same time.
const OPENING: usize = 64;

/// Before the first figure, so that connections and caches are warm.
const WARM_UP: Duration = Duration::from_millis(500);

/// After opening, so that every stream waits for its first event and memory has settled.
const SETTLE: Duration = Duration::from_secs(1);

/// With fewer watchers their memory drowns in everything else that a server does.
const MEMORY_WATCHERS_MIN: u32 = 100;

/// How long a server holds a `getMore` that has nothing: longer than a measurement, so that idle
/// watchers stay idle.
const AWAIT: Duration = Duration::from_secs(30);

pub(crate) fn jobs(plan: &Plan) -> Vec<Job> {
    let time = plan.seconds;
    let job = |mode: Mode, watchers: u32| {
        Job::new(format!("fanout {} {watchers}", name(mode)), move |target| {
            Box::pin(measure(target, mode, watchers, time))
        })
    };
    let numbers = |mode: Mode| match mode {
        // By default only the idle ones at every number, and everything to everyone at one that
        // does not measure the client.
        _ if !plan.modes.is_empty() => plan.watchers.clone(),
        Mode::Idle => plan.watchers.clone(),
        Mode::All => plan.watchers.iter().copied().filter(|n| *n <= 100).max().into_iter().collect(),
        Mode::Coll | Mode::Own => plan.watchers.iter().copied().max().into_iter().collect(),
    };
    let modes =
        if plan.modes.is_empty() { vec![Mode::Idle, Mode::Coll, Mode::Own, Mode::All] } else { plan.modes.clone() };
    modes.into_iter().flat_map(|mode| numbers(mode).into_iter().map(move |watchers| job(mode, watchers))).collect()
}

async fn measure(target: &Target, mode: Mode, watchers: u32, time: Duration) -> anyhow::Result<Vec<Measure>> {
    limits::check(watchers, limits::open_files()).map_err(anyhow::Error::msg)?;
    let collection = target.fresh("fanout").await?;
    write_for(target, &collection, watchers, WARM_UP).await?;
    let without = write_for(target, &collection, watchers, time).await?;

    let before = target.memory_kb().await;
    let began = Instant::now();
    let crowd = Crowd::open(target, &collection, mode, watchers).await?;
    let opened = began.elapsed();
    tokio::time::sleep(SETTLE).await;
    let after = target.memory_kb().await;

    let seen_before = crowd.seen();
    let with = write_for(target, &collection, watchers, time).await?;
    let seen = crowd.seen() - seen_before;
    crowd.close().await;

    let mut measures = vec![
        Measure::rate("writes without", without.writes, without.seconds),
        Measure::rate("writes with", with.writes, with.seconds),
        Measure::percent("kept", with.rate(), without.rate()),
        Measure::rate("events delivered", seen, with.seconds),
        Measure::micros("open all", u64::try_from(opened.as_micros()).unwrap_or(u64::MAX)),
    ];
    if let (Some(before), Some(after)) = (before, after)
        && watchers >= MEMORY_WATCHERS_MIN
    {
        measures.push(Measure::kilobytes("memory a watcher", (after - before).max(0.0) / f64::from(watchers)));
    }
    Ok(measures)
}

/// How many writes in how long.
struct Written {
    writes: u64,
    seconds: f64,
}

impl Written {
    fn rate(&self) -> f64 {
        self.writes as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// Writes for some time, each document to one of as many rooms as there are watchers.
async fn write_for(
    target: &Target,
    collection: &Collection<Document>,
    rooms: u32,
    time: Duration,
) -> anyhow::Result<Written> {
    let stop = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..WRITERS {
        let (collection, stop, turns) = (collection.clone(), Arc::clone(&stop), Arc::clone(&turns));
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let turn = turns.fetch_add(1, Ordering::Relaxed);
                let mut document = order(turn);
                document.insert("room", i64::try_from(turn % u64::from(rooms.max(1))).unwrap_or(0));
                collection.insert_one(document).await?;
            }
            mongodb::error::Result::Ok(())
        });
    }
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let seconds = began.elapsed().as_secs_f64();
    while let Some(task) = tasks.join_next().await {
        task.context("a writer failed")?.map_err(|error| target.explain(error))?;
    }
    Ok(Written { writes: turns.load(Ordering::Relaxed), seconds })
}

/// Many watchers, with clients of their own.
struct Crowd {
    connections: Vec<Connection>,
    tasks: JoinSet<()>,
    seen: Arc<AtomicU64>,
}

impl Crowd {
    async fn open(
        target: &Target,
        collection: &Collection<Document>,
        mode: Mode,
        watchers: u32,
    ) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..watchers.div_ceil(WATCHERS_PER_CLIENT) {
            // One more than there are watchers, for what else a client has to ask.
            connections.push(target.another(WATCHERS_PER_CLIENT + 1).await?);
        }
        let seen = Arc::new(AtomicU64::new(0));
        let name = collection.name();
        let openings = (0..watchers).map(|number| {
            let index = usize::try_from(number / WATCHERS_PER_CLIENT).unwrap_or(0);
            let connection = connections.get(index).unwrap_or(target.connection()).clone();
            async move { open_one(&connection, name, mode, number).await.map_err(|error| target.explain(error)) }
        });
        let streams: Vec<Stream> = futures::stream::iter(openings).buffer_unordered(OPENING).try_collect().await?;
        let tasks = streams.into_iter().map(|stream| drain(stream, Arc::clone(&seen))).collect();
        Ok(Self { connections, tasks, seen })
    }

    fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Ends all watchers by closing their connections: thousands of `killCursors` would only get
    /// in the way of the next measurement.
    async fn close(mut self) {
        self.tasks.abort_all();
        for connection in self.connections {
            connection.client().clone().shutdown().immediate(true).await;
        }
    }
}

async fn open_one(connection: &Connection, name: &str, mode: Mode, number: u32) -> mongodb::error::Result<Stream> {
    let database = connection.client().database(DATABASE);
    let collection = match mode {
        Mode::Coll => database.collection::<Document>(&format!("other{number}")),
        Mode::Idle | Mode::Own | Mode::All => database.collection::<Document>(name),
    };
    let pipeline = match mode {
        Mode::Idle => vec![doc! {"$match": {"documentKey._id": format!("nobody-{number}")}}],
        Mode::Own => vec![doc! {"$match": {"fullDocument.room": i64::from(number)}}],
        Mode::Coll | Mode::All => Vec::new(),
    };
    Ok(collection.watch().pipeline(pipeline).max_await_time(AWAIT).await?.with_type())
}

async fn drain(mut stream: Stream, seen: Arc<AtomicU64>) {
    // A stream that fails is missed in the count of events, which is what is reported.
    while let Some(Ok(_)) = stream.next().await {
        seen.fetch_add(1, Ordering::Relaxed);
    }
}

fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Idle => "idle",
        Mode::Coll => "coll",
        Mode::Own => "own",
        Mode::All => "all",
    }
}
