//! What all operators have in common: differences in, differences out, and state of their own in between.

use crate::store::State;
use crate::{Change, Datum, Delta, Result, Row, RowError};

/// One operator of a running circuit.
pub(crate) trait Operator: Send {
    /// Takes one step: the differences of its inputs since the last one, and the clock. In an input of a relational
    /// operator the rows of a key that go stand before those that come, and no row does both.
    ///
    /// # Errors
    /// What ends the run. What is wrong with a row goes to [`Step::fail`].
    fn step(&mut self, step: &mut Step<'_>) -> Result<()>;

    /// The earliest instant (milliseconds) at which it would put out something although nothing comes in: the clock for
    /// relational operators, the watermark for those over changes. Asked when it is made and after each step.
    ///
    /// # Errors
    /// What ends the run.
    fn due(&self, _state: &State<'_>) -> Result<Option<i64>> {
        Ok(None)
    }

    /// Whether its output is as ordered as an input is promised to be, given that its inputs are. If not, the circuit nets
    /// what it puts out.
    fn is_net(&self) -> bool {
        false
    }
}

/// Everything an operator sees of one step.
pub(crate) struct Step<'a> {
    /// One difference an input, in the order of the node's fields.
    pub(crate) inputs: Vec<&'a [Change]>,
    /// Whether it is the first one over this state.
    pub(crate) first: bool,
    /// The view's clock, or the watermark of a circuit over changes: milliseconds. Never goes back.
    pub(crate) clock_ms: i64,
    /// Its own state.
    pub(crate) state: State<'a>,
    /// What it puts out.
    pub(crate) out: &'a mut Delta,
    /// The rows it left out.
    pub(crate) failed: &'a mut Vec<Failure>,
}

/// A row that was left out because of an error (weight above zero), or is no longer (below).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The key of the row, of the input in which it failed.
    pub key: std::sync::Arc<[Datum]>,
    /// What is wrong with it.
    pub error: RowError,
    /// As of a [`Change`].
    pub weight: i64,
}

impl<'a> Step<'a> {
    /// The difference of an input.
    pub(crate) fn input(&self, at: usize) -> &'a [Change] {
        self.inputs.get(at).copied().unwrap_or_default()
    }

    /// Puts out a row.
    pub(crate) fn emit(&mut self, row: Row, weight: i64) {
        self.out.push(Change { row, weight });
    }

    /// Leaves a row out.
    pub(crate) fn fail(&mut self, row: &Row, error: RowError, weight: i64) {
        self.failed.push(Failure { key: row.key.clone(), error, weight });
    }

    /// The result if there is one; else the row is left out.
    pub(crate) fn or_fail<T>(&mut self, result: Result<T, RowError>, row: &Row, weight: i64) -> Option<T> {
        result.map_err(|error| self.fail(row, error, weight)).ok()
    }
}
