//! The flags of `bench sql`.

use clap::Args;

use super::case::CASES;

/// The end of `bench sql --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream bench sql                               all cases, about ten minutes, as a table
  millstream bench sql group window --changes 100000
  millstream bench sql join --rows 100000 --json
  millstream bench sql group --uri 'mongodb://127.0.0.1:27017/?replicaSet=rs0'

Cases:
  group    a view with COUNT, SUM and AVG by one of 1,000 groups, over inserts
  join     a view that joins two collections on a key, while the rows of both are inserted
  update   the same view, over updates of random rows of either
  window   an append-only view: COUNT and SUM over the last hour of each change's customer
  load     the first load of a view with COUNT, SUM and AVG over documents that are there
  trigger  a trigger that inserts one document for each change, exactly once
  restart  from the start of the mill (and of its own engine) until a view with much state answers,
           and until it shows a new change

Over a stream three things are measured. `mill`: the changes were written while the view was
paused, and it has to work them off, with nobody else at work. `beside a writer`: from the first
write to the last change in the view, while one client writes as fast as it can. `visible`: from
just before one more insert until its row is seen by who watches the view, while --rate changes a
second are written. The processor time of the two processes is shown where Linux tells it.

Without --uri there is an engine for each case, and a folder for it that goes with it. With --uri the
work is done in a database of its own, `millstream_bench`, dropped at the end; other mills of that
deployment would take the views over, so stop them. Client, engine and mill share the machine.";

/// Measure views and triggers.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// What to measure: all, group, join, update, window, load, trigger, restart
    #[arg(value_name = "CASE", value_parser = case, default_value = "all")]
    pub(crate) cases: Vec<String>,
    /// A server [default: an engine of its own]
    #[arg(long, value_name = "URI")]
    pub(crate) uri: Option<String>,
    #[command(flatten)]
    pub(crate) sizes: Sizes,
    /// One JSON object a figure instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Drop a database `millstream_bench` that is there already
    #[arg(long)]
    pub(crate) force: bool,
}

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sizes {
    /// Changes of group, update and window
    #[arg(long, value_name = "N", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    pub(crate) changes: u64,
    /// Documents of load, and of each side of join and update
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    pub(crate) rows: u64,
    /// Customers of window
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) customers: u64,
    /// Changes a second while it is measured how soon one is visible
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    pub(crate) rate: u64,
    /// How long that is
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Changes of trigger
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    pub(crate) triggers: u64,
    /// Keep pre-images of the tables of group, join and update, so that their views need no copies of them
    #[arg(long)]
    pub(crate) images: bool,
    /// State of restart, in MB
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) state_mb: u64,
}

impl Arguments {
    /// Whether a case was asked for.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.cases.iter().any(|asked| asked == case || asked == "all")
    }
}

fn case(text: &str) -> Result<String, String> {
    let known = || CASES.iter().map(|case| case.name).chain(["all"]);
    if known().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    Err(format!("there is no such case: there are {}", known().collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_in_the_help() {
        assert!(CASES.iter().all(|case| EXAMPLES.contains(&format!("\n  {} ", case.name))));
    }
}
