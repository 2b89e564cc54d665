//! Writes beside events.

use std::time::Duration;

use crate::terminal::{Colour, cut, paint, plain};

/// From this width on there are two columns.
const TWO_COLUMNS: usize = 100;

/// The width if standard output is no terminal.
const WIDTH_WITHOUT_TERMINAL: usize = 120;

/// How pairs of a write and its event are laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    width: usize,
    colour: bool,
}

/// An event as far as the demo shows it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Its `operationType`.
    pub(crate) operation: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// What it says, in short.
    pub(crate) text: String,
    /// From just before the write to the event in hand.
    pub(crate) latency: Duration,
}

impl View {
    /// For a terminal of this width, or for none.
    pub(crate) fn new(width: Option<usize>, colour: bool) -> Self {
        Self { width: width.unwrap_or(WIDTH_WITHOUT_TERMINAL), colour }
    }

    /// What stands above the columns.
    pub(crate) fn heading(&self) -> String {
        if self.width < TWO_COLUMNS {
            return String::new();
        }
        let half = self.half();
        let line = format!("{:half$} │ {}\n", "the application writes", "the watcher sees");
        let rule = format!("{}─┼─{}\n", "─".repeat(half), "─".repeat(half));
        format!("{line}{}", paint(&rule, Colour::Faint, self.colour))
    }

    /// A write and its event.
    pub(crate) fn pair(&self, write: &str, seen: &Seen) -> String {
        let latency = milliseconds(seen.latency);
        let operation = plain(&seen.operation);
        let painted = paint(&operation, crate::watch::operation_colour(&operation), self.colour);
        let (wide, half) = (self.width >= TWO_COLUMNS, self.half());
        let room = if wide { half } else { self.width.saturating_sub(2) };
        let taken = operation.chars().count() + latency.chars().count() + 4;
        let left = room.saturating_sub(taken);
        let text = cut(&plain(&format!("{} {}", seen.namespace, seen.text)), left);
        let faint = paint(&latency, Colour::Faint, self.colour);
        let write = cut(&plain(write), if wide { half } else { self.width });
        if wide {
            format!("{write:half$} │ {painted}  {text:left$}  {faint}\n")
        } else {
            format!("{write}\n  {painted}  {text:left$}  {faint}\n")
        }
    }

    fn half(&self) -> usize {
        self.width.saturating_sub(3) / 2
    }
}

/// `0.34 ms`.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            operation: "insert".into(),
            namespace: "demo.models".into(),
            text: "{\"_id\":\"churn-v1\"}".into(),
            latency: Duration::from_micros(340),
        }
    }

    #[test]
    fn wide_terminals_have_columns() {
        let text = View::new(Some(101), false).pair("models.insertOne(…)", &seen());
        let (left, right) = text.split_once(" │ ").unwrap();
        assert_eq!(left.chars().count(), 49);
        assert_eq!(right, "insert  demo.models {\"_id\":\"churn-v1\"}    0.34 ms\n");
        let long = Seen { text: "x".repeat(500), ..seen() };
        let text = View::new(Some(101), false).pair(&"y".repeat(500), &long);
        assert!(text.trim_end().chars().count() <= 101, "{text}");
    }

    #[test]
    fn narrow_terminals_have_lines() {
        let view = View::new(Some(50), false);
        assert_eq!(view.heading(), "");
        let text = view.pair("models.insertOne(…)", &seen());
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.chars().count() <= 50), "{text}");
    }
}
