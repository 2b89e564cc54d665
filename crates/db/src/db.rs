//! The database: opening, the present state, and what its parts share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use millstream_change::{Tail, TailOptions};
use millstream_storage::{Clock, Location, LogWindow, Snapshot, Space, Store};
use millstream_value::ClusterTime;
use parking_lot::Mutex;

use crate::catalog::Catalog;
use crate::cursor::Cursors;
use crate::history::History;
use crate::late::{Late, Retention};
use crate::parameters::ChangeStreamOptions;
use crate::shared::{LoopCatalog, Publisher, State};
use crate::transaction::{Locks, TransactionLimits, Transactions};
use crate::write::{WriteCommand, WriteRun};
use crate::{Result, ddl};

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sizes and rules of the store.
    pub storage: millstream_storage::Options,
    /// Bytes of the newest changes held in memory for watchers. Default: 32 MiB.
    pub tail_bytes: usize,
    /// Bytes that all watchers together may hold beside those: read ahead, and replies being sent. Default: 256 MiB.
    pub watch_bytes: usize,
    /// Keep pre-images for every user collection, whatever its options say.
    pub images_always: bool,
    /// For how many milliseconds back the database can be read as it was; 0: not at all. Default: 5 minutes.
    pub snapshot_window_ms: u64,
    /// What transactions may take.
    pub transactions: TransactionLimits,
    /// Idle time after which a cursor without a session ends. Default: 10 minutes (CS-8.4.2).
    pub cursor_idle_ms_max: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            storage: millstream_storage::Options::default(),
            tail_bytes: 32 << 20,
            watch_bytes: 256 << 20,
            images_always: false,
            snapshot_window_ms: 300_000,
            transactions: TransactionLimits::default(),
            cursor_idle_ms_max: 600_000,
        }
    }
}

/// A database. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    tail: Arc<Tail>,
    looped: Arc<LoopCatalog>,
    published: Arc<ArcSwap<State>>,
    history: Arc<History>,
    cursors: Arc<Cursors>,
    transactions: Transactions,
    clock: Arc<dyn Clock>,
    folder: Option<PathBuf>,
    set_id: [u8; 12],
    opened: ClusterTime,
    opened_ms: u64,
    images_always: bool,
    retention: Retention,
    change_stream_options: Mutex<ChangeStreamOptions>,
    late: Mutex<Late>,
    closed: AtomicBool,
}

/// The replica set's identity, made once; a row of the catalog.
const SET_ID: &[u8] = b"set_id";

impl Db {
    /// Opens a database, creating it if absent.
    ///
    /// # Errors
    /// If another process has the folder, or its files cannot be read.
    pub fn open(location: Location, clock: Arc<dyn Clock>, options: Options) -> Result<Self> {
        let folder = match &location {
            Location::Folder(path) => Some(path.clone()),
            Location::Memory => None,
        };
        let tail = Tail::new(TailOptions { bytes_max: options.tail_bytes, watchers_bytes_max: options.watch_bytes });
        let looped = Arc::new(Mutex::new(Catalog::default()));
        let nothing = State { snapshot: Arc::new(Snapshot::nothing()), catalog: Catalog::default() };
        let published = Arc::new(ArcSwap::from_pointee(nothing));
        let history = Arc::new(History::new(options.snapshot_window_ms));
        let publisher = Publisher {
            tail: Arc::clone(&tail),
            looped: Arc::clone(&looped),
            published: Arc::clone(&published),
            history: Arc::clone(&history),
        };
        let retention = Retention::of(&options.storage);
        let store = Store::open(location, Arc::clone(&clock), options.storage, Arc::new(publisher))?;
        let snapshot = Arc::new(store.snapshot().without_log());
        let catalog = Catalog::load(&snapshot)?;
        *looped.lock() = catalog.clone();
        published.store(Arc::new(State { snapshot, catalog }));
        tail.start_from(store.window().newest);
        let change_stream_options = ChangeStreamOptions::load(&store)?;
        store.set_image_life(change_stream_options.image_life());
        let mut inner = Inner {
            store,
            tail,
            looped,
            transactions: Transactions::new(options.transactions, Arc::clone(&published)),
            published,
            history,
            cursors: Arc::new(Cursors::new(Arc::clone(&clock), options.cursor_idle_ms_max)),
            folder,
            set_id: [0; 12],
            opened: ClusterTime::ZERO,
            opened_ms: clock.now_ms(),
            images_always: options.images_always,
            retention,
            change_stream_options: Mutex::new(change_stream_options),
            late: Mutex::default(),
            closed: AtomicBool::new(false),
            clock,
        };
        inner.set_id = settle(&inner.store)?;
        inner.opened = inner.store.window().newest;
        let db = Self { inner: Arc::new(inner) };
        ddl::drop_unfinished(&db)?;
        Ok(db)
    }

    /// Prepares a write command; run it with [`WriteRun::block`] or [`WriteRun::complete`].
    #[must_use]
    pub fn write(&self, command: WriteCommand) -> WriteRun {
        WriteRun::new(self.clone(), command)
    }

    /// The durable end of the log.
    #[must_use]
    pub fn committed(&self) -> ClusterTime {
        self.inner.tail.end()
    }

    /// What the log holds.
    #[must_use]
    pub fn window(&self) -> LogWindow {
        self.inner.store.window()
    }

    /// The open cursors.
    #[must_use]
    pub fn cursors(&self) -> &Arc<Cursors> {
        &self.inner.cursors
    }

    /// Where the data lies; none if in memory.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.inner.folder.as_deref()
    }

    /// The replica set's identity, the same for the life of the data.
    #[must_use]
    pub fn set_id(&self) -> [u8; 12] {
        self.inner.set_id
    }

    /// The end of the log when this process opened it, and the unix milliseconds of that moment.
    #[must_use]
    pub fn opened(&self) -> (ClusterTime, u64) {
        (self.inner.opened, self.inner.opened_ms)
    }

    /// Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.inner.clock.now_ms()
    }

    /// A cluster time for values made now, such as a zero timestamp in a new document.
    #[must_use]
    pub fn clock_time(&self) -> ClusterTime {
        ClusterTime::new(u32::try_from(self.now_ms() / 1000).unwrap_or(u32::MAX), 1)
    }

    /// Finishes what is under way, makes all durable and releases the folder.
    ///
    /// # Errors
    /// If the last flush failed.
    pub fn close(&self) -> Result<()> {
        self.inner.closed.store(true, Ordering::Release);
        self.end_transactions();
        Ok(self.inner.store.close()?)
    }

    pub(crate) fn oplog_bytes_max(&self) -> u64 {
        self.inner.retention.bytes
    }

    pub(crate) fn retention(&self) -> &Retention {
        &self.inner.retention
    }

    /// The value that counts; held while it is changed.
    pub(crate) fn change_stream_options_slot(&self) -> &Mutex<ChangeStreamOptions> {
        &self.inner.change_stream_options
    }

    /// What was said about change streams that are late.
    pub(crate) fn late(&self) -> &Mutex<Late> {
        &self.inner.late
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn tail(&self) -> &Arc<Tail> {
        &self.inner.tail
    }

    /// The states of the near past.
    pub(crate) fn history(&self) -> &History {
        &self.inner.history
    }

    pub(crate) fn transactions(&self) -> &Transactions {
        &self.inner.transactions
    }

    /// What open transactions hold.
    pub(crate) fn locks(&self) -> &Arc<Locks> {
        &self.inner.transactions.locks
    }

    pub(crate) fn loop_catalog(&self) -> Arc<LoopCatalog> {
        Arc::clone(&self.inner.looped)
    }

    pub(crate) fn images_always(&self) -> bool {
        self.inner.images_always
    }

    /// The latest durable state.
    pub(crate) fn state(&self) -> Arc<State> {
        self.inner.published.load_full()
    }
}

/// Writes what a new database starts with: the entry that says that no history was ever lost before it (CS-11.1.5),
/// and the set's identity.
fn settle(store: &Store) -> Result<[u8; 12]> {
    let known = store.snapshot().get(Space::Catalog, SET_ID)?;
    if let Some(id) = known.as_deref().and_then(|bytes| <[u8; 12]>::try_from(bytes).ok()) {
        return Ok(id);
    }
    let (promise, pending) = crate::pending::pair();
    let id = millstream_value::new_object_id();
    store.submit(Box::new(Settle { id, promise }));
    pending.wait()?;
    Ok(id)
}

struct Settle {
    id: [u8; 12],
    promise: crate::pending::Promise<millstream_storage::Result<()>>,
}

impl millstream_storage::Write for Settle {
    fn apply(&mut self, commit: &mut millstream_storage::Commit<'_>) -> millstream_storage::Result<()> {
        commit.put(Space::Catalog, SET_ID, self.id.to_vec());
        let time = commit.tick();
        let stamp = millstream_change::entry::Stamp { time, wall_ms: commit.wall_ms(), retry: None };
        commit.append(time, millstream_change::entry::noop(stamp, "initiating set"));
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: millstream_storage::Result<()>) {
        self.promise.give(outcome);
    }
}
