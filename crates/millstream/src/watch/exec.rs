//! `--exec`: a command for each event.
//!
//! Input:   the event's JSON and a line end on standard input; `MILLSTREAM_OPERATION`, `MILLSTREAM_NAMESPACE`,
//!          `MILLSTREAM_KEY` and `MILLSTREAM_TOKEN` in the environment.
//! Output:  its standard output and error are those of this program.
//! Failure: an exit code other than 0, a signal, or too much time; it is tried again.
//! Stop:    what runs may finish; its whole process group is killed if it takes too long, or if the program is asked to
//!          stop a second time.

use std::collections::BTreeSet;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use millstream_watch::{Failure, JsonMode};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::envelope::key;
use super::sink::Parcel;

/// Longer values do not go into the environment: systems refuse to start a process with them, and they are in the JSON.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// A command to run.
pub(crate) struct Exec {
    command: String,
    timeout: Duration,
    children: Children,
}

impl Exec {
    /// Nothing runs yet.
    pub(crate) fn new(command: &str, timeout: Duration, children: Children) -> Self {
        Self { command: command.to_owned(), timeout, children }
    }

    /// Runs it, and says how that went.
    pub(crate) async fn run(&self, parcel: &Parcel<'_>) -> Result<(), Failure> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).stdin(Stdio::piped()).kill_on_drop(true);
        for (name, value) in variables(parcel) {
            command.env(name, value);
        }
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn();
        let child = child.map_err(|error| Failure::passing(format!("could not start `sh`: {error}")))?;
        let mut group = self.children.watch_over(&child);
        match tokio::time::timeout(self.timeout, feed(child, &parcel.json)).await {
            Ok(Ok(status)) => {
                group.has_ended = true;
                judge(status)
            }
            Ok(Err(error)) => Err(Failure::passing(format!("the command could not be waited for: {error}"))),
            Err(_) => {
                let time = crate::parse::show_duration(self.timeout);
                Err(Failure::passing(format!("the command took more than {time} and was ended")))
            }
        }
    }
}

async fn feed(mut child: Child, json: &str) -> std::io::Result<ExitStatus> {
    let input = child.stdin.take();
    let write = async {
        if let Some(mut input) = input {
            // A command need not read what it is given.
            let _ = input.write_all(json.as_bytes()).await;
            let _ = input.write_all(b"\n").await;
        }
    };
    // One that ends without reading all of a long event must not be waited for.
    tokio::select! {
        biased;
        status = child.wait() => return status,
        () = write => {}
    }
    child.wait().await
}

fn judge(status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::passing(match status.code() {
        Some(code) => format!("the command ended with exit code {code}"),
        None => format!("the command was ended ({status})"),
    }))
}

fn variables(parcel: &Parcel<'_>) -> Vec<(&'static str, String)> {
    let mut variables = vec![("MILLSTREAM_EVENTS", parcel.events.len().to_string())];
    // What several events do not have in common is told in their JSON only.
    let mut common = |name, values: Vec<String>| {
        if let Some(first) = values.first()
            && values.iter().all(|value| value == first)
        {
            variables.push((name, first.clone()));
        }
    };
    let each = |value: fn(&millstream_watch::Event) -> String| parcel.events.iter().map(value).collect();
    common("MILLSTREAM_OPERATION", each(|event| event.operation().to_owned()));
    common("MILLSTREAM_NAMESPACE", each(millstream_watch::Event::namespace));
    common("MILLSTREAM_KEY", each(|event| key(event, JsonMode::Relaxed).unwrap_or_default()));
    if let Some(last) = parcel.events.last() {
        let token = last.token();
        variables.push(("MILLSTREAM_TOKEN", token.data().map_or_else(|| token.to_json(), str::to_owned)));
    }
    variables.retain(|(_, value)| value.len() <= VALUE_BYTES_MAX && !value.contains('\0'));
    variables
}

/// The process groups of the commands that run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Children(Arc<Mutex<BTreeSet<u32>>>);

impl Children {
    /// Ends all of them at once.
    pub(crate) fn kill_all(&self) {
        for group in self.0.lock().iter() {
            kill(*group);
        }
    }

    fn watch_over(&self, child: &Child) -> Group {
        let group = child.id();
        if let Some(group) = group {
            self.0.lock().insert(group);
        }
        Group { children: self.clone(), group, has_ended: false }
    }
}

/// A process group that ends with this value, unless it did so by itself.
struct Group {
    children: Children,
    group: Option<u32>,
    has_ended: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Its number may belong to others once it has ended.
            self.children.0.lock().remove(&group);
            if !self.has_ended {
                kill(group);
            }
        }
    }
}

#[cfg(unix)]
fn kill(group: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        // It may have ended already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill(_: u32) {}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use millstream_watch::Event;

    use super::*;

    fn event(id: &str) -> Event {
        Event::new(rawdoc! {
            "_id": {"_data": "82AB"}, "operationType": "insert", "ns": {"db": "shop", "coll": "orders"},
            "documentKey": {"_id": id},
        })
        .unwrap()
    }

    async fn run(command: &str, timeout: Duration) -> Result<(), String> {
        let events = [event("k")];
        let parcel = Parcel { json: "{}".into(), events: &events, content_type: "" };
        let children = Children::default();
        let outcome = Exec::new(command, timeout, children.clone()).run(&parcel).await;
        assert!(children.0.lock().is_empty());
        outcome.map_err(|failure| failure.to_string())
    }

    #[tokio::test]
    async fn the_exit_code_counts() {
        let long = Duration::from_secs(60);
        assert_eq!(run("read line; test \"$line\" = '{}'", long).await, Ok(()));
        assert_eq!(run("test \"$MILLSTREAM_KEY $MILLSTREAM_OPERATION\" = '\"k\" insert'", long).await, Ok(()));
        assert_eq!(run("true", long).await, Ok(()));
        assert_eq!(run("exit 3", long).await, Err("the command ended with exit code 3".into()));
        assert!(run("kill -9 $$", long).await.unwrap_err().contains("signal: 9"));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let command = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let outcome = run(&command, Duration::from_secs(1)).await;
        assert_eq!(outcome, Err("the command took more than 1.0 s and was ended".into()));
        let pid = std::fs::read_to_string(file).unwrap();
        // The child of the child is gone, or waits to be collected.
        for _ in 0..1_000 {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still there: {pid}");
    }

    #[test]
    fn several_events_share_what_they_have_in_common() {
        let events = [event("a"), event("b")];
        let parcel = Parcel { json: String::new(), events: &events, content_type: "" };
        let names: Vec<_> = variables(&parcel).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["MILLSTREAM_EVENTS", "MILLSTREAM_OPERATION", "MILLSTREAM_NAMESPACE", "MILLSTREAM_TOKEN"]);
    }
}
