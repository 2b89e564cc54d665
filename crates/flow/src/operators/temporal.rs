//! See [`Node::Temporal`].

use crate::operator::{Operator, Step};
use crate::{Error, Node, Result};

pub(super) struct Temporal {
    _node: Node,
}

impl Temporal {
    pub(super) fn new(node: Node) -> Self {
        Self { _node: node }
    }
}

impl Operator for Temporal {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
