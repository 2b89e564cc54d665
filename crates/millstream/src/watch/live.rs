//! Numbers while a watch runs, and as a table at its end.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use millstream_watch::Stats;

use super::arguments::StatsForm;
use crate::{parse, terminal};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Between two looks of a line that changes.
const CHANGE_EVERY: Duration = Duration::from_millis(500);

/// Where numbers are shown.
pub(crate) struct Live {
    form: Option<StatsForm>,
    /// The line that changes, on a terminal.
    line: Option<ProgressBar>,
    last: Option<(Instant, u64)>,
}

impl Live {
    /// Nothing is shown yet.
    pub(crate) fn new(form: Option<StatsForm>) -> Self {
        let line = (form == Some(StatsForm::Line) && std::io::stderr().is_terminal()).then(|| {
            let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            line.with_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { form, line, last: None }
    }

    /// Shows how it is doing, if it is time for that.
    pub(crate) fn show(&mut self, stats: impl FnOnce() -> Stats) {
        if self.form != Some(StatsForm::Line) {
            return;
        }
        let every = if self.line.is_some() { CHANGE_EVERY } else { LINE_EVERY };
        let Some((at, before)) = self.last else {
            self.last = Some((Instant::now(), 0));
            return;
        };
        let since = at.elapsed();
        if since < every {
            return;
        }
        let stats = stats();
        let came = stats.events.values().sum::<u64>();
        self.last = Some((Instant::now(), came));
        let text = line(&stats, came.saturating_sub(before) as f64 / since.as_secs_f64());
        match &self.line {
            Some(line) => line.set_message(terminal::cut(&text, terminal::width().unwrap_or(100))),
            None => eprintln!("{text}"),
        }
    }

    /// Does something that writes to the terminal.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.line {
            Some(line) => line.suspend(write),
            None => write(),
        }
    }

    /// Takes the line away, or shows the table.
    pub(crate) fn end(&self, stats: &Stats) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
        if self.form == Some(StatsForm::Table) {
            eprintln!("{}", table(stats));
        }
    }
}

/// `1200 events (35.0/s), lag 0.2 s, 3 under way, 2 failures, 1 given up`
fn line(stats: &Stats, per_second: f64) -> String {
    let came: u64 = stats.events.values().sum();
    let lag = parse::show_duration(Duration::from_millis(stats.lag_ms));
    let mut text = format!("{came} events ({per_second:.1}/s), lag {lag}, {} under way", stats.under_way);
    for (count, what) in [(stats.failures, "failures"), (stats.given_up, "given up")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

fn table(stats: &Stats) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["", "count"]);
    for (operation, count) in &stats.events {
        table.add_row([terminal::plain(operation), count.to_string()]);
    }
    for (what, count) in [
        ("dealt with", stats.delivered),
        ("failures", stats.failures),
        ("given up", stats.given_up),
        ("positions saved", stats.saves),
    ] {
        table.add_row([what.to_owned(), count.to_string()]);
    }
    table.add_row(["lag of the last event".to_owned(), format!("{} ms", stats.lag_ms)]);
    table.add_row(["running for".to_owned(), parse::show_duration(stats.running_for)]);
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> Stats {
        let events = [("insert".to_owned(), 3), ("x\u{1b}".to_owned(), 1)].into();
        Stats { events, delivered: 2, failures: 5, given_up: 1, under_way: 1, lag_ms: 250, ..Stats::default() }
    }

    #[test]
    fn a_line_tells_only_of_what_went_wrong() {
        assert_eq!(line(&stats(), 2.04), "4 events (2.0/s), lag 0.2 s, 1 under way, 5 failures, 1 given up");
        assert_eq!(line(&Stats::default(), 0.0), "0 events (0.0/s), lag 0.0 s, 0 under way");
    }

    #[test]
    fn a_table_has_every_kind() {
        let text = table(&stats());
        for part in ["insert", "3", "dealt with", "given up", "250 ms"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }
}
