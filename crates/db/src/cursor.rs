//! Open cursors: who may read them, one reader at a time, and when they end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Poll, Waker};

use bytes::Bytes;
use millstream_change::{BatchLimits, ChangeStream, Share, Subscription};
use millstream_value::{ClusterTime, DocBuf};
use parking_lot::Mutex;

use crate::oplog::OplogTail;
use crate::query::Documents;
use crate::{Error, Result, TimeLimit};

/// Cursors that may be open at once: a bound on memory, far above what one machine serves.
const CURSORS_MAX: usize = 200_000;
/// Bytes of documents in one reply (CS-8.3.5).
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of events in one reply, beyond the first event. Smaller than a reply may be: the client has the first event
/// sooner, and works on one batch while the cache still holds it.
const EVENTS_BYTES_MAX: usize = 512 * 1024;

/// All open cursors.
pub struct Cursors {
    open: Mutex<HashMap<i64, Arc<Slot>>>,
    clock: Arc<dyn millstream_storage::Clock>,
    /// Idle time after which a cursor without a session ends, in milliseconds.
    idle_ms_max: i64,
}

struct Slot {
    id: i64,
    /// `<db>.<collection>` as told to the client.
    namespace: String,
    owner: Owner,
    keeps: bool,
    place: Mutex<Place>,
    /// Of a change stream: how far behind it is, also while a command reads it.
    subscription: Option<Arc<Subscription>>,
    used_ms: AtomicI64,
    killed: AtomicBool,
    /// To be woken when it is killed, or comes back from being read ahead.
    waiter: Mutex<Option<Waker>>,
}

/// Whose a cursor is. Whoever reads it has to be the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The session that opened it.
    pub session: Option<[u8; 16]>,
    /// The transaction of that session in which it was opened.
    pub transaction: Option<i64>,
    /// The declaration under which it was opened.
    pub api: Option<Api>,
}

/// A client's declaration that it uses the versioned API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Only what is part of it.
    pub strict: bool,
    /// Nothing that is going to leave it.
    pub deprecation_errors: bool,
}

/// Where a cursor's source is.
enum Place {
    /// Here, for the next command.
    Here(Source),
    /// With the command that reads it.
    Leased,
    /// Away only to be read ahead: it comes back by itself, soon.
    ReadingAhead,
    /// What it read was too long ago to be kept any longer.
    TooOld(ClusterTime),
}

impl Place {
    fn take(&mut self) -> Option<Source> {
        match std::mem::replace(self, Self::Leased) {
            Self::Here(source) => Some(source),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// Where a cursor's documents come from.
pub enum Source {
    /// A query's result, and a document that did not fit into the last reply.
    Documents {
        /// The rest of the result.
        rows: Documents,
        /// Read already, not yet returned.
        held: Option<Bytes>,
        /// Of all the commands that read it.
        time: TimeLimit,
        /// The time that it reads, if its client asked for one.
        at: Option<ClusterTime>,
    },
    /// A change stream.
    Changes(Box<ChangeStream>),
    /// The end of the log, for the tools that tail it.
    Oplog(Box<OplogTail>),
    /// Documents that somebody else makes, as they come.
    Tail(Box<dyn Tail>),
}

/// Documents that are made elsewhere, as they come.
pub trait Tail: Send {
    /// What has come: at most `count` documents and 16 MiB, but at least one if there is one. Never waits.
    ///
    /// # Errors
    /// What ended it. It is of no use afterwards.
    fn batch(&mut self, count: usize) -> Result<Batch>;

    /// Whether a waiting reader should look again; if not, `waker` is woken when it should.
    fn poll_ready(&mut self, waker: &Waker) -> bool;
}

/// Documents for one reply.
#[derive(Default)]
pub struct Batch {
    /// The documents, encoded.
    pub documents: Vec<Bytes>,
    /// Of a change stream.
    pub post_batch_token: Option<DocBuf>,
    /// The change stream was invalidated.
    pub invalidated: bool,
    /// Nothing will follow.
    pub exhausted: bool,
    /// There is more to look at now: ask again before waiting.
    pub unfinished: bool,
    /// Of a change stream, the memory of the documents: keep it until they are sent.
    pub share: Option<Share>,
}

impl Source {
    /// A query's result.
    #[must_use]
    pub fn documents(rows: Documents) -> Self {
        Self::limited(rows, TimeLimit::default())
    }

    /// A query's result, until its time is over.
    #[must_use]
    pub fn limited(rows: Documents, time: TimeLimit) -> Self {
        Self::at(rows, time, None)
    }

    /// The same, of a read at one time: it ends when that is too long ago.
    #[must_use]
    pub fn at(rows: Documents, time: TimeLimit, at: Option<ClusterTime>) -> Self {
        Self::Documents { rows, held: None, time, at }
    }

    /// Whether a `getMore` waits when there is nothing.
    #[must_use]
    pub fn awaits(&self) -> bool {
        match self {
            Self::Documents { .. } => false,
            Self::Changes(_) | Self::Tail(_) => true,
            Self::Oplog(tail) => tail.awaits(),
        }
    }

    /// Whether the next batch may take long: it computes, or reads from disk.
    #[must_use]
    pub fn may_take_long(&self) -> bool {
        match self {
            Self::Documents { .. } | Self::Oplog(_) => true,
            Self::Changes(stream) => stream.reads_disk(),
            Self::Tail(_) => false,
        }
    }

    /// The next documents: at most `count` of them and 16 MiB, but at least one if there is one. Never waits.
    ///
    /// # Errors
    /// What reading the documents gives. The cursor is of no use afterwards.
    pub fn batch(&mut self, count: usize) -> Result<Batch> {
        match self {
            Self::Documents { rows, held, time, .. } => {
                time.resume();
                let mut batch = Batch::default();
                let mut size = 0;
                while batch.documents.len() < count {
                    let Some(doc) = held.take().map(Ok).or_else(|| rows.next()).transpose()? else {
                        batch.exhausted = true;
                        break;
                    };
                    if !batch.documents.is_empty() && size + doc.len() > BATCH_BYTES_MAX {
                        *held = Some(doc);
                        break;
                    }
                    size += doc.len();
                    batch.documents.push(doc);
                }
                // One look ahead spares the client an empty reply.
                if !batch.exhausted && held.is_none() && count > 0 {
                    match rows.next().transpose()? {
                        Some(doc) => *held = Some(doc),
                        None => batch.exhausted = true,
                    }
                }
                time.check()?;
                time.pause();
                Ok(batch)
            }
            Self::Changes(stream) => {
                let batch = stream.next_batch(BatchLimits { documents: count, bytes: EVENTS_BYTES_MAX })?;
                Ok(Batch {
                    documents: batch.events,
                    post_batch_token: Some(batch.post_batch_token),
                    invalidated: batch.invalidated,
                    exhausted: batch.closed,
                    unfinished: !batch.at_end,
                    share: Some(batch.share),
                })
            }
            Self::Oplog(tail) => tail.batch(count),
            Self::Tail(tail) => tail.batch(count),
        }
    }

    /// Makes a change stream's next events ready, while the client works on the last ones.
    pub fn read_ahead(&mut self) {
        match self {
            Self::Changes(stream) => stream.read_ahead(EVENTS_BYTES_MAX),
            Self::Documents { .. } | Self::Oplog(_) | Self::Tail(_) => {}
        }
    }

    /// Whether a waiting reader should look again; if not, `waker` is woken when it should.
    pub fn poll_ready(&mut self, waker: &Waker) -> bool {
        match self {
            Self::Documents { .. } => true,
            Self::Changes(stream) => stream.subscription().poll_ready(waker),
            Self::Oplog(tail) => tail.poll_ready(waker),
            Self::Tail(tail) => tail.poll_ready(waker),
        }
    }
}

impl Cursors {
    pub(crate) fn new(clock: Arc<dyn millstream_storage::Clock>, idle_ms_max: i64) -> Self {
        Self { open: Mutex::new(HashMap::new()), clock, idle_ms_max }
    }

    /// Keeps a cursor open and gives its id.
    ///
    /// # Errors
    /// [`Error::TooManyCursors`].
    pub fn keep(&self, source: Source, namespace: String, owner: Owner, no_timeout: bool) -> Result<i64> {
        let mut open = self.open.lock();
        if open.len() >= CURSORS_MAX {
            return Err(Error::TooManyCursors(CURSORS_MAX));
        }
        let id = loop {
            // Positive, random and never soon again (CS-13.1).
            let [a, b, c, d, e, f, g, h, ..] = millstream_value::new_uuid();
            let id = i64::from_be_bytes([a, b, c, d, e, f, g, h]) & i64::MAX;
            if id != 0 && !open.contains_key(&id) {
                break id;
            }
        };
        let slot = Slot {
            id,
            namespace,
            owner,
            keeps: no_timeout,
            subscription: match &source {
                Source::Changes(stream) => Some(Arc::clone(stream.subscription())),
                Source::Documents { .. } | Source::Oplog(_) | Source::Tail(_) => None,
            },
            place: Mutex::new(Place::Here(source)),
            used_ms: AtomicI64::new(self.now_ms()),
            killed: AtomicBool::new(false),
            waiter: Mutex::new(None),
        };
        open.insert(id, Arc::new(slot));
        Ok(id)
    }

    /// Takes a cursor for one command. It ends with the lease unless that is given back.
    ///
    /// # Errors
    /// The refusals of CS-8.3.8 and CS-8.3.9; the cursor stays as it is then.
    pub fn lease(self: &Arc<Self>, id: i64, namespace: &str, owner: Owner) -> Result<Lease> {
        let slot = self.slot(id, namespace, owner)?;
        let source = slot.place.lock().take().ok_or(Error::CursorInUse(id))?;
        Ok(Lease { cursors: Arc::clone(self), slot, source: Some(source) })
    }

    /// A cursor that this command may use.
    fn slot(&self, id: i64, namespace: &str, owner: Owner) -> Result<Arc<Slot>> {
        let slot = self.open.lock().get(&id).map(Arc::clone).ok_or(Error::CursorNotFound(id))?;
        if slot.namespace != namespace {
            return Err(Error::CursorNamespace { requested: namespace.to_owned(), actual: slot.namespace.clone() });
        }
        match (slot.owner.session, owner.session) {
            (Some(_), None) => Err(Error::CursorNeedsSession(id)),
            (None, Some(_)) => Err(Error::CursorHasNoSession(id)),
            (Some(a), Some(b)) if a != b => Err(Error::CursorOtherSession(id)),
            _ if slot.owner.transaction != owner.transaction => Err(Error::CursorOtherTransaction {
                cursor: id,
                opened: slot.owner.transaction,
                given: owner.transaction,
            }),
            _ if slot.owner.api != owner.api => Err(Error::CursorOtherApi(id)),
            _ => Ok(slot),
        }
    }

    /// The same, but waits for a cursor that is being read ahead: `waker` is woken when it is back.
    ///
    /// # Errors
    /// As [`Cursors::lease`].
    pub fn poll_lease(self: &Arc<Self>, id: i64, namespace: &str, owner: Owner, waker: &Waker) -> Poll<Result<Lease>> {
        let slot = match self.slot(id, namespace, owner) {
            Ok(slot) => slot,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let mut place = slot.place.lock();
        if matches!(*place, Place::ReadingAhead) {
            let mut waiter = slot.waiter.lock();
            // One command at a time, also among those that wait.
            if waiter.as_ref().is_some_and(|other| !other.will_wake(waker)) {
                return Poll::Ready(Err(Error::CursorInUse(id)));
            }
            *waiter = Some(waker.clone());
            return Poll::Pending;
        }
        if let Place::TooOld(at) = *place {
            return Poll::Ready(Err(crate::history::too_old(at)));
        }
        let source = place.take().ok_or(Error::CursorInUse(id));
        drop(place);
        Poll::Ready(source.map(|source| Lease { cursors: Arc::clone(self), slot, source: Some(source) }))
    }

    /// Ends cursors; says for each whether it was there.
    pub fn kill(&self, ids: &[i64]) -> Vec<bool> {
        ids.iter().map(|id| self.open.lock().remove(id).is_some_and(|slot| slot.end())).collect()
    }

    /// Ends the cursors of these sessions; of none: of all.
    pub fn kill_sessions(&self, sessions: &[[u8; 16]]) {
        self.end_where(|slot| match slot.owner.session {
            Some(session) => sessions.is_empty() || sessions.contains(&session),
            None => false,
        });
    }

    /// Ends the cursors of a namespace or, with a trailing dot, of a whole database. Change streams stay.
    pub fn kill_namespace(&self, namespace: &str) {
        self.end_where(|slot| {
            let concerned =
                slot.namespace == namespace || (namespace.ends_with('.') && slot.namespace.starts_with(namespace));
            concerned && matches!(&*slot.place.lock(), Place::Here(Source::Documents { .. }))
        });
    }

    /// Ends reads at a time before `oldest`, which hold what was overwritten since.
    pub(crate) fn end_older(&self, oldest: ClusterTime) {
        for slot in self.open.lock().values() {
            let mut place = slot.place.lock();
            if let Place::Here(Source::Documents { at: Some(at), .. }) = &*place
                && *at < oldest
            {
                *place = Place::TooOld(*at);
            }
        }
    }

    /// Ends cursors that nobody has used for too long: those without a session, and those whose session has ended.
    pub fn end_idle(&self, session_alive: impl Fn(&[u8; 16]) -> bool) {
        let now = self.now_ms();
        self.end_where(|slot| match &slot.owner.session {
            Some(session) => !session_alive(session),
            None => {
                !slot.keeps
                    && now - slot.used_ms.load(Ordering::Relaxed) > self.idle_ms_max
                    && matches!(&*slot.place.lock(), Place::Here(_))
            }
        });
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// How many of them are change streams.
    #[must_use]
    pub fn count_streams(&self) -> usize {
        self.open.lock().values().filter(|slot| slot.subscription.is_some()).count()
    }

    /// The change streams that have not read everything that concerns them: id, namespace, and where they go on.
    pub(crate) fn streams_behind(&self) -> Vec<(i64, String, ClusterTime)> {
        let open = self.open.lock();
        let behind = open.values().filter_map(|slot| {
            let position = slot.subscription.as_ref()?.unread()?;
            Some((slot.id, slot.namespace.clone(), position))
        });
        behind.collect()
    }

    fn end_where(&self, concerned: impl Fn(&Slot) -> bool) {
        let ended: Vec<_> = self.open.lock().extract_if(|_, slot| concerned(slot)).map(|(_, slot)| slot).collect();
        for slot in ended {
            slot.end();
        }
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX)
    }
}

impl Slot {
    fn end(&self) -> bool {
        self.killed.store(true, Ordering::Release);
        self.wake();
        true
    }

    fn wake(&self) {
        if let Some(waker) = self.waiter.lock().take() {
            waker.wake();
        }
    }
}

/// A cursor in the hands of one command. Dropping it ends the cursor; [`Lease::give_back`] keeps it open.
pub struct Lease {
    cursors: Arc<Cursors>,
    slot: Arc<Slot>,
    source: Option<Source>,
}

impl Lease {
    /// The documents' source.
    ///
    /// # Errors
    /// [`Error::CursorKilled`] if it was killed meanwhile.
    pub fn source(&mut self) -> Result<&mut Source> {
        if self.slot.killed.load(Ordering::Acquire) {
            return Err(Error::CursorKilled);
        }
        self.source.as_mut().ok_or(Error::CursorKilled)
    }

    /// Whether there is something to look at, be it that the cursor was killed. If not, `waker` is woken.
    pub fn poll_ready(&mut self, waker: &Waker) -> bool {
        *self.slot.waiter.lock() = Some(waker.clone());
        if self.slot.killed.load(Ordering::Acquire) {
            return true;
        }
        self.source.as_mut().is_none_or(|source| source.poll_ready(waker))
    }

    /// `<db>.<collection>` as told to the client.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.slot.namespace
    }

    /// Leaves the cursor open for the next command.
    pub fn give_back(mut self) {
        *self.slot.waiter.lock() = None;
        self.put_back();
    }

    /// Leaves the cursor open, but reads ahead first. Whoever asks for the cursor from now on waits for
    /// [`ReadAhead::run`].
    #[must_use]
    pub fn read_ahead(self) -> ReadAhead {
        *self.slot.waiter.lock() = None;
        *self.slot.place.lock() = Place::ReadingAhead;
        ReadAhead(Some(self))
    }

    fn put_back(&mut self) {
        self.slot.used_ms.store(self.cursors.now_ms(), Ordering::Relaxed);
        if let Some(source) = self.source.take() {
            *self.slot.place.lock() = Place::Here(source);
        }
    }
}

/// A cursor whose reply is on its way, and which then reads ahead. Comes back in any case.
pub struct ReadAhead(Option<Lease>);

impl ReadAhead {
    /// Reads ahead; may compute and read from disk.
    pub fn run(mut self) {
        if let Some(Ok(source)) = self.0.as_mut().map(Lease::source) {
            source.read_ahead();
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        if let Some(mut lease) = self.0.take() {
            lease.put_back();
            lease.slot.wake();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.source.is_some() {
            self.cursors.open.lock().remove(&self.slot.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use millstream_storage::SystemClock;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// CS-8.3.8: a client never meets the work that is done ahead for it.
    #[test]
    fn who_comes_while_a_cursor_reads_ahead_waits() {
        let cursors = Arc::new(Cursors::new(Arc::new(SystemClock), 1_000));
        let source = Source::documents(Box::new(std::iter::empty()));
        let id = cursors.keep(source, "shop.orders".into(), Owner::default(), false).unwrap();
        let [first, second] = [Arc::<Count>::default(), Arc::default()];
        let wakers = [&first, &second].map(|count| Waker::from(Arc::clone(count)));
        let poll = |waker| cursors.poll_lease(id, "shop.orders", Owner::default(), waker);

        let Poll::Ready(Ok(lease)) = poll(&wakers[0]) else { panic!("not there") };
        assert!(matches!(poll(&wakers[0]), Poll::Ready(Err(Error::CursorInUse(_)))));
        let ahead = lease.read_ahead();
        assert!(poll(&wakers[0]).is_pending());
        assert!(poll(&wakers[0]).is_pending());
        assert!(matches!(poll(&wakers[1]), Poll::Ready(Err(Error::CursorInUse(_)))));
        ahead.run();
        assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (1, 0));
        let Poll::Ready(Ok(lease)) = poll(&wakers[0]) else { panic!("not back") };

        let ahead = lease.read_ahead();
        assert_eq!(cursors.kill(&[id]), [true]);
        drop(ahead);
        assert!(matches!(poll(&wakers[1]), Poll::Ready(Err(Error::CursorNotFound(_)))));
        assert_eq!(cursors.count(), 0);
    }
}
