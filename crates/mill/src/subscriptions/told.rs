//! What programs tell each other of their subscriptions (SQL-18.4).
//!
//! `millstream.subscriptions` has a document for each subscription. `millstream.programs` has one for each program that has any,
//! by which it is asked: whoever wants to know whether it lives, or to have something cancelled, raises `asked`; the program
//! watches its own document, does what it is asked, and sets `answered`. Nothing is written while nobody asks. What belongs to a
//! program that does not answer is removed; if it lives after all, it sees that and writes it again.
//!
//! All of this happens beside the subscriptions, which wait for none of it. Who may not write there has subscriptions that only
//! its own process shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::error::Error;
use mongodb::options::ReturnDocument;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::{ALL, Telling, cancel_own, own};
use crate::checkpoint::DATABASE;
use crate::deployment::{Deployment, after};
use crate::error::{Result, code, of_driver};
use crate::hub::{Hub, Inbox, News};
use crate::wants::{Interest, Wants};

const PROGRAMS: &str = "programs";
const SUBSCRIPTIONS: &str = "subscriptions";

/// For how long a program that is asked may be silent before it is taken for dead.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it has answered.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a program stays known without a subscription: the next one is often not far.
const LINGER: Duration = Duration::from_secs(5);
/// The pause after something went wrong.
const PAUSE: Duration = Duration::from_secs(1);
/// What a deployment answers who has no right to write.
const UNAUTHORIZED: i32 = 13;
/// What it answers when an `_id` is there already.
const DUPLICATE: i32 = 11_000;

/// This process, as the others see it.
pub(super) struct Program {
    deployment: Deployment,
    hub: Hub,
    name: String,
    changed: Arc<Notify>,
    /// The ids that are written down.
    written: BTreeSet<String>,
}

impl Program {
    /// Begins to tell of the subscriptions of this process.
    pub(super) fn start(deployment: Deployment, hub: Hub) -> Telling {
        let program = format!("{}:{:08x}", std::process::id(), rand::random::<u32>());
        let changed = Arc::new(Notify::new());
        let (name, own) = (program.clone(), Arc::clone(&changed));
        let program_task = Self { deployment, hub, name, changed: own, written: BTreeSet::new() };
        Telling { program, changed, task: tokio::spawn(program_task.run()) }
    }

    async fn run(mut self) {
        while let Err(error) = self.tell().await {
            tracing::debug!("other programs are not told of subscriptions: {error}");
            let has_no_right = code(&error) == Some(UNAUTHORIZED);
            loop {
                if has_no_right {
                    // It is not tried again.
                    self.changed.notified().await;
                } else {
                    sleep(PAUSE).await;
                }
                if self.is_over() {
                    return;
                }
                if !has_no_right {
                    break;
                }
            }
        }
    }

    /// Tells of what there is until there is nothing.
    async fn tell(&mut self) -> std::result::Result<(), Error> {
        self.register().await?;
        let mut inbox = self.inbox().await;
        self.heed().await?;
        self.forget_others().await;
        loop {
            self.write().await?;
            let is_empty = self.written.is_empty();
            let news = tokio::select! {
                () = self.changed.notified() => continue,
                news = something(&mut inbox) => news,
                () = sleep(LINGER), if is_empty => {
                    programs(&self.deployment).delete_one(doc! {"_id": &self.name}).await?;
                    if self.is_over() {
                        return Ok(());
                    }
                    self.register().await?;
                    continue;
                }
            };
            if matches!(news, News::Lost(_)) {
                inbox = self.inbox().await;
            }
            self.heed().await?;
        }
    }

    /// What happens to the documents of programs.
    async fn inbox(&self) -> Inbox {
        loop {
            match self.deployment.time().await {
                Ok(Some(time)) => {
                    let programs = (DATABASE.to_owned(), PROGRAMS.to_owned());
                    let mut wants = Wants::default();
                    wants.add(programs, &Interest::marks());
                    return self.hub.join(wants, crate::commit::Place::Time(after(time)));
                }
                // Without change streams there are no subscriptions.
                Ok(None) => sleep(LINGER).await,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn register(&mut self) -> std::result::Result<(), Error> {
        self.written.clear();
        let new = doc! {"$setOnInsert": {"asked": 0_i64, "answered": 0_i64, "since": bson::DateTime::now()}};
        programs(&self.deployment).update_one(doc! {"_id": &self.name}, new).upsert(true).await.map(drop)
    }

    /// Does what it is asked.
    async fn heed(&mut self) -> std::result::Result<(), Error> {
        let Some(row) = programs(&self.deployment).find_one(doc! {"_id": &self.name}).await? else {
            // Somebody has taken it for dead.
            return self.register().await;
        };
        let (asked, answered) = (row.get_i64("asked").unwrap_or(0), row.get_i64("answered").unwrap_or(0));
        if asked <= answered {
            return Ok(());
        }
        let ids: Vec<&String> = row.get_document("cancel").into_iter().flat_map(Document::keys).collect();
        let mut answer = doc! {"$set": {"answered": asked}};
        if !ids.is_empty() {
            answer.insert("$unset", ids.iter().map(|id| (format!("cancel.{id}"), Bson::from(1))).collect::<Document>());
        }
        programs(&self.deployment).update_one(doc! {"_id": &self.name}, answer).await?;
        // The program may end with the subscription.
        for id in ids {
            cancel_own(&self.deployment, id);
        }
        Ok(())
    }

    /// Writes what has begun and what has ended since the last time.
    async fn write(&mut self) -> std::result::Result<(), Error> {
        let (new, over) = self.unwritten();
        let rows = subscriptions(&self.deployment);
        if !new.is_empty() {
            match rows.insert_many(&new).ordered(false).await {
                // It was told already.
                Err(error) if code(&error) == Some(DUPLICATE) => {}
                done => drop(done?),
            }
            self.written.extend(new.iter().filter_map(|row| row.get_str("_id").ok()).map(str::to_owned));
        }
        if !over.is_empty() {
            rows.delete_many(doc! {"_id": {"$in": &over}}).await?;
            for id in &over {
                self.written.remove(id);
            }
        }
        Ok(())
    }

    /// Documents of those that have begun, and the ids of those that have ended.
    fn unwritten(&self) -> (Vec<Document>, Vec<String>) {
        let all = ALL.lock();
        let Some(of) = all.get(self.deployment.connection().servers()) else {
            return (Vec::new(), self.written.iter().cloned().collect());
        };
        let new = of.subscribed.iter().filter(|(id, _)| !self.written.contains(*id)).map(|(id, one)| {
            let (database, query) = (&one.database, &one.query);
            doc! {"_id": id, "program": &self.name, "database": database, "query": query, "since": one.since}
        });
        let over = self.written.iter().filter(|id| !of.subscribed.contains_key(*id));
        (new.collect(), over.cloned().collect())
    }

    /// What programs that died have left behind goes.
    async fn forget_others(&self) {
        let names = match programs(&self.deployment).distinct("_id", doc! {"_id": {"$ne": &self.name}}).await {
            Ok(names) => names.iter().filter_map(Bson::as_str).map(str::to_owned).collect(),
            Err(_) => BTreeSet::new(),
        };
        let deployment = self.deployment.clone();
        drop(tokio::spawn(async move {
            if let Err(error) = living(&deployment, names).await {
                tracing::debug!("it is not known which programs live: {error}");
            }
        }));
    }

    /// Whether there is nothing to tell any more. Then the next subscription begins anew.
    fn is_over(&self) -> bool {
        let mut all = ALL.lock();
        let servers = self.deployment.connection().servers();
        let is_over = all.get(servers).is_none_or(|of| of.subscribed.is_empty());
        if is_over {
            all.remove(servers);
        }
        is_over
    }
}

/// The subscriptions of all programs in a database.
pub(crate) async fn list(deployment: &Deployment, database: &str) -> Result<Vec<Document>> {
    let (own, program) = own(deployment);
    let program = program.unwrap_or_default();
    let row = |id: &str, program: &str, query: &str, since: Bson| {
        doc! {"name": id, "state": "running", "program": program, "query": query, "since": since}
    };
    let mine = own.iter().filter(|(_, one)| one.database == database);
    let mut rows: BTreeMap<String, Document> =
        mine.map(|(id, one)| (id.clone(), row(id, &program, &one.query, one.since.into()))).collect();
    let others = doc! {"database": database, "program": {"$ne": &program}};
    let others = match subscriptions(deployment).find(others).await {
        Err(error) if code(&error) == Some(UNAUTHORIZED) => return Ok(rows.into_values().collect()),
        others => others.map_err(|error| of_driver(&error))?,
    };
    let others: Vec<Document> = others.try_collect().await.map_err(|error| of_driver(&error))?;
    let of = |row: &Document, field: &str| row.get_str(field).unwrap_or_default().to_owned();
    let programs = others.iter().map(|row| of(row, "program")).collect();
    let living = living(deployment, programs).await?;
    for other in others.iter().filter(|other| living.contains(&of(other, "program"))) {
        let (id, since) = (of(other, "_id"), other.get("since").cloned().unwrap_or(Bson::Null));
        let shown = row(&id, &of(other, "program"), &of(other, "query"), since);
        rows.entry(id).or_insert(shown);
    }
    Ok(rows.into_values().collect())
}

/// Cancels a subscription, whosever it is. False: there is none.
pub(crate) async fn cancel(deployment: &Deployment, id: &str) -> Result<bool> {
    if cancel_own(deployment, id) {
        return Ok(true);
    }
    let rows = subscriptions(deployment);
    let found = rows.find_one(doc! {"_id": id}).await.map_err(|error| of_driver(&error))?;
    let Some(program) = found.as_ref().and_then(|found| found.get_str("program").ok()) else { return Ok(false) };
    let wish = doc! {"$set": {format!("cancel.{id}"): true}, "$inc": {"asked": 1_i64}};
    let programs = programs(deployment);
    let asking = programs.find_one_and_update(doc! {"_id": program}, wish);
    let asked = asking.return_document(ReturnDocument::After).await.map_err(|error| of_driver(&error))?;
    // Once only: it may end with the subscription.
    let wanted: BTreeMap<String, i64> =
        asked.iter().map(|row| (program.to_owned(), row.get_i64("asked").unwrap_or(0))).collect();
    if wanted.is_empty() || !silent(deployment, &wanted).await?.is_empty() {
        remove(deployment, program).await?;
        return Ok(false);
    }
    rows.delete_one(doc! {"_id": id}).await.map(drop).map_err(|error| of_driver(&error))?;
    Ok(true)
}

/// Which of these programs live. What the others have left goes.
async fn living(deployment: &Deployment, names: BTreeSet<String>) -> Result<BTreeSet<String>> {
    if names.is_empty() {
        return Ok(names);
    }
    let rows = programs(deployment);
    let which = doc! {"_id": {"$in": names.iter().cloned().collect::<Vec<_>>()}};
    let asked = rows.update_many(which.clone(), doc! {"$inc": {"asked": 1_i64}}).await;
    match asked {
        // Who may only read has to believe what is written.
        Err(error) if code(&error) == Some(UNAUTHORIZED) => return Ok(names),
        asked => drop(asked.map_err(|error| of_driver(&error))?),
    }
    let found = rows.find(which).await.map_err(|error| of_driver(&error))?;
    let found: Vec<Document> = found.try_collect().await.map_err(|error| of_driver(&error))?;
    let asked = |row: &Document| (row.get_str("_id").unwrap_or_default().to_owned(), row.get_i64("asked").unwrap_or(0));
    let wanted: BTreeMap<String, i64> = found.iter().map(asked).collect();
    let silent = silent(deployment, &wanted).await?;
    for name in names.iter().filter(|name| silent.contains(*name) || !wanted.contains_key(*name)) {
        remove(deployment, name).await?;
    }
    Ok(names.into_iter().filter(|name| wanted.contains_key(name) && !silent.contains(name)).collect())
}

/// Which programs do not answer what they are asked.
async fn silent(deployment: &Deployment, asked: &BTreeMap<String, i64>) -> Result<BTreeSet<String>> {
    let mut silent: BTreeSet<String> = asked.keys().cloned().collect();
    let since = Instant::now();
    while !silent.is_empty() && since.elapsed() < PATIENCE {
        let which = doc! {"_id": {"$in": silent.iter().cloned().collect::<Vec<_>>()}};
        let found = programs(deployment).find(which).await.map_err(|error| of_driver(&error))?;
        let found: Vec<Document> = found.try_collect().await.map_err(|error| of_driver(&error))?;
        for row in &found {
            let name = row.get_str("_id").unwrap_or_default();
            if asked.get(name).is_some_and(|asked| row.get_i64("answered").unwrap_or(0) >= *asked) {
                silent.remove(name);
            }
        }
        // Who has left does not answer.
        if !found.iter().any(|row| row.get_str("_id").is_ok_and(|name| silent.contains(name))) {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(silent)
}

/// Removes what a program has left.
async fn remove(deployment: &Deployment, program: &str) -> Result<()> {
    let of_it = doc! {"program": program};
    subscriptions(deployment).delete_many(of_it).await.map_err(|error| of_driver(&error))?;
    // Last, since that is what it sees if it lives.
    programs(deployment).delete_one(doc! {"_id": program}).await.map(drop).map_err(|error| of_driver(&error))
}

fn programs(deployment: &Deployment) -> Collection<Document> {
    deployment.client().database(DATABASE).collection(PROGRAMS)
}

fn subscriptions(deployment: &Deployment) -> Collection<Document> {
    deployment.client().database(DATABASE).collection(SUBSCRIPTIONS)
}

/// The next thing that is more than that nothing has happened.
async fn something(inbox: &mut Inbox) -> News {
    loop {
        match inbox.next().await {
            News::Quiet(_) => {}
            news => return news,
        }
    }
}
