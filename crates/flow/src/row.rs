//! Rows, and differences of sets of rows.

use std::sync::Arc;

use crate::{Datum, RowError};

/// A row of a relation. Its key tells it from all others of the relation (SQL-14.3) and breaks ties (SQL-8.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its identity: one component a FROM item, or the grouping values. A row padded by an outer join has nulls there.
    pub key: Arc<[Datum]>,
    /// Its columns, by position.
    pub values: Arc<[Datum]>,
}

impl Row {
    /// A row.
    pub fn new(key: impl Into<Arc<[Datum]>>, values: impl Into<Arc<[Datum]>>) -> Self {
        Self { key: key.into(), values: values.into() }
    }

    /// The value of a column; NULL where there is none.
    #[must_use]
    pub fn value(&self, column: usize) -> &Datum {
        self.values.get(column).unwrap_or(&Datum::Missing)
    }
}

/// A row that comes (weight above zero) or goes (below).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The row.
    pub row: Row,
    /// How many times more it is there. Keys are unique, so sums of weights are 0 or 1.
    pub weight: i64,
}

/// A difference: changes in no order that matters, except in circuits over changes (see [`crate::Node`]).
pub type Delta = Vec<Change>;

/// An expression over one row. The same row gives the same value or the same error, always.
pub trait Scalar: Send + Sync {
    /// Its value.
    ///
    /// # Errors
    /// What is wrong with this row.
    fn eval(&self, row: &Row) -> Result<Datum, RowError>;
}

impl<F: Fn(&Row) -> Result<Datum, RowError> + Send + Sync> Scalar for F {
    fn eval(&self, row: &Row) -> Result<Datum, RowError> {
        self(row)
    }
}

/// A function that makes rows of one row: `UNNEST`, `GENERATE_SERIES`.
pub trait TableFunction: Send + Sync {
    /// The rows: for each its component of the key (the 1-based place, or a series' value) and its columns.
    ///
    /// # Errors
    /// What is wrong with this row.
    fn rows(&self, row: &Row) -> Result<Vec<(Datum, Vec<Datum>)>, RowError>;
    /// How many columns its rows have.
    fn width(&self) -> usize;
}
