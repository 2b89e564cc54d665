//! The mill: runs what is defined on a deployment.
//!
//! It reads the definitions, watches them, and has a task for each object that is to run. An object that ends with an error
//! that may pass is begun again after a pause; any other error is its state (SQL-18.2).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bson::oid::ObjectId;
use millstream_flow::Stores;
use millstream_sql::SqlError;
use millstream_sql::statement::Kind;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::catalog::Catalog;
use crate::checkpoint::DATABASE;
use crate::commit::Place;
use crate::definition::{DEFINITIONS, Definition, State};
use crate::deployment::{Deployment, after};
use crate::error::{Result, bug, is_passing};
use crate::hosted::Host;
use crate::hub::{Hub, Inbox, News};
use crate::lease::Leases;
use crate::native::Natives;
use crate::object::{self, Object};
use crate::outbox::{self, Outbox};
use crate::run::{End, Stop, published};
use crate::wants::{Interest, Wants};

/// How a mill is run.
#[derive(Clone, Debug)]
pub struct MillOptions {
    /// Where the state of its objects is kept. One folder belongs to one mill.
    pub state_folder: PathBuf,
    /// What it is called among several on one deployment; `None`: a name of its own.
    pub name: Option<String>,
    /// How long another waits for it when it is gone. It is renewed three times in this time, as long as anything is defined.
    pub lease: Duration,
    /// The native routines of this program (SQL-16.5).
    pub natives: Natives,
}

impl MillOptions {
    /// With the state in a folder.
    #[must_use]
    pub fn new(state_folder: impl Into<PathBuf>) -> Self {
        let (name, natives) = (None, Natives::new());
        Self { state_folder: state_folder.into(), name, lease: Duration::from_secs(10), natives }
    }
}

/// A running mill. Dropping it ends everything at once, as a crash would; [`Mill::stop`] does it well.
#[derive(Debug)]
pub struct Mill {
    tell: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Mill {
    /// Begins to run what is defined there, and what will be.
    ///
    /// # Errors
    /// The deployment is not reached, or has no change streams.
    pub async fn start(uri: &str, options: MillOptions) -> Result<Self> {
        let deployment = Deployment::connect(uri).await?;
        let Some(time) = deployment.time().await? else {
            return Err(SqlError::new("0A000", "the deployment has no change streams: it has to be a replica set"));
        };
        let stores = open(&options.state_folder).await?;
        let hub = Hub::start(deployment.connection().clone());
        let mut wants = Wants::default();
        wants.add((DATABASE.to_owned(), DEFINITIONS.to_owned()), &Interest::marks());
        let definitions = hub.join(wants, Place::Time(after(time)));
        let name = options.name.as_deref().unwrap_or("mill");
        let leases = Leases::new(&deployment, name, options.lease, &options.state_folder);
        let (tell, stop) = Stop::new();
        let catalog = Catalog::new(Host::with(options.natives));
        let run = Run { deployment, stores, hub, leases, catalog, running: BTreeMap::new(), stop };
        Ok(Self { tell, task: Some(tokio::spawn(run.run(definitions))) })
    }

    /// Ends it: what is under way is finished, and places are saved.
    ///
    /// # Errors
    /// It had ended by itself.
    pub async fn stop(mut self) -> Result<()> {
        self.tell.send_replace(true);
        match self.task.take() {
            Some(task) => task.await.map_err(|error| bug(&format!("the mill ended: {error}"))),
            None => Ok(()),
        }
    }
}

impl Drop for Mill {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Memory for the states of all objects together.
const CACHE_BYTES: u64 = 128 << 20;
/// How long an object that failed in passing is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How often leases are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

struct Run {
    deployment: Deployment,
    stores: Stores,
    hub: Hub,
    leases: Leases,
    catalog: Catalog,
    running: BTreeMap<String, Running>,
    stop: Stop,
}

/// The task of one object.
struct Running {
    as_of: (Option<ObjectId>, i64),
    tell: watch::Sender<bool>,
    task: Task,
}

/// What can run.
enum Job {
    Object(Arc<Definition>),
    /// The delivery of webhooks.
    Outbox,
}

impl Job {
    /// What it was made of; when that changes it begins anew.
    fn as_of(&self, catalog: &Catalog) -> (Option<ObjectId>, i64) {
        match self {
            Self::Object(definition) => (Some(definition.generation), catalog.version(definition)),
            Self::Outbox => (None, 0),
        }
    }
}

/// A task that ends with whoever holds it.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long to wait for a process before that is about to end.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Opens the folder of states.
async fn open(folder: &Path) -> Result<Stores> {
    std::fs::create_dir_all(folder)
        .map_err(|error| SqlError::new("58030", format!("the folder {} cannot be used: {error}", folder.display())))?;
    let since = tokio::time::Instant::now();
    loop {
        match Stores::open(folder, CACHE_BYTES) {
            Ok(stores) => return Ok(stores),
            Err(error) if since.elapsed() > OPEN_MAX => {
                return Err(SqlError::new("58030", format!("the folder {} cannot be used: {error}", folder.display())));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

impl Run {
    async fn run(mut self, mut definitions: Inbox) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stale = true;
        loop {
            if stale {
                match Catalog::read(&self.deployment, &self.catalog, DATABASE).await {
                    Ok(catalog) => (self.catalog, stale) = (catalog, false),
                    Err(error) => tracing::warn!("the definitions cannot be read, trying again: {error}"),
                }
            }
            if let Err(error) = self.arrange().await {
                tracing::warn!("what runs where cannot be arranged, trying again: {error}");
            }
            tokio::select! {
                biased;
                () = self.stop.stopped() => break,
                news = definitions.next() => stale |= !matches!(news, News::Quiet(_)),
                _ = look.tick() => {}
            }
            while let Some(news) = definitions.ready() {
                stale |= !matches!(news, News::Quiet(_));
            }
        }
        let running = std::mem::take(&mut self.running);
        for object in running.values() {
            object.tell.send_replace(true);
        }
        for mut object in running.into_values() {
            // A task that panicked has ended, too.
            let _ = (&mut object.task.0).await;
        }
        self.leases.leave().await;
    }

    /// Begins what is to run here, and ends what is not.
    async fn arrange(&mut self) -> Result<()> {
        let objects = self.catalog.all().filter(|definition| {
            matches!(definition.kind, Kind::MaterializedView | Kind::Trigger)
                && matches!(definition.state, State::Building | State::Running)
                && self.catalog.is_runnable(definition)
        });
        let mut wanted: BTreeMap<String, Job> =
            objects.map(|definition| (definition.id.clone(), Job::Object(Arc::clone(definition)))).collect();
        let rare = wanted.iter().filter(|(_, job)| match job {
            Job::Object(definition) => !self.catalog.natives_of(definition).is_empty(),
            Job::Outbox => false,
        });
        let rare = rare.map(|(id, _)| id.clone()).collect();
        if self.catalog.webhook_procedures().next().is_some() {
            wanted.insert(outbox::OBJECT.to_owned(), Job::Outbox);
        }
        let ours = self.leases.arrange(wanted.keys().cloned().collect(), &rare).await?;
        let over: Vec<String> = self
            .running
            .iter()
            .filter(|(id, running)| {
                let same = wanted.get(*id).is_some_and(|job| job.as_of(&self.catalog) == running.as_of);
                !same || !ours.contains(*id) || running.task.0.is_finished()
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            if let Some(mut running) = self.running.remove(&id) {
                running.tell.send_replace(true);
                // A task that panicked has ended, too.
                let _ = (&mut running.task.0).await;
            }
        }
        if !wanted.is_empty() {
            self.leases.release_all_but(&ours).await?;
        }
        for (id, job) in wanted {
            if ours.contains(&id) && !self.running.contains_key(&id) {
                let running = self.begin(job);
                self.running.insert(id, running);
            }
        }
        self.sweep();
        Ok(())
    }

    fn begin(&self, job: Job) -> Running {
        let (tell, stop) = Stop::new();
        let as_of = job.as_of(&self.catalog);
        let (deployment, hub) = (self.deployment.clone(), self.hub.clone());
        let task = match job {
            Job::Object(definition) => tokio::spawn(keep_running(Object {
                deployment,
                hub,
                stores: self.stores.clone(),
                host: self.leases.name().to_owned(),
                catalog: self.catalog.clone(),
                definition,
                stop,
            })),
            Job::Outbox => tokio::spawn(Outbox { deployment, hub, host: self.catalog.host.clone(), stop }.run()),
        };
        Running { as_of, tell, task: Task(task) }
    }

    /// Removes the state of what is not defined any more.
    fn sweep(&self) {
        let wanted: Vec<String> = self.catalog.all().map(|definition| definition.generation.to_hex()).collect();
        // Those of lanes have a number behind it.
        let is_wanted = |name: &&String| {
            let generation = name.split('-').next().unwrap_or_default();
            wanted.iter().any(|wanted| wanted == generation)
        };
        for name in self.stores.names().iter().filter(|name| !is_wanted(name)) {
            if let Err(error) = self.stores.remove(name) {
                tracing::debug!("a state could not be removed: {error}");
            }
        }
    }
}

/// Runs an object, again and again where what went wrong may pass.
async fn keep_running(object: Object) {
    let client = object.deployment.client().clone();
    let (definition, stop) = (Arc::clone(&object.definition), object.stop.clone());
    loop {
        match object::run(object.clone()).await {
            Ok(End::Stopped) => return,
            Ok(End::TakenOver | End::Rebuild) => {
                tracing::info!(object = %definition.id, "another process runs it now");
                return;
            }
            Err(error) if is_passing(&error) => {
                tracing::warn!(object = %definition.id, "ended, beginning again: {error}");
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = stop.stopped() => return,
                }
            }
            Err(error) => {
                tracing::error!(object = %definition.id, "failed: {error}");
                if let Err(error) = published(&client, &definition, "failed", Some(&error)).await {
                    tracing::warn!("the state of {} cannot be told: {error}", definition.id);
                }
                return;
            }
        }
    }
}
