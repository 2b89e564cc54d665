//! Equal pipelines over equal options: compiled once, and run once per change for all streams that have them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use millstream_query::expression::Scope as Variables;
use millstream_value::Value;
use parking_lot::Mutex;

use super::Stages;
use crate::Result;
use crate::options::Options;

/// What makes the same pipeline give different results for different streams or at different times.
const CHANGING: &[&str] = &["$$NOW", "$$CLUSTER_TIME", "$rand", "$sampleRate"];

/// Forgotten pipelines are swept out when there are so many, and then at every doubling.
const SWEEP_MIN: usize = 64;

/// The pipelines of all open streams, by what they were made from.
#[derive(Default)]
pub(crate) struct Pipelines(Mutex<Known>);

#[derive(Default)]
struct Known {
    by_source: HashMap<Box<[u8]>, Weak<Stages>>,
    /// The number of the newest.
    numbers: u64,
    sweep_at: usize,
}

impl Pipelines {
    /// The compiled stages, an equal stream's if there is one.
    ///
    /// # Errors
    /// As [`Stages::parse`].
    pub(crate) fn compile(
        &self,
        stages: &[Value<'_>],
        options: &Options,
        variables: &Variables,
    ) -> Result<Arc<Stages>> {
        let Some(source) = source(stages, options, variables) else {
            return Ok(Arc::new(Stages::parse(stages, options, variables)?));
        };
        if let Some(known) = self.0.lock().by_source.get(&source).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let mut compiled = Stages::parse(stages, options, variables)?;
        let mut known = self.0.lock();
        known.numbers += 1;
        compiled.number = Some(known.numbers);
        let compiled = Arc::new(compiled);
        if known.by_source.len() >= known.sweep_at.max(SWEEP_MIN) {
            known.by_source.retain(|_, stages| stages.strong_count() > 0);
            known.sweep_at = known.by_source.len() * 2;
        }
        known.by_source.insert(source, Arc::downgrade(&compiled));
        Ok(compiled)
    }
}

/// What two streams must have in common to share their results; `None` if this one shares with nobody.
fn source(stages: &[Value<'_>], options: &Options, variables: &Variables) -> Option<Box<[u8]>> {
    if stages.is_empty() || !variables.variables.is_empty() {
        return None;
    }
    let mut source = format!(
        "{:?} {:?} {} {} {:?} ",
        options.full_document,
        options.before,
        options.show_expanded_events,
        options.show_raw_update_description,
        variables.collation
    )
    .into_bytes();
    for stage in stages {
        source.extend_from_slice(stage.as_doc()?.as_bytes());
    }
    let changes = |word: &&str| source.windows(word.len()).any(|part| part == word.as_bytes());
    if CHANGING.iter().any(changes) {
        return None;
    }
    Some(source.into())
}

/// A step of the stages whose result is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The first `$match`, with nothing to be looked up.
    Filter,
    /// The stages after it.
    Transform,
}

/// More results than this are not kept for one change.
const RESULTS_MAX: usize = 32;

/// What became of one change in the pipelines of those who share them.
#[derive(Default)]
pub(crate) struct Results(Mutex<Vec<(u64, Step, Option<Bytes>)>>);

impl Results {
    /// Whether the event passes the first `$match`.
    pub(crate) fn passes(&self, stages: &Arc<Stages>, run: impl FnOnce() -> Result<bool>) -> Result<bool> {
        let passed = self.once(stages, Step::Filter, || Ok(run()?.then(Bytes::new)))?;
        Ok(passed.is_some())
    }

    /// The event as the stages after the first `$match` leave it.
    pub(crate) fn transformed(
        &self,
        stages: &Arc<Stages>,
        run: impl FnOnce() -> Result<Option<Bytes>>,
    ) -> Result<Option<Bytes>> {
        self.once(stages, Step::Transform, run)
    }

    fn once(
        &self,
        stages: &Arc<Stages>,
        step: Step,
        run: impl FnOnce() -> Result<Option<Bytes>>,
    ) -> Result<Option<Bytes>> {
        let Some(number) = stages.number.filter(|_| Arc::strong_count(stages) > 1) else {
            return run();
        };
        let known = |row: &&(u64, Step, Option<Bytes>)| (row.0, row.1) == (number, step);
        if let Some((_, _, result)) = self.0.lock().iter().find(known) {
            return Ok(result.clone());
        }
        // Not under the lock: two who come at once both run it, and keep the same result.
        let result = run()?;
        let mut results = self.0.lock();
        if results.len() < RESULTS_MAX && results.iter().find(known).is_none() {
            results.push((number, step, result.clone()));
        }
        Ok(result)
    }
}
