//! See [`Node::Bucket`].

use crate::operator::{Operator, Step};
use crate::{Error, Node, Result};

pub(super) struct Bucket {
    _node: Node,
}

impl Bucket {
    pub(super) fn new(node: Node) -> Self {
        Self { _node: node }
    }
}

impl Operator for Bucket {
    fn step(&mut self, _step: &mut Step<'_>) -> Result<()> {
        Err(Error::Bug("this operator is not there yet"))
    }
}
