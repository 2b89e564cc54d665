//! Subscriptions (SQL-13.12): change queries, and table queries and views that are kept right while somebody looks.

use std::sync::Arc;

use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use millstream_flow::{Datum, Row, Store};
use millstream_sql::SqlError;
use millstream_sql::expr::Context;
use millstream_sql::plan::{Column, Plan};
use tokio::time::Instant;

use crate::answer::Rows;
use crate::commit::{Commit, Place};
use crate::deployment::{Deployment, after, now_ms};
use crate::difference::{id, id_bytes};
use crate::error::{Result, bug, lost};
use crate::hub::{Hub, Inbox, News};
use crate::images::{Images, copied_at, no_copy};
use crate::live::{Live, imaged};
use crate::queue::{Sender, Unsent, queue};
use crate::read::{Find, Moment, is_moment_over};
use crate::run::{at, blocking, until};
use crate::subscriptions::{Listed, SubscriptionLimits};
use crate::temporary::TemporaryState;
use crate::trigger::keep_images;
use crate::view::STATE_BYTES_MAX;

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Start {
    Now,
    /// With the existing documents.
    Snapshot,
    At(Place),
}

/// What a subscription is to.
pub(crate) struct Subscription {
    pub(crate) deployment: Deployment,
    pub(crate) hub: Hub,
    pub(crate) plan: Arc<Plan>,
    pub(crate) context: Arc<Context>,
    pub(crate) start: Start,
    /// Where it ends: behind everything up to there, what stands at the place included.
    pub(crate) until: Option<Place>,
    pub(crate) images: Images,
    pub(crate) missing_is_null: bool,
    /// More state than this ends it (SQL-18.8); `None`: nothing limits it, and it is in memory.
    pub(crate) state_bytes_max: Option<u64>,
    /// Whether a row that cannot be evaluated ends it (SQL-19.6).
    pub(crate) fails: bool,
    pub(crate) listed: Arc<Listed>,
    pub(crate) limits: SubscriptionLimits,
    /// Whether columns about the change stand in front.
    pub(crate) told: bool,
    /// Whether the rows that are there come first.
    pub(crate) snapshot: bool,
}

/// The columns in front.
pub(crate) static TOLD: &[&str] = &["_op", "_token", "_time", "_key", "_old"];

impl Subscription {
    /// Begins.
    pub(crate) async fn begin(self) -> Result<Rows> {
        let copies = self.plan.changes && self.images == Images::Mirror && !imaged(&self.plan).is_empty();
        if self.plan.changes && self.images == Images::Kept {
            prepare(&self.deployment, &self.plan).await?;
        }
        let Some(now) = self.deployment.time().await? else {
            return Err(SqlError::new("0A000", "the deployment has no change streams: it has to be a replica set"));
        };
        let (time, place) = match &self.start {
            Start::Now | Start::Snapshot => (now, Place::Time(after(now))),
            Start::At(Place::Token(token)) if !self.plan.changes => {
                // An answer over tables is that behind a whole commit.
                let time = token.time().unwrap_or(now);
                (time, Place::Time(after(time)))
            }
            Start::At(place) => copied_at(place)?,
        };
        let state = if copies || self.state_bytes_max.is_some() {
            Some(blocking((), |()| TemporaryState::new()).await?.1)
        } else {
            None
        };
        let live = match self.load(time, copies, state.as_ref()).await {
            Err(error) if copies && is_moment_over(&error) => return Err(no_copy(&error)),
            live => live?,
        };
        let wants = live.wants();
        // With the rows that are there it can only begin anew.
        let begin = if let Start::At(start) = &self.start { start } else { &place };
        let resume = (self.start != Start::Snapshot && !self.snapshot).then(|| begin.clone());
        let inbox = self.hub.join(wants, place);
        let mut columns: Vec<Column> = self.plan.columns.clone();
        if self.told {
            let told = TOLD.iter().map(|name| Column { name: (*name).to_owned(), kind: None, spread: false });
            columns = told.chain(columns).collect();
        }
        let (rows, taken) = queue(self.limits.queue_bytes, self.limits.full_for);
        let place = Place::Time(time);
        // What is in front of the start is gone over by the copies alone.
        let known = match &self.start {
            Start::At(place) if self.plan.changes => Some(place.clone()),
            _ => None,
        };
        let (sent, waiting) = (0, Vec::new());
        let running = Running { subscription: self, rows, sent, waiting, place, known, resume, _state: state };
        drop(tokio::spawn(running.run(live, inbox, time)));
        Ok(Rows::later(columns, taken))
    }

    /// The state at a time.
    async fn load(&self, time: Timestamp, copies: bool, state: Option<&TemporaryState>) -> Result<Live> {
        let client = self.deployment.client();
        let store = match state {
            Some(state) => state.store(self.state_bytes_max.unwrap_or(STATE_BYTES_MAX))?,
            None => Store::memory(),
        };
        let mut live = Live::open(Arc::clone(&self.plan), Arc::clone(&self.context), store)?;
        if copies {
            live.copy_driven();
        }
        if state.is_some() {
            live.end_with_owner();
        }
        live.missing_is_null(self.missing_is_null || self.images == Images::Lookup);
        let clock_ms = if self.plan.changes { 0 } else { now_ms() };
        live.fill(Vec::new(), clock_ms)?;
        for number in 0..live.mirrors().len() {
            let Some(mirror) = live.mirrors().get(number).cloned() else { continue };
            let find = mirror.find();
            let mut moment = Moment::Time(time);
            let mut reading = find.open(client, &mut moment).await?;
            while let Some(reply) = reading.next(&mut moment).await? {
                let (back, loaded) = blocking(live, move |live| {
                    let loaded = live.load(number, &reply, clock_ms)?;
                    live.make_room()?;
                    Ok(loaded)
                })
                .await?;
                live = back;
                if let Some(failure) = loaded.failures.into_iter().find(|failure| failure.weight > 0) {
                    tracing::debug!("a row is left out of a subscription: {}", failure.error);
                }
            }
        }
        Ok(live)
    }
}

/// Has images kept that a change query needs (SQL-12.6, SQL-12.7).
pub(crate) async fn prepare(deployment: &Deployment, plan: &Plan) -> Result<()> {
    for (database, collection) in imaged(plan) {
        keep_images(deployment, &database, &collection).await?;
    }
    Ok(())
}

struct Running {
    subscription: Subscription,
    rows: Sender,
    /// Outputs so far, those that were skipped included.
    sent: u64,
    /// Outputs of one that ends, which are sorted when it has ended (SQL-13.10).
    waiting: Vec<Row>,
    place: Place,
    /// What is up to here is not part of it, and goes into copies alone.
    known: Option<Place>,
    /// The place behind everything whose rows were all sent, where another can go on.
    resume: Option<Place>,
    /// Where its state is, if that is not in memory.
    _state: Option<TemporaryState>,
}

/// Why a subscription goes on no longer.
struct Over;

impl Running {
    async fn run(mut self, live: Live, inbox: Inbox, time: Timestamp) {
        let rows = self.rows.clone();
        let listed = Arc::clone(&self.subscription.listed);
        let ended = tokio::select! {
            ended = self.follow(live, inbox, time) => ended,
            () = rows.closed() => return,
            () = listed.cancelled() => Err(SqlError::new("57014", "the subscription was cancelled")),
        };
        if let Err(error) = ended {
            rows.end(error);
        }
    }

    async fn follow(&mut self, live: Live, mut inbox: Inbox, time: Timestamp) -> Result<()> {
        let mut live = live;
        let changes = self.subscription.plan.changes;
        let first = if changes { self.existing(&mut live, time).await? } else { self.rows_there(&mut live).await? };
        if first.is_err() {
            return Ok(());
        }
        self.resume.get_or_insert_with(|| self.place.clone());
        let mut clock_ms = if changes { 0 } else { now_ms() };
        loop {
            let due: Option<Instant> = if changes { None } else { live.due_ms.map(until) };
            let (commits, watermark_ms) = tokio::select! {
                biased;
                news = inbox.next() => match news {
                    News::Lost(reason) => return Err(lost(&reason)),
                    News::Quiet(place) if self.is_over(&place) => return self.finish(live, clock_ms).await,
                    News::Quiet(place) if self.known.as_ref().is_some_and(|known| !place.has_reached(known)) => continue,
                    News::Quiet(place) => {
                        let watermark = place.time().map_or(0, |time| i64::from(time.time) * 1_000);
                        self.place = place;
                        if !changes || live.due_ms.is_none_or(|due| due > watermark) {
                            self.resume = Some(self.place.clone());
                            continue;
                        }
                        (Vec::new(), watermark)
                    }
                    News::Commit(commit) => {
                        let behind = commit.place();
                        let commit = match &self.subscription.until {
                            Some(until) if self.is_over(&behind) => commit.up_to(until),
                            _ => Some(commit),
                        };
                        let Some(mut commit) = commit else { return self.finish(live, clock_ms).await };
                        if let Some(known) = self.known.take() {
                            if let Some(old) = commit.up_to(&known) {
                                live = live.pass_over(self.subscription.deployment.client(), old).await?.0;
                            }
                            let Some(new) = commit.behind(&known) else {
                                self.known = Some(known);
                                continue;
                            };
                            commit = new;
                        }
                        self.place = commit.place();
                        // The end may be in the middle of it.
                        if self.place != behind {
                            inbox.put_back(News::Quiet(behind));
                        }
                        let client = self.subscription.deployment.client().clone();
                        (self.subscription.images.complete(&client, vec![commit], &live.driven()).await?, 0)
                    }
                },
                () = at(due) => (Vec::new(), 0),
            };
            clock_ms = if changes { clock_ms.max(watermark_ms) } else { clock_ms.max(now_ms()) };
            let (back, outcome) = self.step(live, commits, clock_ms).await?;
            live = back;
            if outcome.is_err() {
                return Ok(());
            }
            self.resume = Some(self.place.clone());
        }
    }

    /// Whether a place is behind the end.
    fn is_over(&self, place: &Place) -> bool {
        match (&self.subscription.until, place) {
            (None, _) => false,
            (Some(Place::Token(until)), Place::Token(place)) => place.data() > until.data(),
            (Some(until), place) => place.time() > until.time(),
        }
    }

    /// What is left at the end: what time has closed by then, and all that was to be sorted.
    async fn finish(&mut self, live: Live, clock_ms: i64) -> Result<()> {
        let until = self.subscription.until.as_ref().and_then(Place::time);
        let until_ms = until.map_or(0, |until| i64::from(until.time) * 1_000);
        if self.subscription.plan.changes {
            let (_, outcome) = self.step(live, Vec::new(), clock_ms.max(until_ms)).await?;
            if outcome.is_ok() {
                let mut rows = std::mem::take(&mut self.waiting);
                self.subscription.plan.sort(&mut rows);
                self.subscription.until = None;
                // Whether somebody still listens does not matter any more.
                let _ = self.send_outputs(&rows).await?;
            }
        }
        Ok(())
    }

    async fn step(
        &mut self,
        live: Live,
        commits: Vec<Commit>,
        clock_ms: i64,
    ) -> Result<(Live, std::result::Result<(), Over>)> {
        let changes = self.subscription.plan.changes;
        let (live, mut epoch) = live.take(self.subscription.deployment.client(), commits, clock_ms).await?;
        let epoch = blocking(live, move |live| {
            let difference = live.difference(&mut epoch)?;
            live.make_room()?;
            Ok((epoch, difference))
        });
        let (live, (epoch, (going, coming))) = epoch.await?;
        if epoch.rebuild {
            let reason = "a collection was replaced by another: subscribe again";
            return Err(SqlError::new("55000", reason));
        }
        for failure in epoch.output.failures.iter().filter(|failure| failure.weight > 0) {
            if self.subscription.fails && failure.error.state.0 != "MS003" {
                return Err(SqlError::from(failure.error.clone()));
            }
            tracing::debug!("a row is left out of a subscription: {}", failure.error);
        }
        if changes {
            return Ok((live, self.send_outputs(&epoch.rows).await?));
        }
        let outcome = self.send_difference(going, coming).await?;
        Ok((live, outcome))
    }

    /// The documents that are there, as changes.
    async fn existing(&mut self, live: &mut Live, time: Timestamp) -> Result<std::result::Result<(), Over>> {
        if self.subscription.start != Start::Snapshot {
            return Ok(Ok(()));
        }
        let client = self.subscription.deployment.client().clone();
        let time_ms = i64::from(time.time) * 1_000;
        let plan = Arc::clone(&self.subscription.plan);
        for (number, source) in plan.sources.iter().enumerate() {
            if source.driven.is_none_or(|driven| !driven.operations[0]) {
                continue;
            }
            let find = Find::all(&source.database, &source.collection).by_id(None);
            let mut outputs = Vec::new();
            let mut moment = Moment::Time(time);
            let mut reading = find.open(&client, &mut moment).await?;
            while let Some(reply) = reading.next(&mut moment).await? {
                crate::read::documents(&reply, &mut |document| {
                    outputs.extend(live.existing(number, crate::read::doc(document), time_ms)?);
                    Ok(())
                })?;
            }
            if let Err(over) = self.send_outputs(&outputs).await? {
                return Ok(Err(over));
            }
        }
        Ok(Ok(()))
    }

    /// The rows that are there, and that this was all.
    async fn rows_there(&mut self, live: &mut Live) -> Result<std::result::Result<(), Over>> {
        let mut past: Option<Vec<u8>> = None;
        loop {
            let (page, last) = live.unstored(past.as_deref())?;
            past = last;
            if page.is_empty() {
                break;
            }
            for row in page.iter().filter(|_| self.subscription.snapshot) {
                let sent = self.send_told(self.told("snapshot", row, None)?, &self.place).await?;
                if sent.is_err() {
                    return Ok(sent);
                }
            }
        }
        if self.subscription.snapshot {
            return self.send_told(doc! {"_op": "ready", "_token": Bson::Null}, &self.place).await;
        }
        Ok(Ok(()))
    }

    /// Outputs of a change query.
    async fn send_outputs(&mut self, rows: &[Row]) -> Result<std::result::Result<(), Over>> {
        let plan = Arc::clone(&self.subscription.plan);
        if self.subscription.until.is_some() && !plan.order.is_empty() {
            self.waiting.extend_from_slice(rows);
            return Ok(Ok(()));
        }
        let (skip, most) = plan.limit;
        for (at, row) in rows.iter().enumerate() {
            self.sent += 1;
            if self.sent <= skip {
                continue;
            }
            let bytes = plan.result(row, &self.subscription.context).into_bytes();
            let answer = RawDocumentBuf::from_bytes(bytes).map_err(|_| bug("a row is no document"))?;
            let sent = if self.subscription.told {
                let time = plan.time.and_then(|column| match row.value(column) {
                    Datum::Instant(ms) => Some(DateTime::from_millis(*ms)),
                    _ => None,
                });
                let stored = plan.document(row, &self.subscription.context).into_bytes();
                let key = RawDocumentBuf::from_bytes(stored).map(|stored| id(&stored)).unwrap_or(Bson::Null);
                let mut told = doc! {"_op": "append", "_token": Bson::Null, "_time": time, "_key": key};
                let columns = Document::try_from(answer.as_ref() as &RawDocument);
                told.extend(columns.map_err(|error| bug(&error.to_string()))?);
                self.send_told(told, self.behind(at + 1 == rows.len())).await?
            } else {
                self.send(answer).await?
            };
            if sent.is_err() {
                return Ok(sent);
            }
            if most.is_some_and(|most| self.sent >= skip.saturating_add(most)) {
                return Ok(Err(Over));
            }
        }
        Ok(Ok(()))
    }

    /// The difference of a table query.
    async fn send_difference(
        &mut self,
        going: Vec<RawDocumentBuf>,
        coming: Vec<RawDocumentBuf>,
    ) -> Result<std::result::Result<(), Over>> {
        let mut old: std::collections::BTreeMap<Vec<u8>, RawDocumentBuf> =
            going.into_iter().map(|row| (id_bytes(&row), row)).collect();
        let mut told = Vec::new();
        for row in coming {
            match old.remove(&id_bytes(&row)) {
                None => told.push(self.told("insert", &row, None)?),
                Some(before) if before.as_bytes() == row.as_bytes() => {}
                Some(before) => told.push(self.told("update", &row, Some(&before))?),
            }
        }
        for before in old.into_values() {
            told.push(self.told("delete", &before, Some(&before))?);
        }
        let many = told.len();
        for (at, row) in told.into_iter().enumerate() {
            let sent = self.send_told(row, self.behind(at + 1 == many)).await?;
            if sent.is_err() {
                return Ok(sent);
            }
        }
        Ok(Ok(()))
    }

    /// A row of a table query: its columns, with what happened to it in front.
    fn told(&self, operation: &str, row: &RawDocument, old: Option<&RawDocument>) -> Result<Document> {
        let columns = |row: &RawDocument| -> Result<Document> {
            let mut columns = Document::try_from(row).map_err(|error| bug(&error.to_string()))?;
            columns.remove("_id");
            Ok(columns)
        };
        let mut told = doc! {
            "_op": operation,
            "_token": Bson::Null,
            "_time": self.place.time().map(|time| DateTime::from_millis(i64::from(time.time) * 1_000)),
            "_key": id(row),
        };
        if let Some(old) = old {
            told.insert("_old", columns(old)?);
        }
        if operation != "delete" {
            told.extend(columns(row)?);
        }
        Ok(told)
    }

    /// Where another can go on behind a row of a commit, without the loss of any: behind the commit after its last row, and
    /// before it after the others.
    fn behind(&self, is_last: bool) -> &Place {
        self.resume.as_ref().filter(|_| !is_last).unwrap_or(&self.place)
    }

    /// Sends what is told, with where to resume.
    async fn send_told(&self, mut told: Document, resume: &Place) -> Result<std::result::Result<(), Over>> {
        let token = match resume {
            Place::Token(token) => token.data().map_or(Bson::Null, Bson::from),
            Place::Time(time) => (*time).into(),
        };
        told.insert("_token", token);
        self.send(RawDocumentBuf::try_from(&told).map_err(|error| bug(&error.to_string()))?).await
    }

    async fn send(&self, row: RawDocumentBuf) -> Result<std::result::Result<(), Over>> {
        match self.rows.send(row).await {
            Ok(()) => Ok(Ok(())),
            Err(Unsent::Gone) => Ok(Err(Over)),
            Err(Unsent::Full) => Err(self.full()),
        }
    }

    /// That nobody has taken rows for too long, and where to go on (SQL-22.1).
    fn full(&self) -> SqlError {
        let limits = &self.subscription.limits;
        let message = format!(
            "the {} bytes of the subscription's queue were full for {} s",
            limits.queue_bytes,
            limits.full_for.as_secs_f64()
        );
        let token = match &self.resume {
            Some(Place::Token(token)) => token.data().map(|token| format!("'{token}'")),
            Some(Place::Time(time)) => {
                jiff::Timestamp::from_second(i64::from(time.time)).ok().map(|time| format!("TIMESTAMPTZ '{time}'"))
            }
            None => None,
        };
        let hint = match token {
            Some(token) => format!("subscribe WITH (start = {token}) to go on"),
            None => "subscribe again, and take its rows sooner".to_owned(),
        };
        SqlError::new("53400", message).hint(hint)
    }
}
