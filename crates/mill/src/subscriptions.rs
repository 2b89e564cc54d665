//! The subscriptions of this process: shown, cancelled by whoever asks (SQL-18.4), and counted (SQL-22.1).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bson::{DateTime, Document, doc};
use millstream_sql::SqlError;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::deployment::Deployment;
use crate::error::Result;

/// All of them, by the servers of their deployment. A process has one list, whatever sessions it has.
static ALL: LazyLock<Mutex<BTreeMap<Vec<String>, OfDeployment>>> = LazyLock::new(Mutex::default);

/// Those of a deployment, by their ids.
type OfDeployment = BTreeMap<String, Subscribed>;

/// What subscriptions may take up (SQL-22.1).
#[derive(Clone, Debug)]
pub struct SubscriptionLimits {
    /// Subscriptions of this process to one deployment.
    pub count: usize,
    /// Bytes of the rows of one that wait for whoever takes them; then its changes are not read further.
    pub queue_bytes: u32,
    /// For how long they may take up all of that before it ends.
    pub full_for: Duration,
}

impl Default for SubscriptionLimits {
    fn default() -> Self {
        Self { count: 10_000, queue_bytes: 16 << 20, full_for: Duration::from_secs(60) }
    }
}

struct Subscribed {
    database: String,
    query: String,
    since: DateTime,
    cancel: Arc<Notify>,
}

/// A subscription's place in the list, until it ends.
#[derive(Debug)]
pub(crate) struct Listed {
    servers: Vec<String>,
    id: String,
    cancel: Arc<Notify>,
}

impl Listed {
    /// Puts it there, unless so many are there already.
    pub(crate) fn new(servers: &[String], database: &str, query: String, count_max: usize) -> Result<Self> {
        let (id, cancel) = (format!("{:016x}", rand::random::<u64>()), Arc::new(Notify::new()));
        let subscribed =
            Subscribed { database: database.to_owned(), query, since: DateTime::now(), cancel: Arc::clone(&cancel) };
        let mut all = ALL.lock();
        let of_servers = all.entry(servers.to_vec()).or_default();
        if of_servers.len() >= count_max {
            let error = SqlError::new("53400", format!("there are {count_max} subscriptions already"));
            return Err(error.hint("SHOW SUBSCRIPTIONS lists them, CANCEL SUBSCRIPTION ends one"));
        }
        of_servers.insert(id.clone(), subscribed);
        Ok(Self { servers: servers.to_vec(), id, cancel })
    }

    /// Waits until somebody cancels it.
    pub(crate) async fn cancelled(&self) {
        self.cancel.notified().await;
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut all = ALL.lock();
        if let Some(of_servers) = all.get_mut(&self.servers) {
            of_servers.remove(&self.id);
            if of_servers.is_empty() {
                all.remove(&self.servers);
            }
        }
    }
}

/// Those of a database.
pub(crate) fn list(deployment: &Deployment, database: &str) -> Vec<Document> {
    let all = ALL.lock();
    let of = all.get(deployment.connection().servers()).into_iter().flatten();
    let of = of.filter(|(_, one)| one.database == database);
    of.map(|(id, one)| doc! {"name": id, "state": "running", "query": &one.query, "since": one.since}).collect()
}

/// Cancels one. False: there is none.
pub(crate) fn cancel(deployment: &Deployment, id: &str) -> bool {
    let all = ALL.lock();
    let found = all.get(deployment.connection().servers()).and_then(|of| of.get(id));
    // Kept for it if it is not waiting just now.
    found.inspect(|one| one.cancel.notify_one()).is_some()
}
