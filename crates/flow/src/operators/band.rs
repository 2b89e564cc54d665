//! See [`Node::Band`].

use crate::operator::{Operator, Step};
use crate::{Error, Node, Result};

pub(super) struct Band {
    _node: Node,
}

impl Band {
    pub(super) fn new(node: Node) -> Self {
        Self { _node: node }
    }
}

impl Operator for Band {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
