//! Tests over the whole store, on both engines.

mod drafts;
mod folder;
mod groups;
mod images;
mod log;
mod recovery;
mod sweep;
mod touched;

use std::{
    ops::Bound,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use parking_lot::Mutex;

use crate::{
    Clock, ClusterTime, Commit, Error, Location, LogEntry, Observer, Options, Result, Snapshot, Space, Store, Write,
};

/// A clock that stands where it is put.
pub(super) struct TestClock(AtomicU64);

impl TestClock {
    pub(super) fn at(ms: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(ms)))
    }

    pub(super) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Release);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Remembers every group.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) groups: Mutex<Vec<Vec<LogEntry>>>,
}

impl Observer for Recorder {
    fn published(&self, _: &Arc<Snapshot>, group: &[LogEntry]) {
        self.groups.lock().push(group.to_vec());
    }
}

/// A write made of two closures.
pub(super) struct Job<A, F> {
    pub(super) apply: A,
    pub(super) finish: F,
}

impl<A, F> Write for Job<A, F>
where
    A: FnMut(&mut Commit<'_>) -> Result<()> + Send,
    F: FnOnce(Result<()>) + Send,
{
    fn apply(&mut self, commit: &mut Commit<'_>) -> Result<()> {
        (self.apply)(commit)
    }

    fn finish(self: Box<Self>, outcome: Result<()>) {
        (self.finish)(outcome);
    }
}

/// Submits; the answer comes through the channel.
pub(super) fn submit(
    store: &Store,
    apply: impl FnMut(&mut Commit<'_>) -> Result<()> + Send + 'static,
) -> mpsc::Receiver<Result<()>> {
    let (sender, receiver) = mpsc::channel();
    let finish = move |outcome| drop(sender.send(outcome));
    store.submit(Box::new(Job { apply, finish }));
    receiver
}

/// Submits and waits.
pub(super) fn write(store: &Store, apply: impl FnMut(&mut Commit<'_>) -> Result<()> + Send + 'static) -> Result<()> {
    submit(store, apply).recv().unwrap()
}

/// Keeps the commit thread busy until the returned sender is used or dropped, so that what is
/// submitted meanwhile becomes one group.
pub(super) fn hold(store: &Store) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    submit(store, move |_| {
        entered.send(()).unwrap();
        let _ = released.recv();
        Ok(())
    });
    inside.recv().unwrap();
    release
}

/// The smallest document that can tell itself apart: `{n: <int64>}`.
pub(super) fn entry(number: i64) -> Vec<u8> {
    padded(number, 0)
}

/// The same with `padding` bytes of binary in it.
pub(super) fn padded(number: i64, padding: usize) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(b"\x12n\0");
    bytes.extend_from_slice(&number.to_le_bytes());
    if padding > 0 {
        bytes.extend_from_slice(b"\x05p\0");
        bytes.extend_from_slice(&i32::try_from(padding).unwrap().to_le_bytes());
        bytes.push(0);
        bytes.resize(bytes.len() + padding, 7);
    }
    bytes.push(0);
    let len = i32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes
}

pub(super) fn number(entry: &LogEntry) -> i64 {
    i64::from_le_bytes(entry.bytes[7..15].try_into().unwrap())
}

pub(super) fn append(commit: &mut Commit<'_>, number: i64) -> ClusterTime {
    let time = commit.tick();
    commit.append(time, entry(number));
    time
}

pub(super) fn get(snapshot: &Snapshot, key: &str) -> Option<String> {
    let value = snapshot.get(Space::Records, key.as_bytes()).unwrap()?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

pub(super) fn keys(snapshot: &Snapshot, space: Space) -> Vec<Vec<u8>> {
    let rows = snapshot.range(space, Bound::Unbounded, Bound::Unbounded);
    rows.map(|row| row.unwrap().0.to_vec()).collect()
}

pub(super) fn put(commit: &mut Commit<'_>, key: &str, value: &str) {
    commit.put(Space::Records, key.as_bytes().to_vec(), value.as_bytes().to_vec());
}

/// All numbers in the log from a time on, read in small pieces.
pub(super) fn read_from(store: &Store, from: ClusterTime) -> Vec<i64> {
    let mut numbers = Vec::new();
    let mut from = from;
    loop {
        let batch = store.read_log(from, 100).unwrap();
        numbers.extend(batch.entries.iter().map(number));
        from = batch.next;
        if batch.complete {
            return numbers;
        }
        assert!(!batch.entries.is_empty());
    }
}

pub(super) fn open_at(path: &Path) -> Result<Store> {
    open_with(Location::Folder(path.to_owned()), TestClock::at(1_000_000), Options::default())
}

pub(super) fn open_with(location: Location, clock: Arc<TestClock>, options: Options) -> Result<Store> {
    Store::open(location, clock, options, Arc::new(Recorder::default()))
}

/// Runs a test on a folder and in memory.
pub(super) fn on_both(test: impl Fn(Location)) {
    test(Location::Memory);
    let folder = tempfile::tempdir().unwrap();
    test(Location::Folder(folder.path().join("data folder")));
}

pub(super) fn on_both_open(test: impl Fn(Store, Arc<TestClock>, Arc<Recorder>)) {
    on_both(|location| {
        let clock = TestClock::at(1_000_000);
        let recorder = Arc::new(Recorder::default());
        let store = Store::open(location, clock.clone(), Options::default(), recorder.clone()).unwrap();
        test(store.clone(), clock, recorder);
        store.close().unwrap();
        assert!(matches!(write(&store, |_| Ok(())), Err(Error::Closed)));
    });
}
