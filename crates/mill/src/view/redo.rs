//! After a crash the state may be older than the collection: what is missing is computed again, up to the place that was
//! written together with the rows. As the same changes lead to the same rows (SQL-19.3), nothing is written.

use std::sync::Arc;

use bson::Document;

use super::follow::{COMMITS_MAX, gather};
use super::{Running, State};
use crate::commit::{Commit, Place};
use crate::error::{Result, lost};
use crate::hub::News;

impl Running {
    /// Brings the state to where a row of checkpoints says that the collection is.
    pub(super) async fn redo(&mut self, row: &Document) -> Result<State> {
        let Some(until) = row.get("place").and_then(Place::from_bson) else { return Ok(State::Missing) };
        let object = Arc::clone(&self.view.definition);
        if !until.has_reached(&self.position.place) {
            tracing::warn!(object = %object.id, "the state is younger than what is stored, building anew");
            return Ok(self.give_up());
        }
        tracing::info!(object = %object.id, "the state is older than what is stored: changes are computed again");
        let mut inbox = self.join()?;
        while !self.position.place.has_reached(&until) {
            let news = tokio::select! {
                biased;
                () = self.view.stop.stopped() => return Ok(State::Stopped),
                news = inbox.next() => news,
            };
            match news {
                News::Lost(reason) if self.view.plan.changes => {
                    return Err(lost(&reason));
                }
                News::Lost(reason) => {
                    tracing::warn!(object = %object.id, "history is lost, building anew: {reason}");
                    return Ok(self.give_up());
                }
                News::Quiet(place) => self.position.place = place,
                News::Commit(first) => {
                    let (mut commits, _) = gather(first, &mut inbox, COMMITS_MAX);
                    let is_written =
                        |commit: &Commit| commit.events().last().is_some_and(|last| !until.is_before(last));
                    let behind = commits.split_off(commits.partition_point(is_written));
                    // Of the last one more may come now than what was written was made of.
                    commits.extend(behind.first().and_then(|commit| commit.up_to(&until)));
                    // Whatever comes behind it, everything before has come.
                    self.position.place = commits.last().map_or_else(|| until.clone(), |last| last.place());
                    if !self.compute(commits, self.position.clock_ms).await? {
                        return Ok(self.give_up());
                    }
                }
            }
            if self.is_large() {
                self.save().await?;
            }
        }
        // It may have gone further with the clock alone.
        let clock_ms = row.get_datetime("as_of").map_or(0, |time| time.timestamp_millis());
        if !self.compute(Vec::new(), clock_ms).await? {
            return Ok(self.give_up());
        }
        self.position.place = until;
        self.position.step = self.writer()?.checkpoint.step;
        self.save().await?;
        Ok(State::Whole)
    }

    fn give_up(&mut self) -> State {
        self.live = None;
        State::Missing
    }
}
