//! What a trigger does with its changes: several in one transaction with its place (SQL-15.3), and one by one when something is
//! wrong with them (SQL-15.8).

use std::sync::Arc;
use std::time::Duration;

use bson::{DateTime, Document, RawDocument, doc};
use millstream_flow::Datum;
use millstream_sql::SqlError;
use parking_lot::Mutex;

use super::body::{Cause, Run};
use super::plan::Planned;
use super::run::{Item, Options, Trigger};
use crate::change::Change;
use crate::checkpoint::{DATABASE, NotCommitted};
use crate::commit::Place;
use crate::dead_letters::{self, DEAD_LETTERS};
use crate::error::{Result, bug, is_passing, of_driver};
use crate::images::Images;
use crate::run::End;
use crate::webhook::pause;
use crate::write::Buffer;

impl Trigger {
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
        // The document that an event lacks it will lack the next time, too.
        let lacking = lacks(&self.options, item);
        let (is_lasting, mut error) = (lacking.is_some(), lacking.unwrap_or(error));
        let mut attempts = 1;
        while !is_lasting && attempts <= self.options.retries {
            tokio::select! {
                () = tokio::time::sleep(pause(attempts)) => {}
                () = self.object.stop.stopped() => return Ok(Some(End::Stopped)),
            }
            attempts += 1;
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
        self.put_aside(item, &error, attempts).await
    }

    async fn put_aside(&mut self, item: &Item, error: &SqlError, attempts: u64) -> Result<Option<End>> {
        let event = Document::try_from(item.change.event.raw()).map_err(|error| bug(&error.to_string()))?;
        let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
        let id = item
            .letter
            .clone()
            .unwrap_or_else(|| doc! {"object": &self.object.definition.id, "key": &item.change.token}.into());
        let letter = doc! {
            "_id": id,
            "kind": "trigger",
            "ns": self.planned.namespace(),
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
                    // If anything is wrong with several they are done again one by one.
                    let mut buffer = if items.len() > 1 { Buffer::waiting(session) } else { Buffer::new(session) };
                    let mut notices = Vec::new();
                    for item in items.iter() {
                        let cause = Cause::Change { object: &id, planned: &planned, change: &item.change };
                        let mut run = Run::new(buffer, &surroundings, cause);
                        run.too_deep = depth > options.max_depth;
                        run_one(&planned, &options, &mut run, item).await?;
                        notices.append(&mut run.notices);
                        buffer = run.buffer;
                    }
                    buffer.flush().await?;
                    *told.lock() = notices;
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
                let object = &self.object.definition.id;
                let cause = Cause::Change { object, planned: &self.planned, change: &item.change };
                let mut run = Run::new(Buffer::new(&mut session), &self.surroundings, cause);
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
            "mark": format!("{depth}:{}:{}", self.checkpoint.step, item.change.token),
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
}

fn too_long(timeout: Duration) -> SqlError {
    SqlError::new("57014", format!("the body ran for more than {timeout:?}"))
}

impl Planned {
    /// The name of its table with that of the database.
    pub(super) fn namespace(&self) -> String {
        format!("{}.{}", self.database, self.collection)
    }
}

/// That a document before or after a change should be there and is not (SQL-12.8).
fn lacks(options: &Options, item: &Item) -> Option<SqlError> {
    if options.missing_is_null || options.images == Images::Lookup {
        return None;
    }
    let message = format!("the document {} the change is not kept any more", item.change.missing()?);
    Some(SqlError::new("MS002", message).hint("WITH (missing_image = 'null') takes it for NULL"))
}

/// Runs the body for one change.
async fn run_one(planned: &Planned, options: &Options, run: &mut Run<'_>, item: &Item) -> Result<()> {
    if let Some(error) = lacks(options, item) {
        return Err(error);
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
        crate::checkpoint::run(run.buffer.session().await?, DATABASE, delete).await?;
    }
    Ok(())
}

/// The values of [`super::plan::OF_CHANGE`].
pub(super) fn values(change: &Change) -> Vec<Datum> {
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
