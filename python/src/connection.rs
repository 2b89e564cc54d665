//! A connection, on which watches begin.

use std::process;

use millstream_watch::ChangeStreams;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors::Trouble;
use crate::inbox::Inbox;
use crate::request::Request;
use crate::runtime::wait;
use crate::watch::Watch;

/// Some servers that have answered.
#[pyclass(frozen, module = "millstream._native")]
pub(crate) struct Connection {
    streams: ChangeStreams,
    process: u32,
}

#[pymethods]
impl Connection {
    /// Connects, and makes sure that somebody answers.
    #[staticmethod]
    fn open(py: Python<'_>, uri: String) -> PyResult<Self> {
        let streams = wait(py, async move { ChangeStreams::connect(&uri).await })?;
        let streams = streams.map_err(|error| Trouble::from(error).raise(py))?;
        Ok(Self { streams, process: process::id() })
    }

    /// The database that the URI names.
    fn default_database(&self) -> Option<&str> {
        self.streams.connection().default_database()
    }

    /// Whether this process has opened it: a forked child has to open its own.
    fn is_of_this_process(&self) -> bool {
        self.process == process::id()
    }

    /// Begins to watch what a document asks for, and brings the events into the inbox. `queue`: there they wait for
    /// whoever comes; else each for what a callback makes of it.
    fn watch(&self, py: Python<'_>, request: &[u8], inbox: &Inbox, id: u64, queue: bool) -> PyResult<Watch> {
        if !self.is_of_this_process() {
            return Err(PyRuntimeError::new_err("the connection is of another process, from before a fork"));
        }
        let watch = Request::read(request)?.watch(self.streams.connection(), queue);
        Watch::begin(py, watch.map_err(|error| error.raise(py))?, inbox, id, queue)
    }
}
