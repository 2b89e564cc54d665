//! A program at a terminal, made by `script` of Debian's bsdutils: keys go in, and what is on the screen comes out.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long something may take to appear.
const WAIT_MAX: Duration = Duration::from_secs(40);
/// How long to wait before the same keys are typed again.
const TYPE_EVERY: Duration = Duration::from_millis(250);

pub(crate) struct Screen {
    child: Child,
    keys: ChildStdin,
    shown: Receiver<String>,
    text: String,
    /// Up to here it was looked at.
    seen: usize,
}

impl Screen {
    /// Runs a command line there.
    pub(crate) fn run(line: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("script");
        // The shell must not stay in between: Ctrl-C would be typed at it, too, and some end with it.
        command.args(["-qec", &format!("exec {line}"), "/dev/null"]);
        command.env("SHELL", "/bin/sh").env("TERM", "xterm").envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
        let mut out = child.stdout.take().expect("its output");
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = out.read(&mut buffer) {
                if sender.send(String::from_utf8_lossy(&buffer[..len]).into_owned()).is_err() {
                    return;
                }
            }
        });
        let keys = child.stdin.take().expect("its input");
        Self { child, keys, shown, text: String::new(), seen: 0 }
    }

    /// Waits until a text appears behind what was looked at.
    pub(crate) fn wait_for(&mut self, text: &str) {
        assert!(self.appears(text, WAIT_MAX), "{text:?} does not appear:\n{}", self.text);
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("type");
        self.keys.flush().expect("type");
    }

    /// Types what ends the program until it has ended; then what was on the screen.
    pub(crate) fn end(mut self, keys: &str) -> (String, ExitStatus) {
        let began = Instant::now();
        loop {
            // It may have ended between two looks.
            let _ = self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush());
            self.appears("\u{0}", TYPE_EVERY);
            if let Some(status) = self.child.try_wait().expect("its state") {
                return (std::mem::take(&mut self.text), status);
            }
            assert!(began.elapsed() < WAIT_MAX, "it does not end:\n{}", self.text);
        }
    }

    fn appears(&mut self, text: &str, within: Duration) -> bool {
        let began = Instant::now();
        loop {
            if let Some(at) = self.text[self.seen..].find(text) {
                self.seen += at + text.len();
                return true;
            }
            match self.shown.recv_timeout(within.saturating_sub(began.elapsed())) {
                Ok(more) => self.text.push_str(&more),
                Err(_) => return false,
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
