//! Other columns, the same key.

use super::eval_all;
use crate::operator::{Operator, Step};
use crate::{Change, Delta, Result, Row, ScalarRef};

pub(super) struct Project {
    pub(super) columns: Vec<ScalarRef>,
}

impl Operator for Project {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        for Change { row, weight } in step.input(0) {
            if let Some(values) = step.or_fail(eval_all(&self.columns, row), row, *weight) {
                let row = Row { key: row.key.clone(), values: values.into() };
                push(step.out, Change { row, weight: *weight });
            }
        }
        Ok(())
    }

    fn is_net(&self) -> bool {
        true
    }
}

/// Appends a change, unless it undoes the one before it: a row of which only columns have changed that are not used here.
fn push(out: &mut Delta, change: Change) {
    match out.last() {
        Some(last) if last.weight == -change.weight && last.row == change.row => drop(out.pop()),
        _ => out.push(change),
    }
}
