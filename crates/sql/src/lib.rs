//! SQL over changes: text to circuits.
//!
//! What it is: the statements ([`statement`]), the values' operators and functions ([`Expr`]), and the way from a query to a
//! circuit of `flow` ([`plan`]). What it is not: a runner. Where rows come from and where answers go is the caller's
//! business (`mill`). The reference is the project's SQL reference; numbers such as SQL-9.3 are its rules.

mod error;
pub mod expr;
mod near;
pub mod plan;
pub mod statement;
mod types;

pub use error::{Notice, Result, SqlError};
pub use expr::Expr;
pub use types::{Class, Type};
