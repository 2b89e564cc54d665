//! Another key, the same columns.

use super::eval_all;
use crate::operator::{Operator, Step};
use crate::{Change, Result, Row, ScalarRef};

pub(super) struct Rekey {
    pub(super) key: Vec<ScalarRef>,
}

impl Operator for Rekey {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        for Change { row, weight } in step.input(0) {
            if let Some(key) = step.or_fail(eval_all(&self.key, row), row, *weight) {
                step.emit(Row { key: key.into(), values: row.values.clone() }, *weight);
            }
        }
        Ok(())
    }
}
