//! The database behind the commands, and the sessions of its clients.

use std::collections::HashMap;
use std::path::Path;

use millstream_db::{Db, Place};
use millstream_value::{ClusterTime, DocBuf};
use parking_lot::Mutex;

/// How long a session lives after its last use (CS-8.4.2), in milliseconds.
const SESSION_LIFE_MS: u64 = 30 * 60 * 1000;
/// Sessions remembered at once. Beyond it the oldest are forgotten early: 48 MB of ids is enough.
const SESSIONS_MAX: usize = 1_000_000;

/// A database and who uses it.
///
/// Everything here but [`Engine::db`] answers from memory, quickly: it is called on the tasks that serve sockets.
pub struct Engine {
    db: Db,
    /// When each session was last used, in unix milliseconds.
    sessions: Mutex<HashMap<SessionId, u64>>,
}

impl Engine {
    /// Serves a database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, sessions: Mutex::default() }
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The durable end of the log: `operationTime` of replies that state none of their own, and `$clusterTime`.
    pub(crate) fn committed(&self) -> ClusterTime {
        self.db.committed()
    }

    /// What the status commands say about the log.
    pub(crate) fn log_times(&self) -> LogTimes {
        let window = self.db.window();
        let (opened, opened_ms) = self.db.opened();
        LogTimes {
            committed: self.committed(),
            committed_wall_ms: i64::try_from(window.newest_wall_ms).unwrap_or(i64::MAX),
            opened,
            opened_wall_ms: i64::try_from(opened_ms).unwrap_or(i64::MAX),
        }
    }

    /// The election term. There is one primary and never another, so it stays the same across restarts.
    #[expect(clippy::unused_self, reason = "a property of the engine, whatever its value")]
    pub(crate) const fn term(&self) -> i64 {
        1
    }

    /// The replica set's identity, the same for the life of the data.
    pub(crate) fn set_id(&self) -> [u8; 12] {
        self.db.set_id()
    }

    /// Where the data lies; none if it lies in memory.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.db.folder()
    }

    /// A session was used: its life starts again.
    pub(crate) fn session_used(&self, session: SessionId) {
        let now = self.db.now_ms();
        let mut sessions = self.sessions.lock();
        if sessions.len() >= SESSIONS_MAX && !sessions.contains_key(&session) {
            forget_oldest(&mut sessions);
        }
        sessions.insert(session, now);
    }

    /// Clients are done with these sessions.
    pub(crate) fn end_sessions(&self, ended: &[SessionId]) {
        if ended.is_empty() {
            return;
        }
        {
            let mut sessions = self.sessions.lock();
            for session in ended {
                sessions.remove(session);
            }
        }
        self.db.abort_sessions(&ids(ended));
        self.db.cursors().kill_sessions(&ids(ended));
    }

    /// Ends these sessions and closes their cursors at once; none given: all of them.
    pub(crate) fn kill_sessions(&self, killed: &[SessionId]) {
        if killed.is_empty() {
            self.sessions.lock().clear();
            self.db.abort_sessions(&[]);
            self.db.cursors().kill_sessions(&[]);
        } else {
            self.end_sessions(killed);
        }
    }

    /// Further fields of `serverStatus.metrics`.
    pub(crate) fn metrics(&self) -> DocBuf {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let mut out = DocBuf::new();
        out.nest("cursor", |cursor| {
            cursor.nest("open", |open| {
                open.push("total", number(self.db.cursors().count()));
            });
        });
        out
    }

    /// Fields of `serverStatus.metrics.changeStreams`: how many are open, and how many of these are late.
    pub(crate) fn push_streams(&self, streams: &mut DocBuf) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let late = self.db.late_streams();
        let lost = late.iter().filter(|stream| stream.place == Place::Lost).count();
        streams.push("open", number(self.db.cursors().count_streams()));
        streams.push("nearHistoryEnd", number(late.len() - lost)).push("historyLost", number(lost));
    }

    /// Ends sessions and cursors that nobody has used for too long.
    pub(crate) fn sweep(&self) {
        let oldest = self.db.now_ms().saturating_sub(SESSION_LIFE_MS);
        self.sessions.lock().retain(|_, used| *used >= oldest);
        self.db.sweep(|session| self.sessions.lock().contains_key(&SessionId(*session)));
    }
}

/// Forgets the quarter that was used least recently, so that this is rare.
fn forget_oldest(sessions: &mut HashMap<SessionId, u64>) {
    let mut times: Vec<u64> = sessions.values().copied().collect();
    let quarter = times.len() / 4;
    let (_, limit, _) = times.select_nth_unstable(quarter);
    let limit = *limit;
    sessions.retain(|_, used| *used > limit);
}

fn ids(sessions: &[SessionId]) -> Vec<[u8; 16]> {
    sessions.iter().map(|session| session.0).collect()
}

/// The log and when its ends were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogTimes {
    /// The newest durable entry.
    pub(crate) committed: ClusterTime,
    /// Its wall-clock time, in milliseconds since 1970.
    pub(crate) committed_wall_ms: i64,
    /// When this process became able to take writes.
    pub(crate) opened: ClusterTime,
    /// The same on the wall clock, in milliseconds since 1970.
    pub(crate) opened_wall_ms: i64,
}

/// The `id` of a logical session: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(crate) [u8; 16]);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use millstream_db::{Owner, Source};
    use millstream_storage::{Clock, Location};

    use super::*;

    struct SetClock(AtomicU64);

    impl Clock for SetClock {
        fn now_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// CS-8.4.2: half an hour after its last use a session ends, and its cursors with it.
    #[test]
    fn a_session_lives_as_long_as_it_is_used() {
        let clock = Arc::new(SetClock(AtomicU64::new(1_755_427_520_000)));
        let db = Db::open(Location::Memory, Arc::clone(&clock) as _, millstream_db::Options::default()).unwrap();
        let engine = Engine::new(db);
        let minutes = |minutes: u64| clock.0.fetch_add(minutes * 60_000, Ordering::Relaxed);
        let sessions = [SessionId([1; 16]), SessionId([2; 16])];
        for session in sessions {
            engine.session_used(session);
            let source = Source::documents(Box::new(std::iter::empty()));
            let owner = Owner { session: Some(session.0), ..Owner::default() };
            engine.db().cursors().keep(source, "shop.orders".to_owned(), owner, false).unwrap();
        }
        minutes(29);
        engine.session_used(sessions[0]);
        engine.sweep();
        assert_eq!(engine.db().cursors().count(), 2);
        minutes(2);
        engine.sweep();
        assert_eq!(engine.db().cursors().count(), 1);
        minutes(30);
        engine.sweep();
        assert_eq!(engine.db().cursors().count(), 0);
    }
}
