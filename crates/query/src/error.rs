//! What is wrong with a query, with the code a client sees.

use millstream_value::Code;

/// A query that cannot be compiled or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The protocol's number for it.
    pub code: Code,
    /// The protocol's text for it, or ours where it fixes none.
    pub message: String,
}

/// Everything here fails with a code.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with a code and its text.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// `BadValue` (2).
    pub fn bad_value(message: impl Into<String>) -> Self {
        Self::new(Code::BadValue, message)
    }

    /// `FailedToParse` (9).
    pub fn failed_to_parse(message: impl Into<String>) -> Self {
        Self::new(Code::FailedToParse, message)
    }

    /// `TypeMismatch` (14).
    pub fn type_mismatch(message: impl Into<String>) -> Self {
        Self::new(Code::TypeMismatch, message)
    }

    /// A code without a name: `Location<number>`.
    pub fn location(number: i32, message: impl Into<String>) -> Self {
        Self::new(Code::from_number(number), message)
    }
}
