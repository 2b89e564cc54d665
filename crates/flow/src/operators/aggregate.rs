//! One row a group.

use crate::operator::{Operator, Step};
use crate::{AggregateCall, Error, Result, ScalarRef};

pub(super) struct Aggregate {
    _group: Vec<ScalarRef>,
    _sets: Option<Vec<Vec<usize>>>,
    _calls: Vec<AggregateCall>,
}

impl Aggregate {
    pub(super) fn new(group: Vec<ScalarRef>, sets: Option<Vec<Vec<usize>>>, calls: Vec<AggregateCall>) -> Self {
        Self { _group: group, _sets: sets, _calls: calls }
    }
}

impl Operator for Aggregate {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
