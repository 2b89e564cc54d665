//! What all connections share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millstream_value::{DocBuf, Value, new_object_id};

use crate::counters::Counters;
use crate::fail_point::FailPoint;
use crate::own::Views;
use crate::{Engine, Options, Shutdown};

/// One running server.
pub(crate) struct Server {
    pub(crate) engine: Arc<Engine>,
    pub(crate) options: Options,
    pub(crate) identity: Identity,
    /// Milliseconds since 1970.
    pub(crate) started_ms: i64,
    pub(crate) counters: Counters,
    pub(crate) fail_point: FailPoint,
    pub(crate) shutdown: Shutdown,
    pub(crate) views: Views,
    message_ids: AtomicI32,
    connection_ids: AtomicI32,
}

impl Server {
    pub(crate) fn new(options: Options, engine: Arc<Engine>) -> Self {
        Self {
            identity: Identity::new(engine.term()),
            started_ms: now_ms(),
            engine,
            options,
            counters: Counters::new(),
            fail_point: FailPoint::default(),
            shutdown: Shutdown::new(),
            views: Views::default(),
            message_ids: AtomicI32::new(0),
            connection_ids: AtomicI32::new(0),
        }
    }

    /// A number for a message that we send. Wraps around after two thousand million.
    pub(crate) fn next_message_id(&self) -> i32 {
        self.message_ids.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// A number for a connection, from 1.
    pub(crate) fn next_connection_id(&self) -> i32 {
        self.connection_ids.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// The `host:port` of this server for a client that connected to `local`.
    pub(crate) fn address_for(&self, local: SocketAddr) -> String {
        match &self.options.advertised {
            Some(advertised) => advertised.clone(),
            // An IPv4 client of a socket that speaks both shows up as `::ffff:1.2.3.4`.
            None => SocketAddr::new(local.ip().to_canonical(), local.port()).to_string(),
        }
    }
}

/// Who this process is, among all that ever served these data.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Differs from process to process, so that drivers notice a restart.
    pub(crate) process_id: [u8; 12],
    /// Grows with the term, so that drivers take the newest primary for the true one.
    pub(crate) election_id: [u8; 12],
    pub(crate) started: Instant,
}

/// `topologyVersion.counter`: nothing about a one-node set changes while it runs.
pub(crate) const TOPOLOGY_COUNTER: i64 = 1;

impl Identity {
    fn new(term: i64) -> Self {
        let [a, b, c, d, e, f, g, h] = term.to_be_bytes();
        Self {
            process_id: new_object_id(),
            election_id: [0x7f, 0xff, 0xff, 0xff, a, b, c, d, e, f, g, h],
            started: Instant::now(),
        }
    }

    pub(crate) fn topology_version(&self) -> DocBuf {
        let mut document = DocBuf::new();
        document.push("processId", Value::ObjectId(self.process_id)).push("counter", TOPOLOGY_COUNTER);
        document
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Milliseconds since 1970, as BSON dates count.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
