//! The subscriptions of this process: shown, and cancelled by whoever asks (SQL-18.4).

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bson::{DateTime, Document, doc};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::deployment::Deployment;

/// All of them, by their ids. A process has one list, whatever sessions it has, and those of other deployments are told apart.
static ALL: LazyLock<Mutex<BTreeMap<String, Subscribed>>> = LazyLock::new(Mutex::default);

struct Subscribed {
    servers: Vec<String>,
    database: String,
    query: String,
    since: DateTime,
    cancel: Arc<Notify>,
}

/// A subscription's place in the list, until it ends.
pub(crate) struct Listed {
    id: String,
    cancel: Arc<Notify>,
}

impl Listed {
    /// Puts it there.
    pub(crate) fn new(deployment: &Deployment, database: &str, query: String) -> Self {
        let (id, cancel) = (format!("{:016x}", rand::random::<u64>()), Arc::new(Notify::new()));
        let subscribed = Subscribed {
            servers: deployment.connection().servers().to_vec(),
            database: database.to_owned(),
            query,
            since: DateTime::now(),
            cancel: Arc::clone(&cancel),
        };
        ALL.lock().insert(id.clone(), subscribed);
        Self { id, cancel }
    }

    /// Waits until somebody cancels it.
    pub(crate) async fn cancelled(&self) {
        self.cancel.notified().await;
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        ALL.lock().remove(&self.id);
    }
}

/// Those of a database.
pub(crate) fn list(deployment: &Deployment, database: &str) -> Vec<Document> {
    let all = ALL.lock();
    let of = all.iter().filter(|(_, one)| one.servers == deployment.connection().servers() && one.database == database);
    of.map(|(id, one)| doc! {"name": id, "state": "running", "query": &one.query, "since": one.since}).collect()
}

/// Cancels one. False: there is none.
pub(crate) fn cancel(deployment: &Deployment, id: &str) -> bool {
    let all = ALL.lock();
    let found = all.get(id).filter(|one| one.servers == deployment.connection().servers());
    // Kept for it if it is not waiting just now.
    found.inspect(|one| one.cancel.notify_one()).is_some()
}
