//! Incremental algebra: from differences of inputs to differences of answers.
//!
//! What it is: SQL values and their total order ([`Datum`], [`key`]), rows with an identity ([`Row`]) and signed counts
//! ([`Delta`]), operators ([`Node`]) that keep only the state that their definition needs, wired into a [`Circuit`], and the
//! store of that state, which commits together with the position in the sources. What it is not: a language. Expressions
//! come in as [`Scalar`]s.
//!
//! The law: the sum of all differences that a circuit has put out equals what it would put out for the sum of its inputs at
//! once. So a batch query is the same circuit, run once in memory.

mod aggregate;
mod circuit;
mod codec;
mod datum;
mod error;
pub mod key;
#[cfg(test)]
mod law;
mod net;
mod node;
mod notes;
mod operator;
mod operators;
mod row;
mod store;
#[cfg(test)]
mod testing;
mod to_value;

pub use circuit::{Circuit, Output};
pub use datum::{Datum, Interval};
pub use error::{Error, Result, RowError, SqlState};
pub use node::{
    AggregateCall, AggregateFunction, Bound, Exclude, Frame, FrameUnit, JoinKind, LateOrder, Lateness, Node, NodeId,
    Offset, OrderKey, ScalarRef, SetOperation, SourceId, WindowCall, WindowFunction,
};
pub use notes::Notes;
pub use operator::Failure;
pub use row::{Change, Delta, Row, Scalar, TableFunction};
pub use store::{Committed, NodeStats, Sealed, Store, StoreOptions, Stores};
