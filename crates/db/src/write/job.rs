//! A run of statements as one write of the commit loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_storage::{Commit, Write};
use millstream_value::ClusterTime;

use super::apply::{Applied, Scene, Targets};
use super::session::Record;
use super::sink::{Logged, Sink};
use super::{Outcome, Retry, Statement};
use crate::pending::Promise;
use crate::shared::LoopCatalog;
use crate::transaction::{Ending, Locks};
use crate::{Error, Result, Size, ddl, size};

/// What a job hands back.
#[derive(Default)]
pub(super) struct Report {
    /// The outcomes of the statements tried, in order.
    pub(super) outcomes: Vec<Outcome>,
    /// The statement after those has to be searched for again.
    pub(super) stale: bool,
    /// The statement after those has to wait for the end of a transaction.
    pub(super) held: Option<Arc<Ending>>,
    /// The time of the last change; none if there was none.
    pub(super) time: Option<ClusterTime>,
}

/// Statements `first..last` of a command.
pub(super) struct Job {
    pub(super) statements: Arc<Vec<Statement>>,
    pub(super) first: usize,
    pub(super) last: usize,
    /// Of the first statement; the others find theirs by `_id`.
    pub(super) targets: Targets,
    pub(super) ordered: bool,
    pub(super) retry: Option<Retry>,
    pub(super) images_always: bool,
    pub(super) catalog: Arc<LoopCatalog>,
    pub(super) locks: Arc<Locks>,
    pub(super) report: Report,
    /// Why the whole job was refused.
    pub(super) refusal: Option<Error>,
    pub(super) promise: Option<Promise<Result<Report>>>,
}

impl Write for Job {
    fn apply(&mut self, commit: &mut Commit<'_>) -> millstream_storage::Result<()> {
        match self.run(commit) {
            Ok(()) => Ok(()),
            Err(Error::Storage(error)) => Err(Arc::try_unwrap(error).unwrap_or(millstream_storage::Error::Failed)),
            Err(error) => {
                self.refusal = Some(error);
                Err(millstream_storage::Error::Refused)
            }
        }
    }

    fn finish(mut self: Box<Self>, outcome: millstream_storage::Result<()>) {
        let Some(promise) = self.promise.take() else { return };
        let report = std::mem::take(&mut self.report);
        promise.give(match (outcome, self.refusal) {
            (Ok(()), _) => Ok(report),
            (Err(_), Some(refusal)) => Err(refusal),
            (Err(error), None) => Err(error.into()),
        });
    }
}

impl Job {
    fn run(&mut self, commit: &mut Commit<'_>) -> Result<()> {
        let mut record = self.retry.map(|retry| Record::load(commit, retry)).transpose()?;
        let shared = Arc::clone(&self.catalog);
        let mut pending = shared.lock();
        let mut catalog = pending.clone();
        let statements = Arc::clone(&self.statements);
        let by_id = Targets::ById;
        // Noted once for each collection, however many statements there are.
        let mut grown = BTreeMap::new();
        let mut spread = Vec::new();
        let mut logged = self.retry.map(super::session::logged);
        for position in self.first..self.last {
            let Some(statement) = statements.get(position) else { break };
            if let Some(outcome) = record.as_ref().and_then(|r| r.recall(statement.id)) {
                self.report.outcomes.push(outcome);
                continue;
            }
            let targets = if position == self.first { &self.targets } else { &by_id };
            let savepoint = commit.savepoint();
            let before = catalog.clone();
            let mut scene = Scene {
                commit,
                catalog: &mut catalog,
                images_always: self.images_always,
                sink: Sink::Log(Logged { locks: Some(&self.locks), retry: logged.as_mut(), time: None }),
                grown: None,
                spread: Vec::new(),
            };
            let applied = match &statement.action {
                Ok(action) => scene.run(&statement.namespace, statement.id, action, targets),
                Err(error) => Err(error.clone()),
            };
            let (time, change, marks) = (scene.sink.time(), scene.grown, scene.spread);
            match applied {
                Ok(Applied::Done(outcome)) => {
                    self.report.time = time.or(self.report.time);
                    if let Some((collection, change)) = change {
                        let sum: &mut Size = grown.entry(collection).or_default();
                        *sum = sum.plus(change);
                    }
                    spread.extend(marks);
                    if let Some(record) = &mut record {
                        record.note(statement.id, &outcome);
                    }
                    self.report.outcomes.push(outcome);
                }
                Ok(Applied::Stale) => {
                    self.report.stale = true;
                    break;
                }
                Err(Error::Held(ending)) => {
                    commit.rollback_to(savepoint);
                    catalog = before;
                    self.report.held = Some(ending);
                    break;
                }
                // A disk that fails ends the whole job.
                Err(error @ Error::Storage(_)) => return Err(error),
                Err(error) => {
                    commit.rollback_to(savepoint);
                    catalog = before;
                    self.report.outcomes.push(Outcome { error: Some(error), ..Outcome::default() });
                    if self.ordered {
                        break;
                    }
                }
            }
        }
        for (collection, by) in grown {
            size::change(commit, collection, by)?;
        }
        for (collection, index) in spread {
            ddl::note_multikey(commit, &collection, &index);
        }
        if let Some(record) = &record {
            record.save(commit);
        }
        ddl::end_group_if_changed(commit, &pending, &catalog);
        *pending = catalog;
        Ok(())
    }
}
