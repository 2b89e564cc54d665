//! The table of cases, and the jobs that they come down to.

use futures::future::BoxFuture;

use super::arguments::Plan;
use super::cases::{crud, delivery, fanout, latency, replay, throughput, transactions};
use super::measure::Measure;
use super::target::Target;

/// One case.
pub(crate) struct Case {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// The jobs that a plan asks for.
    pub(crate) jobs: fn(&Plan) -> Vec<Job>,
}

/// Every case, in the order in which they run: the quick ones first.
pub(crate) static CASES: &[Case] = &[
    Case { name: "latency", jobs: latency::jobs },
    Case { name: "throughput", jobs: throughput::jobs },
    Case { name: "replay", jobs: replay::jobs },
    Case { name: "delivery", jobs: delivery::jobs },
    Case { name: "crud", jobs: crud::jobs },
    Case { name: "transactions", jobs: transactions::jobs },
    Case { name: "fanout", jobs: fanout::jobs },
];

/// The figures of one run, once it is over.
type Measuring<'a> = BoxFuture<'a, anyhow::Result<Vec<Measure>>>;

/// One thing to measure on each server in turn.
pub(crate) struct Job {
    /// What stands in the table, such as `fanout idle 1000`.
    pub(crate) name: String,
    /// Measures it once.
    pub(crate) run: Box<dyn for<'a> Fn(&'a Target) -> Measuring<'a> + Send + Sync>,
}

impl Job {
    /// A job from its name and what it does.
    pub(crate) fn new<F>(name: impl Into<String>, run: F) -> Self
    where
        F: for<'a> Fn(&'a Target) -> Measuring<'a> + Send + Sync + 'static,
    {
        Self { name: name.into(), run: Box::new(run) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::bench::arguments::Mode;

    fn names(modes: Vec<Mode>) -> Vec<String> {
        let plan = Plan {
            seconds: Duration::from_secs(1),
            writes: 10,
            documents: 1000,
            watchers: vec![1, 100, 1000],
            modes,
            connections: vec![1, 8],
            open: 1000,
        };
        CASES.iter().flat_map(|case| (case.jobs)(&plan)).map(|job| job.name).collect()
    }

    #[test]
    fn jobs_have_names_of_their_own() {
        let names = names(Vec::new());
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        for name in [
            "latency",
            "latency w=1",
            "replay",
            "delivery",
            "delivery watchers 1000",
            "fanout idle 1000",
            "fanout all 100",
            "crud insert_one 8",
            "transactions hot 8",
            "transactions open 1000",
        ] {
            assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
        }
    }

    #[test]
    fn chosen_modes_run_at_every_number_of_watchers() {
        let names = names(vec![Mode::Own]);
        let fanout: Vec<_> = names.iter().filter(|name| name.starts_with("fanout")).collect();
        assert_eq!(fanout, ["fanout own 1", "fanout own 100", "fanout own 1000"]);
    }
}
