//! See [`Node::Lookup`].

use crate::operator::{Operator, Step};
use crate::{Error, Node, Result};

pub(super) struct Lookup {
    _node: Node,
}

impl Lookup {
    pub(super) fn new(node: Node) -> Self {
        Self { _node: node }
    }
}

impl Operator for Lookup {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
