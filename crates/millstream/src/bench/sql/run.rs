//! Case after case, with progress.

use anyhow::Context as _;

use super::arguments::Arguments;
use super::case::{CASES, Case};
use super::lab::Lab;
use crate::bench::measure::Measure;
use crate::bench::report::Report;
use crate::bench::run::progress;
use crate::signals::Signals;
use crate::{exit, terminal};

/// What the column of figures is called.
const LABEL: &str = "millstream";

/// Measures, reports, and leaves nothing behind.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let mut signals = Signals::catch().context("could not listen for signals")?;
    let cases: Vec<&Case> = CASES.iter().filter(|case| arguments.wants(case.name)).collect();
    let mut report = Report::new(vec![LABEL.to_owned()]);
    let measured = tokio::select! {
        measured = measure(&cases, &arguments, &mut report) => measured,
        name = signals.next() => Err(anyhow::anyhow!("stopped by {name} before the end")),
    };
    // What was measured before something went wrong is shown all the same.
    if !report.is_empty() {
        terminal::say(&if arguments.json { report.json_lines() } else { report.table() });
    }
    measured?;
    Ok(exit::Code::Done)
}

async fn measure(cases: &[&Case], arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let bar = progress(u64::try_from(cases.len()).unwrap_or(0));
    let mut skipped = 0;
    for case in cases {
        bar.set_message(case.name);
        let mut lab = Lab::start(arguments.uri.as_deref(), arguments.force).await?;
        let measured: anyhow::Result<Vec<Measure>> = (case.run)(&mut lab, &arguments.sizes).await;
        let ended = lab.end().await;
        match measured {
            Ok(measures) => report.add(&format!("sql {}", case.name), 0, &measures),
            Err(error) => {
                let error = error.context(case.name);
                bar.suspend(|| eprintln!("skipped: {}", exit::sentence(&error)));
                skipped += 1;
            }
        }
        ended.context("could not clean up")?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if skipped > 0 {
        anyhow::bail!("{skipped} of the measurements failed, for the reasons above");
    }
    Ok(())
}
