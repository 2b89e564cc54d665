//! See [`Node::Join`].

use crate::operator::{Operator, Step};
use crate::{Error, Node, Result};

pub(super) struct Join {
    _node: Node,
}

impl Join {
    pub(super) fn new(node: Node) -> Self {
        Self { _node: node }
    }
}

impl Operator for Join {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
