//! The table of cases.

use futures::future::BoxFuture;

use super::arguments::Sizes;
use super::cases::{group, join, load, restart, trigger, update, window};
use super::lab::Lab;
use crate::bench::measure::Measure;

/// The figures of one case, once it is over.
pub(super) type Measuring<'a> = BoxFuture<'a, anyhow::Result<Vec<Measure>>>;

/// One case.
pub(super) struct Case {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// Measures it.
    pub(super) run: for<'a> fn(&'a mut Lab, &'a Sizes) -> Measuring<'a>,
}

/// Every case, in the order in which they run: the quick ones first.
pub(super) static CASES: &[Case] = &[
    Case { name: "group", run: |lab, sizes| Box::pin(group::measure(lab, sizes)) },
    Case { name: "window", run: |lab, sizes| Box::pin(window::measure(lab, sizes)) },
    Case { name: "trigger", run: |lab, sizes| Box::pin(trigger::measure(lab, sizes)) },
    Case { name: "load", run: |lab, sizes| Box::pin(load::measure(lab, sizes)) },
    Case { name: "join", run: |lab, sizes| Box::pin(join::measure(lab, sizes)) },
    Case { name: "update", run: |lab, sizes| Box::pin(update::measure(lab, sizes)) },
    Case { name: "restart", run: |lab, sizes| Box::pin(restart::measure(lab, sizes)) },
];
