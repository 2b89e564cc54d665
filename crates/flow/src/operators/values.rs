//! Rows that are always there.

use crate::operator::{Operator, Step};
use crate::{Result, Row};

pub(super) struct Values {
    pub(super) rows: Vec<Row>,
}

impl Operator for Values {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        if step.first {
            for row in &self.rows {
                step.emit(row.clone(), 1);
            }
        }
        Ok(())
    }
}
