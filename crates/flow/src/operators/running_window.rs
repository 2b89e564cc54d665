//! Window functions over changes: each row is computed once, over the rows so far (SQL-13.4, SQL-13.5). See
//! [`crate::Node::RunningWindow`].

mod late;
mod sequence;

use self::late::Late;
use self::sequence::Sequence;
use super::window::{Calls, Values};
use crate::operator::{Operator, Step};
use crate::{Datum, LateOrder, Result, Row, ScalarRef, WindowCall};

pub(super) enum RunningWindow {
    /// Ordered by the sequence itself: every row is the last one.
    Sequence(Sequence),
    /// Ordered by something else: a row may come late.
    Late(Late),
}

impl RunningWindow {
    pub(super) fn new(
        partition: Vec<ScalarRef>,
        order: Option<LateOrder>,
        time: ScalarRef,
        calls: Vec<WindowCall>,
    ) -> Self {
        let calls = Calls::new(calls);
        match order {
            None => Self::Sequence(Sequence { partition, time, calls }),
            Some(order) => Self::Late(Late::new(partition, order, calls.without_blocks())),
        }
    }
}

impl Operator for RunningWindow {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        for change in step.input(0) {
            match self {
                Self::Sequence(sequence) => sequence.row(step, &change.row)?,
                Self::Late(late) => late.row(step, &change.row)?,
            }
        }
        Ok(())
    }
}

/// Puts out a row with its values, or leaves it out if one of them is an error.
fn put_out(step: &mut Step<'_>, row: &Row, values: Values) {
    if let Some(values) = step.or_fail(values, row, 1) {
        let values: std::sync::Arc<[Datum]> = row.values.iter().cloned().chain(values).collect();
        step.emit(Row { key: row.key.clone(), values }, 1);
    }
}
