//! One watch: opened, its events printed or handed on, and summed up at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use millstream_watch::{
    Batching, CheckpointStore, CollectionCheckpoint, CollectionSeen, Connection, Control, DeadLetters, Event, Failure,
    FileCheckpoint, Group, Handle, SourceId, StartAt, Stats, Taking, Watch,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::envelope::{About, Wrapper};
use super::exec::Children;
use super::live::Live;
use super::printer::{Printer, Reader};
use super::run::Stop;
use super::sink::{Form, Sink};
use super::summary::Summary;
use super::{Arguments, Formatter, uri_or_default};
use crate::terminal;

/// How often it is looked whether a delivery has ended, and how it is doing.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A watch that runs.
pub(crate) struct Session {
    arguments: Arguments,
    handle: Handle,
    to: To,
    summary: Arc<Mutex<Summary>>,
    live: Live,
    began: Instant,
}

/// Where events go.
enum To {
    /// They are printed here, one after the other.
    Print(Box<(Taking, Printer<std::io::Stdout>)>),
    /// They are handed to a sink in the background.
    HandOn(Arc<HandOn>),
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was asked to, or has seen enough.
    Asked,
    /// There is nothing more to see.
    Stream,
    /// Nobody reads standard output any more; there is nobody to tell the summary either.
    ReaderGone,
}

impl Session {
    /// Opens the stream.
    pub(crate) async fn open(arguments: Arguments, children: Children) -> anyhow::Result<Self> {
        let uri = uri_or_default(arguments.what.uri.as_deref());
        let connection = Connection::new(&uri).await?;
        let of_uri = connection.default_database();
        let wrapper = Wrapper {
            envelope: arguments.show.envelope,
            about: About {
                servers: connection.servers().join(","),
                watcher: arguments.name(of_uri),
                mode: arguments.show.json_mode(),
            },
        };
        let form = if arguments.show.batch.is_some() { Form::Array } else { Form::Single };
        let sink = Sink::new(&arguments.deliver.target, wrapper.clone(), form, children)?;
        let (watch, how) = prepare(&arguments, &connection).await?;
        let said = format!("watching {} at {}{how}", arguments.what.words(of_uri), connection.servers().join(","));
        let formatter = Formatter {
            format: arguments.show.format(terminal::is_interactive()),
            mode: arguments.show.json_mode(),
            colour: terminal::colour_on_stdout(),
            width: terminal::width(),
        };
        let printer = Printer::new(std::io::stdout(), formatter, wrapper.clone());
        let summary: Arc<Mutex<Summary>> = Arc::default();
        let hand_on = |sink| {
            let permits = |limit| usize::try_from(limit).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
            let limit = arguments.show.limit.map(|limit| Semaphore::new(permits(limit)));
            Arc::new(HandOn { sink, limit, summary: Arc::clone(&summary) })
        };
        let (handle, to) = match (sink, arguments.group(of_uri), arguments.show.batch) {
            (None, None, None) => {
                let (handle, taking) = watch.queue().await?.split();
                (handle, To::Print(Box::new((taking, printer))))
            }
            (sink, group, batch) => {
                let hand_on = hand_on(sink.unwrap_or_else(|| Sink::print(printer, wrapper, form)));
                (begin(watch, group, batch, &hand_on).await?, To::HandOn(hand_on))
            }
        };
        if !arguments.show.quiet {
            eprintln!("{said} (Ctrl-C ends)");
        }
        let live = Live::new(arguments.show.stats);
        Ok(Self { arguments, handle, to, summary, live, began: Instant::now() })
    }

    /// A way to ask how it is doing.
    pub(crate) fn control(&self) -> Control {
        self.handle.control()
    }

    /// Reads until the end.
    pub(crate) async fn run(self, mut stop: Stop) -> anyhow::Result<()> {
        let Self { arguments, handle, to, summary, mut live, began } = self;
        let quiet = arguments.show.quiet;
        let (result, stats) = match to {
            To::Print(both) => {
                let (taking, printer) = *both;
                let mut printing = Printing { arguments: &arguments, printer, summary: &summary, live: &mut live };
                printing.run(handle, taking, &mut stop).await
            }
            To::HandOn(hand_on) => {
                let limit = arguments.show.limit.unwrap_or(u64::MAX);
                wait_for(handle, &hand_on, limit, &mut stop, &mut live).await
            }
        };
        live.end(&stats);
        if !quiet && !matches!(result, Ok(End::ReaderGone)) {
            if matches!(result, Ok(End::Stream)) {
                eprintln!(
                    "the stream has ended, because what it watched was dropped or renamed (--follow goes on behind that)"
                );
            }
            let given_up = if stats.given_up > 0 { format!("; {} given up", stats.given_up) } else { String::new() };
            eprintln!("{}{given_up}", summary.lock().show(began.elapsed()));
        }
        result.map(drop)
    }
}

/// Begins to hand events on.
async fn begin(
    watch: Watch,
    group: Option<Group>,
    batch: Option<Batching>,
    hand_on: &Arc<HandOn>,
) -> Result<Handle, millstream_watch::Error> {
    let shared = Arc::clone(hand_on);
    let single = move |event: Event| {
        let hand_on = Arc::clone(&shared);
        async move { hand_on.deliver(std::slice::from_ref(&event)).await }
    };
    let shared = Arc::clone(hand_on);
    let several = move |events: Vec<Event>| {
        let hand_on = Arc::clone(&shared);
        async move { hand_on.deliver(&events).await }
    };
    match (group, batch) {
        (Some(group), _) => watch.group(group).for_each(single).await,
        (None, Some(batching)) => watch.for_each_batch(batching, several).await,
        (None, None) => watch.for_each(single).await,
    }
}

/// What is to be watched, how, and where that begins, in words.
async fn prepare(arguments: &Arguments, connection: &Connection) -> anyhow::Result<(Watch, String)> {
    let of_uri = connection.default_database();
    let source = arguments.source(of_uri);
    let id = SourceId::new(connection, &source);
    let start = arguments.begin.start();
    let name = arguments.name(of_uri);
    let mut watch = Watch::new(connection, source).named(&name).settings(arguments.settings()).start(start.clone());
    let mut kept = false;
    if let Some(file) = &arguments.begin.checkpoint {
        let mut store = FileCheckpoint::new(file, id);
        kept = store.load().await?.is_some();
        watch = watch.checkpoint(store);
    } else if let Some(own) = arguments.tokens(of_uri) {
        let mut store = CollectionCheckpoint::new(connection, &own.database, &own.collection, &name, id);
        kept = store.load().await?.is_some();
        watch = watch.checkpoint(store);
    }
    if let Some(own) = arguments.seen(of_uri) {
        watch = watch.seen(CollectionSeen::new(connection, &own.database, &own.collection, &name));
    }
    if let Some(own) = arguments.dead_letters(of_uri) {
        watch = watch.dead_letters(DeadLetters::new(connection, &own.database, &own.collection, &name));
    }
    let how = match start {
        _ if kept => ", from where it ended".to_owned(),
        _ if arguments.begin.group.is_some() => ", together with its group".to_owned(),
        StartAt::Now => String::new(),
        StartAt::Snapshot => ", from the documents that are there on".to_owned(),
        StartAt::Time(time) => format!(", from {}:{} on", time.time, time.increment),
        StartAt::ResumeAfter(_) | StartAt::StartAfter(_) => ", from where it ended".to_owned(),
    };
    Ok((watch, how))
}

/// Hands events to a sink, and counts them.
struct HandOn {
    sink: Sink,
    /// One permit for each event that may still be dealt with.
    limit: Option<Semaphore>,
    summary: Arc<Mutex<Summary>>,
}

impl HandOn {
    async fn deliver(&self, events: &[Event]) -> Result<(), Failure> {
        let permit = match &self.limit {
            None => None,
            // Closed: there were enough, and the delivery is ending. These come again at the next start.
            Some(limit) => Some(limit.acquire().await.map_err(|_| Failure::passing("there were enough events"))?),
        };
        self.sink.deliver(events).await?;
        if let (Some(permit), Some(limit)) = (permit, &self.limit) {
            permit.forget();
            // A batch is not cut: it may be more than there were to be.
            limit.forget_permits(events.len().saturating_sub(1));
        }
        let mut summary = self.summary.lock();
        events.iter().for_each(|event| summary.count(event.operation()));
        Ok(())
    }

    fn stop(&self) {
        if let Some(limit) = &self.limit {
            limit.close();
        }
    }
}

/// Waits for the end of a delivery, or brings it about.
async fn wait_for(
    handle: Handle,
    hand_on: &HandOn,
    limit: u64,
    stop: &mut Stop,
    live: &mut Live,
) -> (anyhow::Result<End>, Stats) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let end = loop {
        tokio::select! {
            () = stop.asked() => break End::Asked,
            _ = look.tick() => {}
        }
        if hand_on.summary.lock().total() >= limit {
            break End::Asked;
        }
        if hand_on.sink.is_gone() {
            break End::ReaderGone;
        }
        if handle.has_ended() {
            break End::Stream;
        }
        live.show(|| handle.stats());
    };
    handle.stop();
    hand_on.stop();
    while !handle.has_ended() {
        look.tick().await;
        live.show(|| handle.stats());
    }
    let stats = handle.stats();
    (handle.join().await.map(|()| end).map_err(anyhow::Error::from), stats)
}

/// Prints events, one after the other.
struct Printing<'s> {
    arguments: &'s Arguments,
    printer: Printer<std::io::Stdout>,
    summary: &'s Mutex<Summary>,
    live: &'s mut Live,
}

impl Printing<'_> {
    async fn run(&mut self, handle: Handle, mut taking: Taking, stop: &mut Stop) -> (anyhow::Result<End>, Stats) {
        let end = self.read(&handle, &mut taking, stop).await;
        handle.stop();
        // What was not printed comes again.
        drop(taking);
        let control = handle.control();
        let joined = handle.join().await.map_err(anyhow::Error::from);
        (end.and_then(|end| joined.map(|()| end)), control.stats())
    }

    async fn read(&mut self, handle: &Handle, taking: &mut Taking, stop: &mut Stop) -> anyhow::Result<End> {
        let failed = "could not write to standard output";
        if self.printer.heading().context(failed)? == Reader::Gone {
            return Ok(End::ReaderGone);
        }
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.asked() => return Ok(End::Asked),
                _ = look.tick() => {
                    self.live.show(|| handle.stats());
                    continue;
                }
                taken = taking.next() => taken,
            };
            let Some(taken) = taken else { return Ok(End::Stream) };
            let (printer, event) = (&mut self.printer, taken.event());
            if self.live.aside(|| printer.event(event)).context(failed)? == Reader::Gone {
                return Ok(End::ReaderGone);
            }
            let total = {
                let mut summary = self.summary.lock();
                summary.count(event.operation());
                summary.total()
            };
            let follows = event.is_invalidate() && self.arguments.begin.follows() && !self.arguments.show.quiet;
            taken.done();
            if self.arguments.show.limit.is_some_and(|limit| total >= limit) {
                return Ok(End::Asked);
            }
            if follows {
                eprintln!("what was watched was dropped or renamed: going on with what has its name now");
            }
        }
    }
}
