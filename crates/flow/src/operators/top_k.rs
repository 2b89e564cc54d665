//! See [`Node::TopK`].

use crate::operator::{Operator, Step};
use crate::{Error, Node, Result};

pub(super) struct TopK {
    _node: Node,
}

impl TopK {
    pub(super) fn new(node: Node) -> Self {
        Self { _node: node }
    }
}

impl Operator for TopK {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
