//! Operators wired together.

use crate::{Delta, Failure, Node, NodeId, Result, SourceId, Store};

/// A running circuit.
pub struct Circuit {
    _store: Store,
}

/// What a step puts out.
#[derive(Debug, Default)]
pub struct Output {
    /// The difference of the answer, netted: no row comes and goes in it. In circuits over changes: the outputs in order.
    pub rows: Delta,
    /// Rows that were left out, and rows that no longer are.
    pub failures: Vec<Failure>,
    /// The earliest clock (or watermark) in milliseconds at which a step without input would put something out.
    pub due_ms: Option<i64>,
}

impl Circuit {
    /// A circuit over the state in `store`, of which `output` is the answer.
    ///
    /// # Errors
    /// State that cannot be read.
    pub fn new(_nodes: Vec<Node>, _output: NodeId, store: Store) -> Result<Self> {
        Ok(Self { _store: store })
    }

    /// Pushes differences through. `clock_ms` is the clock of the view, or the watermark.
    ///
    /// # Errors
    /// State that cannot be read or written; the circuit is of no more use then.
    pub fn step(&mut self, _inputs: Vec<(SourceId, Delta)>, _clock_ms: i64) -> Result<Output> {
        Ok(Output::default())
    }

    /// Makes all steps so far durable together with `position`, whatever that is to the caller.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn commit(&mut self, _position: &[u8]) -> Result<()> {
        Ok(())
    }

    /// The position of the last commit.
    ///
    /// # Errors
    /// The store cannot read.
    pub fn position(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}
