//! A report as a person reads it: each name with the shortest history that shows it.

use std::collections::HashSet;
use std::fmt::Write;

use super::{Anomaly, Name, Report};
use crate::isolation::history::{Action, History, Outcome, ReadsAt, Step, Transaction};

/// A list up to this length is shown in full.
const SHORT: usize = 4;

impl Report {
    pub(crate) fn text(&self, history: &History) -> String {
        let mut text = format!(
            "{} transactions committed, {} aborted, {} without an answer; {} pairs of write skew, which snapshot isolation allows\n",
            self.committed,
            self.aborted,
            self.unanswered,
            self.write_skews.len()
        );
        let mut last: Option<Name> = None;
        for anomaly in &self.anomalies {
            // They are sorted: the first of a name is its shortest.
            if last.replace(anomaly.name) != Some(anomaly.name) {
                let times = self.anomalies.iter().filter(|other| other.name == anomaly.name).count();
                let _ = write!(
                    text,
                    "\n{} ({times} in all), shown by {}\n{}",
                    anomaly.name,
                    count(anomaly),
                    anomaly.story(history)
                );
            }
        }
        text
    }
}

fn count(anomaly: &Anomaly) -> String {
    match anomaly.transactions.len() {
        1 => "one transaction:".to_owned(),
        count => format!("{count} transactions:"),
    }
}

impl Anomaly {
    /// Only what matters: its transactions, their steps on its lists and groups, and of those what they wrote.
    pub(crate) fn story(&self, history: &History) -> String {
        let mut lines: Vec<(u64, String)> = Vec::new();
        for transaction in self.transactions.iter().map(|one| &history.transactions[*one]) {
            let who = format!(
                "client {:>2}  transaction {:<6}",
                transaction.client,
                format!("{}.{}", transaction.client, transaction.number)
            );
            let alone =
                transaction.commit_sent.is_some_and(|sent| transaction.steps.iter().any(|step| step.sent == sent));
            for (place, step) in transaction.steps.iter().enumerate() {
                if place == 0 || self.keys.contains(step.action.key()) {
                    let begins = if place == 0 && !alone { begins(transaction) } else { String::new() };
                    let end = if alone {
                        format!(", outside of transactions: {}", outcome(transaction))
                    } else {
                        String::new()
                    };
                    let times = times(step.sent, step.answered);
                    lines.push((step.sent, format!("{times}  {who}  {begins}{}{end}", self.step(step, history))));
                }
            }
            if !alone && transaction.reads_at.is_none() {
                let sent = transaction.commit_sent.unwrap_or(transaction.ended);
                let answered = (transaction.outcome != Outcome::Unknown).then_some(transaction.ended);
                let what = if transaction.commit_sent.is_some() { "commit: " } else { "" };
                lines.push((sent, format!("{}  {who}  {what}{}", times(sent, answered), outcome(transaction))));
            }
        }
        lines.sort();
        let mut text: String = lines.into_iter().map(|(_, line)| format!("  {line}\n")).collect();
        for key in &self.keys {
            if let Some(values) = history.lists.get(key) {
                let _ = writeln!(text, "  in the end, list {key} is {}", self.shown(values, history));
            }
            if let Some(members) = history.groups.get(key) {
                let _ = writeln!(text, "  in the end, group {key} has {}", self.shown(members, history));
            }
        }
        for line in &self.why {
            let _ = writeln!(text, "  - {line}");
        }
        text
    }

    fn step(&self, step: &Step, history: &History) -> String {
        let what = match &step.action {
            Action::Append { list, value } => format!("append {value} to list {list}"),
            Action::Read { list, values } => format!("read list {list}: {}", self.shown(values, history)),
            Action::Insert { group, member } => format!("insert {member} into group {group}"),
            Action::Delete { group, member, found: true } => format!("delete {member} of group {group}"),
            Action::Touch { group } => format!("change all of group {group}"),
            Action::Delete { group, member, found: false } => format!("delete {member} of group {group}: not found"),
            Action::Members { group, members } => format!("read group {group}: {}", self.shown(members, history)),
        };
        if step.answered.is_some() { what } else { format!("{what} (no answer)") }
    }

    /// Values of other transactions are left out where there are many.
    fn shown(&self, values: &[i64], history: &History) -> String {
        let matters: HashSet<i64> =
            self.transactions.iter().flat_map(|one| written(&history.transactions[*one])).collect();
        let mut shown: Vec<String> = Vec::new();
        for value in values {
            if values.len() <= SHORT || matters.contains(value) {
                shown.push(value.to_string());
            } else if shown.last().is_none_or(|last| last != "…") {
                shown.push("…".to_owned());
            }
        }
        format!("[{}]", shown.join(" "))
    }
}

fn written(transaction: &Transaction) -> impl Iterator<Item = i64> {
    transaction.steps.iter().filter_map(|step| match step.action {
        Action::Append { value, .. } => Some(value),
        Action::Insert { member, .. } | Action::Delete { member, .. } => Some(member),
        Action::Read { .. } | Action::Members { .. } | Action::Touch { .. } => None,
    })
}

fn begins(transaction: &Transaction) -> String {
    match transaction.reads_at {
        None => "begins, ".to_owned(),
        Some(ReadsAt::Asked(time)) => format!("asks for {}, ", log_time(time)),
        Some(ReadsAt::Told(time)) => format!("is told {}, ", log_time(time)),
    }
}

/// A cluster time.
fn log_time(time: u64) -> String {
    format!("({}, {})", time >> 32, time & 0xffff_ffff)
}

fn outcome(transaction: &Transaction) -> String {
    match (transaction.outcome, transaction.log_time) {
        (Outcome::Committed, Some(time)) => format!("committed at {}", log_time(time)),
        (Outcome::Committed, None) => "committed".to_owned(),
        (Outcome::Aborted, _) => "aborted".to_owned(),
        (Outcome::Unknown, _) => "no answer".to_owned(),
    }
}

/// When something was sent and answered, in seconds of the test.
fn times(sent: u64, answered: Option<u64>) -> String {
    let seconds = |nanoseconds: u64| format!("{:.6}", std::time::Duration::from_nanos(nanoseconds).as_secs_f64());
    format!("{:>11} to {:>11} s", seconds(sent), answered.map_or("-".to_owned(), seconds))
}
