//! A trigger as it runs: changes in their sequence, each dealt with exactly once (SQL-15.3 to SQL-15.9).

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, DateTime, Document, Timestamp, doc};
use millstream_sql::Expr;
use millstream_sql::statement::TriggerEvent;
use millstream_watch::Event;
use tokio::time::Instant;

use super::copy::{Completed, Copy, IsOpen};
use super::existing::Existing;
use super::plan::Planned;
use super::{Lane, at_least_once};
use crate::change::Change;
use crate::checkpoint::{CHECKPOINTS, Checkpoint, DATABASE};
use crate::commit::{Commit, Place};
use crate::dead_letters::DEAD_LETTERS;
use crate::definition::Definition;
use crate::deployment::{after, now_ms};
use crate::error::{Result, bug, lost, of_driver};
use crate::hosted::Surroundings;
use crate::hub::{Inbox, News, namespace};
use crate::images::{Images, looked_up};
use crate::interval;
use crate::object::Object;
use crate::read;
use crate::run::{End, at, blocking, published};
use crate::wait::{BARRIERS, barriers};
use crate::wants::{Interest, Wants};

/// How often the place of a trigger that has nothing to do is saved: a write that whoever watches everything sees.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// The options of a trigger, read.
#[derive(Clone, Debug)]
pub(super) struct Options {
    recursive: bool,
    pub(super) max_depth: u64,
    pub(super) batch: usize,
    pub(super) timeout: Duration,
    pub(super) retries: u64,
    pub(super) pause: bool,
    pub(super) missing_is_null: bool,
    pub(super) images: Images,
    pub(super) at_least_once: bool,
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
    /// What must be true of a change that can matter.
    pub(super) admission: Option<Expr>,
    pub(super) surroundings: Arc<Surroundings>,
    lane: Lane,
    /// Those of all lanes: by them its own changes are known.
    checkpoints: Vec<String>,
    pub(super) options: Options,
    pub(super) checkpoint: Checkpoint,
    pub(super) place: Place,
    /// What is up to here was dealt with before it began.
    known: Place,
    /// Its own copy of the table, where images come from that (SQL-12.6).
    copy: Option<Copy>,
    /// The documents that were there first, where it begins with them.
    pub(super) existing: Existing,
    /// The largest change time so far (SQL-12.3).
    pub(super) time_ms: i64,
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
    pub(super) async fn new(object: Object, planned: Arc<Planned>, lane: Lane, is_open: &IsOpen) -> Result<Self> {
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
        let copies = options.images == Images::Mirror && planned.needs_images();
        let copy = if copies { Some(Copy::open(&object, &planned, lane, is_open)?) } else { None };
        if copy.is_none() {
            Copy::remove(&object, lane)?;
        }
        let (known, admission) = (place.clone(), planned.admission());
        Ok(Self {
            object,
            planned,
            admission,
            surroundings,
            lane,
            checkpoints,
            copy,
            existing,
            options,
            checkpoint,
            place,
            known,
            time_ms,
        })
    }

    /// Runs until it is asked to stop, or cannot go on.
    pub(crate) async fn run(mut self) -> Result<End> {
        let client = self.object.deployment.client().clone();
        published(&client, &self.object.definition, "running", None).await?;
        let own = |name: &str| (DATABASE.to_owned(), name.to_owned());
        let table = (self.planned.database.clone(), self.planned.collection.clone());
        let images = self.planned.needs_images() && self.copy.is_none();
        let from = match self.copy.take() {
            Some(copy) => {
                let (copy, from) = copy.begin(&self.object, &self.place).await?;
                self.copy = Some(copy);
                from
            }
            None => self.place.clone(),
        };
        let mut wants = Wants { images, ..Wants::default() };
        let context = self.surroundings.context(Vec::new());
        wants.add(table, &self.planned.interest(&context, self.options.images));
        for name in [own(CHECKPOINTS), own(DEAD_LETTERS), barriers()] {
            wants.add(name, &Interest::marks());
        }
        let mut inbox = self.object.hub.join(wants.clone(), from);
        if let Some(end) = self.deal_with_existing().await? {
            return Ok(end);
        }
        let (mut saved, mut dirty, mut read_again) = (Instant::now(), true, false);
        loop {
            let save = dirty.then(|| saved + SAVE_EVERY);
            let news = tokio::select! {
                biased;
                () = self.object.stop.stopped() => return self.stop().await,
                // Also of who is always busy: a copy is not to stay far behind.
                () = at(save) => {
                    if !self.save().await? {
                        return Ok(End::TakenOver);
                    }
                    (saved, dirty) = (Instant::now(), false);
                    continue;
                }
                news = inbox.next() => news,
            };
            match news {
                News::Lost(reason) => {
                    // A copy may be too old whose trigger is not: that has a place of its own.
                    let known = &self.known;
                    let Some(copy) = self.copy.take_if(|copy| !read_again && copy.is_before(known)) else {
                        return Err(lost(&reason).hint("RESUME TRIGGER … FROM NOW goes on without them"));
                    };
                    let id = &self.object.definition.id;
                    tracing::warn!(object = %id, "its copy is too old, and is read again: {reason}");
                    let (copy, from) = copy.begin_again(&self.object, known).await?;
                    self.copy = Some(copy);
                    inbox = self.object.hub.join(wants.clone(), from);
                    read_again = true;
                }
                News::Quiet(place) => self.moved_to(place),
                News::Commit(commit) => {
                    if let Some(end) = self.commits(commit, &mut inbox).await? {
                        return Ok(end);
                    }
                }
            }
            dirty = true;
        }
    }

    /// Everything up to a place was dealt with.
    fn moved_to(&mut self, place: Place) {
        if let Some(copy) = &mut self.copy {
            copy.reached(&place);
        }
        // A copy may have to go over what was dealt with before.
        if place.has_reached(&self.known) {
            self.place = place;
        }
    }

    async fn stop(&mut self) -> Result<End> {
        self.save().await?;
        Ok(End::Stopped)
    }

    /// Deals with a commit and what has come behind it.
    async fn commits(&mut self, first: Commit, inbox: &mut Inbox) -> Result<Option<End>> {
        let mut items = Vec::new();
        let mut asked = false;
        let mut next = Some(first);
        let mut behind = self.place.clone();
        while let Some(commit) = next {
            behind = commit.place();
            asked |= self.take(&commit, &mut items).await?;
            // It was stopped while its copy was read again: of what is behind that it would not know what was there.
            if self.copy.as_ref().is_some_and(|copy| !copy.is_whole()) {
                return Ok(Some(End::Stopped));
            }
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
        self.moved_to(behind);
        self.existing.forget(&self.place);
        let is_due = self.copy.as_ref().is_some_and(Copy::is_due);
        if (asked || is_due) && !self.save().await? {
            return Ok(Some(End::TakenOver));
        }
        Ok(None)
    }

    /// The changes of a commit that are for this trigger. True: somebody asks for its place.
    async fn take(&mut self, commit: &Commit, items: &mut Vec<Item>) -> Result<bool> {
        let mark = commit.first().and_then(mark_of);
        let own = mark.is_some_and(|(id, _)| self.checkpoints.iter().any(|own| own == id));
        let depth = mark.map_or(0, |(_, depth)| depth);
        let mut asked = false;
        for event in commit.events() {
            let completed = self.completed(event).await?;
            let event = completed.as_ref().unwrap_or(event);
            // Of a commit that it was stopped in the middle of, some were dealt with.
            if !self.known.is_before(event) {
                continue;
            }
            let Some((database, name)) = namespace(event) else { continue };
            if database == DATABASE {
                asked |= name == BARRIERS;
                if name == DEAD_LETTERS {
                    self.retry(event, items).await?;
                }
            }
            let is_of_table = database == self.planned.database && name == self.planned.collection;
            if !is_of_table || self.existing.has_seen(event) {
                continue;
            }
            let Some(change) = Change::of(event, self.time_ms)? else { continue };
            if (own && !self.options.recursive) || !self.is_for(&change) {
                continue;
            }
            let change = self.with_images(change).await?;
            if !self.matters(&change) {
                continue;
            }
            self.time_ms = change.time_ms;
            items.push(Item { change: Arc::new(change), depth, letter: None });
        }
        if let Some(copy) = &mut self.copy {
            copy.check()?;
        }
        Ok(asked)
    }

    /// An event with the documents that the copy has; `None`: it stays as it came.
    async fn completed(&mut self, event: &Event) -> Result<Option<Event>> {
        let Some(mut copy) = self.copy.take() else { return Ok(None) };
        if copy.is_right_from(event) {
            (copy, ()) = blocking(copy, Copy::is_right).await?;
        }
        let mut completed = None;
        match copy.complete(event)? {
            Completed::With(event) => completed = Some(event),
            Completed::Same => {}
            Completed::Cleared => (copy, ()) = blocking(copy, Copy::clear).await?,
            Completed::Replaced => {
                let time = event.cluster_time().ok_or_else(|| bug("an event without a time"))?;
                copy = copy.read(&self.object, time, Place::Token(event.token().clone())).await?;
            }
        }
        self.copy = Some(copy);
        Ok(completed)
    }

    /// A dead letter that is to be tried again (SQL-18.6).
    async fn retry(&mut self, event: &Event, items: &mut Vec<Item>) -> Result<()> {
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
    async fn with_images(&mut self, change: Change) -> Result<Change> {
        if self.options.images != Images::Lookup {
            return Ok(change);
        }
        let event = looked_up(self.object.deployment.client(), &change.event).await?;
        Change::of(&event, change.time_ms)?.ok_or_else(|| bug("a change is one"))
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

    /// Saves the place by itself, and then the copy. False: another process runs it.
    pub(super) async fn save(&mut self) -> Result<bool> {
        let set = doc! {
            "kind": "trigger",
            "generation": self.object.definition.generation,
            "place": self.place.to_bson(),
            "change_time": self.time_ms,
            "as_of": DateTime::from_millis(now_ms()),
            "existing": self.existing.to_bson(),
            "state_bytes": self.copy.as_ref().map(Copy::bytes),
        };
        let is_ours = self.checkpoint.note(set).await?;
        if let Some(copy) = self.copy.take_if(|_| is_ours) {
            let (copy, ()) = blocking(copy, Copy::commit).await?;
            self.copy = Some(copy);
        }
        Ok(is_ours)
    }
}

/// Of the first event of a trigger's transaction: which trigger, and how deep its changes are.
fn mark_of(event: &Event) -> Option<(&str, u64)> {
    if namespace(event)? != (DATABASE, CHECKPOINTS) {
        return None;
    }
    let event = read::doc(event.raw());
    let id = event.doc("documentKey")?.str("_id")?;
    let mark = event.doc("updateDescription")?.doc("updatedFields")?.str("mark")?;
    Some((id, mark.split(':').next()?.parse().ok()?))
}
