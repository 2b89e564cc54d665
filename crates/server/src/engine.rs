//! What the commands of this crate need from the database behind them.

use std::path::Path;

use millstream_value::{ClusterTime, DocBuf};

/// The database, as far as the handshake, status and session commands care.
///
/// Everything here answers from memory, quickly: it is called on the tasks that serve sockets.
pub trait Engine: Send + Sync + 'static {
    /// The durable end of the log: `operationTime` of replies that state none of their own, and
    /// `$clusterTime`.
    fn committed(&self) -> ClusterTime;

    /// What the status commands say about the log.
    fn log_times(&self) -> LogTimes;

    /// The election term: never lower than before a restart.
    fn term(&self) -> i64;

    /// The replica set's identity, the same for the life of the data.
    fn set_id(&self) -> [u8; 12];

    /// Where the data lies; none if it lies in memory.
    fn folder(&self) -> Option<&Path>;

    /// A session was used: its life starts again.
    fn session_used(&self, session: SessionId);

    /// Clients are done with these sessions.
    fn end_sessions(&self, sessions: &[SessionId]);

    /// Ends these sessions and closes their cursors at once; none given: all of them.
    fn kill_sessions(&self, sessions: &[SessionId]);

    /// Further fields of `serverStatus.metrics`, such as `cursor` and `changeStreams`.
    fn metrics(&self) -> DocBuf {
        DocBuf::new()
    }
}

/// The log and when its ends were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTimes {
    /// The newest durable entry.
    pub committed: ClusterTime,
    /// Its wall-clock time, in milliseconds since 1970.
    pub committed_wall_ms: i64,
    /// When this process became able to take writes.
    pub opened: ClusterTime,
    /// The same on the wall clock, in milliseconds since 1970.
    pub opened_wall_ms: i64,
}

/// The `id` of a logical session: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);
