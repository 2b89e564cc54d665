//! Errors as exceptions of `millstream.errors`.

use millstream_watch::Error;
use pyo3::prelude::*;

/// An error that can be raised, more than once.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Which exception.
    kind: String,
    message: String,
    /// The server's code, if it was the server who refused.
    code: Option<i32>,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let (kind, code) = match &error {
            Error::Server { problem, .. } => (format!("{:?}", problem.kind), problem.code),
            Error::BadToken { .. } => ("BadToken".to_owned(), None),
            Error::NoToken => ("BadPipeline".to_owned(), None),
            Error::OtherSource { .. }
            | Error::OtherWatch { .. }
            | Error::DamagedCheckpoint { .. }
            | Error::CheckpointFile { .. } => ("Checkpoint".to_owned(), None),
            Error::Delivery { .. } => ("Callback".to_owned(), None),
            _ => ("Other".to_owned(), None),
        };
        Self { kind, message: error.to_string(), code }
    }
}

impl Trouble {
    /// The exception.
    pub(crate) fn raise(&self, py: Python<'_>) -> PyErr {
        let make = || py.import("millstream.errors")?.call_method1("of", (&self.kind, &self.message, self.code));
        match make() {
            Ok(exception) => PyErr::from_value(exception),
            Err(error) => error,
        }
    }
}
