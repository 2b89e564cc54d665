//! The native half of the Python package `millstream`: the streams of `millstream-watch`, for threads of Python.
//!
//! Everything that crosses is bytes of BSON, which Python decodes with the driver's own `bson`, so that values have the
//! types that pymongo gives them. Threads of Rust never call into Python: events wait in an `Inbox` until a thread
//! of Python comes for them. So nothing here can hold up the interpreter, nor its end.

mod connection;
mod errors;
mod inbox;
mod request;
mod runtime;
mod watch;

/// `millstream._native`.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::connection::Connection;
    #[pymodule_export]
    use crate::inbox::{Delivery, Inbox};
    #[pymodule_export]
    use crate::watch::Watch;

    #[pymodule_init]
    fn init() {
        crate::runtime::log_if_asked();
    }
}
