//! The query languages as pure functions over raw documents.
//!
//! What it is: predicates (`$match`, filters), expressions, updates, projections, sort orders, accumulators and
//! stages, each compiled once and then applied to borrowed bytes. What it is not: plans, cursors or storage (see
//! `db`).

pub mod collation;
mod error;
pub mod expression;
pub mod path;
pub mod predicate;
pub mod projection;
pub mod sort;
pub mod stage;
pub mod update;

pub use collation::Collation;
pub use error::{Error, Result};
