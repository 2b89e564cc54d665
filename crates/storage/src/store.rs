//! The store: opening, reading, submitting, closing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{
    Clock, ClusterTime, Error, Image, Location, LogBatch, LogEntry, LogFrom, LogRest, LogWindow, Options, Result,
    Slice, Snapshot, Write,
    commit_loop::CommitLoop,
    engine::Engine,
    folder::Folder,
    log::{images, read},
    queue::Queue,
};

/// Learns of every group.
pub trait Observer: Send + Sync {
    /// The state after a group and the group's log entries, in order: durable and readable, not yet acknowledged. Runs
    /// on the commit thread, so it must be quick.
    fn published(&self, now: &Arc<Snapshot>, group: &[LogEntry]);

    /// The writers of the last published group were answered. Runs on the commit thread, before the
    /// next group.
    fn settled(&self) {}

    /// The store closes and waits for everybody who holds a snapshot; this one holds nothing.
    fn closed(&self, nothing: &Arc<Snapshot>) {
        let _ = nothing;
    }
}

/// Durable records, indexes and the change log. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<()>>>>,
}

/// What the commit thread shares with everyone.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    /// The latest durable state.
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) failed: AtomicBool,
    /// Unix milliseconds that pre-images live; 0: as long as their log entries.
    image_life_ms: AtomicU64,
    clock: Arc<dyn Clock>,
    #[cfg(test)]
    pub(crate) fail_next_flush: AtomicBool,
}

impl Shared {
    pub(crate) fn image_life(&self) -> Option<Duration> {
        let life = self.image_life_ms.load(Ordering::Acquire);
        (life > 0).then(|| Duration::from_millis(life))
    }

    /// Whether an image that was written then has expired by now.
    fn has_expired(&self, wall_ms: u64) -> bool {
        let life = self.image_life_ms.load(Ordering::Acquire);
        life > 0 && wall_ms.saturating_add(life) <= self.clock.now_ms()
    }
}

impl Store {
    /// Opens a store, creating it if absent, and starts its commit thread.
    ///
    /// # Errors
    /// `Locked` if another process (or another store of this one) has the folder; `Foreign` or
    /// `Format` if the folder is not ours to open; `Corrupt` or `Io` if its files cannot be read.
    pub fn open(
        location: Location,
        clock: Arc<dyn Clock>,
        options: Options,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let (engine, folder) = match location {
            Location::Memory => (Engine::in_memory(), None),
            Location::Folder(path) => {
                let folder = Folder::open(&path)?;
                let engine = Engine::in_folder(&folder.data(), &options)?;
                folder.sync()?;
                (engine, Some(folder))
            }
        };
        let queue = Queue::new(options.queue_max);
        let commit_loop = CommitLoop::open(engine, folder, Arc::clone(&clock), options, observer)?;
        let shared = Arc::new(Shared {
            queue,
            snapshot: ArcSwap::from_pointee(commit_loop.snapshot()),
            failed: AtomicBool::new(false),
            image_life_ms: AtomicU64::new(0),
            clock,
            #[cfg(test)]
            fail_next_flush: AtomicBool::new(false),
        });
        let in_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("commit".into())
            .spawn(move || commit_loop.run(&in_thread))
            .map_err(Error::io("start the commit thread"))?;
        let handle = Handle { shared, thread: Mutex::new(Some(thread)) };
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Queues a write for the commit loop. Never blocks: a write that cannot be queued is finished
    /// at once, on this thread, with `Busy` (the queue is full), `Failed` or `Closed`.
    pub fn submit(&self, write: Box<dyn Write>) {
        if self.failed() {
            return write.finish(Err(Error::Failed));
        }
        if let Err((write, error)) = self.shared().queue.push(write) {
            write.finish(Err(error));
        }
    }

    /// The latest durable state. Never waits.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared().snapshot.load_full()
    }

    /// Durable entries from a time on (that time included), oldest first: as many as fit into
    /// `max_bytes`, but at least one if there is any. Never holds up the commit loop.
    ///
    /// # Errors
    /// `HistoryLost` if an entry at or after `from` was dropped; `Io`, `Corrupt`, `Closed`.
    pub fn read_log(&self, from: ClusterTime, max_bytes: usize) -> Result<LogBatch> {
        let now = self.snapshot();
        read::forwards(&now.view, &now.log, from, max_bytes)
    }

    /// The same for those who read on and on: whole blocks, as they lie on disk, until they have `max_bytes`; nothing of a
    /// block is read twice.
    ///
    /// # Errors
    /// As [`Store::read_log`].
    pub fn read_log_blocks(&self, from: LogFrom, max_bytes: usize) -> Result<LogBatch> {
        let now = self.snapshot();
        read::blocks(&now.view, &now.log, from, max_bytes)
    }

    /// Up to `count` durable entries before a time, newest first. Stops without an error where the
    /// log was cut.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Closed`.
    pub fn read_log_backwards(&self, before: ClusterTime, count: usize) -> Result<Vec<LogEntry>> {
        let now = self.snapshot();
        read::backwards(&now.view, &now.log, before, count)
    }

    /// A stored pre-image; nothing if none was kept, it has expired, or its part of the log is gone.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Closed`.
    pub fn image(&self, time: ClusterTime, index: u32) -> Result<Option<Slice>> {
        let now = self.snapshot();
        let found = images::find(&now.view, &now.log, time, index)?;
        Ok(found.filter(|image| !self.shared().has_expired(image.wall_ms)).map(|image| image.before))
    }

    /// Stored pre-images from an entry's time and an index on, in their order: at least one if there is any, and no
    /// more once they have `max_bytes`.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Closed`.
    pub fn images(&self, from: (ClusterTime, u32), max_bytes: usize) -> Result<Vec<Image>> {
        let now = self.snapshot();
        images::from(&now.view, &now.log, from, max_bytes, |wall_ms| self.shared().has_expired(wall_ms))
    }

    /// How long pre-images live; without it, as long as their log entries. From now on older ones are not found, and
    /// they are removed after some later group. A store that is opened knows of no such time.
    pub fn set_image_life(&self, life: Option<Duration>) {
        let ms = life.map_or(0, |life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1));
        self.shared().image_life_ms.store(ms, Ordering::Release);
    }

    /// What lies behind a time in the log, counted from the start of the segment that holds it: retention drops whole
    /// segments.
    #[must_use]
    pub fn log_rest(&self, from: ClusterTime) -> LogRest {
        read::rest(&self.shared().snapshot.load().log, from)
    }

    /// What the log holds.
    #[must_use]
    pub fn window(&self) -> LogWindow {
        self.shared().snapshot.load().window()
    }

    /// Finishes the queued writes, flushes, and releases the folder. Later writes and reads get
    /// `Closed`. Called by the commit thread itself (inside `finish`), it only asks for all that.
    ///
    /// While a [`Snapshot`] or a range of it is still held, this process cannot open the folder
    /// again.
    ///
    /// # Errors
    /// `Io` if the last flush failed.
    pub fn close(&self) -> Result<()> {
        self.handle.close()
    }

    /// Whether a flush has failed: all writes get `Failed` until the store is reopened.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.shared().failed.load(Ordering::Acquire)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl Handle {
    fn close(&self) -> Result<()> {
        self.shared.queue.close();
        let mut thread = self.thread.lock();
        if thread.as_ref().is_some_and(|thread| thread.thread().id() == thread::current().id()) {
            return Ok(());
        }
        match thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(closed)) => closed,
            Some(Err(_)) => Err(Error::Bug("the commit thread panicked".into())),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "could not close the store");
        }
    }
}
