//! A real PostgreSQL, on a free port, with its data in a temporary folder.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::server::{free_port, signal};

/// How long it may take until it answers; far above what it needs, for busy machines.
const START_MAX: Duration = Duration::from_secs(30);
/// Who owns the data.
const USER: &str = "millstream";

pub(crate) struct Postgres {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if let Some((user, group)) = servant() {
            chown(folder.path(), Some(user), Some(group)).expect("give the folder to PostgreSQL's user");
        }
        let made = program("initdb", folder.path())
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--username",
                USER,
                "--pgdata",
                "data",
            ])
            .output()
            .expect("run initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let mut server = Self { child: spawn(folder.path(), port), port, folder };
        server.wait_until_ready();
        server
    }

    /// Ends it as an administrator would: connections are cut.
    pub(crate) fn stop(&mut self) {
        signal(&self.child, "-INT");
        self.child.wait().expect("the end of PostgreSQL");
    }

    /// Starts it again on its port and data.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port);
        self.wait_until_ready();
    }

    pub(crate) fn uri(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// A connection of one's own.
    pub(crate) async fn connect(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.uri(), NoTls).await.expect("connect to PostgreSQL");
        tokio::spawn(connection);
        client
    }

    fn wait_until_ready(&mut self) {
        let began = Instant::now();
        // Its lock file says `ready` when it is.
        let ready = || {
            fs::read_to_string(self.folder.path().join("data/postmaster.pid")).is_ok_and(|file| file.contains("ready"))
        };
        while !ready() {
            let ended = self.child.try_wait().expect("the state of PostgreSQL");
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none() && began.elapsed() < START_MAX, "PostgreSQL did not start: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once: nobody needs the data any more. It may have ended already.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(&self.child, "-QUIT");
        }
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, port: u16) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).expect("the log file");
    program("postgres", folder)
        .args(["-D", "data", "-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""])
        .args(["-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=40"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log file"))
        .stderr(log)
        .spawn()
        .expect("start PostgreSQL")
}

/// One of PostgreSQL's programs, which refuse to run as root.
fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(find(name));
    command.current_dir(folder);
    if let Some((user, group)) = servant() {
        command.uid(user).gid(group);
    }
    command
}

/// Debian has them beside each other, one folder a version, and not where programs are looked for.
fn find(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.sort_unstable();
    found.retain(|path| path.exists());
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&on_path).map(|folder| folder.join(name)).find(|path| path.exists()));
    found.pop().unwrap_or_else(|| panic!("{name} is missing: run scripts/setup first"))
}

/// If this runs as root: another user and group, those of the package.
fn servant() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").expect("this process").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("a user called postgres");
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().expect("a number"));
    numbers.next().zip(numbers.next())
}
