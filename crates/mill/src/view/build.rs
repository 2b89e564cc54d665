//! How a view comes to be (SQL-19.2): its sources are read as they were at one time, and then its collection is made the same
//! as the answer, by differences.
//!
//! What was read is committed to the state about every half second, with the place where to go on, so that a build which is
//! cut short goes on there, and so that it needs memory for that half second only. Where the deployment no longer has the
//! moment that was being read, or never had one, the rest is read as it is by then, and the changes since the beginning are
//! gone over before anybody sees the answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::{Bson, Document, Timestamp, doc};
use millstream_flow::Failure;
use millstream_sql::SqlError;
use tokio::time::{Duration, Instant};

use super::Running;
use super::follow::{COMMITS_MAX, gather};
use crate::checkpoint::{self, Appending, DATABASE};
use crate::commit::Place;
use crate::dead_letters::{self, DEAD_LETTERS};
use crate::definition::kind_id;
use crate::deployment::{after, now_ms};
use crate::difference::Write;
use crate::error::{Result, bug, lost, of_driver};
use crate::hub::{Name, News};
use crate::images::{copied_at, kept};
use crate::live::{Filling, Live};
use crate::mirror::Mirror;
use crate::read::{self, Find, Moment};
use crate::run::{End, blocking, published};

/// How often what was read is committed, and told.
const KEEP_EVERY: Duration = Duration::from_millis(500);

/// A stage of a build.
enum Stage {
    /// It is over, and the next may come.
    Over(Box<Live>),
    /// A collection was put in the place of another: all has to be read again.
    Again,
    /// The build ends here.
    Ended(End),
}

impl Running {
    /// Makes the state, or goes on making it, and writes what is not yet stored as it should be. `None`: done.
    pub(super) async fn build(&mut self) -> Result<Option<End>> {
        published(&self.client(), &self.view.definition, "building", None).await?;
        loop {
            let live = match self.live.take().filter(|_| self.position.filling.is_some()) {
                Some(live) => live,
                None => self.begin().await?,
            };
            let live = match self.read(live).await? {
                Stage::Over(live) => *live,
                Stage::Again => continue,
                Stage::Ended(end) => return Ok(Some(end)),
            };
            let live = match self.pass_over(live).await? {
                Stage::Over(live) => *live,
                Stage::Again => continue,
                Stage::Ended(end) => return Ok(Some(end)),
            };
            let live = match self.read_existing(live).await? {
                Stage::Over(live) => *live,
                Stage::Again => continue,
                Stage::Ended(end) => return Ok(Some(end)),
            };
            let live = match self.catch_up(live).await? {
                Stage::Over(live) => *live,
                Stage::Again => continue,
                Stage::Ended(end) => return Ok(Some(end)),
            };
            return self.store(live).await;
        }
    }

    /// The state before anything was read.
    async fn begin(&mut self) -> Result<Live> {
        // Before the time is: from then on they are there.
        let kept = if self.copies { BTreeSet::new() } else { self.kept_images().await? };
        let Some(time) = self.view.deployment.time().await? else {
            return Err(SqlError::new("0A000", "the deployment has no change streams: views need a replica set"));
        };
        let changes = self.view.plan.changes;
        // What changes are seen with is read as of the start: just before the first that may come.
        let (time, place) = if changes { copied_at(&self.start(time)?)? } else { (time, Place::Time(after(time))) };
        self.position.place = place;
        self.position.clock_ms = if changes { 0 } else { now_ms() };
        self.position.step = self.writer()?.checkpoint.step;
        self.position.filling = Some(Filling::new(time));
        let mut live = self.open(true)?;
        live.rows = 0;
        live.go_by_images(&kept)?;
        if !changes {
            // Those of an earlier answer.
            let which = doc! {"_id.object": &self.view.definition.id};
            let letters = self.client().database(DATABASE).collection::<Document>(DEAD_LETTERS);
            letters.delete_many(which).await.map_err(|error| of_driver(&error))?;
        }
        // Constants are there from the first step on.
        let failures = live.fill(Vec::new(), self.position.clock_ms)?;
        self.keep(live, failures).await
    }

    /// Reads the sources.
    async fn read(&mut self, mut live: Live) -> Result<Stage> {
        let total = self.total(live.names()).await;
        if self.filling()?.read > 0 {
            tracing::info!(object = %self.view.definition.id, "its build goes on at {} %", self.percent(total));
        }
        while let Some(mirror) = live.mirrors().get(self.filling()?.mirror).cloned() {
            live = match self.read_one(live, &mirror, total).await? {
                Stage::Over(live) => *live,
                other => return Ok(other),
            };
            let changes = self.view.plan.changes;
            let now = if changes { None } else { self.view.deployment.time().await? };
            let filling = self.filling_mut()?;
            filling.mirror += 1;
            filling.after = None;
            // Without a moment, what was read is of any time until now.
            if filling.time.is_none() {
                filling.until = filling.until.max(now);
            }
        }
        Ok(Stage::Over(Box::new(live)))
    }

    /// Reads one collection, from where the build is to its end.
    async fn read_one(&mut self, mut live: Live, mirror: &Mirror, total: u64) -> Result<Stage> {
        let client = self.client();
        let clock_ms = self.position.clock_ms;
        'open: loop {
            let find = mirror.find().by_id(self.filling()?.after.clone());
            let mut moment = self.filling()?.time.map_or(Moment::Now, Moment::Time);
            let mut reading = match find.open(&client, &mut moment).await {
                Ok(reading) => reading,
                Err(error) if self.is_over(&error) => {
                    if live.goes_by_images() {
                        return Ok(self.read_for_copies(&error));
                    }
                    self.read_later(&error).await?;
                    continue 'open;
                }
                Err(error) => return Err(self.too_late(error)),
            };
            let mut next = reading.next(&mut moment).await;
            let mut kept = Instant::now();
            let mut failures: Vec<Failure> = Vec::new();
            loop {
                let reply = match next {
                    Ok(Some(reply)) => reply,
                    Ok(None) => {
                        live = self.keep(live, failures).await?;
                        return Ok(Stage::Over(Box::new(live)));
                    }
                    Err(error) if self.is_over(&error) && live.goes_by_images() => {
                        return Ok(self.read_for_copies(&error));
                    }
                    Err(error) if self.is_over(&error) => {
                        live = self.keep(live, failures).await?;
                        self.read_later(&error).await?;
                        continue 'open;
                    }
                    Err(error) => return Err(self.too_late(error)),
                };
                let number = self.filling()?.mirror;
                // The next reply is on its way meanwhile.
                let (loaded, following) = tokio::join!(
                    blocking(live, move |live| live.load(number, &reply, clock_ms)),
                    reading.next(&mut moment)
                );
                let (back, loaded) = loaded?;
                (live, next) = (back, following);
                failures.extend(loaded.failures);
                let filling = self.filling_mut()?;
                filling.read += loaded.documents;
                if loaded.last.is_some() {
                    filling.after = loaded.last;
                }
                let stopped = self.view.stop.is_stopped();
                if stopped || kept.elapsed() >= KEEP_EVERY {
                    live = self.keep(live, std::mem::take(&mut failures)).await?;
                    if stopped {
                        return Ok(Stage::Ended(End::Stopped));
                    }
                    if !self.tell(total).await? {
                        return Ok(Stage::Ended(End::TakenOver));
                    }
                    kept = Instant::now();
                }
            }
        }
    }

    /// Takes the changes into the copies that are behind what was read, but before the start: those of its commit.
    async fn pass_over(&mut self, mut live: Live) -> Result<Stage> {
        let start = match &self.view.definition.start {
            Some(start) if self.view.plan.changes => Place::from_bson(start),
            _ => None,
        };
        let Some(start) = start.filter(|start| !self.position.place.has_reached(start)) else {
            return Ok(Stage::Over(Box::new(live)));
        };
        // Until all of them were, it is kept as it was read.
        let mut failures = Vec::new();
        if !live.mirrors().is_empty() {
            let mut inbox = self.join_at(&live, self.position.place.clone());
            let client = self.client();
            loop {
                let news = tokio::select! {
                    biased;
                    () = self.view.stop.stopped() => return Ok(Stage::Ended(End::Stopped)),
                    news = inbox.next() => news,
                };
                match news {
                    News::Lost(reason) => return Err(lost(&reason)),
                    News::Quiet(place) if place.has_reached(&start) => break,
                    News::Quiet(_) => {}
                    News::Commit(commit) => {
                        let is_over = commit.place().has_reached(&start);
                        if let Some(old) = commit.up_to(&start) {
                            let some;
                            (live, some) = live.pass_over(&client, old).await?;
                            failures.extend(some);
                        }
                        if is_over {
                            break;
                        }
                    }
                }
            }
        }
        self.position.place = start;
        Ok(Stage::Over(Box::new(self.keep(live, failures).await?)))
    }

    /// The documents that were there before the changes, as INSERTs (SQL-14.8).
    async fn read_existing(&mut self, mut live: Live) -> Result<Stage> {
        if !matches!(self.view.definition.start, Some(Bson::String(_))) || !self.view.plan.changes {
            return Ok(Stage::Over(Box::new(live)));
        }
        let (client, plan) = (self.client(), Arc::clone(&self.view.plan));
        self.prepare(&client).await?;
        let mut session = client.start_session().await.map_err(|error| of_driver(&error))?;
        let time = self.filling()?.since;
        let time_ms = i64::from(time.time) * 1_000;
        // Their numbers are behind those of the copies.
        while let Some(number) = self.filling()?.mirror.checked_sub(live.mirrors().len())
            && let Some(source) = plan.sources.get(number)
        {
            if source.driven.is_some_and(|driven| driven.operations[0]) {
                let find = Find::all(&source.database, &source.collection).by_id(self.filling()?.after.clone());
                let mut moment = Moment::Time(time);
                let mut reading = match find.open(&client, &mut moment).await {
                    Err(error) if self.began.is_some() && read::is_moment_over(&error) => {
                        let object = &self.view.definition.id;
                        tracing::warn!(%object, "what was there when it began is not looked at again: {error}");
                        break;
                    }
                    reading => reading?,
                };
                while let Some(reply) = reading.next(&mut moment).await? {
                    let (back, (writes, last)) =
                        blocking(live, move |live| live.first_outputs(number, &reply, time_ms)).await?;
                    live = back;
                    checkpoint::write(&mut session, &self.database, &self.collection, &writes, Appending::Upsert)
                        .await?;
                    self.filling_mut()?.after = last;
                    live = self.keep(live, Vec::new()).await?;
                    if self.view.stop.is_stopped() {
                        return Ok(Stage::Ended(End::Stopped));
                    }
                }
            }
            let filling = self.filling_mut()?;
            filling.mirror += 1;
            filling.after = None;
        }
        Ok(Stage::Over(Box::new(live)))
    }

    /// Whether the deployment has no such moment, and the view may do without.
    fn is_over(&self, error: &SqlError) -> bool {
        let reads_a_moment = self.position.filling.as_ref().is_some_and(|filling| filling.time.is_some());
        !self.view.plan.changes && reads_a_moment && read::is_moment_over(error)
    }

    /// That what changes are seen with cannot be read as it was when they began (SQL-12.10).
    fn too_late(&self, error: SqlError) -> SqlError {
        if !self.view.plan.changes || !read::is_moment_over(&error) {
            return error;
        }
        read::too_late(&error)
    }

    /// What is read as of several times needs copies, by which it is brought together.
    fn read_for_copies(&mut self, error: &SqlError) -> Stage {
        tracing::info!(object = %self.view.definition.id, "everything is read again, for a copy of it: {error}");
        self.position.filling = None;
        self.copies = true;
        Stage::Again
    }

    /// The collections of which the deployment keeps images (SQL-12.6).
    async fn kept_images(&mut self) -> Result<BTreeSet<Name>> {
        kept(&self.client(), &self.view.plan, &self.view.definition.options).await
    }

    /// The rest is read as of now, or as it is where the deployment does not even have that.
    async fn read_later(&mut self, error: &SqlError) -> Result<()> {
        let now = self.view.deployment.time().await?;
        let filling = self.filling_mut()?;
        filling.time = now.filter(|now| Some(*now) > filling.time && error.state.0 == read::MOMENT_IS_OVER);
        filling.until = filling.until.max(now);
        tracing::info!(object = %self.view.definition.id, "the rest is read as it is now: {error}");
        Ok(())
    }

    /// Goes over the changes since the beginning, if some of what was read is younger than the rest.
    async fn catch_up(&mut self, mut live: Live) -> Result<Stage> {
        let filling = self.filling()?;
        let Some(until) = filling.until.filter(|until| *until > filling.since && filling.storing.is_none()) else {
            return Ok(Stage::Over(Box::new(live)));
        };
        let mut inbox = self.join_at(&live, Place::Time(after(filling.since)));
        let clock_ms = self.position.clock_ms;
        let mut kept = Instant::now();
        let mut failures = Vec::new();
        loop {
            let news = tokio::select! {
                biased;
                () = self.view.stop.stopped() => return Ok(Stage::Ended(End::Stopped)),
                news = inbox.next() => news,
            };
            let place = match news {
                News::Lost(reason) => {
                    let object = &self.view.definition.id;
                    tracing::warn!(%object, "history was lost while it was built, building anew: {reason}");
                    self.position.filling = None;
                    return Ok(Stage::Again);
                }
                News::Quiet(place) => place,
                News::Commit(first) => {
                    let (commits, _) = gather(first, &mut inbox, COMMITS_MAX);
                    let Some(place) = commits.last().map(|last| last.place()) else { continue };
                    let (back, some) = blocking(live, move |live| live.catch_up(&commits, clock_ms)).await?;
                    live = back;
                    let Some(some) = some else {
                        self.position.filling = None;
                        return Ok(Stage::Again);
                    };
                    failures.extend(some);
                    place
                }
            };
            let is_there = place.time().is_some_and(|time| time >= until);
            self.position.place = place;
            if is_there || kept.elapsed() >= KEEP_EVERY {
                live = self.keep(live, std::mem::take(&mut failures)).await?;
                kept = Instant::now();
            }
            if is_there {
                return Ok(Stage::Over(Box::new(live)));
            }
        }
    }

    /// Writes the difference between what is stored and what was built.
    async fn store(&mut self, mut live: Live) -> Result<Option<End>> {
        let client = self.client();
        self.prepare(&client).await?;
        let again = self.filling()?.storing.is_some();
        let storing = Some(self.writer()?.checkpoint.fence);
        if !self.view.plan.changes {
            let mut session = client.start_session().await.map_err(|error| of_driver(&error))?;
            if !again {
                let mut moment = Moment::Now;
                let mut reading = Find::all(&self.database, &self.collection).open(&client, &mut moment).await?;
                while let Some(reply) = reading.next(&mut moment).await? {
                    let (back, writes) = blocking(live, move |live| live.compare(&reply)).await?;
                    live = back;
                    checkpoint::write(&mut session, &self.database, &self.collection, &writes, Appending::Upsert)
                        .await?;
                }
            }
            self.filling_mut()?.storing = storing;
            live = self.keep(live, Vec::new()).await?;
            let mut kept = Instant::now();
            let mut past: Option<Vec<u8>> = None;
            loop {
                let (back, (rows, last)) = blocking(live, move |live| live.unstored(past.as_deref())).await?;
                (live, past) = (back, last);
                if rows.is_empty() {
                    break;
                }
                // Where it was cut short, some of them may be stored already.
                let write = if again { Write::Append } else { Write::Insert };
                let writes: Vec<Write> = rows.into_iter().map(write).collect();
                checkpoint::write(&mut session, &self.database, &self.collection, &writes, Appending::Upsert).await?;
                let stopped = self.view.stop.is_stopped();
                if stopped || kept.elapsed() >= KEEP_EVERY {
                    live = self.keep(live, Vec::new()).await?;
                    kept = Instant::now();
                }
                if stopped {
                    return Ok(Some(End::Stopped));
                }
            }
        }
        self.complete(live).await
    }

    /// The state is whole, and what is stored goes with it.
    async fn complete(&mut self, live: Live) -> Result<Option<End>> {
        self.live = Some(live);
        self.began = Some(after(self.filling()?.since)).filter(|_| self.view.plan.changes);
        let unwritten = self.to_write(Vec::new(), Vec::new());
        let end = self.writer()?.write(unwritten).await?;
        if end.is_none() {
            self.position.step = self.writer()?.checkpoint.step;
            self.position.filling = None;
            self.save().await?;
        }
        Ok(end)
    }

    /// Commits what was done to the state so far, with the place where to go on. What was left out is written down before:
    /// twice does no harm.
    async fn keep(&mut self, live: Live, failures: Vec<Failure>) -> Result<Live> {
        let letters = self.errors.letters(&failures)?;
        if !letters.is_empty() {
            let mut session = self.client().start_session().await.map_err(|error| of_driver(&error))?;
            let (id, kind) = (&self.view.definition.id, kind_id(self.view.definition.kind));
            dead_letters::note(&mut session, id, kind, &letters).await?;
        }
        if let Some(filling) = &mut self.position.filling {
            filling.rows = live.rows;
        }
        let position = self.position.clone();
        let (live, ()) = blocking(live, move |live| live.commit(&position)).await?;
        Ok(live)
    }

    /// Says how far it is. False: another process has it.
    async fn tell(&mut self, total: u64) -> Result<bool> {
        let percent = self.percent(total);
        self.writer()?.checkpoint.note(doc! {"loading": percent}).await
    }

    fn percent(&self, total: u64) -> i32 {
        let read = self.position.filling.as_ref().map_or(0, |filling| filling.read);
        i32::try_from(read.saturating_mul(100).checked_div(total).unwrap_or(99).min(99)).unwrap_or(99)
    }

    fn filling(&self) -> Result<&Filling> {
        self.position.filling.as_ref().ok_or_else(|| bug("a build without a place"))
    }

    fn filling_mut(&mut self) -> Result<&mut Filling> {
        self.position.filling.as_mut().ok_or_else(|| bug("a build without a place"))
    }

    /// Where outputs of changes begin.
    fn start(&self, now: Timestamp) -> Result<Place> {
        match &self.view.definition.start {
            // With a snapshot, it is that of now.
            None | Some(Bson::String(_)) => Ok(Place::Time(self.began.unwrap_or(after(now)))),
            Some(start) => Place::from_bson(start).ok_or_else(|| bug("a view without a place to start")),
        }
    }

    /// Makes the collection, and the index of its default order.
    async fn prepare(&mut self, client: &mongodb::Client) -> Result<()> {
        let database = client.database(&self.database);
        if let Err(error) = database.create_collection(&self.collection).await {
            let error = of_driver(&error);
            if error.state.0 != "42P07" {
                return Err(error);
            }
        }
        let order = &self.view.definition.order;
        if !order.is_empty() {
            let keys: Document =
                order.iter().map(|(name, down)| (name.clone(), Bson::Int32(if *down { -1 } else { 1 }))).collect();
            let index = doc! {"createIndexes": &self.collection, "indexes": [{"key": keys, "name": "default_order"}]};
            database.run_command(index).await.map_err(|error| of_driver(&error))?;
        }
        Ok(())
    }

    /// How many documents are to be read, about.
    async fn total(&mut self, names: BTreeSet<Name>) -> u64 {
        let client = self.client();
        let mut total = 0;
        for (database, name) in &names {
            let collection = client.database(database).collection::<Document>(name);
            total += collection.estimated_document_count().await.unwrap_or(0);
        }
        total
    }
}
