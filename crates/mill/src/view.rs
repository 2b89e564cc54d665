//! A materialized view over tables, as it runs (SQL-14.2): built from a snapshot, then kept right, commit by commit.

mod build;
mod follow;
mod redo;
mod save;
mod writer;

use std::sync::Arc;

use bson::{Bson, DateTime, Document, Timestamp, doc};
use millstream_flow::{Failure, StoreOptions, Stores};
use millstream_sql::SqlError;
use millstream_sql::expr::Context;
use millstream_sql::plan::Plan;
use millstream_sql::statement::Options;
use mongodb::Client;

use self::follow::{COMMITS_MIN, Writing};
use self::save::Saves;
use self::writer::{Unwritten, Writer};
use crate::checkpoint::Checkpoint;
use crate::commit::Place;
use crate::dead_letters::Letter;
use crate::definition::{Definition, kind_id};
use crate::deployment::Deployment;
use crate::difference::Write;
use crate::error::{Result, bug, of_flow};
use crate::hub::Hub;
use crate::images::Images;
use crate::live::{Live, Position};
use crate::run::{End, Stop, published, target};

/// The state of a view, unless an option says otherwise (SQL-18.8).
pub(crate) const STATE_BYTES_MAX: u64 = 10 << 30;

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
    /// `None`: the last epoch is being written.
    writer: Option<Writer>,
    writing: Writing,
    saves: Saves,
    live: Option<Live>,
    position: Position,
    database: String,
    collection: String,
    errors: Errors,
    images: Images,
    /// Since when its outputs are those of changes, if it has begun: made anew, it begins there again (SQL-14.8).
    began: Option<Timestamp>,
    /// Images are not used, even where there are any.
    copies: bool,
    /// Commits that the next epoch takes, at most.
    commits_max: usize,
}

/// What a view finds when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It goes with what is stored.
    Whole,
    /// There is none, or it is not whole, or it does not go with what is stored.
    Missing,
    /// It was asked to stop.
    Stopped,
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
            step: checkpoint.step,
            place: Place::Time(Timestamp { time: 0, increment: 0 }),
            clock_ms: 0,
            filling: None,
        };
        let images = if self.plan.changes { Images::of(&self.definition.options)? } else { Images::Kept };
        let mut errors = Errors::of(&self.definition.options)?;
        errors.late = row.get_i64("late").unwrap_or(0);
        let writer = Writer::new(checkpoint, Arc::clone(&self.definition), self.stop.clone())?;
        let mut running = Running {
            view: self,
            writer: Some(writer),
            writing: Writing::new(),
            saves: Saves::new(),
            live: None,
            position,
            database,
            collection,
            errors,
            images,
            began: None,
            copies: false,
            commits_max: COMMITS_MIN,
        };
        if row.get_object_id("generation").ok() == Some(running.position.generation) {
            running.began = row.get_timestamp("began").ok();
        }
        let mut state = running.resume(&row).await?;
        loop {
            if state == State::Stopped {
                return Ok(End::Stopped);
            }
            if state == State::Missing
                && let Some(end) = running.build().await?
            {
                return Ok(end);
            }
            published(&client, &running.view.definition, "running", None).await?;
            match running.follow().await? {
                End::Rebuild => state = State::Missing,
                other => return Ok(other),
            }
        }
    }
}

impl Running {
    fn writer(&mut self) -> Result<&mut Writer> {
        self.writer.as_mut().ok_or_else(|| bug("an epoch is being written"))
    }

    fn client(&self) -> Client {
        self.view.deployment.client().clone()
    }

    /// Opens the state that is there, and brings it to where the collection is.
    async fn resume(&mut self, row: &Document) -> Result<State> {
        let mut live = match self.open(false) {
            Ok(live) => live,
            Err(error) => {
                tracing::warn!(object = %self.view.definition.id, "the state cannot be used, building anew: {error}");
                return Ok(State::Missing);
            }
        };
        let Some(position) = live.position()? else { return Ok(State::Missing) };
        if position.generation != self.position.generation {
            return Ok(State::Missing);
        }
        let Checkpoint { fence, step, .. } = self.writer()?.checkpoint;
        if let Some(filling) = &position.filling {
            // Another process may have finished it meanwhile, or have begun to store another answer.
            if position.step == step && filling.storing.is_none_or(|last| last + 1 == fence) {
                live.rows = filling.rows;
                (self.position, self.live) = (position, Some(live));
            }
            return Ok(State::Missing);
        }
        let is_stored = row.get_object_id("generation").ok() == Some(position.generation);
        if !is_stored || position.step > step {
            return Ok(State::Missing);
        }
        let is_behind = position.step < step;
        (self.position, self.live) = (position, Some(live));
        if is_behind {
            let state = self.redo(row).await?;
            if state != State::Whole {
                return Ok(state);
            }
        }
        if let Some(live) = &mut self.live {
            live.rows = row.get_i64("rows").unwrap_or(0);
        }
        // What is due by now is found out by a step.
        Ok(State::Whole)
    }

    fn open(&self, fresh: bool) -> Result<Live> {
        let (stores, name) = (&self.view.stores, self.view.definition.generation.to_hex());
        if fresh {
            stores.remove(&name).map_err(|error| of_flow(&error))?;
        }
        let options = StoreOptions {
            fingerprint: self.view.definition.fingerprint().into_bytes(),
            limit_bytes: self.view.definition.options.integer("max_state_bytes")?.unwrap_or(STATE_BYTES_MAX),
            // After a loss of power the state may be older, and what is missing is computed again.
            flush: false,
            ..StoreOptions::default()
        };
        let store = stores.store(&name, options).map_err(|error| of_flow(&error))?;
        let mut live = Live::open(Arc::clone(&self.view.plan), Arc::clone(&self.view.context), store)?;
        live.set_options(&self.view.definition.options)?;
        Ok(live)
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
            "began": self.began,
        };
        Unwritten { writes, letters, row }
    }
}
