//! Several mills share the objects of one deployment: `millstream.leases`.
//!
//! Each mill has a document whose `beat` it raises; each object has one that names its owner. Nobody leads, and no clock is
//! compared with another's: a mill counts its own lease from before the renewal was sent, others count from after they saw
//! it, and end a mill only if the server knows no newer beat. What a mill may still do after that, the fence of each
//! object's checkpoint keeps away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::error::Error;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::checkpoint::DATABASE;
use crate::deployment::Deployment;
use crate::error::{Result, code, of_driver};

/// The collection of leases.
const LEASES: &str = "leases";

/// One mill's part.
#[derive(Debug)]
pub(crate) struct Leases {
    rows: Collection<Document>,
    name: String,
    length: Duration,
    /// The mill that had this one's place before, and is gone.
    former: Option<String>,
    /// Where this one is written down for the next.
    note: PathBuf,
    /// None while there is nothing to share: then nothing is written.
    membership: Option<Membership>,
    /// The beats of others, and since when they are seen so.
    seen: BTreeMap<String, (Option<i64>, Instant)>,
    looked: Instant,
}

#[derive(Debug)]
struct Membership {
    /// When the last renewal that was confirmed was sent.
    renewed: Arc<Mutex<Instant>>,
    task: JoinHandle<()>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a look shows.
struct View {
    members: BTreeMap<String, i64>,
    owners: BTreeMap<String, String>,
}

impl Leases {
    /// That of a mill with a folder of its own: whoever had the folder before is gone.
    pub(crate) fn new(deployment: &Deployment, name: &str, length: Duration, folder: &Path) -> Self {
        let rows: Collection<Document> = deployment.client().database(DATABASE).collection(LEASES);
        let name = format!("{name}:{:08x}", rand::random::<u32>());
        let note = folder.join("member");
        // The first one in a folder finds nothing.
        let former = std::fs::read_to_string(&note).ok();
        Self { rows, name, length, former, note, membership: None, seen: BTreeMap::new(), looked: Instant::now() }
    }

    /// Becomes one of those who share.
    async fn join(&mut self) -> Result<()> {
        if let Some(former) = &self.former {
            self.remove(former).await?;
        }
        let sent = Instant::now();
        renew(&self.rows, &self.name).await.map_err(|error| of_driver(&error))?;
        if let Err(error) = std::fs::write(&self.note, &self.name) {
            tracing::debug!("the next mill of this folder will have to wait for this one's lease: {error}");
        }
        self.former = None;
        let renewed = Arc::new(Mutex::new(sent));
        let (rows, name, length) = (self.rows.clone(), self.name.clone(), self.length);
        let task = tokio::spawn(keep_renewing(rows, name, length, Arc::clone(&renewed)));
        self.membership = Some(Membership { renewed, task });
        Ok(())
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may work.
    fn holds(&self) -> bool {
        let renewed = self.membership.as_ref().map(|membership| *membership.renewed.lock());
        renewed.is_some_and(|renewed| renewed.elapsed() < self.length.mul_f64(0.9))
    }

    /// Which of the objects are this mill's: those that it has, up to its share, and free ones if it has less. Of `rare` ones,
    /// which not every mill can run, it takes all that are free.
    pub(crate) async fn arrange(
        &mut self,
        objects: BTreeSet<String>,
        rare: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>> {
        if objects.is_empty() {
            if self.membership.is_some() {
                self.leave().await;
            }
            return Ok(BTreeSet::new());
        }
        if self.membership.is_none() {
            self.join().await?;
        }
        if !self.holds() {
            return Ok(BTreeSet::new());
        }
        let mut view = self.look().await?;
        for gone in self.overdue(&view) {
            tracing::warn!(mill = %gone, "a mill has not renewed its lease, others take its objects");
            self.expel(&gone, view.members.get(&gone).copied()).await?;
            view.members.remove(&gone);
            view.owners.retain(|_, owner| *owner != gone);
        }
        let members = view.members.len().max(1);
        let share = objects.len().div_ceil(members);
        let mut ours: BTreeSet<String> =
            objects.iter().filter(|object| view.owners.get(*object) == Some(&self.name)).cloned().collect();
        while ours.len() > share
            && let Some(last) = ours.iter().rfind(|object| !rare.contains(*object)).cloned()
        {
            ours.remove(&last);
        }
        for object in &objects {
            if ours.len() >= share && !rare.contains(object) {
                continue;
            }
            if !view.owners.contains_key(object) && self.take(object).await? {
                ours.insert(object.clone());
            }
        }
        Ok(ours)
    }

    /// Gives away what it does not run any more.
    pub(crate) async fn release_all_but(&self, ours: &BTreeSet<String>) -> Result<()> {
        let ours: Vec<String> = ours.iter().map(|object| object_id(object)).collect();
        let which = doc! {"owner": &self.name, "_id": {"$nin": ours}};
        let found = self.rows.count_documents(which.clone()).await.map_err(|error| of_driver(&error))?;
        if found > 0 {
            self.rows.delete_many(which).await.map_err(|error| of_driver(&error))?;
        }
        Ok(())
    }

    /// Goes, and leaves everything to the others.
    pub(crate) async fn leave(&mut self) {
        if self.membership.take().is_some()
            && let Err(error) = self.remove(&self.name).await
        {
            tracing::debug!("leases could not be given back: {error}");
        }
    }

    async fn remove(&self, member: &str) -> Result<()> {
        self.rows.delete_one(doc! {"_id": member_id(member)}).await.map_err(|error| of_driver(&error))?;
        self.rows.delete_many(doc! {"owner": member}).await.map(drop).map_err(|error| of_driver(&error))
    }

    async fn look(&self) -> Result<View> {
        let mut view = View { members: BTreeMap::new(), owners: BTreeMap::new() };
        let mut rows = self.rows.find(doc! {}).await.map_err(|error| of_driver(&error))?;
        while let Some(row) = rows.try_next().await.map_err(|error| of_driver(&error))? {
            let id = row.get_str("_id").unwrap_or_default();
            if let Some(member) = id.strip_prefix("mill/") {
                view.members.insert(member.to_owned(), row.get_i64("beat").unwrap_or(0));
            } else if let (Some(object), Ok(owner)) = (id.strip_prefix("object/"), row.get_str("owner")) {
                view.owners.insert(object.to_owned(), owner.to_owned());
            }
        }
        Ok(view)
    }

    /// Mills that have not renewed for the length of a lease, as far as this one has seen.
    fn overdue(&mut self, view: &View) -> Vec<String> {
        let now = Instant::now();
        // What happened while this one did not look proves nothing.
        if now.duration_since(self.looked) > self.length / 2 {
            self.seen.clear();
        }
        self.looked = now;
        let others: BTreeSet<&String> =
            view.members.keys().chain(view.owners.values()).filter(|other| **other != self.name).collect();
        self.seen.retain(|other, _| others.contains(other));
        let mut overdue = Vec::new();
        for other in others {
            let beat = view.members.get(other).copied();
            let since = self.seen.entry(other.clone()).or_insert((beat, now));
            if since.0 != beat {
                *since = (beat, now);
            }
            if now.duration_since(since.1) >= self.length {
                overdue.push(other.clone());
            }
        }
        overdue
    }

    async fn expel(&self, member: &str, beat: Option<i64>) -> Result<()> {
        if let Some(beat) = beat {
            let which = doc! {"_id": member_id(member), "beat": beat};
            let removed = self.rows.delete_one(which).await.map_err(|error| of_driver(&error))?;
            if removed.deleted_count == 0 {
                return Ok(());
            }
        }
        self.rows.delete_many(doc! {"owner": member}).await.map(drop).map_err(|error| of_driver(&error))
    }

    /// False: another was faster.
    async fn take(&self, object: &str) -> Result<bool> {
        match self.rows.insert_one(doc! {"_id": object_id(object), "owner": &self.name}).await {
            Ok(_) => Ok(true),
            Err(error) if code(&error) == Some(11_000) => Ok(false),
            Err(error) => Err(of_driver(&error)),
        }
    }
}

fn member_id(name: &str) -> String {
    format!("mill/{name}")
}

fn object_id(object: &str) -> String {
    format!("object/{object}")
}

async fn renew(rows: &Collection<Document>, name: &str) -> std::result::Result<(), Error> {
    let change = doc! {"$inc": {"beat": 1_i64}, "$currentDate": {"seen_at": true}, "$set": {"pid": pid()}};
    rows.update_one(doc! {"_id": member_id(name)}, change).upsert(true).await.map(drop)
}

fn pid() -> Bson {
    i64::from(std::process::id()).into()
}

/// Three times as often as necessary.
async fn keep_renewing(rows: Collection<Document>, name: String, length: Duration, renewed: Arc<Mutex<Instant>>) {
    loop {
        tokio::time::sleep(length / 3).await;
        let sent = Instant::now();
        match tokio::time::timeout(length, renew(&rows, &name)).await {
            Ok(Ok(())) => *renewed.lock() = sent,
            Ok(Err(error)) => tracing::warn!(mill = %name, "the lease could not be renewed: {error}"),
            Err(_) => tracing::warn!(mill = %name, "the lease could not be renewed in time"),
        }
    }
}
