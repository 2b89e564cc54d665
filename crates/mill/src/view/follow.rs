//! How a view is kept right: changes are computed as they come, while the last epoch is being written; when that is done,
//! what was computed by then is the next epoch.

use std::time::Duration;

use millstream_flow::Failure;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::Running;
use super::save::{Saves, Unsaved};
use super::writer::Writer;
use crate::commit::{Commit, Place};
use crate::deployment::now_ms;
use crate::difference::Write;
use crate::error::{Result, bug, lost};
use crate::hub::{Inbox, News};
use crate::live::{Epoch, Live};
use crate::run::{End, at, blocking, until};
use crate::wait::{barriers, is_mark};
use crate::wants::Interest;

/// Commits that one epoch takes, at most.
pub(super) const COMMITS_MAX: usize = 8_000;
/// And at least, while more of them are waiting.
pub(super) const COMMITS_MIN: usize = 128;
/// How long an epoch should take when much is waiting: large ones cost less, and hold up those who wait to be told.
const EPOCH: Duration = Duration::from_millis(150);

/// The epoch that is being computed.
#[derive(Default)]
struct Open {
    epoch: Epoch,
    /// Steps that were made.
    steps: usize,
    commits: usize,
    /// Somebody waits for the place behind it.
    asked: bool,
    /// How long it was computed.
    computed: Duration,
}

/// The epoch that is being written.
pub(super) type Writing = JoinSet<Written>;

/// An epoch that was written, or not.
pub(super) struct Written {
    writer: Writer,
    end: Result<Option<End>>,
    commits: usize,
    /// How long it took, computing or writing, whichever was longer.
    took: Duration,
}

impl Running {
    /// Follows the changes.
    pub(super) async fn follow(&mut self) -> Result<End> {
        let end = self.go_on().await;
        // Nobody else may open the files before.
        let saved = self.end_saving().await;
        self.saves = Saves::new();
        if matches!(end, Ok(End::Stopped)) {
            return saved.and(end);
        }
        // What was over before is not to be lost by what came behind it.
        if let Some(written) = self.writing.join_next().await
            && let Some(end) = self.written(written)?
        {
            return Ok(end);
        }
        saved.and(end)
    }

    /// The changes from where the view is.
    pub(super) fn join(&self) -> Result<Inbox> {
        let live = self.live.as_ref().ok_or_else(|| bug("a view without a state"))?;
        Ok(self.join_at(live, self.position.place.clone()))
    }

    /// The changes from a place on that a state is made of, and marks.
    pub(super) fn join_at(&self, live: &Live, place: Place) -> Inbox {
        let mut wants = live.wants();
        wants.add(barriers(), &Interest::marks());
        self.view.hub.join(wants, place)
    }

    async fn go_on(&mut self) -> Result<End> {
        let changes = self.view.plan.changes;
        let mut inbox = self.join()?;
        let mut open = Open::default();
        let mut is_lost = false;
        // After a restart something may be due.
        let clock_ms = if changes { 0 } else { now_ms() };
        if let Some(end) = self.step(Vec::new(), clock_ms, &mut open).await? {
            return Ok(end);
        }
        loop {
            self.send_sealed();
            if self.writer.is_some() && open.steps > 0 {
                self.close(std::mem::take(&mut open)).await?;
                self.saves.note(Unsaved::State);
            }
            if open.steps == 0 {
                self.seal()?;
                self.send_sealed();
            }
            let is_idle = self.writer.is_some();
            let save = self.due_to_save();
            // The commit that fails is to be the only one of its epoch.
            let is_single = is_lost || self.errors.fail;
            let has_room = match is_idle {
                true => !self.is_full(),
                false => !is_single && !self.is_large() && open.commits < self.commits_max,
            };
            // What is over changes goes by the watermark.
            let due = self.live.as_ref().filter(|_| !changes && has_room).and_then(|live| live.due_ms).map(until);
            let news = tokio::select! {
                biased;
                () = self.view.stop.stopped() => {
                    self.end_saving().await?;
                    if is_idle {
                        self.save().await?;
                    }
                    return Ok(End::Stopped);
                }
                Some(written) = self.writing.join_next() => match self.written(written)? {
                    Some(end) => return Ok(end),
                    None => continue,
                },
                Some(done) = self.saves.next() => {
                    self.saved(done)?;
                    continue;
                }
                () = at(save), if is_idle => continue,
                news = inbox.next(), if has_room => Some(news),
                () = at(due) => None,
            };
            let (commits, clock_ms) = match news {
                // What was computed before is written first.
                Some(lost @ News::Lost(_)) if !is_idle => {
                    inbox.put_back(lost);
                    is_lost = true;
                    continue;
                }
                Some(News::Lost(reason)) if changes => {
                    return Err(lost(&reason));
                }
                Some(News::Lost(reason)) => {
                    tracing::warn!(object = %self.view.definition.id, "history is lost, building anew: {reason}");
                    self.live = None;
                    return Ok(End::Rebuild);
                }
                Some(News::Quiet(place)) => {
                    let watermark_ms = place.time().map_or(0, |time| i64::from(time.time) * 1_000);
                    self.position.place = place;
                    self.saves.note(Unsaved::Place);
                    let due = self.live.as_ref().and_then(|live| live.due_ms);
                    if !changes || due.is_none_or(|due| due > watermark_ms) {
                        continue;
                    }
                    (Vec::new(), watermark_ms)
                }
                Some(News::Commit(first)) => {
                    let most = if self.errors.fail { 1 } else { self.commits_max.saturating_sub(open.commits) };
                    let (commits, asked) = gather(first, &mut inbox, most);
                    open.asked |= asked;
                    (commits, if changes { 0 } else { now_ms() })
                }
                None => (Vec::new(), now_ms()),
            };
            if let Some(last) = commits.last() {
                self.position.place = last.place();
            }
            if let Some(end) = self.step(commits, clock_ms, &mut open).await? {
                return Ok(end);
            }
        }
    }

    /// Computes what some commits change.
    async fn step(&mut self, commits: Vec<Commit>, clock_ms: i64, open: &mut Open) -> Result<Option<End>> {
        let began = Instant::now();
        let clock_ms = self.position.clock_ms.max(clock_ms);
        let live = self.live.take().ok_or_else(|| bug("a view without a state"))?;
        let commits = self.images.complete(&self.client(), commits, &live.driven()).await?;
        open.steps += 1;
        open.commits += commits.len();
        let (live, epoch) = live.take(&self.client(), commits, clock_ms).await?;
        self.position.clock_ms = epoch.clock_ms;
        if epoch.rebuild {
            return Ok(Some(End::Rebuild));
        }
        self.live = Some(live);
        open.epoch.extend(epoch);
        open.computed += began.elapsed();
        Ok(None)
    }

    /// What an epoch writes, and the rows that cannot be evaluated. The state notes it when outputs are to go.
    async fn writes(&mut self, mut epoch: Epoch) -> Result<(Vec<Write>, Vec<Failure>)> {
        let live = self.live.take().ok_or_else(|| bug("a view without a state"))?;
        let writing = blocking(live, move |live| {
            let writes = live.writes(&mut epoch)?;
            Ok((writes, epoch.output.failures))
        });
        let (live, written) = writing.await?;
        self.live = Some(live);
        Ok(written)
    }

    /// Computes what some commits change, which is written already. False: a collection has to be read anew.
    pub(super) async fn compute(&mut self, commits: Vec<Commit>, clock_ms: i64) -> Result<bool> {
        let mut open = Open::default();
        if self.step(commits, clock_ms, &mut open).await?.is_some() {
            return Ok(false);
        }
        self.writes(open.epoch).await?;
        Ok(true)
    }

    /// Begins to write what was computed, if it changes anything.
    async fn close(&mut self, open: Open) -> Result<()> {
        let began = Instant::now();
        let Open { epoch, commits, asked, computed, .. } = open;
        let (writes, failures) = self.writes(epoch).await?;
        let letters = self.errors.letters(&failures)?;
        let late = failures.iter().filter(|failure| self.errors.is_dropped(failure)).count();
        self.errors.late += i64::try_from(late).unwrap_or(0);
        if writes.is_empty() && letters.is_empty() && !asked {
            return Ok(());
        }
        let rows = writes.len();
        let unwritten = self.to_write(writes, letters);
        let mut writer = self.writer.take().ok_or_else(|| bug("an epoch is being written"))?;
        let object = self.view.definition.id.clone();
        let closed = began.elapsed();
        self.writing.spawn(async move {
            let end = writer.write(unwritten).await;
            let took = began.elapsed();
            tracing::trace!(%object, commits, rows, ?computed, ?closed, ?took, "an epoch");
            Written { writer, end, commits, took: took.max(computed) }
        });
        Ok(())
    }

    /// After an epoch was written, or the attempt has ended.
    fn written(&mut self, written: std::result::Result<Written, JoinError>) -> Result<Option<End>> {
        let Written { writer, end, commits, took } =
            written.map_err(|error| bug(&format!("an epoch was not written: {error}")))?;
        self.position.step = writer.checkpoint.step;
        self.writer = Some(writer);
        self.commits_max = next_max(self.commits_max, commits, took);
        end
    }
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

/// More commits that are there already, and whether somebody asks for the place of those who see them.
pub(super) fn gather(first: Commit, inbox: &mut Inbox, most: usize) -> (Vec<Commit>, bool) {
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

fn is_barrier(commit: &Commit) -> bool {
    commit.events().iter().any(is_mark)
}
