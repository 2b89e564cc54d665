//! Rows by all their columns.

use crate::operator::{Operator, Step};
use crate::{Error, Result, SetOperation};

pub(super) struct SetOperator {
    _operation: SetOperation,
    _all: bool,
}

impl SetOperator {
    pub(super) fn new(operation: SetOperation, all: bool) -> Self {
        Self { _operation: operation, _all: all }
    }
}

impl Operator for SetOperator {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
