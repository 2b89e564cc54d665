//! The real binary, started on a free port with a throw-away data folder.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Connection, profile_folder};

/// How long a server may take until it answers; far above what it needs, for busy machines.
const START_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
    arguments: Vec<String>,
}

impl Server {
    /// Keeps nothing on disk.
    pub(crate) fn memory() -> Self {
        Self::with(&["--memory"])
    }

    /// Keeps its data in a folder that lives as long as this value.
    pub(crate) fn durable() -> Self {
        Self::with(&[])
    }

    /// With these flags besides `--port` and `--data`.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        // Between choosing a free port and listening on it another test may take it: try again.
        for _ in 0..5 {
            let mut server = Self::spawn(arguments);
            match server.wait_until_ready() {
                Ok(()) => return server,
                Err(reason) if reason.contains("in use") => {}
                Err(reason) => panic!("the server did not start: {reason}"),
            }
        }
        panic!("no free port after five tries")
    }

    /// Starts again on the same port and folder, and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        self.child = start(self.port, self.folder.path(), &self.arguments);
        if let Err(reason) = self.wait_until_ready() {
            panic!("the server did not start again: {reason}");
        }
    }

    /// Starts again, and ends it as [`Server::kill`] does after a while, ready or not.
    pub(crate) fn start_and_kill(&mut self, after: Duration) {
        self.child = start(self.port, self.folder.path(), &self.arguments);
        std::thread::sleep(after);
        self.kill();
    }

    /// Ends the process at once, as a crash would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill the server");
        self.child.wait().expect("the server's end");
    }

    /// Asks the process to end (SIGTERM) and says how it did and how long that took.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        signal(&self.child, "-TERM");
        let status = self.child.wait().expect("the server's end");
        (status, began.elapsed())
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URI that the server itself recommends.
    pub(crate) fn uri(&self) -> String {
        format!("mongodb://{}/?replicaSet=rs0", self.address())
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&self.address()).expect("connect to the server")
    }

    /// Where the data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its temporary files.
    pub(crate) fn temporary(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("temporary")).expect("temporary files");
        entries.map(|entry| entry.expect("a temporary file").path()).collect()
    }

    /// What the server has written to its standard output and error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn spawn(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let port = free_port();
        Self { child: start(port, folder.path(), &arguments), port, folder, arguments }
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if let Some(status) = self.child.try_wait().expect("the server's state") {
                return Err(format!("{status}: {}", self.log()));
            }
            if TcpStream::connect(self.address()).is_ok() {
                Connection::open(&self.address()).map_err(|error| error.to_string())?;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("no answer in {START_MAX:?}: {}", self.log()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already; then there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- the server's last lines");
            for line in lines.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// The binary under test, built before the tests by `scripts/test`.
pub(crate) fn binary() -> PathBuf {
    let path = std::env::var_os("MILLSTREAM_BIN").map_or_else(|| profile_folder().join("millstream"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo build -p millstream` first (scripts/test does)", path.display());
    path
}

/// A command that runs the binary without settings from the environment.
pub(crate) fn millstream() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let ours = name.starts_with("MILLSTREAM_") || name == "MONGO_URL" || name == "CHANGE_STREAM_DB";
        if ours {
            command.env_remove(name);
        }
    }
    command
}

/// Sends a signal such as `-TERM` or `-INT` to a process.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().expect("run kill");
    assert!(status.success(), "kill {name} {}", child.id());
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn start(port: u16, folder: &Path, arguments: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).expect("the log file");
    let temporary = folder.join("temporary");
    std::fs::create_dir_all(&temporary).expect("a folder for temporary files");
    let mut command = millstream();
    command.env("TMPDIR", temporary).arg("serve").args(["--port", &port.to_string()]);
    if !arguments.iter().any(|argument| argument == "--memory") {
        command.arg("--data").arg(folder.join("data"));
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log file"))
        .stderr(log)
        .spawn()
        .expect("start the server")
}
