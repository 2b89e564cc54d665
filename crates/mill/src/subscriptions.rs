//! The subscriptions of this process: counted (SQL-22.1), and told to all programs on their deployment, by which they are shown
//! and cancelled (SQL-18.4).

mod told;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bson::DateTime;
use millstream_sql::SqlError;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::told::Program;
pub(crate) use self::told::{cancel, list};
use crate::deployment::Deployment;
use crate::error::Result;
use crate::hub::Hub;

/// All of them, by the servers of their deployment. A process has one list, whatever sessions it has.
static ALL: LazyLock<Mutex<BTreeMap<Vec<String>, OfDeployment>>> = LazyLock::new(Mutex::default);

/// Those of a deployment.
#[derive(Default)]
struct OfDeployment {
    /// By their ids.
    subscribed: BTreeMap<String, Subscribed>,
    /// What tells others of them.
    telling: Option<Telling>,
}

struct Telling {
    /// What this process is called among the programs of the deployment.
    program: String,
    changed: Arc<Notify>,
    task: JoinHandle<()>,
}

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

#[derive(Clone)]
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
    pub(crate) fn new(
        deployment: &Deployment,
        hub: &Hub,
        database: &str,
        query: String,
        count_max: usize,
    ) -> Result<Self> {
        let (id, cancel) = (format!("{:016x}", rand::random::<u64>()), Arc::new(Notify::new()));
        let subscribed =
            Subscribed { database: database.to_owned(), query, since: DateTime::now(), cancel: Arc::clone(&cancel) };
        let servers = deployment.connection().servers();
        let mut all = ALL.lock();
        let of_servers = all.entry(servers.to_vec()).or_default();
        if of_servers.subscribed.len() >= count_max {
            let error = SqlError::new("53400", format!("there are {count_max} subscriptions already"));
            return Err(error.hint("SHOW SUBSCRIPTIONS lists them, CANCEL SUBSCRIPTION ends one"));
        }
        of_servers.subscribed.insert(id.clone(), subscribed);
        match of_servers.telling.as_ref().filter(|telling| !telling.task.is_finished()) {
            Some(telling) => telling.changed.notify_one(),
            None => of_servers.telling = Some(Program::start(deployment.clone(), hub.clone())),
        }
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
            of_servers.subscribed.remove(&self.id);
            if let Some(telling) = &of_servers.telling {
                telling.changed.notify_one();
            }
        }
    }
}

/// Those of this process on a deployment, and what it is called there.
fn own(deployment: &Deployment) -> (BTreeMap<String, Subscribed>, Option<String>) {
    let all = ALL.lock();
    let of = all.get(deployment.connection().servers());
    of.map_or_else(Default::default, |of| {
        (of.subscribed.clone(), of.telling.as_ref().map(|telling| telling.program.clone()))
    })
}

/// Cancels one of this process. False: there is none.
fn cancel_own(deployment: &Deployment, id: &str) -> bool {
    let all = ALL.lock();
    let found = all.get(deployment.connection().servers()).and_then(|of| of.subscribed.get(id));
    // Kept for it if it is not waiting just now.
    found.inspect(|one| one.cancel.notify_one()).is_some()
}
