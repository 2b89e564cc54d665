//! Where a collection that changes are seen with is replaced by another, that is read as of then, and they go on (SQL-12.1).

use millstream_flow::Failure;
use mongodb::Client;

use super::{Epoch, Live};
use crate::commit::Commit;
use crate::error::{Result, bug};
use crate::hub::is_named;
use crate::read::{Moment, is_moment_over, too_late};
use crate::run::blocking;

impl Live {
    /// What whole commits come to, or the time alone if there are none.
    pub(crate) async fn take(mut self, client: &Client, commits: Vec<Commit>, clock_ms: i64) -> Result<(Self, Epoch)> {
        let mut before: Option<Epoch> = None;
        let mut rest = commits;
        loop {
            let replaced = rest.iter().position(|commit| self.is_replaced_in(commit));
            let behind = replaced.map_or_else(Vec::new, |at| rest.split_off(at + 1));
            let last = replaced.and_then(|at| rest.get(at).cloned());
            let (live, mut epoch) = blocking(self, move |live| live.epoch(&rest, clock_ms)).await?;
            self = live;
            if let Some(mut before) = before.take() {
                before.extend(epoch);
                epoch = before;
            }
            if let Some(commit) = last {
                let (live, failures) = self.read_anew(client, &commit).await?;
                self = live;
                epoch.output.failures.extend(failures);
            }
            if behind.is_empty() {
                return Ok((self, epoch));
            }
            (before, rest) = (Some(epoch), behind);
        }
    }

    /// Takes a commit into the copies alone: what it puts out was put out before. Gives the rows that cannot be evaluated.
    pub(crate) async fn pass_over(self, client: &Client, commit: Commit) -> Result<(Self, Vec<Failure>)> {
        let taken = commit.clone();
        let (live, mut failures) = blocking(self, move |live| live.absorb(&taken)).await?;
        if !live.is_replaced_in(&commit) {
            return Ok((live, failures));
        }
        let (live, more) = live.read_anew(client, &commit).await?;
        failures.extend(more);
        Ok((live, failures))
    }

    /// Whether another collection takes the name of one that there is a copy of. Views over tables are made anew then.
    fn is_replaced_in(&self, commit: &Commit) -> bool {
        let to = |to| self.mirrors.iter().any(|mirror| is_named(to, &mirror.name));
        self.plan.changes && commit.events().iter().any(|event| event.to().is_some_and(to))
    }

    /// Reads what was replaced in a commit as it was then; gives the rows that cannot be evaluated, too.
    async fn read_anew(mut self, client: &Client, commit: &Commit) -> Result<(Self, Vec<Failure>)> {
        let mut failures = Vec::new();
        for event in commit.events() {
            let Some(to) = event.to() else { continue };
            let time = event.cluster_time().ok_or_else(|| bug("an event without a time"))?;
            for number in 0..self.mirrors.len() {
                let Some(mirror) = self.mirrors.get(number).filter(|mirror| is_named(to, &mirror.name)) else {
                    continue;
                };
                let find = mirror.find();
                let mut moment = Moment::Time(time);
                let read = async {
                    let mut live = self;
                    let mut reading = find.open(client, &mut moment).await?;
                    while let Some(reply) = reading.next(&mut moment).await? {
                        let (back, loaded) = blocking(live, move |live| {
                            // The clock of changes is theirs.
                            let loaded = live.load(number, &reply, 0)?;
                            live.make_room()?;
                            Ok(loaded)
                        })
                        .await?;
                        live = back;
                        failures.extend(loaded.failures);
                    }
                    Ok(live)
                };
                self = read.await.map_err(|error| if is_moment_over(&error) { too_late(&error) } else { error })?;
            }
        }
        Ok((self, failures))
    }
}
