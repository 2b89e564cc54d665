//! Programs in other languages, as child processes whose lines are read as they come.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::{profile_folder, root};

/// How long a program may take to print its next line or to end.
const WAIT_MAX: Duration = Duration::from_secs(40);

/// A running program.
pub(crate) struct Program {
    name: String,
    pub(crate) child: Child,
    lines: Receiver<Line>,
    /// Lines of standard output that were read while waiting for something else.
    kept: VecDeque<String>,
    /// Everything on standard error so far.
    pub(crate) errors: Vec<String>,
}

enum Line {
    Out(String),
    Error(String),
}

impl Program {
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (sender, lines) = channel();
        forward(child.stdout.take().expect("its output"), sender.clone(), Line::Out);
        forward(child.stderr.take().expect("its errors"), sender, Line::Error);
        Self { name: name.to_owned(), child, lines, kept: VecDeque::new(), errors: Vec::new() }
    }

    /// Waits until a line of standard error contains a text.
    pub(crate) fn wait_for_error_line(&mut self, text: &str) {
        let began = Instant::now();
        while !self.errors.iter().any(|line| line.contains(text)) {
            match self.receive(began) {
                Some(Line::Out(line)) => self.kept.push_back(line),
                Some(Line::Error(_)) => {}
                None => self.fail(&format!("ended before it said {text:?}")),
            }
        }
    }

    /// The next line of standard output; `None` once it has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        let began = Instant::now();
        loop {
            if let Some(line) = self.kept.pop_front() {
                return Some(line);
            }
            match self.receive(began)? {
                Line::Out(line) => return Some(line),
                Line::Error(_) => {}
            }
        }
    }

    /// The next line of standard output, which must come.
    pub(crate) fn must_line(&mut self) -> String {
        match self.line() {
            Some(line) => line,
            None => self.fail("ended although a line was expected"),
        }
    }

    /// Every line until the end, and how it ended.
    pub(crate) fn finish(&mut self) -> (Vec<String>, ExitStatus) {
        let mut all = Vec::new();
        while let Some(line) = self.line() {
            all.push(line);
        }
        (all, self.child.wait().expect("its end"))
    }

    /// Every line until the end, which must be a success.
    pub(crate) fn succeed(&mut self) -> Vec<String> {
        let (lines, status) = self.finish();
        assert!(status.success(), "{}: {status}\n{}\n{}", self.name, lines.join("\n"), self.errors.join("\n"));
        lines
    }

    fn receive(&mut self, began: Instant) -> Option<Line> {
        let left = WAIT_MAX.saturating_sub(began.elapsed());
        match self.lines.recv_timeout(left) {
            Ok(Line::Error(line)) => {
                self.errors.push(line.clone());
                Some(Line::Error(line))
            }
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => self.fail("says nothing"),
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{} {what}\n{}", self.name, self.errors.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python program of the examples.
pub(crate) fn python(uri: &str, path: &str, arguments: &[&str]) -> Program {
    let python = installed(root().join(".venv/bin/python"));
    let mut command = Command::new(python);
    command.arg(root().join("examples").join(path)).args(arguments);
    Program::start(path, here(&mut command, uri))
}

/// A Node.js program of the examples.
pub(crate) fn node(uri: &str, path: &str, arguments: &[&str]) -> Program {
    installed(root().join("examples/node_modules/mongodb"));
    let mut command = Command::new("node");
    command.arg(root().join("examples").join(path)).args(arguments);
    Program::start(path, here(&mut command, uri))
}

/// A Python program of the tests.
pub(crate) fn python_test(uri: &str, path: &str) -> Program {
    let python = installed(root().join(".venv/bin/python"));
    let mut command = Command::new(python);
    command.arg(root().join("tests/programs").join(path));
    Program::start(path, here(&mut command, uri))
}

/// A Node.js program of the tests, with the driver of the examples.
pub(crate) fn node_test(uri: &str, path: &str) -> Program {
    let modules = root().join("examples/node_modules");
    installed(modules.join("mongodb"));
    let mut command = Command::new("node");
    command.arg(root().join("tests/programs").join(path)).env("NODE_PATH", modules);
    Program::start(path, here(&mut command, uri))
}

/// mongosh with one of the scripts in the examples.
pub(crate) fn mongosh(uri: &str, arguments: &[&str]) -> Program {
    let shell = installed(root().join("examples/node_modules/.bin/mongosh"));
    let mut command = Command::new(shell);
    command.arg("--norc").arg(uri).args(arguments);
    Program::start("mongosh", here(&mut command, uri))
}

/// An example of this package.
pub(crate) fn rust_example(uri: &str, name: &str, arguments: &[&str]) -> Program {
    let path = installed(profile_folder().join("examples").join(name));
    Program::start(name, here(Command::new(path).args(arguments), uri))
}

fn here<'a>(command: &'a mut Command, uri: &str) -> &'a mut Command {
    command.env("CHANGE_STREAM_DB", uri).env_remove("MONGO_URL")
}

fn installed(path: PathBuf) -> PathBuf {
    let missing = |path: &Path| format!("{} is missing: run scripts/setup first", path.display());
    assert!(path.exists(), "{}", missing(&path));
    path
}

fn forward(from: impl Read + Send + 'static, to: Sender<Line>, wrap: fn(String) -> Line) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(wrap(line)).is_err() {
                return;
            }
        }
    });
}
