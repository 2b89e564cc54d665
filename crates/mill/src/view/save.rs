//! How a view's state is committed: when an epoch ends it is sealed, and goes to the files once that epoch is written to the
//! collection. Meanwhile the next ones are computed and written, so that nobody waits.

use std::time::Duration;

use millstream_flow::{Committed, Sealed};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::Running;
use crate::error::{Result, bug, of_flow};
use crate::live::{Live, Position};
use crate::run::blocking;

/// How often the state of a quiet view is committed.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// And that of a busy one: the seldomer, the more often one commit takes the place of several for what changes all the time;
/// the more often, the shorter is what has to be computed again after a crash.
const SAVE_BUSY: Duration = Duration::from_millis(250);

/// The commits of a state.
pub(super) struct Saves {
    /// When the last one began.
    since: Instant,
    unsaved: Unsaved,
    /// What waits for its epoch to be written, and where it is.
    sealed: Option<(Sealed, Position)>,
    /// What is on its way to the files.
    under_way: JoinSet<Result<Committed>>,
}

/// What the last commit of the state does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unsaved {
    Nothing,
    /// Only that nothing happened for a while.
    Place,
    State,
}

impl Saves {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), unsaved: Unsaved::Nothing, sealed: None, under_way: JoinSet::new() }
    }

    /// There is something to save.
    pub(super) fn note(&mut self, unsaved: Unsaved) {
        self.unsaved = self.unsaved.max(unsaved);
    }

    /// Whether something is on its way, so that nothing else can be sealed.
    fn is_busy(&self) -> bool {
        self.sealed.is_some() || !self.under_way.is_empty()
    }

    /// What has come to an end.
    pub(super) async fn next(&mut self) -> Option<std::result::Result<Result<Committed>, JoinError>> {
        self.under_way.join_next().await
    }
}

impl Running {
    /// When the state is to be sealed; `None`: that is not foreseen.
    pub(super) fn due_to_save(&self) -> Option<Instant> {
        let Saves { since, unsaved, .. } = self.saves;
        if self.saves.is_busy() {
            return None;
        }
        match unsaved {
            Unsaved::Nothing => None,
            Unsaved::Place => Some(since + SAVE_EVERY),
            Unsaved::State if self.is_large() => Some(since),
            Unsaved::State => Some(since + SAVE_BUSY),
        }
    }

    /// Whether the state holds so much that is not committed that it is time.
    pub(super) fn is_large(&self) -> bool {
        self.live.as_ref().is_some_and(Live::is_large)
    }

    /// Whether it holds that much while what was sealed before is still on its way.
    pub(super) fn is_full(&self) -> bool {
        self.saves.is_busy() && self.is_large()
    }

    /// Seals the state if that is due. Everything in it is written or about to be.
    pub(super) fn seal(&mut self) -> Result<()> {
        if self.due_to_save().is_none_or(|due| due > Instant::now()) {
            return Ok(());
        }
        let live = self.live.as_mut().ok_or_else(|| bug("a view without a state"))?;
        (self.saves.since, self.saves.unsaved) = (Instant::now(), Unsaved::Nothing);
        self.saves.sealed = Some((live.seal()?, self.position.clone()));
        Ok(())
    }

    /// Lets what is sealed go to the files, once all that is in it is written.
    pub(super) fn send_sealed(&mut self) {
        if self.writer.is_none() {
            return;
        }
        if let Some((sealed, mut position)) = self.saves.sealed.take() {
            position.step = self.position.step;
            let write = move || sealed.write(position.to_bytes()).map_err(|error| of_flow(&error));
            self.saves.under_way.spawn_blocking(write);
        }
    }

    /// After what was sealed has gone to the files, or has not.
    pub(super) fn saved(&mut self, done: std::result::Result<Result<Committed>, JoinError>) -> Result<()> {
        let committed = done.map_err(|error| bug(&format!("a state was not committed: {error}")))??;
        if let Some(live) = &mut self.live {
            live.settle(committed);
        }
        Ok(())
    }

    /// Waits for what is on its way. What was sealed beside that and not yet written stays out of the files.
    pub(super) async fn end_saving(&mut self) -> Result<()> {
        while let Some(done) = self.saves.next().await {
            self.saved(done)?;
        }
        Ok(())
    }

    /// Commits the state, and waits for it. All that is in it is written; up to which epoch is said by the position.
    pub(super) async fn save(&mut self) -> Result<()> {
        let live = self.live.take().ok_or_else(|| bug("a view without a state"))?;
        let position = self.position.clone();
        let (live, ()) = blocking(live, move |live| live.commit(&position)).await?;
        self.live = Some(live);
        Ok(())
    }
}
