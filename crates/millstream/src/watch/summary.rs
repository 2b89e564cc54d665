//! What was seen, by kind, and how fast.

use std::collections::BTreeMap;
use std::time::Duration;

/// Kinds beyond this one are counted together: a pipeline can make up any number of them.
const KINDS_MAX: usize = 50;

/// Counts events.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    total: u64,
    by_operation: BTreeMap<String, u64>,
}

impl Summary {
    /// Counts one event.
    pub(crate) fn count(&mut self, operation: &str) {
        self.total += 1;
        if let Some(count) = self.by_operation.get_mut(operation) {
            *count += 1;
            return;
        }
        let name = if self.by_operation.len() < KINDS_MAX { operation } else { "others" };
        *self.by_operation.entry(name.to_owned()).or_default() += 1;
    }

    /// How many events there were.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// `3 events in 4.2 s (0.7/s): insert 2, delete 1`, the most frequent first.
    pub(crate) fn show(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64();
        let events = if self.total == 1 { "event" } else { "events" };
        let mut text = format!("{} {events} in {seconds:.1} s", self.total);
        if self.total == 0 {
            return text;
        }
        let rate = self.total as f64 / seconds.max(0.001);
        text.push_str(&if rate < 10.0 { format!(" ({rate:.1}/s)") } else { format!(" ({rate:.0}/s)") });
        let mut kinds: Vec<_> = self.by_operation.iter().collect();
        kinds.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
        let kinds: Vec<String> =
            kinds.iter().map(|(name, count)| format!("{} {count}", crate::terminal::plain(name))).collect();
        format!("{text}: {}", kinds.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_kind_with_the_most_frequent_first() {
        let mut summary = Summary::default();
        for operation in ["delete", "insert", "insert"] {
            summary.count(operation);
        }
        assert_eq!(summary.show(Duration::from_secs(4)), "3 events in 4.0 s (0.8/s): insert 2, delete 1");
        assert_eq!(Summary::default().show(Duration::from_secs(1)), "0 events in 1.0 s");
    }

    #[test]
    fn made_up_kinds_do_not_grow_without_end() {
        let mut summary = Summary::default();
        for n in 0..1000 {
            summary.count(&n.to_string());
        }
        assert_eq!(summary.total(), 1000);
        assert!(summary.by_operation.len() <= KINDS_MAX + 1);
    }
}
