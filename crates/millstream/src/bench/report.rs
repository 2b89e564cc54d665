//! The table and the JSON lines.

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::json;

use super::measure::{Measure, Unit, median};

/// All figures: jobs and their measures in rows, servers in columns.
#[derive(Debug, Default)]
pub(crate) struct Report {
    labels: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    job: String,
    measure: &'static str,
    unit: Unit,
    /// The values of all rounds, for each server.
    values: Vec<Vec<f64>>,
}

impl Report {
    /// For servers with these labels.
    pub(crate) fn new(labels: Vec<String>) -> Self {
        Self { labels, rows: Vec::new() }
    }

    /// Takes the figures of one run of a job on one server.
    pub(crate) fn add(&mut self, job: &str, server: usize, measures: &[Measure]) {
        for measure in measures {
            let known = self.rows.iter().position(|row| row.job == job && row.measure == measure.name);
            let index = known.unwrap_or_else(|| {
                self.rows.push(Row {
                    job: job.to_owned(),
                    measure: measure.name,
                    unit: measure.unit,
                    values: vec![Vec::new(); self.labels.len()],
                });
                self.rows.len() - 1
            });
            let values = self.rows.get_mut(index).and_then(|row| row.values.get_mut(server));
            if let Some(values) = values {
                values.push(measure.value);
            }
        }
    }

    /// Whether there is anything to show.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One JSON object a figure and server.
    pub(crate) fn json_lines(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            for (label, values) in self.labels.iter().zip(&row.values).filter(|(_, values)| !values.is_empty()) {
                let line = json!({
                    "case": row.job, "measure": row.measure, "unit": row.unit.name(), "server": label,
                    "median": rounded(median(values)),
                    "rounds": values.iter().copied().map(rounded).collect::<Vec<f64>>(),
                });
                text.push_str(&format!("{line}\n"));
            }
        }
        text
    }

    /// A table that is Markdown too; with several servers a column beside each but the first says how many times
    /// better than the first it is.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let mut heading = vec!["case".to_owned(), "measure".to_owned(), String::new()];
        for (index, label) in self.labels.iter().enumerate() {
            heading.push(label.clone());
            if index > 0 {
                heading.push("better".to_owned());
            }
        }
        table.set_header(heading);
        let mut last = "";
        for row in &self.rows {
            let job = if last == row.job { "" } else { row.job.as_str() };
            last = &row.job;
            table.add_row(self.cells(row, job));
        }
        format!("{table}\n")
    }

    fn cells(&self, row: &Row, job: &str) -> Vec<Cell> {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let mut cells = vec![Cell::new(job), Cell::new(row.measure), Cell::new(row.unit.name())];
        let base = row.values.first().filter(|values| !values.is_empty()).map(|values| median(values));
        for (index, values) in row.values.iter().enumerate() {
            let value = (!values.is_empty()).then(|| median(values));
            cells.push(right(value.map_or_else(|| "-".to_owned(), |value| row.unit.show(value))));
            if index > 0 {
                let ratio = value.zip(base).and_then(|(value, base)| row.unit.ratio(value, base));
                cells.push(right(ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}x"))));
            }
        }
        cells
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(vec!["ours".into(), "theirs".into()]);
        for value in [300_u64, 400, 500] {
            report.add("latency", 0, &[Measure::micros("event p50", value)]);
        }
        report.add("latency", 1, &[Measure::micros("event p50", 800)]);
        report.add("crud", 0, &[Measure::rate("operations", 12_000, 1.0)]);
        report
    }

    #[test]
    fn the_table_has_medians_and_ratios() {
        let text = report().table();
        let line = text.lines().find(|line| line.contains("latency")).unwrap();
        let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "|").collect();
        assert_eq!(words, ["latency", "event", "p50", "ms", "0.40", "0.80", "0.50x"]);
        let line = text.lines().find(|line| line.contains("crud")).unwrap();
        assert!(line.contains("12,000") && line.trim_end().ends_with("- |"), "{line}");
    }

    #[test]
    fn json_has_a_line_for_each_figure_there_is() {
        let text = report().json_lines();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["median"], 0.4);
        assert_eq!(lines[0]["rounds"], json!([0.3, 0.4, 0.5]));
        assert_eq!(lines[1]["server"], "theirs");
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(Report::new(Vec::new()).is_empty());
        assert_eq!(Report::new(vec!["a".into()]).json_lines(), "");
    }
}
