//! A real Redis, on a free port, with its data in a temporary folder.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::server::{free_port, signal};

/// How long it may take until it answers; far above what it needs, for busy machines.
const START_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Redis {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut server = Self { child: spawn(&folder, port), port, folder };
        server.wait_until_ready();
        server
    }

    /// Ends it; what it holds is on disk.
    pub(crate) fn stop(&mut self) {
        signal(&self.child, "-TERM");
        self.child.wait().expect("the end of Redis");
    }

    /// Starts it again on its port and data.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.folder, self.port);
        self.wait_until_ready();
    }

    pub(crate) fn uri(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// A connection of one's own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.uri()).expect("a URI");
        client.get_multiplexed_async_connection().await.expect("connect to Redis")
    }

    fn wait_until_ready(&mut self) {
        let began = Instant::now();
        let client = redis::Client::open(self.uri()).expect("a URI");
        let answers = || {
            let mut connection = client.get_connection()?;
            redis::cmd("PING").query::<String>(&mut connection)
        };
        while answers().is_err() {
            let ended = self.child.try_wait().expect("the state of Redis");
            assert!(ended.is_none() && began.elapsed() < START_MAX, "Redis did not start: {ended:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, port: u16) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("redis-server is missing: run scripts/setup first")
}
