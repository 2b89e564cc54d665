//! The streams that are read: one for all who are near each other.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bson::Timestamp;
use millstream_watch::Connection;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Member;
use super::stream::Stream;

/// Who is no further apart reads together, in seconds of cluster time: so much is read again when somebody comes, at most.
const NEAR_SECONDS: u32 = 1;

/// And who comes so soon to where a stream began: those who begin together stay together.
const BEGINNING: Duration = Duration::from_secs(1);

/// All streams of a hub.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) connection: Connection,
    /// Whether the servers know expanded events, and large ones that are split.
    pub(super) expanded: AtomicBool,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// How many there ever were.
    count: u64,
    /// The oldest first.
    streams: BTreeMap<u64, Handle>,
}

/// One stream.
#[derive(Debug)]
struct Handle {
    orders: mpsc::UnboundedSender<Member>,
    /// Where it was opened, and when.
    opened: (Option<Timestamp>, Instant),
    /// How far it is.
    at: Option<Timestamp>,
    task: AbortHandle,
}

impl Streams {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, expanded: AtomicBool::new(true), running: Mutex::default() }
    }

    /// Has somebody read with those who are near, or else alone.
    pub(super) fn take(self: &Arc<Self>, member: Member) {
        let time = member.place.time();
        let running = self.running();
        match running.streams.values().find(|stream| stream.is_near(time)) {
            // It takes those who have come before it ends.
            Some(stream) => drop(stream.orders.send(member)),
            None => {
                drop(running);
                self.begin(member);
            }
        }
    }

    /// Has somebody read alone.
    pub(super) fn begin(self: &Arc<Self>, member: Member) {
        let mut running = self.running();
        running.count += 1;
        let number = running.count;
        let (orders, inbox) = mpsc::unbounded_channel();
        let at = member.place.time();
        let task = tokio::spawn(Stream::new(Arc::clone(self), number, member, inbox).run()).abort_handle();
        running.streams.insert(number, Handle { orders, opened: (at, Instant::now()), at, task });
    }

    /// A stream is opened from there on.
    pub(super) fn opened(&self, number: u64, from: Timestamp) {
        if let Some(stream) = self.running().streams.get_mut(&number) {
            (stream.opened, stream.at) = ((Some(from), Instant::now()), Some(from));
        }
    }

    /// A stream has come so far.
    pub(super) fn moved(&self, number: u64, at: Option<Timestamp>) {
        if let Some(stream) = self.running().streams.get_mut(&number) {
            stream.at = at;
        }
    }

    /// The way to an older stream that is near one.
    pub(super) fn older(&self, number: u64) -> Option<mpsc::UnboundedSender<Member>> {
        let running = self.running();
        let at = running.streams.get(&number)?.at;
        let mut older = running.streams.range(..number);
        older.find(|(_, stream)| stream.is_alive() && is_near(stream.at, at)).map(|(_, stream)| stream.orders.clone())
    }

    /// Ends a stream that has nobody, unless somebody has come meanwhile.
    pub(super) fn end(&self, number: u64, inbox: &mpsc::UnboundedReceiver<Member>) -> bool {
        let mut running = self.running();
        let ends = inbox.is_empty();
        if ends {
            running.streams.remove(&number);
        }
        ends
    }

    /// Ends all of them at once.
    pub(super) fn abort(&self) {
        self.running().streams.values().for_each(|stream| stream.task.abort());
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    /// Whether a place can be had of it without much being read again.
    fn is_near(&self, time: Option<Timestamp>) -> bool {
        let (from, since) = self.opened;
        self.is_alive() && (is_near(self.at, time) || (since.elapsed() < BEGINNING && is_near(from, time)))
    }

    /// Whether somebody takes who comes: not if it has failed.
    fn is_alive(&self) -> bool {
        !self.orders.is_closed()
    }
}

fn is_near(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.time.abs_diff(other.time) <= NEAR_SECONDS)
}
