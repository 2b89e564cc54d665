//! A MongoDB, whichever it is.

use std::time::{SystemTime, UNIX_EPOCH};

use bson::Timestamp;
use millstream_watch::Connection;
use mongodb::Client;

use crate::error::{Result, of_watch};

/// What is known of a MongoDB by its URI.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    connection: Connection,
}

impl Deployment {
    /// Reads the URI, and reaches a server.
    pub(crate) async fn connect(uri: &str) -> Result<Self> {
        let connection = Connection::new(uri).await.map_err(|error| of_watch(&error))?;
        let deployment = Self { connection };
        deployment.time().await?;
        Ok(deployment)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn client(&self) -> &Client {
        self.connection.client()
    }

    /// The cluster time of now: everything acknowledged before is at or below it. A standalone server has none.
    pub(crate) async fn time(&self) -> Result<Option<Timestamp>> {
        self.connection.ping().await.map_err(|error| of_watch(&error))
    }
}

/// A start time is inclusive, so the time of the last known change is one too early.
pub(crate) fn after(time: Timestamp) -> Timestamp {
    match time.increment.checked_add(1) {
        Some(increment) => Timestamp { time: time.time, increment },
        None => Timestamp { time: time.time.saturating_add(1), increment: 0 },
    }
}

/// The time just before another.
pub(crate) fn before(time: Timestamp) -> Timestamp {
    match time.increment.checked_sub(1) {
        Some(increment) => Timestamp { time: time.time, increment },
        None => Timestamp { time: time.time.saturating_sub(1), increment: u32::MAX },
    }
}

/// The mill's clock: milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
