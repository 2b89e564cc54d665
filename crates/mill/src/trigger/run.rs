//! A trigger as it runs: changes in their sequence, each dealt with exactly once (SQL-15.3 to SQL-15.9).

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, DateTime, Document, RawDocument, Timestamp, doc};
use millstream_flow::Datum;
use millstream_sql::SqlError;
use millstream_sql::statement::TriggerEvent;
use millstream_watch::Event;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::body::{Cause, Run};
use super::existing::Existing;
use super::plan::Planned;
use super::{Lane, at_least_once};
use crate::change::Change;
use crate::checkpoint::{CHECKPOINTS, Checkpoint, DATABASE, NotCommitted};
use crate::commit::{Commit, Place};
use crate::dead_letters::{self, DEAD_LETTERS};
use crate::definition::Definition;
use crate::deployment::{after, now_ms};
use crate::error::{Result, bug, is_passing, of_driver};
use crate::hosted::Surroundings;
use crate::hub::{Inbox, News, Wants, names};
use crate::images::{Images, looked_up};
use crate::interval;
use crate::object::Object;
use crate::run::{End, at, published};
use crate::wait::barriers;
use crate::webhook::pause;

/// How often the place of a trigger that has nothing to do is saved: a write that whoever watches everything sees.
const SAVE_EVERY: Duration = Duration::from_secs(30);

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
    images: Images,
    at_least_once: bool,
}

impl Options {
    fn of(definition: &Definition) -> Result<Self> {
        let options = &definition.options;
        let at_least_once = at_least_once(options)?;
        let batch = if at_least_once { 1 } else { options.integer("batch")?.unwrap_or(100).max(1) };
        Ok(Self {
            recursive: options.boolean("recursive")?.unwrap_or(false),
            max_depth: options.integer("max_depth")?.unwrap_or(16),
            batch: usize::try_from(batch).unwrap_or(100),
            timeout: options.interval("timeout")?.map_or(Ok(Duration::from_secs(30)), interval::duration)?,
            retries: options.integer("retries")?.unwrap_or(5),
            pause: options.text("on_failure")? == Some("pause"),
            missing_is_null: options.text("missing_image")? == Some("null"),
            images: Images::of(options)?,
            at_least_once,
        })
    }
}

/// A running trigger.
pub(crate) struct Trigger {
    pub(super) object: Object,
    pub(super) planned: Arc<Planned>,
    surroundings: Arc<Surroundings>,
    lane: Lane,
    /// Those of all lanes: by them its own changes are known.
    checkpoints: Vec<String>,
    options: Options,
    checkpoint: Checkpoint,
    pub(super) place: Place,
    /// The documents that were there first, where it begins with them.
    pub(super) existing: Existing,
    /// The largest change time so far (SQL-12.3).
    time_ms: i64,
}

/// What is to be dealt with.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) change: Arc<Change>,
    pub(super) depth: u64,
    /// The dead letter that it comes from.
    pub(super) letter: Option<Bson>,
}

impl Trigger {
    pub(super) async fn new(object: Object, planned: Arc<Planned>, lane: Lane) -> Result<Self> {
        let client = object.deployment.client().clone();
        let definition = Arc::clone(&object.definition);
        let checkpoints = definition.checkpoints();
        let place = usize::try_from(lane.number).ok().and_then(|number| checkpoints.get(number));
        let id = place.ok_or_else(|| bug("a lane without a checkpoint"))?;
        let (checkpoint, row) = Checkpoint::take_over(&client, id, &object.host).await?;
        let ours = row.get_object_id("generation").ok() == Some(definition.generation);
        let kept = if ours { row.get("place").and_then(Place::from_bson) } else { None };
        let mut existing = if ours { Existing::from_row(&row) } else { Existing::default() };
        let place = match (kept, &definition.start) {
            (Some(place), _) => place,
            (None, Some(Bson::String(_))) => {
                existing = Existing::begin();
                let time = object.deployment.time().await?.unwrap_or(Timestamp { time: 0, increment: 0 });
                Place::Time(after(time))
            }
            (None, Some(start)) => Place::from_bson(start).ok_or_else(|| bug("a trigger without a place to start"))?,
            (None, None) => return Err(bug("a trigger without a place to start")),
        };
        let time_ms = if ours { row.get_i64("change_time").unwrap_or(0) } else { 0 };
        let options = Options::of(&definition)?;
        let surroundings = Arc::new(object.surroundings()?);
        Ok(Self { object, planned, surroundings, lane, checkpoints, existing, options, checkpoint, place, time_ms })
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
        if let Some(end) = self.deal_with_existing().await? {
            return Ok(end);
        }
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
        self.existing.forget(&self.place);
        if asked && !self.save().await? {
            return Ok(Some(End::TakenOver));
        }
        Ok(None)
    }

    /// The changes of a commit that are for this trigger. True: somebody asks for its place.
    async fn take(&mut self, commit: &Commit, items: &mut Vec<Item>) -> Result<bool> {
        let mark = commit.events.first().and_then(mark_of);
        let own = mark.as_ref().is_some_and(|(id, _)| self.checkpoints.contains(id));
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
            if self.existing.has_seen(event) {
                continue;
            }
            let Some(change) = Change::of(event, self.time_ms)? else { continue };
            self.time_ms = change.time_ms;
            if (own && !self.options.recursive) || !self.is_for(&change) {
                continue;
            }
            let change = Arc::new(self.with_images(change).await?);
            items.push(Item { change, depth, letter: None });
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
        if let Some(change) = Change::of(&event, 0)?
            && self.lane.has(change.event.document_key())
        {
            let change = Arc::new(self.with_images(change).await?);
            items.push(Item { change, depth: 0, letter: Some(id.into()) });
        }
        Ok(())
    }

    /// A change with the documents that the deployment does not keep (SQL-12.6).
    async fn with_images(&self, change: Change) -> Result<Change> {
        if self.options.images == Images::Kept {
            return Ok(change);
        }
        let event = looked_up(self.object.deployment.client(), &change.event).await?;
        Change::of(&event, change.time_ms)?.ok_or_else(|| bug("a change is one"))
    }

    /// How many changes go together.
    pub(super) fn batch(&self) -> usize {
        self.options.batch
    }

    /// Whether a change is of the kinds that the trigger is for.
    pub(super) fn is_for(&self, change: &Change) -> bool {
        let matches = |event: &TriggerEvent| match event {
            TriggerEvent::Insert => change.operation == "INSERT",
            TriggerEvent::Delete => change.operation == "DELETE",
            TriggerEvent::Update(paths) => {
                change.operation == "UPDATE" && (paths.is_empty() || paths.iter().any(|path| change.changed(path)))
            }
        };
        self.planned.events.iter().any(matches) && self.lane.has(change.event.document_key())
    }

    /// Deals with changes, as many at a time as go together.
    pub(super) async fn deal_with(&mut self, items: &[Item]) -> Result<Option<End>> {
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
            tokio::select! {
                () = tokio::time::sleep(pause(attempt + 1)) => {}
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
        if self.options.at_least_once {
            return self.repeatably(items, self.moved(last, 0)).await;
        }
        let depth = items.iter().map(|item| item.depth).max().unwrap_or(0) + 1;
        let set = self.moved(last, depth);
        let (planned, options) = (Arc::clone(&self.planned), self.options.clone());
        let (surroundings, id) = (Arc::clone(&self.surroundings), self.object.definition.id.clone());
        let notices = Arc::new(Mutex::new(Vec::new()));
        let items: Arc<[Item]> = items.into();
        let told = Arc::clone(&notices);
        let committed = self.checkpoint.commit(set, |session| {
            let (planned, options, items) = (Arc::clone(&planned), options.clone(), Arc::clone(&items));
            let (surroundings, id, told) = (Arc::clone(&surroundings), id.clone(), Arc::clone(&told));
            Box::pin(async move {
                let timeout = options.timeout;
                let work = async {
                    for item in items.iter() {
                        let mut run = Run::new(&mut *session, &surroundings, planned.cause(&id, &item.change));
                        run.too_deep = depth > options.max_depth;
                        run_one(&planned, &options, &mut run, item).await?;
                        told.lock().append(&mut run.notices);
                    }
                    Ok(())
                };
                match tokio::time::timeout(timeout, work).await {
                    Ok(done) => done,
                    Err(_) => Err(too_long(timeout)),
                }
            })
        });
        committed.await?;
        for notice in notices.lock().iter() {
            tracing::info!(trigger = %self.object.definition.id, "{}", notice.message);
        }
        Ok(())
    }

    /// Runs the body for some changes, and then moves the place behind them (SQL-15.5).
    async fn repeatably(&mut self, items: &[Item], set: Document) -> std::result::Result<(), NotCommitted> {
        let session = self.object.deployment.client().start_session().await;
        let mut session = session.map_err(|error| NotCommitted::Failed(of_driver(&error)))?;
        let mut failures = 0;
        for item in items {
            loop {
                let cause = self.planned.cause(&self.object.definition.id, &item.change);
                let mut run = Run::new(&mut session, &self.surroundings, cause);
                run.repeats = true;
                let work = run_one(&self.planned, &self.options, &mut run, item);
                let timeout = self.options.timeout;
                let done = tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(too_long(timeout)));
                match done {
                    Ok(()) => break,
                    Err(error) if is_passing(&error) && !self.object.stop.is_stopped() => {
                        failures += 1;
                        tokio::time::sleep(pause(failures)).await;
                    }
                    Err(error) => return Err(NotCommitted::Failed(error)),
                }
            }
        }
        match self.checkpoint.note(set).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotCommitted::TakenOver),
            Err(error) => Err(NotCommitted::Failed(error)),
        }
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
            "existing": self.existing.behind(item),
        }
    }

    /// The place behind a change. In the middle of a commit that is the change's own token.
    fn before(&self, item: &Item) -> Place {
        if item.letter.is_some() || self.existing.is_under_way() {
            self.place.clone()
        } else {
            Place::Token(item.change.event.token().clone())
        }
    }

    /// Saves the place by itself. False: another process runs it.
    pub(super) async fn save(&mut self) -> Result<bool> {
        let set = doc! {
            "kind": "trigger",
            "generation": self.object.definition.generation,
            "place": self.place.to_bson(),
            "change_time": self.time_ms,
            "as_of": DateTime::from_millis(now_ms()),
            "existing": self.existing.to_bson(),
        };
        self.checkpoint.note(set).await
    }
}

fn too_long(timeout: Duration) -> SqlError {
    SqlError::new("57014", format!("the body ran for more than {timeout:?}"))
}

impl Planned {
    /// Why the body runs.
    fn cause(&self, object: &str, change: &Change) -> Cause {
        Cause::Change {
            key: format!("{object}:{}", change.token),
            namespace: format!("{}.{}", self.database, self.collection),
            document_key: change.key(),
            place: change.token.clone(),
        }
    }
}

/// Runs the body for one change.
async fn run_one(planned: &Planned, options: &Options, run: &mut Run<'_>, item: &Item) -> Result<()> {
    if !options.missing_is_null
        && options.images == Images::Kept
        && let Some(missing) = item.change.missing()
    {
        let message = format!("the document {missing} the change is not kept any more");
        return Err(SqlError::new("MS002", message).hint("WITH (missing_image = 'null') takes it for NULL"));
    }
    let values = values(&item.change);
    let applies = match &planned.when {
        Some(when) => run.value(when, &values).await? == Datum::Bool(true),
        None => true,
    };
    if applies {
        run.body(&planned.body, values).await?;
    }
    if let Some(letter) = &item.letter {
        let delete = doc! {"delete": DEAD_LETTERS, "deletes": [{"q": {"_id": letter.clone()}, "limit": 1}]};
        crate::checkpoint::run(run.session, DATABASE, delete).await?;
    }
    Ok(())
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
