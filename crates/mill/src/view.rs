//! A materialized view over tables, as it runs (SQL-14.2): built from a snapshot, then kept right, commit by commit.

mod build;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bson::{Bson, DateTime, Document, Timestamp, doc};
use millstream_flow::{Failure, StoreOptions, Stores};
use millstream_sql::SqlError;
use millstream_sql::expr::Context;
use millstream_sql::plan::Plan;
use millstream_sql::statement::Options;
use mongodb::Client;
use tokio::time::Instant;

use crate::checkpoint::{self, Appending, Checkpoint, NotCommitted};
use crate::commit::{Commit, Place};
use crate::dead_letters::{self, Letter};
use crate::definition::{Definition, kind_id};
use crate::deployment::{Deployment, now_ms};
use crate::difference::Write;
use crate::error::{Result, bug, of_flow};
use crate::hub::{Hub, Inbox, News, Wants};
use crate::images::Images;
use crate::live::{Live, Position};
use crate::run::{End, Stop, at, blocking, published, target, until};
use crate::wait::{barriers, is_mark};

/// Commits that one epoch takes, at most.
const COMMITS_MAX: usize = 8_000;
/// And at least, while more of them are waiting.
const COMMITS_MIN: usize = 128;
/// The state of an error that says that a key is there already.
const UNIQUE: &str = "23505";
/// How long an epoch should take when much is waiting: large ones cost less, and hold up those who wait to be told.
const EPOCH: Duration = Duration::from_millis(150);
/// How often a quiet view makes its place durable.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// The state of a view, unless an option says otherwise (SQL-18.8).
const STATE_BYTES_MAX: u64 = 10 << 30;

/// What a view runs with.
pub(crate) struct View {
    pub(crate) definition: Arc<Definition>,
    pub(crate) deployment: Deployment,
    pub(crate) hub: Hub,
    pub(crate) stores: Stores,
    pub(crate) plan: Arc<Plan>,
    pub(crate) context: Arc<Context>,
    pub(crate) stop: Stop,
    pub(crate) host: String,
}

/// A running view.
struct Running {
    view: View,
    checkpoint: Checkpoint,
    live: Option<Live>,
    position: Position,
    database: String,
    collection: String,
    errors: Errors,
    images: Images,
    /// Commits that the next epoch takes, at most.
    commits_max: usize,
    /// The last epoch, if it is not yet written.
    unwritten: Option<Unwritten>,
}

/// An epoch that is in the state, and is about to be written.
struct Unwritten {
    writes: Vec<Write>,
    letters: Vec<Letter>,
    /// The view's row of checkpoints.
    row: Document,
}

/// What becomes of rows that cannot be evaluated (SQL-13.5, SQL-19.6).
#[derive(Clone, Copy, Debug)]
struct Errors {
    /// The view fails, before the commit that has it.
    fail: bool,
    /// Rows that come too late are counted only.
    drop_late: bool,
    /// How many were.
    late: i64,
}

impl Errors {
    fn of(options: &Options) -> Result<Self> {
        let (fail, drop_late) = (options.text("on_error")? == Some("fail"), options.text("late")? == Some("drop"));
        Ok(Self { fail, drop_late, late: 0 })
    }

    /// What is written down of failures; an error if they are to end the view.
    fn letters(self, failures: &[Failure]) -> Result<Vec<Letter>> {
        let failures = failures.iter().filter(|failure| !self.is_dropped(failure));
        let late = |failure: &Failure| failure.error.state.0 == "MS003";
        match failures.clone().find(|failure| self.fail && failure.weight > 0 && !late(failure)) {
            Some(failure) => Err(SqlError::from(failure.error.clone())),
            None => Ok(failures.map(Letter::of).collect()),
        }
    }

    /// Whether a row is one of those that are too late, and nothing is said of it.
    fn is_dropped(self, failure: &Failure) -> bool {
        self.drop_late && failure.error.state.0 == "MS003"
    }
}

impl View {
    /// Runs until it is asked to stop, or cannot go on.
    pub(crate) async fn run(self) -> Result<End> {
        let client = self.deployment.client().clone();
        let (database, collection) = target(&self.definition)?;
        let (checkpoint, row) = Checkpoint::take_over(&client, &self.definition.id, &self.host).await?;
        let position = Position {
            generation: self.definition.generation,
            step: checkpoint.step(),
            place: Place::Time(Timestamp { time: 0, increment: 0 }),
            clock_ms: 0,
            filling: None,
        };
        let images = if self.plan.changes { Images::of(&self.definition.options)? } else { Images::Kept };
        let mut errors = Errors::of(&self.definition.options)?;
        errors.late = row.get_i64("late").unwrap_or(0);
        let mut running = Running {
            view: self,
            checkpoint,
            live: None,
            position,
            database,
            collection,
            errors,
            images,
            commits_max: COMMITS_MIN,
            unwritten: None,
        };
        let mut whole = running.resume(&row).await?;
        loop {
            if !whole && let Some(end) = running.build().await? {
                return Ok(end);
            }
            published(&client, &running.view.definition, "running", None).await?;
            match running.follow().await? {
                End::Rebuild => whole = false,
                other => return Ok(other),
            }
        }
    }
}

impl Running {
    fn client(&self) -> Client {
        self.view.deployment.client().clone()
    }

    /// Opens the state that is there. False: there is none, or it is not whole, or it does not go with what is stored.
    async fn resume(&mut self, row: &Document) -> Result<bool> {
        let mut live = match self.open(false) {
            Ok(live) => live,
            Err(error) => {
                tracing::warn!(object = %self.view.definition.id, "the state cannot be used, building anew: {error}");
                return Ok(false);
            }
        };
        let Some(position) = live.position()? else { return Ok(false) };
        if position.generation != self.position.generation {
            return Ok(false);
        }
        if position.filling.is_some() {
            (self.position, self.live) = (position, Some(live));
            return Ok(false);
        }
        if row.get_object_id("generation").ok() != Some(position.generation) {
            return Ok(false);
        }
        live.rows = row.get_i64("rows").unwrap_or(0);
        let step = self.checkpoint.step();
        self.position = position;
        if self.position.step == step + 1 {
            let (writes, letters) = live.kept()?;
            self.live = Some(live);
            self.unwritten = Some(self.to_write(writes, letters));
            if let Some(end) = self.write().await? {
                return match end {
                    End::Rebuild => Ok(false),
                    _ => Err(SqlError::new("40001", "another process runs this view")),
                };
            }
        } else if self.position.step == step {
            self.live = Some(live);
        } else {
            return Ok(false);
        }
        // What is due by now is found out by a step.
        Ok(true)
    }

    fn open(&self, fresh: bool) -> Result<Live> {
        let (stores, name) = (&self.view.stores, self.view.definition.generation.to_hex());
        if fresh {
            stores.remove(&name).map_err(|error| of_flow(&error))?;
        }
        let options = StoreOptions {
            fingerprint: self.view.definition.fingerprint().into_bytes(),
            limit_bytes: self.view.definition.options.integer("max_state_bytes")?.unwrap_or(STATE_BYTES_MAX),
            // After a loss of power the state may be older than what is stored, and is made anew.
            flush: false,
            ..StoreOptions::default()
        };
        let store = stores.store(&name, options).map_err(|error| of_flow(&error))?;
        let mut live = Live::open(Arc::clone(&self.view.plan), Arc::clone(&self.view.context), store)?;
        live.set_options(&self.view.definition.options)?;
        Ok(live)
    }

    /// Follows the changes.
    async fn follow(&mut self) -> Result<End> {
        let live = self.live.as_ref().ok_or_else(|| bug("a view without a state"))?;
        let changes = self.view.plan.changes;
        let mut wants = Wants { collections: live.names(), images: changes };
        wants.collections.insert(barriers());
        let mut inbox = self.view.hub.join(wants, self.position.place.clone());
        let mut saved = Instant::now();
        let mut dirty = false;
        // After a restart something may be due.
        if !changes && let Some(end) = self.advance(Vec::new(), now_ms(), false).await? {
            return Ok(end);
        }
        loop {
            // What has come is computed while the last epoch is written; everything else waits for that.
            let ready = self.unwritten.as_ref().and_then(|_| inbox.ready());
            if self.unwritten.is_some() && (self.view.stop.is_stopped() || !matches!(ready, Some(News::Commit(_)))) {
                ready.into_iter().for_each(|news| inbox.put_back(news));
                if let Some(end) = self.write().await? {
                    return Ok(end);
                }
                continue;
            }
            // What is over changes goes by the watermark.
            let due = self.live.as_ref().filter(|_| !changes).and_then(|live| live.due_ms).map(until);
            let save = dirty.then(|| saved + SAVE_EVERY);
            let news = match ready {
                Some(news) => Some(news),
                None => tokio::select! {
                    biased;
                    () = self.view.stop.stopped() => {
                        self.save().await?;
                        return Ok(End::Stopped);
                    }
                    news = inbox.next() => Some(news),
                    () = at(due) => None,
                    () = at(save) => {
                        self.save().await?;
                        (saved, dirty) = (Instant::now(), false);
                        continue;
                    }
                },
            };
            let (commits, asked) = match news {
                Some(News::Lost(reason)) if changes => {
                    return Err(SqlError::new("MS001", format!("changes are lost: {reason}")));
                }
                Some(News::Lost(reason)) => {
                    tracing::warn!(object = %self.view.definition.id, "history is lost, building anew: {reason}");
                    self.live = None;
                    return Ok(End::Rebuild);
                }
                Some(News::Quiet(place)) => {
                    let watermark_ms = place.time().map_or(0, |time| i64::from(time.time) * 1_000);
                    self.position.place = place;
                    dirty = true;
                    let due = self.live.as_ref().and_then(|live| live.due_ms);
                    if changes
                        && due.is_some_and(|due| due <= watermark_ms)
                        && let Some(end) = self.advance(Vec::new(), watermark_ms, false).await?
                    {
                        return Ok(end);
                    }
                    continue;
                }
                // The commit that fails is to be the only one of its epoch.
                Some(News::Commit(first)) if self.errors.fail => {
                    let asked = is_barrier(&first);
                    (vec![first], asked)
                }
                Some(News::Commit(first)) => gather(first, &mut inbox, self.commits_max),
                None => (Vec::new(), false),
            };
            dirty = true;
            if let Some(last) = commits.last() {
                self.position.place = last.place();
            }
            let clock_ms = if changes { 0 } else { now_ms() };
            let (began, taken) = (Instant::now(), commits.len());
            if let Some(end) = self.advance(commits, clock_ms, asked).await? {
                return Ok(end);
            }
            self.commits_max = next_max(self.commits_max, taken, began.elapsed());
        }
    }

    /// One epoch: computed while the one before it is written, and kept in the state when that is done.
    async fn advance(&mut self, commits: Vec<Commit>, clock_ms: i64, asked: bool) -> Result<Option<End>> {
        let clock_ms = self.position.clock_ms.max(clock_ms);
        let live = self.live.take().ok_or_else(|| bug("a view without a state"))?;
        let commits = self.images.complete(&self.client(), commits, &live.driven()).await?;
        let (errors, began, taken) = (self.errors, Instant::now(), commits.len());
        let computing = blocking(live, move |live| {
            let mut epoch = live.epoch(&commits, clock_ms)?;
            let writes = epoch.take_writes();
            let letters = errors.letters(&epoch.failures)?;
            Ok((epoch, writes, letters))
        });
        let (computed, written) = tokio::join!(computing, self.write());
        if let Some(end) = written? {
            return Ok(Some(end));
        }
        let (live, (epoch, writes, letters)) = computed?;
        let done = began.elapsed();
        let late = epoch.failures.iter().filter(|failure| errors.is_dropped(failure)).count();
        self.errors.late += i64::try_from(late).unwrap_or(0);
        self.position.clock_ms = epoch.clock_ms;
        if epoch.rebuild {
            return Ok(Some(End::Rebuild));
        }
        if writes.is_empty() && letters.is_empty() && !asked {
            self.live = Some(live);
            return Ok(None);
        }
        self.position.step = self.checkpoint.step() + 1;
        let position = self.position.clone();
        let (live, (writes, letters)) = blocking(live, move |live| {
            live.keep(&writes, &letters)?;
            live.commit(&position)?;
            Ok((writes, letters))
        })
        .await?;
        let (object, rows, kept) = (&self.view.definition.id, writes.len(), began.elapsed() - done);
        tracing::trace!(%object, commits = taken, rows, ?done, ?kept, "an epoch");
        self.live = Some(live);
        self.unwritten = Some(self.to_write(writes, letters));
        Ok(None)
    }

    /// What is written of an epoch that is in the state.
    fn to_write(&self, writes: Vec<Write>, letters: Vec<Letter>) -> Unwritten {
        let row = doc! {
            "kind": kind_id(self.view.definition.kind),
            "generation": self.position.generation,
            "place": self.position.place.to_bson(),
            "as_of": DateTime::from_millis(self.position.clock_ms),
            "rows": self.live.as_ref().map_or(0, |live| live.rows),
            "state_bytes": self.live.as_ref().map_or(0, |live| i64::try_from(live.state_bytes()).unwrap_or(i64::MAX)),
            (crate::held::HELD): self.live.as_ref().map(Live::held),
            "loading": Bson::Null,
            "late": self.errors.late,
        };
        Unwritten { writes, letters, row }
    }

    /// Writes what the last epoch changes, together with the place, if that is still to be done.
    async fn write(&mut self) -> Result<Option<End>> {
        let Some(Unwritten { writes, letters, row }) = self.unwritten.take() else { return Ok(None) };
        let (writes, letters) = (Arc::new(writes), Arc::new(letters));
        let id = self.view.definition.id.clone();
        let kind = kind_id(self.view.definition.kind);
        let (database, collection) = (self.database.clone(), self.collection.clone());
        let stop = self.view.stop.clone();
        // After a build that was cut short a row of changes may be there already: then it is tried again in the other way.
        let is_there = Arc::new(AtomicBool::new(false));
        let committed = tokio::select! {
            biased;
            committed = self.checkpoint.commit(row, |session| {
                let (writes, letters, id) = (Arc::clone(&writes), Arc::clone(&letters), id.clone());
                let (database, collection) = (database.clone(), collection.clone());
                let is_there = Arc::clone(&is_there);
                Box::pin(async move {
                    let appending = if is_there.load(Relaxed) { Appending::Upsert } else { Appending::Insert };
                    let done = checkpoint::write(session, &database, &collection, &writes, appending).await;
                    done.map_err(|error| match (appending, error.state.0) {
                        (Appending::Insert, UNIQUE) if writes.iter().any(|write| matches!(write, Write::Append(_))) => {
                            is_there.store(true, Relaxed);
                            SqlError::new("40001", "some of the rows are there already")
                        }
                        _ => error,
                    })?;
                    dead_letters::note(session, &id, kind, &letters).await
                })
            }) => committed,
            () = stop.stopped() => return Ok(Some(End::Stopped)),
        };
        match committed {
            Ok(()) => Ok(None),
            Err(NotCommitted::TakenOver) => Ok(Some(End::TakenOver)),
            Err(NotCommitted::Failed(error)) => Err(error),
        }
    }

    /// Makes the place durable in the state alone.
    async fn save(&mut self) -> Result<()> {
        let live = self.live.take().ok_or_else(|| bug("a view without a state"))?;
        let mut position = self.position.clone();
        position.step = self.checkpoint.step();
        let (live, ()) = blocking(live, move |live| live.commit(&position)).await?;
        self.live = Some(live);
        Ok(())
    }
}

/// Whether somebody asks for the place of those who see it.
fn is_barrier(commit: &Commit) -> bool {
    commit.events().iter().any(is_mark)
}

/// How many commits the next epoch takes at most, after one that took so many and so long.
fn next_max(most: usize, taken: usize, took: Duration) -> usize {
    let next = if took > EPOCH * 2 {
        most / 2
    } else if took < EPOCH && taken >= most {
        most * 2
    } else {
        most
    };
    next.clamp(COMMITS_MIN, COMMITS_MAX)
}

/// More commits that are there already.
fn gather(first: Commit, inbox: &mut Inbox, most: usize) -> (Vec<Commit>, bool) {
    let mut asked = is_barrier(&first);
    let mut commits = vec![first];
    while commits.len() < most {
        match inbox.ready() {
            Some(News::Commit(commit)) => {
                asked |= is_barrier(&commit);
                commits.push(commit);
            }
            Some(other) => {
                inbox.put_back(other);
                break;
            }
            None => break,
        }
    }
    (commits, asked)
}
