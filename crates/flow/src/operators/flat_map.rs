//! The rows that a function makes of each row.

use std::sync::Arc;

use crate::operator::{Operator, Step};
use crate::{Change, Datum, Result, Row, TableFunction};

pub(super) struct FlatMap {
    pub(super) function: Arc<dyn TableFunction>,
    pub(super) outer: bool,
}

impl Operator for FlatMap {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        for Change { row, weight } in step.input(0) {
            let Some(mut made) = step.or_fail(self.function.rows(row), row, *weight) else { continue };
            if made.is_empty() && self.outer {
                made.push((Datum::Null, vec![Datum::Null; self.function.width()]));
            }
            for (part, columns) in made {
                let key: Arc<[Datum]> = row.key.iter().cloned().chain([part]).collect();
                let values: Arc<[Datum]> = row.values.iter().cloned().chain(columns).collect();
                step.emit(Row { key, values }, *weight);
            }
        }
        Ok(())
    }
}
