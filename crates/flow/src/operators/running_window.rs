//! See [`Node::RunningWindow`].

use crate::operator::{Operator, Step};
use crate::{Error, Node, Result};

pub(super) struct RunningWindow {
    _node: Node,
}

impl RunningWindow {
    pub(super) fn new(node: Node) -> Self {
        Self { _node: node }
    }
}

impl Operator for RunningWindow {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
