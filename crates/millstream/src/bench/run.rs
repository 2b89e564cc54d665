//! Rounds over jobs over servers, with progress.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::arguments::{Arguments, Other};
use super::case::{CASES, Job};
use super::guard;
use super::report::Report;
use super::sql;
use super::target::Target;
use crate::signals::Signals;
use crate::{exit, terminal, watch};

/// How long a server may take for writes that were under way when a measurement was cut off.
const WRITES_DONE: Duration = Duration::from_millis(500);

/// Measures, reports, and leaves nothing behind.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    if let Some(Other::Sql(arguments)) = arguments.other {
        return sql::run(arguments).await;
    }
    let mut signals = Signals::catch().context("could not listen for signals")?;
    let targets = tokio::select! {
        targets = connect(&arguments) => targets?,
        _ = signals.next() => return Ok(exit::Code::Done),
    };
    for target in &targets {
        guard::claim(target, arguments.force).await?;
    }
    let plan = arguments.plan();
    let jobs: Vec<Job> =
        CASES.iter().filter(|case| arguments.wants(case.name)).flat_map(|case| (case.jobs)(&plan)).collect();
    let mut report = Report::new(targets.iter().map(|target| target.label.clone()).collect());
    let measured = tokio::select! {
        measured = measure(&jobs, &targets, arguments.rounds, &mut report) => measured,
        name = signals.next() => Err(anyhow::anyhow!("stopped by {name} before the end")),
    };
    if measured.is_err() {
        // Writes that were under way are done by then, and do not bring the database back.
        tokio::time::sleep(WRITES_DONE).await;
    }
    for target in &targets {
        guard::release(target).await.with_context(|| format!("could not clean up {}", target.label))?;
    }
    // What was measured before something went wrong is shown all the same.
    if !report.is_empty() {
        terminal::say(&if arguments.json { report.json_lines() } else { report.table() });
    }
    measured?;
    Ok(exit::Code::Done)
}

async fn connect(arguments: &Arguments) -> anyhow::Result<Vec<Target>> {
    let uris = if arguments.uri.is_empty() { vec![watch::uri_or_default(None)] } else { arguments.uri.clone() };
    let mut targets: Vec<Target> = Vec::new();
    for (index, uri) in uris.iter().enumerate() {
        let label = arguments.label.get(index).cloned();
        let pid = arguments.pid.get(index).copied();
        let mut target = Target::connect(uri, String::new(), pid).await?;
        target.label = label.unwrap_or_else(|| target.connection().servers().join(","));
        if let Some(other) = targets.iter().find(|other| other.connection().servers() == target.connection().servers())
        {
            return Err(exit::misuse(format!(
                "{} is given twice: its database can be measured by one at a time",
                other.label
            )));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// Every job on every server in turn, so that a machine that slows down slows all of them down.
async fn measure(jobs: &[Job], targets: &[Target], rounds: u32, report: &mut Report) -> anyhow::Result<()> {
    let steps = jobs.len() * targets.len();
    let progress = progress(u64::try_from(steps).unwrap_or(0) * u64::from(rounds));
    let mut skipped = 0;
    for _ in 0..rounds {
        for job in jobs {
            for (index, target) in targets.iter().enumerate() {
                progress.set_message(format!("{} on {}", job.name, target.label));
                match (job.run)(target).await {
                    Ok(measures) => report.add(&job.name, index, &measures),
                    // One case that fails, as 10,000 watchers may, leaves the others standing.
                    Err(error) => {
                        let error = error.context(format!("{} on {}", job.name, target.label));
                        progress.suspend(|| eprintln!("skipped: {}", exit::sentence(&error)));
                        skipped += 1;
                    }
                }
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    if skipped > 0 {
        anyhow::bail!("{skipped} of the measurements failed, for the reasons above");
    }
    Ok(())
}

/// A bar on standard error; nothing if that is no terminal.
pub(super) fn progress(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed_precise} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
