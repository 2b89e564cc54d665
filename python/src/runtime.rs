//! The threads that streams run on, and waiting for them.

use std::future::Future;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

/// How long to wait at most before Python may look after its signals, such as that of Ctrl-C.
pub(crate) const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// Reading is one task, so that more threads would only help many streams.
const THREADS: usize = 2;

/// The threads, and the process that they are of: a forked child has none of its parent's.
static RUNTIME: Mutex<Option<(u32, Arc<Runtime>)>> = Mutex::new(None);

/// The runtime of this process.
pub(crate) fn runtime() -> PyResult<Arc<Runtime>> {
    let mut running = RUNTIME.lock();
    match &*running {
        Some((process, runtime)) if *process == process::id() => return Ok(Arc::clone(runtime)),
        _ => {}
    }
    let built = Builder::new_multi_thread().worker_threads(THREADS).thread_name("millstream").enable_all().build();
    let runtime =
        Arc::new(built.map_err(|error| PyRuntimeError::new_err(format!("no threads to watch with: {error}")))?);
    if let Some(old) = running.replace((process::id(), Arc::clone(&runtime))) {
        // Of before a fork: ending it would wait for threads that are not in this process.
        std::mem::forget(old);
    }
    Ok(runtime)
}

/// Waits for a future while other threads of Python run. A signal whose handler raises ends it.
pub(crate) fn wait<T: Send + 'static>(py: Python<'_>, future: impl Future<Output = T> + Send + 'static) -> PyResult<T> {
    let runtime = runtime()?;
    let mut task = runtime.spawn(future);
    loop {
        let waited = py.detach(|| runtime.block_on(async { tokio::time::timeout(SIGNALS_EVERY, &mut task).await }));
        match waited {
            Ok(ended) => return ended.map_err(|error| PyRuntimeError::new_err(error.to_string())),
            Err(_) => {
                if let Err(raised) = py.check_signals() {
                    task.abort();
                    return Err(raised);
                }
            }
        }
    }
}

/// `MILLSTREAM_LOG=debug` has the native half say on standard error what it does, as in the command.
pub(crate) fn log_if_asked() {
    if let Ok(filter) = std::env::var("MILLSTREAM_LOG") {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        // A program that embeds Python may have a subscriber already; then that one is told.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
}
