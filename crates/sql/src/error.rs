//! Errors and notices of statements, with the codes of SQL-21.

use millstream_flow::{RowError, SqlState};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, SqlError>;

/// Why a statement was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// Its class.
    pub state: SqlState,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the statement: the 1-based character.
    pub position: Option<usize>,
}

impl SqlError {
    /// An error of a class.
    pub fn new(state: &'static str, message: impl Into<String>) -> Self {
        Self { state: SqlState(state), message: message.into(), hint: None, position: None }
    }

    /// At a place of a statement's tree, whose columns are characters of the text (see [`crate::statement`]).
    #[must_use]
    pub fn at(mut self, location: sqlparser::tokenizer::Location) -> Self {
        self.position = usize::try_from(location.column).ok().filter(|column| *column > 0);
        self
    }

    /// With the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<RowError> for SqlError {
    fn from(error: RowError) -> Self {
        Self { state: error.state, message: error.message, hint: None, position: None }
    }
}

/// Something a statement's author should know, though it runs. 01000 unless said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its class.
    pub state: SqlState,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Notice {
    /// A warning.
    pub fn new(message: impl Into<String>) -> Self {
        Self { state: SqlState("01000"), message: message.into(), hint: None }
    }
}
