//! A trigger as it runs: changes in their sequence, each dealt with exactly once (SQL-15.3 to SQL-15.9).

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, DateTime, Document, RawDocument, doc};
use millstream_flow::Datum;
use millstream_sql::SqlError;
use millstream_sql::statement::TriggerEvent;
use millstream_watch::Event;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::body::Run;
use super::plan::Planned;
use crate::change::Change;
use crate::checkpoint::{CHECKPOINTS, Checkpoint, DATABASE, NotCommitted};
use crate::commit::{Commit, Place};
use crate::dead_letters::{self, DEAD_LETTERS};
use crate::definition::Definition;
use crate::deployment::now_ms;
use crate::error::{Result, bug, of_driver};
use crate::hub::{Inbox, News, Wants, names};
use crate::interval;
use crate::object::Object;
use crate::run::{End, at, published};
use crate::wait::barriers;

/// How often the place of a trigger that has nothing to do is saved.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// The options of a trigger, read.
#[derive(Clone, Debug)]
struct Options {
    recursive: bool,
    max_depth: u64,
    batch: usize,
    timeout: Duration,
    retries: u64,
    pause: bool,
    missing_is_null: bool,
}

impl Options {
    fn of(definition: &Definition) -> Result<Self> {
        let options = &definition.options;
        Ok(Self {
            recursive: options.boolean("recursive")?.unwrap_or(false),
            max_depth: options.integer("max_depth")?.unwrap_or(16),
            batch: usize::try_from(options.integer("batch")?.unwrap_or(100).max(1)).unwrap_or(100),
            timeout: options.interval("timeout")?.map_or(Ok(Duration::from_secs(30)), interval::duration)?,
            retries: options.integer("retries")?.unwrap_or(5),
            pause: options.text("on_failure")? == Some("pause"),
            missing_is_null: options.text("missing_image")? == Some("null"),
        })
    }
}

/// A running trigger.
pub(crate) struct Trigger {
    object: Object,
    planned: Arc<Planned>,
    options: Options,
    checkpoint: Checkpoint,
    place: Place,
    /// The largest change time so far (SQL-12.3).
    time_ms: i64,
}

/// What is to be dealt with.
#[derive(Clone)]
struct Item {
    change: Arc<Change>,
    depth: u64,
    /// The dead letter that it comes from.
    letter: Option<Bson>,
}

impl Trigger {
    pub(crate) async fn new(object: Object, planned: Planned) -> Result<Self> {
        let client = object.deployment.client().clone();
        let definition = Arc::clone(&object.definition);
        let (checkpoint, row) = Checkpoint::take_over(&client, &definition.id, &object.host).await?;
        let ours = row.get_object_id("generation").ok() == Some(definition.generation);
        let kept = if ours { row.get("place").and_then(Place::from_bson) } else { None };
        let place = match (kept, &definition.start) {
            (Some(place), _) => place,
            (None, Some(start)) => Place::from_bson(start)
                .ok_or_else(|| SqlError::new("0A000", "a trigger that starts with a snapshot is not offered yet"))?,
            (None, None) => return Err(bug("a trigger without a place to start")),
        };
        let time_ms = if ours { row.get_i64("change_time").unwrap_or(0) } else { 0 };
        let options = Options::of(&definition)?;
        Ok(Self { object, planned: Arc::new(planned), options, checkpoint, place, time_ms })
    }

    /// Runs until it is asked to stop, or cannot go on.
    pub(crate) async fn run(mut self) -> Result<End> {
        let client = self.object.deployment.client().clone();
        published(&client, &self.object.definition, "running", None).await?;
        let own = |name: &str| (DATABASE.to_owned(), name.to_owned());
        let table = (self.planned.database.clone(), self.planned.collection.clone());
        let collections = [table, own(CHECKPOINTS), own(DEAD_LETTERS), barriers()].into();
        let images = self.planned.needs_images();
        let mut inbox = self.object.hub.join(Wants { collections, images }, self.place.clone());
        let (mut saved, mut dirty) = (Instant::now(), true);
        loop {
            let save = dirty.then(|| saved + SAVE_EVERY);
            let news = tokio::select! {
                biased;
                () = self.object.stop.stopped() => return self.stop().await,
                news = inbox.next() => news,
                () = at(save) => {
                    if !self.save().await? {
                        return Ok(End::TakenOver);
                    }
                    (saved, dirty) = (Instant::now(), false);
                    continue;
                }
            };
            match news {
                News::Lost(reason) => {
                    let error = SqlError::new("MS001", format!("changes are lost: {reason}"));
                    return Err(error.hint("RESUME TRIGGER … FROM NOW goes on without them"));
                }
                News::Quiet(place) => self.place = place,
                News::Commit(commit) => {
                    if let Some(end) = self.commits(commit, &mut inbox).await? {
                        return Ok(end);
                    }
                }
            }
            dirty = true;
        }
    }

    async fn stop(&mut self) -> Result<End> {
        self.save().await?;
        Ok(End::Stopped)
    }

    /// Deals with a commit and what has come behind it.
    async fn commits(&mut self, first: Arc<Commit>, inbox: &mut Inbox) -> Result<Option<End>> {
        let mut items = Vec::new();
        let mut asked = false;
        let mut next = Some(first);
        let mut behind = self.place.clone();
        while let Some(commit) = next {
            behind = commit.place.clone();
            asked |= self.take(&commit, &mut items).await?;
            next = None;
            if items.len() < self.options.batch {
                match inbox.ready() {
                    Some(News::Commit(commit)) => next = Some(commit),
                    Some(other) => inbox.put_back(other),
                    None => {}
                }
            }
        }
        if let Some(end) = self.deal_with(&items).await? {
            return Ok(Some(end));
        }
        self.place = behind;
        if asked && !self.save().await? {
            return Ok(Some(End::TakenOver));
        }
        Ok(None)
    }

    /// The changes of a commit that are for this trigger. True: somebody asks for its place.
    async fn take(&mut self, commit: &Commit, items: &mut Vec<Item>) -> Result<bool> {
        let mark = commit.events.first().and_then(mark_of);
        let own = mark.as_ref().is_some_and(|(id, _)| *id == self.object.definition.id);
        let depth = mark.map_or(0, |(_, depth)| depth);
        let mut asked = false;
        for event in &commit.events {
            let of = names(event);
            asked |= of.contains(&barriers());
            if of.iter().any(|(database, name)| database == DATABASE && name == DEAD_LETTERS) {
                self.retry(event, items).await?;
            }
            let table = of
                .first()
                .is_some_and(|(database, name)| *database == self.planned.database && *name == self.planned.collection);
            if !table {
                continue;
            }
            let Some(change) = Change::of(event, self.time_ms)? else { continue };
            self.time_ms = change.time_ms;
            if (own && !self.options.recursive) || !self.is_for(&change) {
                continue;
            }
            items.push(Item { change: Arc::new(change), depth, letter: None });
        }
        Ok(asked)
    }

    /// A dead letter that is to be tried again (SQL-18.6).
    async fn retry(&self, event: &Event, items: &mut Vec<Item>) -> Result<()> {
        let description = event.raw().get_document("updateDescription").ok();
        let marked = description
            .and_then(|it| it.get_document("updatedFields").ok())
            .is_some_and(|fields| fields.get("retry").is_ok_and(|retry| retry.is_some()));
        let key = event.document_key().and_then(|key| key.get_document("_id").ok());
        let Some(key) = key.filter(|key| marked && key.get_str("object").ok() == Some(&self.object.definition.id))
        else {
            return Ok(());
        };
        let id = Document::try_from(key).map_err(|error| bug(&error.to_string()))?;
        let rows = self.object.deployment.client().database(DATABASE).collection::<Document>(DEAD_LETTERS);
        let letter = rows.find_one(doc! {"_id": &id}).await.map_err(|error| of_driver(&error))?;
        let Some(change) = letter.as_ref().and_then(|letter| letter.get_document("change").ok()) else { return Ok(()) };
        let raw = bson::RawDocumentBuf::try_from(change).map_err(|error| bug(&error.to_string()))?;
        let event = Event::new(raw).map_err(|error| bug(&error.to_string()))?;
        if let Some(change) = Change::of(&event, 0)? {
            let letter = Some(Bson::from(id));
            items.push(Item { change: Arc::new(change), depth: 0, letter });
        }
        Ok(())
    }

    /// Whether a change is of the kinds that the trigger is for.
    fn is_for(&self, change: &Change) -> bool {
        self.planned.events.iter().any(|event| match event {
            TriggerEvent::Insert => change.operation == "INSERT",
            TriggerEvent::Delete => change.operation == "DELETE",
            TriggerEvent::Update(paths) => {
                change.operation == "UPDATE" && (paths.is_empty() || paths.iter().any(|path| change.changed(path)))
            }
        })
    }

    /// Deals with changes, as many at a time as go together.
    async fn deal_with(&mut self, items: &[Item]) -> Result<Option<End>> {
        for some in items.chunks(self.options.batch) {
            if self.object.stop.is_stopped() {
                return Ok(Some(End::Stopped));
            }
            match self.transaction(some).await {
                Ok(()) => {}
                Err(NotCommitted::TakenOver) => return Ok(Some(End::TakenOver)),
                Err(NotCommitted::Failed(_)) if some.len() > 1 => {
                    for one in some {
                        if let Some(end) = self.one(one).await? {
                            return Ok(Some(end));
                        }
                    }
                }
                Err(NotCommitted::Failed(error)) => {
                    for one in some {
                        if let Some(end) = self.again(one, error.clone()).await? {
                            return Ok(Some(end));
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    async fn one(&mut self, item: &Item) -> Result<Option<End>> {
        match self.transaction(std::slice::from_ref(item)).await {
            Ok(()) => Ok(None),
            Err(NotCommitted::TakenOver) => Ok(Some(End::TakenOver)),
            Err(NotCommitted::Failed(error)) => self.again(item, error).await,
        }
    }

    /// Tries a change again that has failed, and gives it up in the end (SQL-15.8).
    async fn again(&mut self, item: &Item, error: SqlError) -> Result<Option<End>> {
        let mut error = error;
        for attempt in 0..self.options.retries {
            let pause = Duration::from_secs(1 << attempt.min(7)).min(Duration::from_secs(120));
            let pause = pause.mul_f64(0.8 + 0.4 * rand::random::<f64>());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.object.stop.stopped() => return Ok(Some(End::Stopped)),
            }
            match self.transaction(std::slice::from_ref(item)).await {
                Ok(()) => return Ok(None),
                Err(NotCommitted::TakenOver) => return Ok(Some(End::TakenOver)),
                Err(NotCommitted::Failed(again)) => error = again,
            }
        }
        if self.options.pause {
            return Err(error);
        }
        tracing::warn!(trigger = %self.object.definition.id, "a change is put aside: {error}");
        self.put_aside(item, &error).await
    }

    async fn put_aside(&mut self, item: &Item, error: &SqlError) -> Result<Option<End>> {
        let event = Document::try_from(item.change.event.raw()).map_err(|error| bug(&error.to_string()))?;
        let attempts = i32::try_from(self.options.retries + 1).unwrap_or(i32::MAX);
        let id = item
            .letter
            .clone()
            .unwrap_or_else(|| doc! {"object": &self.object.definition.id, "key": &item.change.token}.into());
        let letter = doc! {
            "_id": id,
            "kind": "trigger",
            "ns": format!("{}.{}", self.planned.database, self.planned.collection),
            "document_key": item.change.key(),
            "change": event,
            "error": {"sqlstate": error.state.0, "message": &error.message},
            "attempts": attempts,
        };
        let set = self.moved(item, 0);
        let committed = self.checkpoint.commit(set, |session| {
            let letter = letter.clone();
            Box::pin(async move { dead_letters::note_change(session, letter).await })
        });
        match committed.await {
            Ok(()) => Ok(None),
            Err(NotCommitted::TakenOver) => Ok(Some(End::TakenOver)),
            Err(NotCommitted::Failed(error)) => Err(error),
        }
    }

    /// Runs the body for some changes and moves the place behind them, in one transaction.
    async fn transaction(&mut self, items: &[Item]) -> std::result::Result<(), NotCommitted> {
        let Some(last) = items.last() else { return Ok(()) };
        let depth = items.iter().map(|item| item.depth).max().unwrap_or(0) + 1;
        let set = self.moved(last, depth);
        let (planned, options) = (Arc::clone(&self.planned), self.options.clone());
        let (zone, id) = (self.object.definition.settings.time_zone.clone(), self.object.definition.id.clone());
        let notices = Arc::new(Mutex::new(Vec::new()));
        let items: Arc<[Item]> = items.into();
        let told = Arc::clone(&notices);
        let committed = self.checkpoint.commit(set, |session| {
            let (planned, options, items) = (Arc::clone(&planned), options.clone(), Arc::clone(&items));
            let (zone, id, told) = (zone.clone(), id.clone(), Arc::clone(&told));
            Box::pin(async move {
                let timeout = options.timeout;
                let work = async {
                    for item in items.iter() {
                        let mut run = Run {
                            session: &mut *session,
                            zone: &zone,
                            key: format!("{id}:{}", item.change.token),
                            document_key: item.change.key(),
                            notices: Vec::new(),
                            written: 0,
                            webhooks: 0,
                            too_deep: depth > options.max_depth,
                        };
                        run_one(&planned, &options, &mut run, item).await?;
                        told.lock().append(&mut run.notices);
                    }
                    Ok(())
                };
                match tokio::time::timeout(timeout, work).await {
                    Ok(done) => done,
                    Err(_) => Err(SqlError::new("57014", format!("the body ran for more than {timeout:?}"))),
                }
            })
        });
        committed.await?;
        for notice in notices.lock().iter() {
            tracing::info!(trigger = %self.object.definition.id, "{}", notice.message);
        }
        Ok(())
    }

    /// What the checkpoint becomes. `mark` changes every time, so that the event has it: it tells watchers how deep the changes
    /// of this transaction are.
    fn moved(&self, item: &Item, depth: u64) -> Document {
        doc! {
            "kind": "trigger",
            "generation": self.object.definition.generation,
            "place": self.before(item).to_bson(),
            "change_time": self.time_ms,
            "as_of": DateTime::from_millis(item.change.time_ms.max(0)),
            "mark": format!("{depth}:{}:{}", self.checkpoint.step(), item.change.token),
        }
    }

    /// The place behind a change. In the middle of a commit that is the change's own token.
    fn before(&self, item: &Item) -> Place {
        if item.letter.is_some() { self.place.clone() } else { Place::Token(item.change.event.token().clone()) }
    }

    /// Saves the place by itself. False: another process runs it.
    async fn save(&mut self) -> Result<bool> {
        let set = doc! {
            "kind": "trigger",
            "generation": self.object.definition.generation,
            "place": self.place.to_bson(),
            "change_time": self.time_ms,
            "as_of": DateTime::from_millis(now_ms()),
        };
        self.checkpoint.note(set).await
    }
}

/// Runs the body for one change.
async fn run_one(planned: &Planned, options: &Options, run: &mut Run<'_>, item: &Item) -> Result<()> {
    if let Some(letter) = &item.letter {
        let delete = doc! {"delete": DEAD_LETTERS, "deletes": [{"q": {"_id": letter.clone()}, "limit": 1}]};
        crate::checkpoint::run(run.session, DATABASE, delete).await?;
    }
    if !options.missing_is_null
        && let Some(missing) = item.change.missing()
    {
        let message = format!("the document {missing} the change is not kept any more");
        return Err(SqlError::new("MS002", message).hint("WITH (missing_image = 'null') takes it for NULL"));
    }
    let values = values(&item.change);
    if let Some(when) = &planned.when
        && run.value(when, &values).await? != Datum::Bool(true)
    {
        return Ok(());
    }
    run.body(&planned.body, values).await
}

/// The values of [`super::plan::OF_CHANGE`].
fn values(change: &Change) -> Vec<Datum> {
    let document =
        |raw: Option<&RawDocument>| raw.map_or(Datum::Null, |raw| Datum::Document(Arc::from(raw.as_bytes())));
    let operation = Datum::text(change.operation);
    vec![
        document(change.new.as_deref()),
        document(change.old.as_deref()),
        operation.clone(),
        operation.clone(),
        operation,
        Datum::Instant(change.time_ms),
        Datum::text(&change.token),
        document(change.event.document_key()),
        Datum::Array(change.fields.iter().map(Datum::text).collect()),
        document(Some(change.event.raw())),
    ]
}

/// Of the first event of a trigger's transaction: which trigger, and how deep its changes are.
fn mark_of(event: &Event) -> Option<(String, u64)> {
    let of = names(event);
    let (database, name) = of.first()?;
    if database != DATABASE || name != CHECKPOINTS {
        return None;
    }
    let id = event.document_key()?.get_str("_id").ok()?.to_owned();
    let fields = event.raw().get_document("updateDescription").ok()?.get_document("updatedFields").ok()?;
    let depth = fields.get_str("mark").ok()?.split(':').next()?.parse().ok()?;
    Some((id, depth))
}
