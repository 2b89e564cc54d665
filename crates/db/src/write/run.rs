//! A command's statements on their way: searched for outside the commit loop, applied inside it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_query::predicate::Predicate;
use millstream_query::sort::Sort;
use millstream_value::{Doc, Value};

use super::apply::Targets;
use super::job::{Job, Report};
use super::{Action, Outcome, Statement, WriteCommand, WriteReply};
use crate::db::Db;
use crate::pending::{Pending, pair};
use crate::read::Rows;
use crate::shared::State;
use crate::transaction::Ending;
use crate::{Error, Result, plan};

/// Documents changed by one job of a multi-document write: others get in between.
const SLICE_DOCUMENTS: usize = 500;
/// Statements and bytes in one job: bounds how long the commit loop is held.
const JOB_STATEMENTS_MAX: usize = 1_000;
const JOB_BYTES_MAX: usize = 4 << 20;
/// Between two looks at a transaction that is waited for by a blocked thread.
const HELD_LOOK: Duration = Duration::from_secs(1);
/// How often a document that keeps changing is searched for again before the write gives up.
const ATTEMPTS_MAX: usize = 100;

/// A write command, ready to be executed: [`WriteRun::block`] or [`WriteRun::complete`].
pub struct WriteRun {
    db: Db,
    statements: Arc<Vec<Statement>>,
    ordered: bool,
    retry: Option<super::Retry>,
    next: usize,
    reply: WriteReply,
    /// Targets of a multi-document statement that are still to be done, and its outcome so far.
    slices: Option<(std::vec::IntoIter<Bytes>, Outcome)>,
    attempts: usize,
    /// The slice that was given to the commit loop.
    slice: Vec<Bytes>,
    /// Who holds a document of the next statement, or of the slice.
    held: Option<Arc<Ending>>,
}

/// How far a command came.
pub enum Progress {
    /// All of its statements were tried.
    Done(WriteReply),
    /// An open transaction holds what the next one changes.
    Held(Arc<Ending>),
}

/// What a step came to.
enum Step {
    /// Wait for this, then [`WriteRun::resume`] with it.
    Wait(Pending<Result<Report>>),
    /// A transaction holds a document: wait for its end.
    Held(Arc<Ending>),
    /// All statements are done.
    Done(WriteReply),
}

impl WriteRun {
    pub(crate) fn new(db: Db, command: WriteCommand) -> Self {
        Self {
            db,
            statements: Arc::new(command.statements),
            ordered: command.ordered,
            retry: command.retry,
            next: 0,
            reply: WriteReply::default(),
            slices: None,
            attempts: 0,
            slice: Vec::new(),
            held: None,
        }
    }

    /// Runs the whole command, blocking this thread while it waits.
    ///
    /// # Errors
    /// What concerns the whole command: a retry that is too old, a disk that fails.
    pub fn block(mut self) -> Result<WriteReply> {
        loop {
            match self.step()? {
                Step::Wait(pending) => self.resume(pending.wait()?),
                Step::Held(ending) => while !ending.wait(HELD_LOOK) {},
                Step::Done(reply) => return Ok(reply),
            }
        }
    }

    /// Runs the whole command as a future of any runtime.
    ///
    /// # Errors
    /// What concerns the whole command: a retry that is too old, a disk that fails.
    pub async fn complete(mut self) -> Result<WriteReply> {
        loop {
            match self.advance().await? {
                Progress::Held(ending) => ending.ended().await,
                Progress::Done(reply) => return Ok(reply),
            }
        }
    }

    /// Goes on until the command is done, or a transaction has to be waited for: call it again after that.
    ///
    /// # Errors
    /// As [`WriteRun::complete`].
    pub async fn advance(&mut self) -> Result<Progress> {
        loop {
            match self.step()? {
                Step::Wait(pending) => self.resume(pending.await?),
                Step::Held(ending) => return Ok(Progress::Held(ending)),
                Step::Done(reply) => return Ok(Progress::Done(reply)),
            }
        }
    }

    /// Goes on until the commit loop has to be waited for.
    ///
    /// # Errors
    /// Errors that concern the whole command: a retry that is too old, a disk that fails.
    fn step(&mut self) -> Result<Step> {
        if let Some(ending) = self.held.take() {
            return Ok(Step::Held(ending));
        }
        if let Some(retry) = self.retry.filter(|_| self.next == 0) {
            self.db.check_retryable(retry)?;
        }
        loop {
            if let Some((rest, _)) = &mut self.slices {
                let slice: Vec<Bytes> = rest.take(SLICE_DOCUMENTS).collect();
                if slice.is_empty() {
                    let outcome = self.slices.take().map(|(_, outcome)| outcome).unwrap_or_default();
                    self.finish_statement(outcome);
                    continue;
                }
                self.slice.clone_from(&slice);
                return Ok(self.submit(self.next, self.next + 1, Targets::Found(slice)));
            }
            let stopped = self.ordered && self.reply.outcomes.last().is_some_and(|o| o.error.is_some());
            let Some(statement) = self.statements.get(self.next).filter(|_| !stopped) else {
                if self.reply.time == millstream_value::ClusterTime::ZERO {
                    self.reply.time = self.db.committed();
                }
                return Ok(Step::Done(std::mem::take(&mut self.reply)));
            };
            match self.search(statement) {
                Ok(None) => {
                    let last = self.next + self.run_length();
                    return Ok(self.submit(self.next, last, Targets::ById));
                }
                Ok(Some((targets, true))) if targets.len() > SLICE_DOCUMENTS => {
                    self.slices = Some((targets.into_iter(), Outcome::default()));
                }
                Ok(Some((targets, _))) => return Ok(self.submit(self.next, self.next + 1, Targets::Found(targets))),
                Err(error) => self.finish_statement(Outcome { error: Some(error), ..Outcome::default() }),
            }
        }
    }

    /// Takes what a job reports.
    fn resume(&mut self, report: Report) {
        if let Some(time) = report.time {
            self.reply.time = time;
        }
        self.held = report.held;
        if let Some((rest, sum)) = &mut self.slices {
            if self.held.is_some() {
                let again = std::mem::take(&mut self.slice).into_iter().chain(rest.by_ref());
                *rest = again.collect::<Vec<_>>().into_iter();
                return;
            }
            let mut failed = None;
            for outcome in report.outcomes {
                sum.n += outcome.n;
                sum.modified += outcome.modified;
                failed = outcome.error;
            }
            if failed.is_some()
                && let Some((_, mut sum)) = self.slices.take()
            {
                sum.error = failed;
                self.finish_statement(sum);
            }
            return;
        }
        if report.outcomes.is_empty() && report.stale {
            self.attempts += 1;
            if self.attempts > ATTEMPTS_MAX {
                self.finish_statement(Outcome { error: Some(Error::Conflict), ..Outcome::default() });
            }
            return;
        }
        for outcome in report.outcomes {
            self.finish_statement(outcome);
        }
    }

    fn finish_statement(&mut self, outcome: Outcome) {
        self.reply.outcomes.push(outcome);
        self.next += 1;
        self.attempts = 0;
    }

    fn submit(&mut self, first: usize, last: usize, targets: Targets) -> Step {
        let (promise, pending) = pair();
        let job = Job {
            statements: Arc::clone(&self.statements),
            first,
            last,
            targets,
            ordered: self.ordered,
            retry: self.retry,
            images_always: self.db.images_always(),
            catalog: self.db.loop_catalog(),
            locks: Arc::clone(self.db.locks()),
            report: Report::default(),
            refusal: None,
            promise: Some(promise),
        };
        self.db.store().submit(Box::new(job));
        Step::Wait(pending)
    }

    /// How many statements from the next on need no search, within a job's limits.
    fn run_length(&self) -> usize {
        let rest = self.statements.get(self.next..).unwrap_or_default();
        let mut bytes = 0;
        let fits = |statement: &&Statement| {
            bytes += match &statement.action {
                Ok(Action::Insert(insert)) => insert.doc.len(),
                _ => 1_024,
            };
            bytes <= JOB_BYTES_MAX && !needs_search(statement)
        };
        rest.iter().take(JOB_STATEMENTS_MAX).take_while(fits).count().max(1)
    }

    /// Finds the documents of a statement that does not name its `_id`; says whether it is about many.
    fn search(&self, statement: &Statement) -> Result<Option<(Vec<Bytes>, bool)>> {
        // One that names an `_id` and comes back may mean several documents by it: the collection's collation differs.
        if self.attempts == 0 && !needs_search(statement) {
            return Ok(None);
        }
        search(&self.db.state(), statement)
    }
}

/// Finds the documents of an update or a deletion in one state, by the keys of their `_id`s; says whether it is about
/// many.
pub(crate) fn search(state: &State, statement: &Statement) -> Result<Option<(Vec<Bytes>, bool)>> {
    let (filter, sort, hint, multi) = match &statement.action {
        Ok(Action::Update(change)) => (&change.filter, change.sort.as_ref(), change.hint.as_ref(), change.multi),
        Ok(Action::Delete(removal)) => (&removal.filter, removal.sort.as_ref(), removal.hint.as_ref(), removal.multi),
        _ => return Ok(None),
    };
    let targets = find(state, &statement.namespace, filter, sort, hint, multi)?;
    Ok(Some((targets, multi)))
}

fn find(
    state: &State,
    namespace: &millstream_value::Namespace,
    filter: &Arc<Predicate>,
    sort: Option<&Sort>,
    hint: Option<&Value<'_>>,
    multi: bool,
) -> Result<Vec<Bytes>> {
    let Some(collection) = state.catalog.get(namespace) else { return Ok(Vec::new()) };
    let plan = plan::choose(collection, filter, sort, hint)?;
    let mut rows = Rows::open(&state.snapshot, collection, &plan, Arc::clone(filter));
    if multi {
        return rows.map(|row| row.map(|r| r.id_key)).collect();
    }
    let Some(sort) = sort.filter(|_| !plan.sorted) else {
        return Ok(rows.next().transpose()?.map(|r| r.id_key).into_iter().collect());
    };
    let mut best: Option<(Vec<u8>, Bytes)> = None;
    for row in rows {
        let row = row?;
        let key = sort.key(Doc::new(&row.doc))?;
        if best.as_ref().is_none_or(|(b, _)| key < *b) {
            best = Some((key, row.id_key));
        }
    }
    Ok(best.map(|(_, id_key)| id_key).into_iter().collect())
}

pub(crate) fn needs_search(statement: &Statement) -> bool {
    match &statement.action {
        Ok(Action::Update(change)) => change.id.is_none(),
        Ok(Action::Delete(removal)) => removal.id.is_none(),
        Ok(Action::Insert(_)) | Err(_) => false,
    }
}
