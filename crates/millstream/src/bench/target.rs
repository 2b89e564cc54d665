//! One server: clients, its database, its memory.

use std::time::Duration;

use bson::{Bson, Document, doc};
use millstream_watch::Connection;
use mongodb::Collection;
use mongodb::options::{CollectionOptions, WriteConcern};

/// The database that the benchmark works in.
pub(crate) const DATABASE: &str = "millstream_bench";

/// Connections that a pool may open at the same time. The driver's 2 would make opening thousands
/// of watchers take minutes.
const CONNECTING_MAX: u32 = 32;

/// Connections of the pool for everything but the watchers of fanout.
const POOL: u32 = 64;

/// One server.
pub(crate) struct Target {
    /// What it is called in reports.
    pub(crate) label: String,
    uri: String,
    connection: Connection,
    pid: Option<u32>,
}

impl Target {
    /// Connects, and finds the server's process if it is on this machine.
    pub(crate) async fn connect(uri: &str, label: String, pid: Option<u32>) -> anyhow::Result<Self> {
        let connection = connect(uri, POOL).await?;
        connection.ping().await?;
        let mut target = Self { label, uri: uri.to_owned(), connection, pid };
        if target.pid.is_none() {
            target.pid = target.find_process().await;
        }
        Ok(target)
    }

    /// The connection for everything but many watchers.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A connection of its own with a pool of this size.
    pub(crate) async fn another(&self, pool: u32) -> anyhow::Result<Connection> {
        connect(&self.uri, pool).await
    }

    /// A collection of the benchmark, as new, with one document so that it exists.
    pub(crate) async fn fresh(&self, name: &str) -> anyhow::Result<Collection<Document>> {
        let collection = self.connection.client().database(DATABASE).collection::<Document>(name);
        collection.drop().await.map_err(|error| self.explain(error))?;
        collection.insert_one(doc! {"_id": "seed"}).await.map_err(|error| self.explain(error))?;
        Ok(collection)
    }

    /// The same collection with the write concern `w: 1`.
    pub(crate) fn with_w1(&self, collection: &Collection<Document>) -> Collection<Document> {
        let options = CollectionOptions::builder().write_concern(WriteConcern::nodes(1)).build();
        self.connection.client().database(DATABASE).collection_with_options(collection.name(), options)
    }

    /// A driver's error in a sentence.
    pub(crate) fn explain(&self, error: mongodb::error::Error) -> anyhow::Error {
        self.connection.explain(error, "the benchmark's database").into()
    }

    /// The memory that the server holds, in KB: exact if its process is known, else in steps of a
    /// megabyte as it tells itself.
    pub(crate) async fn memory_kb(&self) -> Option<f64> {
        if let Some(memory) = self.pid.and_then(resident_kb) {
            return Some(memory);
        }
        let megabytes = number(self.status().await?.get_document("mem").ok()?.get("resident")?)?;
        Some(megabytes * 1024.0)
    }

    async fn status(&self) -> Option<Document> {
        self.connection.client().database("admin").run_command(doc! {"serverStatus": 1}).await.ok()
    }

    /// The process id that a server on this machine tells.
    async fn find_process(&self) -> Option<u32> {
        let local = |server: &String| {
            let host = server.rsplit_once(':').map_or(server.as_str(), |(host, _)| host);
            matches!(host, "localhost" | "127.0.0.1" | "[::1]")
        };
        if !self.connection.servers().iter().all(local) {
            return None;
        }
        let told = self.status().await?.get("pid").and_then(number)?;
        // The id has to be that of a server here, not of one in a container of its own.
        let pid: u32 = format!("{told:.0}").parse().ok()?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.starts_with("mongod") || name.starts_with("millstream")).then_some(pid)
    }
}

/// What a write of the benchmark looks like: an order of about 320 bytes.
pub(crate) fn order(number: u64) -> Document {
    let signed = i64::try_from(number).unwrap_or(i64::MAX);
    doc! {
        "order": signed,
        "status": "pending",
        "customer": signed % 5000,
        "total": (number % 997) as f64 * 1.25,
        "items": [{"sku": "A-1001", "quantity": 2}, {"sku": "B-2002", "quantity": 1}],
        "created": bson::DateTime::now(),
        "address": {"street": "1 Main Street", "city": "Springfield", "zip": "00000"},
    }
}

async fn connect(uri: &str, pool: u32) -> anyhow::Result<Connection> {
    let connection = Connection::with(uri, |options| {
        options.max_pool_size = Some(pool);
        options.max_connecting = Some(CONNECTING_MAX);
        options.server_selection_timeout = Some(Duration::from_secs(10));
    })
    .await?;
    Ok(connection)
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(n) => Some(*n),
        _ => None,
    }
}

/// The memory that this process holds, in KB.
pub(crate) fn own_memory_kb() -> Option<f64> {
    resident_kb(std::process::id())
}

fn resident_kb(pid: u32) -> Option<f64> {
    resident(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status_of_a_process() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t  12345 kB\n"), Some(12345.0));
        assert_eq!(resident("Name:\tx\n"), None);
    }

    #[test]
    fn numbers_of_any_type() {
        let values = [Bson::Int32(3), Bson::Int64(3), Bson::Double(3.0)];
        assert!(values.iter().all(|value| number(value) == Some(3.0)));
        assert_eq!(number(&Bson::Null), None);
    }

    #[test]
    fn orders_have_a_usual_size() {
        let bytes = bson::RawDocumentBuf::try_from(&order(7)).unwrap().as_bytes().len();
        assert!((250..400).contains(&bytes), "{bytes}");
    }
}
