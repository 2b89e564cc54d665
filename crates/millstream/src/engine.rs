//! Starting the engine inside this process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_db::Db;
use millstream_server::{Listening, Port};
use millstream_storage::{Location, SystemClock};
use millstream_value::Namespace;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// In this folder, which exists.
    Folder(PathBuf),
    /// Nowhere but in memory.
    Memory,
}

/// What the engine needs to know.
#[derive(Debug, Clone)]
pub(crate) struct EngineOptions {
    /// Where the data is.
    pub(crate) data: Data,
    /// Where to listen; port 0 picks a free one.
    pub(crate) address: SocketAddr,
    /// How many bytes of what was read from disk to hold in memory.
    pub(crate) cache_bytes: u64,
    /// Keep pre-images for every user collection, whatever its own option says.
    pub(crate) images_all: bool,
    /// How many bytes of the change log to keep.
    pub(crate) oplog_bytes: u64,
    /// How long to keep the change log at least, whatever its size.
    pub(crate) oplog_age_min: Duration,
    /// How far back the data can be read as it was.
    pub(crate) snapshot_window: Duration,
    /// What transactions may take.
    pub(crate) transactions: TransactionLimits,
    /// How many bytes of the newest changes to hold in memory.
    pub(crate) tail_bytes: usize,
    /// How many bytes all watchers together may hold beside those.
    pub(crate) watch_bytes: usize,
    /// The name of the replica set that clients see.
    pub(crate) replica_set: String,
    /// Let clients make commands fail.
    pub(crate) test_commands: bool,
    /// What an operator should know, one sentence each.
    pub(crate) warnings: Vec<String>,
    /// Who runs the SQL of its clients.
    pub(crate) sql: Option<Arc<dyn millstream_server::SqlRunner>>,
}

/// What transactions may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TransactionLimits {
    /// How long one may stay open.
    pub(crate) life: Duration,
    /// How many bytes one may write.
    pub(crate) bytes_max: usize,
    /// How many may be open at once.
    pub(crate) open_max: usize,
}

impl TransactionLimits {
    /// The settings' own.
    pub(crate) const USUAL: Self = Self { life: Duration::from_secs(60), bytes_max: 128 << 20, open_max: 10_000 };
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A running engine: it listens, and serves until it is stopped.
pub(crate) struct Engine {
    /// Where it listens, with the port that was picked.
    pub(crate) address: SocketAddr,
    /// Asks it to stop.
    pub(crate) stop: oneshot::Sender<()>,
    /// Ends when everything is on disk and closed.
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
    db: Db,
}

/// Opens the data and the port, and serves in a task of its own.
///
/// `ready` is called with the address when everything is open, just before the first client is
/// answered: whoever gets an answer finds the start lines written. When this returns, clients can connect. An error keeps its cause: a refused port as the
/// `io::Error` that it was, so that `serve` can say it in a sentence.
pub(crate) async fn start_engine(options: EngineOptions, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<Engine> {
    tracing::debug!(?options, "starting the engine");
    let EngineOptions {
        data,
        address,
        cache_bytes,
        images_all,
        oplog_bytes,
        oplog_age_min,
        snapshot_window,
        transactions,
        tail_bytes,
        watch_bytes,
        replica_set,
        test_commands,
        warnings,
        sql,
    } = options;
    // The port first: a port in use must not leave a new data folder behind.
    let options = millstream_server::Options {
        address,
        set_name: replica_set,
        test_commands,
        command_line: std::env::args().collect(),
        startup_warnings: warnings,
        sql,
        ..millstream_server::Options::default()
    };
    let port = Port::bind(address).await?;
    let storage = millstream_storage::Options {
        cache_bytes,
        oplog_bytes,
        oplog_hours: oplog_age_min.as_secs_f64() / 3600.0,
        ..millstream_storage::Options::default()
    };
    let location = match data {
        Data::Folder(folder) => Location::Folder(folder),
        Data::Memory => Location::Memory,
    };
    let settings = millstream_db::Options {
        storage,
        tail_bytes,
        watch_bytes,
        images_always: images_all,
        snapshot_window_ms: milliseconds(snapshot_window),
        transactions: millstream_db::TransactionLimits {
            life_ms: milliseconds(transactions.life),
            bytes_max: transactions.bytes_max,
            open_max: transactions.open_max,
        },
        ..millstream_db::Options::default()
    };
    let clock = Arc::new(SystemClock);
    let db =
        tokio::task::spawn_blocking(move || Db::open(location, clock, settings).map_err(anyhow::Error::from)).await??;
    let data = db.clone();
    let listening = Listening::on(port, options, Arc::new(millstream_server::Engine::new(db.clone())));
    let address = listening.address();
    let shutdown = listening.shutdown();
    ready(address);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let asked = async {
            // A dropped sender asks for the same.
            let _ = stopped.await;
            shutdown.start();
        };
        let ((), ()) = tokio::join!(listening.run(), asked);
        tokio::task::spawn_blocking(move || db.close().map_err(anyhow::Error::from)).await??;
        Ok(())
    });
    Ok(Engine { address, stop, task, db: data })
}

impl Engine {
    /// Answers whether there is a collection, without asking anybody.
    pub(crate) fn has_collection(&self, namespace: Namespace) -> impl Fn() -> bool + Send + use<> {
        let db = self.db.clone();
        move || db.collection_uuid(&namespace).is_some()
    }

    /// Asks it to stop, and waits until everything is closed.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        // The engine may have ended by itself; its task says how.
        let _ = self.stop.send(());
        self.task.await?
    }
}

/// The URI for a client on this machine.
pub(crate) fn uri(mut address: SocketAddr, replica_set: &str) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("mongodb://{address}/?replicaSet={replica_set}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uri_is_one_that_a_client_can_use() {
        let shown = |address: &str| uri(address.parse().unwrap(), "rs0");
        assert_eq!(shown("127.0.0.1:27017"), "mongodb://127.0.0.1:27017/?replicaSet=rs0");
        assert_eq!(shown("0.0.0.0:1"), "mongodb://127.0.0.1:1/?replicaSet=rs0");
        assert_eq!(shown("[::]:1"), "mongodb://[::1]:1/?replicaSet=rs0");
    }
}
