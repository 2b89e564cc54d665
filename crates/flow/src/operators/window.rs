//! See [`Node::Window`].

use crate::operator::{Operator, Step};
use crate::{Error, Node, Result};

pub(super) struct Window {
    _node: Node,
}

impl Window {
    pub(super) fn new(node: Node) -> Self {
        Self { _node: node }
    }
}

impl Operator for Window {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
