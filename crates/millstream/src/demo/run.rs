//! The engine, the application and the watcher of the demo.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use millstream_watch::{Backoff, Connection, Event, JsonMode, Scope, Source, StartAt, Step, Watcher, to_json};
use mongodb::Database;

use super::Arguments;
use super::application::{Write, write};
use super::view::{Seen, View, milliseconds};
use crate::engine::{Data, EngineOptions, TransactionLimits, start_engine, uri};
use crate::signals::Signals;
use crate::{exit, terminal};

const DATABASE: &str = "demo";

/// An event that has not come by then will not come.
const EVENT_WAIT_MAX: Duration = Duration::from_secs(10);

/// The demo's log is small, so that it leaves room on small disks.
const OPLOG_BYTES: u64 = 64 << 20;
/// And so is its memory.
const WATCH_BYTES: usize = 16 << 20;
const CACHE_BYTES: u64 = 16 << 20;

/// Runs the demo from its start to its summary.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let mut signals = Signals::catch().context("could not listen for signals")?;
    let folder =
        tempfile::Builder::new().prefix("millstream-demo-").tempdir().context("could not create a temporary folder")?;
    let began = Instant::now();
    let options = EngineOptions {
        sql: None,
        data: Data::Folder(folder.path().to_owned()),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        images_all: false,
        oplog_bytes: OPLOG_BYTES,
        oplog_age_min: Duration::ZERO,
        snapshot_window: Duration::ZERO,
        transactions: TransactionLimits::USUAL,
        tail_bytes: WATCH_BYTES,
        cache_bytes: CACHE_BYTES,
        watch_bytes: WATCH_BYTES,
        replica_set: "rs0".to_owned(),
        test_commands: false,
        warnings: Vec::new(),
    };
    let engine = start_engine(options, |_| {}).await.context("could not start the engine of the demo")?;
    let uri = uri(engine.address, "rs0");
    let ready = milliseconds(began.elapsed());
    terminal::say(&format!("engine ready in {ready} on {}, data in {}\n\n", engine.address, folder.path().display()));

    let played = tokio::select! {
        played = play(&uri, &arguments) => played,
        _ = signals.next() => Ok(None),
    };
    let stopped = engine.stop().await;
    if let Some(story) = played? {
        terminal::say(&story.show());
    }
    stopped.context("could not stop the engine of the demo")?;
    folder.close().context("could not remove the temporary folder")?;
    Ok(exit::Code::Done)
}

/// Writes and watches; what happened, unless a signal came between.
async fn play(uri: &str, arguments: &Arguments) -> anyhow::Result<Option<Story>> {
    let connection = Connection::new(uri).await?;
    let database = connection.client().database(DATABASE);
    let source = Source::new(Scope::Database(DATABASE.to_owned()));
    let mut watcher = Watcher::open(connection.clone(), source, StartAt::Now, Backoff::default()).await?;

    let view = View::new(terminal::width(), terminal::colour_on_stdout());
    terminal::say(&view.heading());
    let mut story = Story::new()?;
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let pause = Duration::from_secs(1) / arguments.rate;
    for turn in 0.. {
        if Instant::now() >= end {
            break;
        }
        let turn_began = Instant::now();
        let write = write(turn);
        let (acknowledged, seen) = one_turn(&connection, &database, &mut watcher, &write).await?;
        terminal::say(&view.pair(&write.show(), &seen));
        story.note(acknowledged, &seen)?;
        tokio::time::sleep(pause.saturating_sub(turn_began.elapsed())).await;
    }
    Ok(Some(story))
}

/// One write and its event. The watcher waits while the write is under way, as it would in a
/// process of its own.
async fn one_turn(
    connection: &Connection,
    database: &Database,
    watcher: &mut Watcher,
    write: &Write,
) -> anyhow::Result<(Duration, Seen)> {
    let began = Instant::now();
    let (written, seen) = tokio::join!(
        async { write.perform(database).await.map(|()| began.elapsed()) },
        tokio::time::timeout(EVENT_WAIT_MAX, next_event(watcher)),
    );
    let acknowledged = written.map_err(|error| connection.explain(error, "the demo's database"))?;
    let Ok(event) = seen else {
        bail!("the event of {} did not come within {} s", write.show(), EVENT_WAIT_MAX.as_secs());
    };
    let (event, at) = event?;
    if event.operation() != write.operation() {
        bail!("the event of {} is of type {}", write.show(), event.operation());
    }
    let seen = Seen {
        operation: event.operation().to_owned(),
        namespace: event.namespace(),
        text: describe(&event),
        latency: at.saturating_duration_since(began),
    };
    Ok((acknowledged, seen))
}

async fn next_event(watcher: &mut Watcher) -> anyhow::Result<(Event, Instant)> {
    loop {
        match watcher.next().await? {
            Step::Event(event) => return Ok((event, Instant::now())),
            Step::Idle => {}
            Step::Ended => bail!("the demo's database was dropped by someone else"),
        }
    }
}

fn describe(event: &Event) -> String {
    let part = |name: &str| event.raw().get_document(name).ok();
    let document = match event.operation() {
        "update" => part("updateDescription").and_then(|update| update.get_document("updatedFields").ok()),
        "delete" => event.document_key(),
        _ => part("fullDocument"),
    };
    document.map(|document| to_json(document, JsonMode::Relaxed)).unwrap_or_default()
}

/// What happened, in numbers.
struct Story {
    by_operation: BTreeMap<String, u64>,
    events_us: Histogram<u64>,
    writes_us: Histogram<u64>,
}

impl Story {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { by_operation: BTreeMap::new(), events_us: Histogram::new(3)?, writes_us: Histogram::new(3)? })
    }

    fn note(&mut self, acknowledged: Duration, seen: &Seen) -> anyhow::Result<()> {
        *self.by_operation.entry(seen.operation.clone()).or_default() += 1;
        self.writes_us.record(micros(acknowledged))?;
        self.events_us.record(micros(seen.latency))?;
        Ok(())
    }

    fn show(&self) -> String {
        let kinds: Vec<String> = self.by_operation.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let at = |histogram: &Histogram<u64>, quantile| {
            milliseconds(Duration::from_micros(histogram.value_at_quantile(quantile)))
        };
        format!(
            "\n{} writes, {} events: {}\n\
             from write to event   p50 {}   p99 {}\n\
             from write to durable p50 {}   p99 {}\n\n\
             Next:\n  \
             millstream serve                    an engine that keeps its data\n  \
             millstream watch --all              every change, in another terminal\n  \
             mongosh \"mongodb://127.0.0.1:27017/?replicaSet=rs0\"\n  \
             millstream bench                    how fast this machine is\n",
            self.writes_us.len(),
            self.events_us.len(),
            kinds.join(", "),
            at(&self.events_us, 0.5),
            at(&self.events_us, 0.99),
            at(&self.writes_us, 0.5),
            at(&self.writes_us, 0.99),
        )
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_counts_latencies_and_what_to_try() {
        let mut story = Story::new().unwrap();
        let seen = Seen {
            operation: "insert".into(),
            namespace: String::new(),
            text: String::new(),
            latency: Duration::from_micros(400),
        };
        story.note(Duration::from_micros(250), &seen).unwrap();
        let text = story.show();
        for part in ["1 writes, 1 events: insert 1", "p50 0.40 ms", "p50 0.25 ms", "millstream watch --all"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
