//! The rows for which a condition is true.

use super::is_true;
use crate::operator::{Operator, Step};
use crate::{Result, ScalarRef};

pub(super) struct Filter {
    pub(super) predicate: ScalarRef,
}

impl Operator for Filter {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        for change in step.input(0) {
            let passes = is_true(&self.predicate, &change.row);
            if step.or_fail(passes, &change.row, change.weight) == Some(true) {
                step.out.push(change.clone());
            }
        }
        Ok(())
    }

    fn is_net(&self) -> bool {
        true
    }
}
