//! The engine and the mill as processes of their own, and what they use of the processor.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, Command};

/// How long a process may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(30);

/// How many ticks a second the kernel counts processor time in, for programs.
const TICKS: f64 = 100.0;

/// A process of this program. It ends with whoever holds it.
pub(super) struct Child {
    process: Process,
    /// Read on, so that the process can write.
    _output: Option<tokio::task::JoinHandle<()>>,
}

impl Child {
    /// An engine with its data in a folder; gives the URI that it is reached by.
    pub(super) async fn engine(folder: &Path) -> anyhow::Result<(Self, String)> {
        let mut command = own()?;
        command.args(["serve", "--port", "0", "--mill", "off", "--log-level", "error", "--data"]).arg(folder);
        let mut process = command.stdout(Stdio::piped()).spawn().context("the engine could not be started")?;
        let output = process.stdout.take().context("the engine has no output")?;
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await.context("the engine could not be heard")? {
            if let Some(uri) = line.strip_prefix("connect with ") {
                let uri = uri.to_owned();
                let rest = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok((Self { process, _output: Some(rest) }, uri));
            }
        }
        bail!("the engine ended before it was ready")
    }

    /// A mill with its state in a folder.
    pub(super) fn mill(uri: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut command = own()?;
        command.args(["run", "--uri", uri, "--state"]).arg(folder);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self { process: process.context("the mill could not be started")?, _output: None })
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.ask();
        match tokio::time::timeout(END_MAX, self.process.wait()).await {
            Ok(ended) => ended.map(drop).context("a process could not be waited for"),
            Err(_) => self.process.kill().await.context("a process could not be ended"),
        }
    }

    #[cfg(unix)]
    fn ask(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        let id = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        // It may have ended already.
        let _ = id.map(|id| kill_process(id, Signal::TERM));
    }

    #[cfg(not(unix))]
    fn ask(&mut self) {
        // It may have ended already.
        let _ = self.process.start_kill();
    }

    /// The processor time that it has used, in seconds.
    pub(super) fn busy(&self) -> Option<f64> {
        busy(&std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()?)).ok()?)
    }
}

fn own() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program does not know where it is")?);
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

fn busy(stat: &str) -> Option<f64> {
    // The name, in parentheses, may have spaces in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let mut ticks = |skip: usize| fields.nth(skip)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(0)?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_the_program_and_of_the_kernel_for_it() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 1 1 1";
        assert_eq!(busy(stat), Some(2.0));
        assert_eq!(busy("7 (a) S 1"), None);
    }
}
