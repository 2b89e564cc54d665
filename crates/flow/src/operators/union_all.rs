//! All rows of several inputs.

use std::sync::Arc;

use crate::operator::{Operator, Step};
use crate::{Change, Datum, Result, Row, ScalarRef};

pub(super) struct UnionAll {
    /// For each branch, what stands for its row's key.
    pub(super) keys: Vec<ScalarRef>,
}

impl Operator for UnionAll {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        for ((branch, key), at) in (1..).zip(&self.keys).zip(0..) {
            for Change { row, weight } in step.input(at) {
                if let Some(key) = step.or_fail(key.eval(row), row, *weight) {
                    let key: Arc<[Datum]> = Arc::from([Datum::Int(branch), key]);
                    step.emit(Row { key, values: row.values.clone() }, *weight);
                }
            }
        }
        Ok(())
    }
}
