//! Webhooks that triggers have called (SQL-15.4): `millstream.outbox`.
//!
//! A call is put there by the transaction that makes it, and taken away when it was answered: so it is made at least once,
//! whatever ends in between. One mill at a time delivers, as it runs an object. The calls of a document are made one after
//! the other, in the order of its changes; those of different documents side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, DateTime, Document, RawDocumentBuf, Timestamp, doc};
use futures::TryStreamExt;
use millstream_watch::Failure;
use mongodb::options::WriteConcern;
use mongodb::{ClientSession, Collection};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::catalog::{routine, webhook};
use crate::checkpoint::{self, DATABASE, Kind};
use crate::commit::Place;
use crate::dead_letters;
use crate::definition::{DEFINITIONS, Definition};
use crate::deployment::{Deployment, after};
use crate::error::{Result, bug, is_passing, of_driver};
use crate::hosted::Host;
use crate::hub::{Hub, News};
use crate::run::Stop;
use crate::wants::{Interest, Wants};
use crate::webhook::{Call, pause, retries_of_procedure};
use crate::write::Buffer;

/// The collection of calls that wait.
pub(crate) const OUTBOX: &str = "outbox";
/// What mills call its delivery among the objects that they share.
pub(crate) const OBJECT: &str = "millstream.outbox";

/// Requests under way, each with its arguments in memory.
const REQUESTS_MAX: usize = 32;
/// Documents whose calls are known to wait; those of others are looked for when these are done.
const DOCUMENTS_MAX: usize = 10_000;
/// The pause after an error of the deployment.
const PAUSE: Duration = Duration::from_secs(1);

/// A call that is to be made.
pub(crate) struct Waiting<'w> {
    /// What tells it apart.
    pub(crate) key: &'w str,
    /// The id of its definition.
    pub(crate) procedure: &'w str,
    pub(crate) arguments: Document,
    pub(crate) namespace: &'w str,
    pub(crate) document_key: &'w Bson,
    /// Calls of a document are made in the order of these.
    pub(crate) place: String,
}

/// Puts a call into the outbox, unless it is there.
pub(crate) async fn put(buffer: &mut Buffer<'_>, waiting: Waiting<'_>) -> Result<()> {
    let call = doc! {
        "procedure": waiting.procedure,
        "args": waiting.arguments,
        "ns": waiting.namespace,
        "document_key": waiting.document_key,
        "place": waiting.place,
        "created_at": DateTime::now(),
        "attempts": 0_i64,
    };
    let update = doc! {"q": {"_id": waiting.key}, "u": {"$setOnInsert": call}, "upsert": true};
    let update = RawDocumentBuf::try_from(&update).map_err(|error| bug(&error.to_string()))?;
    buffer.push(Kind::Update, (DATABASE, OUTBOX), &update).await?;
    buffer.end().await
}

/// What delivery works with.
#[derive(Clone)]
pub(crate) struct Outbox {
    pub(crate) deployment: Deployment,
    pub(crate) hub: Hub,
    pub(crate) host: Host,
    pub(crate) stop: Stop,
}

/// Whose calls: a document, by the bytes of its namespace and key.
type Lane = Vec<u8>;

/// What became of a call.
enum Tried {
    /// It is out of the way.
    Over,
    /// It is tried again after this.
    Again(Duration),
    /// There was none.
    Nothing,
}

impl Outbox {
    /// Delivers until it is asked to stop.
    pub(crate) async fn run(self) {
        while !self.stop.is_stopped() {
            if let Err(error) = self.deliver().await {
                tracing::warn!("webhooks cannot be delivered, trying again: {error}");
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = self.stop.stopped() => {}
                }
            }
        }
    }

    async fn deliver(&self) -> Result<()> {
        let keys = doc! {"ns": 1, "document_key": 1, "place": 1};
        let index = doc! {"createIndexes": OUTBOX, "indexes": [{"key": keys, "name": "order"}]};
        let database = self.deployment.client().database(DATABASE);
        database.run_command(index).await.map_err(|error| of_driver(&error))?;
        let time = self.deployment.time().await?.unwrap_or(Timestamp { time: 0, increment: 0 });
        let mut wants = Wants::default();
        let of_lanes = ["document_key", "ns"].map(str::to_owned).into();
        wants.add((DATABASE.to_owned(), OUTBOX.to_owned()), &Interest::new(None, Some(of_lanes)));
        let mut inbox = self.hub.join(wants, Place::Time(after(time)));
        let mut lanes = Lanes::new(self.clone());
        lanes.look().await?;
        loop {
            tokio::select! {
                biased;
                () = self.stop.stopped() => return lanes.finish().await,
                Some(done) = lanes.tasks.join_next() => {
                    let (lane, outcome) = done.map_err(|error| bug(&format!("a delivery ended: {error}")))?;
                    outcome?;
                    lanes.done(&lane);
                    lanes.look_if_needed().await?;
                }
                news = inbox.next() => match news {
                    News::Commit(commit) => {
                        for event in commit.events() {
                            let call = event.raw().get_document("fullDocument").ok();
                            if let Some(lane) = call.and_then(|call| Document::try_from(call).ok()).and_then(lane_of) {
                                lanes.wake(lane);
                            }
                        }
                    }
                    News::Quiet(_) => {}
                    // What was not seen is there to be read.
                    News::Lost(_) => return Ok(()),
                },
            }
        }
    }

    /// Makes the calls of a document, one after the other, until there are none.
    async fn document(self, lane: Document, requests: Arc<Semaphore>) -> Result<()> {
        loop {
            let tried = {
                let turn = tokio::select! {
                    turn = requests.acquire() => turn.map_err(|error| bug(&error.to_string()))?,
                    () = self.stop.stopped() => return Ok(()),
                };
                let tried = self.next(&lane).await;
                drop(turn);
                tried
            };
            let wait = match tried {
                Ok(Tried::Nothing) => return Ok(()),
                Ok(Tried::Over) => Duration::ZERO,
                Ok(Tried::Again(wait)) => wait,
                Err(error) if is_passing(&error) => PAUSE,
                Err(error) => return Err(error),
            };
            tokio::select! {
                biased;
                () = self.stop.stopped() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Makes the first call of a document.
    async fn next(&self, lane: &Document) -> Result<Tried> {
        let rows: Collection<Document> = self.deployment.client().database(DATABASE).collection(OUTBOX);
        let first = rows.find_one(lane.clone()).sort(doc! {"place": 1}).await.map_err(|error| of_driver(&error))?;
        let Some(call) = first else { return Ok(Tried::Nothing) };
        let id = call.get_str("_id").unwrap_or_default();
        let attempt = call.get_i64("attempts").unwrap_or(0).saturating_add(1);
        let (failure, retries) = match self.attempt(&call, id, attempt).await? {
            Ok(()) => {
                rows.delete_one(doc! {"_id": id}).await.map_err(|error| of_driver(&error))?;
                return Ok(Tried::Over);
            }
            Err(failed) => failed,
        };
        let failures = u64::try_from(attempt).unwrap_or(1);
        if failure.is_lasting() || failures > retries {
            self.put_aside(&call, id, attempt, &failure).await?;
            return Ok(Tried::Over);
        }
        tracing::debug!(key = id, attempt, "a webhook is called again: {failure}");
        let counted = doc! {"$set": {"attempts": attempt}};
        rows.update_one(doc! {"_id": id}, counted).await.map_err(|error| of_driver(&error))?;
        Ok(Tried::Again(failure.pause().unwrap_or(pause(failures))))
    }

    /// One attempt; if it failed, how many more there may be in all.
    async fn attempt(
        &self,
        call: &Document,
        key: &str,
        attempt: i64,
    ) -> Result<std::result::Result<(), (Failure, u64)>> {
        let id = call.get_str("procedure").unwrap_or_default();
        // Read each time: whoever corrects an address means the calls that wait, too.
        let rows = self.deployment.client().database(DATABASE).collection::<Document>(DEFINITIONS);
        let found = rows.find_one(doc! {"_id": id}).await.map_err(|error| of_driver(&error))?;
        let definition = found.as_ref().and_then(|row| Definition::from_document(row).ok());
        let options = definition.as_ref().and_then(routine).and_then(webhook);
        let (Some(definition), Some(options)) = (&definition, options) else {
            return Ok(Err((Failure::lasting(format!("there is no webhook {id} any more")), 0)));
        };
        let empty = Document::new();
        let arguments = call.get_document("args").unwrap_or(&empty);
        let call =
            Call { routine: &definition.name, arguments, key, attempt: u64::try_from(attempt).unwrap_or(u64::MAX) };
        match call.send(self.host.requests(), options).await {
            Ok(_) => Ok(Ok(())),
            Err(failure) => Ok(Err((failure, retries_of_procedure(options)?))),
        }
    }

    /// Gives a call up: it becomes a dead letter.
    async fn put_aside(&self, call: &Document, key: &str, attempts: i64, failure: &Failure) -> Result<()> {
        tracing::warn!(key, "a call of a webhook is put aside: {failure}");
        let object = call.get_str("procedure").unwrap_or_default();
        let letter = doc! {
            "_id": {"object": object, "key": key},
            "kind": "procedure",
            "ns": call.get("ns").cloned().unwrap_or(Bson::Null),
            "document_key": call.get("document_key").cloned().unwrap_or(Bson::Null),
            "row": call.clone(),
            "error": {"sqlstate": "58030", "message": failure.to_string()},
            "attempts": attempts,
        };
        self.together(|session| {
            let (letter, key) = (letter.clone(), key.to_owned());
            Box::pin(async move {
                let taken = doc! {"delete": OUTBOX, "deletes": [{"q": {"_id": key}, "limit": 1}]};
                if checkpoint::run(session, DATABASE, taken).await?.get_i32("n").unwrap_or(0) > 0 {
                    dead_letters::note_change(session, letter).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn together<F>(&self, work: F) -> Result<()>
    where
        F: for<'t> Fn(&'t mut ClientSession) -> checkpoint::Work<'t> + Send + Sync,
    {
        let mut session = self.deployment.client().start_session().await.map_err(|error| of_driver(&error))?;
        let start = session.start_transaction().write_concern(WriteConcern::majority());
        start.await.map_err(|error| of_driver(&error))?;
        if let Err(error) = work(&mut session).await {
            checkpoint::abort(&mut session).await;
            return Err(error);
        }
        session.commit_transaction().await.map_err(|error| of_driver(&error))
    }
}

/// The documents whose calls are being made.
struct Lanes {
    outbox: Outbox,
    requests: Arc<Semaphore>,
    tasks: JoinSet<(Lane, Result<()>)>,
    /// Whether more has come for a document while its task runs.
    known: HashMap<Lane, bool>,
    /// There are more documents than are known.
    more: bool,
}

impl Lanes {
    fn new(outbox: Outbox) -> Self {
        let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
        Self { outbox, requests, tasks: JoinSet::new(), known: HashMap::new(), more: false }
    }

    /// Calls of a document wait.
    fn wake(&mut self, document: Document) {
        let lane = bytes(&document);
        if let Some(more) = self.known.get_mut(&lane) {
            *more = true;
        } else if self.known.len() >= DOCUMENTS_MAX {
            self.more = true;
        } else {
            self.known.insert(lane.clone(), false);
            let work = self.outbox.clone().document(document, Arc::clone(&self.requests));
            self.tasks.spawn(async move { (lane, work.await) });
        }
    }

    /// A document's task is over.
    fn done(&mut self, lane: &Lane) {
        if self.known.remove(lane) == Some(true)
            && let Ok(document) = RawDocumentBuf::from_bytes(lane.clone())
            && let Ok(document) = Document::try_from(document.as_ref() as &bson::RawDocument)
        {
            self.wake(document);
        }
    }

    async fn look_if_needed(&mut self) -> Result<()> {
        if self.more && self.known.len() < DOCUMENTS_MAX / 2 { self.look().await } else { Ok(()) }
    }

    /// Looks for documents with calls that wait.
    async fn look(&mut self) -> Result<()> {
        self.more = false;
        let rows: Collection<Document> = self.outbox.deployment.client().database(DATABASE).collection(OUTBOX);
        let found = rows.find(doc! {}).projection(doc! {"ns": 1, "document_key": 1});
        let mut found = found.await.map_err(|error| of_driver(&error))?;
        while let Some(call) = found.try_next().await.map_err(|error| of_driver(&error))? {
            if let Some(document) = lane_of(call) {
                self.wake(document);
            }
            if self.more {
                break;
            }
        }
        Ok(())
    }

    /// Lets requests that are under way come to their end.
    async fn finish(mut self) -> Result<()> {
        while let Some(done) = self.tasks.join_next().await {
            let (_, outcome) = done.map_err(|error| bug(&format!("a delivery ended: {error}")))?;
            outcome?;
        }
        Ok(())
    }
}

/// The document that a call is about.
fn lane_of(mut call: Document) -> Option<Document> {
    Some(doc! {"ns": call.remove("ns")?, "document_key": call.remove("document_key")?})
}

fn bytes(document: &Document) -> Lane {
    RawDocumentBuf::try_from(document).map(RawDocumentBuf::into_bytes).unwrap_or_default()
}
