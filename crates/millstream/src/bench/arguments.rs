//! The flags of `bench`, and the plan that they come down to.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::case::CASES;
use super::sql;

/// The end of `bench --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream bench                                   all cases, about four minutes, as a table
  millstream bench latency throughput replay
  millstream bench fanout --mode idle,coll --watchers 1,100,1000,10000
  millstream bench crud --connections 16 --seconds 5 --json
  millstream bench sql                               views and triggers: see bench sql --help
  millstream bench --uri 'mongodb://127.0.0.1:27017/?replicaSet=rs0' \\
                   --uri 'mongodb://127.0.0.1:27018/?replicaSet=rs1'
                                                     two servers side by side, case by case

Cases:
  latency      from just before insert_one to the event in hand, also with w=1
  throughput   events/s to one watcher beside insert_many as fast as it goes
  replay       events/s from a token on, and the time to the first
  delivery     events/s that the client library hands to a callback which does nothing, and memory a
               watcher in the client's process
  fanout       writes/s without and with many watchers, and memory a watcher; modes:
               idle (each filters on a key that never comes), coll (each on a collection of its
               own), own (each write matches exactly one), all (everyone gets everything)
  crud         operations/s of insert, find, update, delete, range at some numbers of connections
  transactions committed/s, each of two updates: apart (no two touch the same document), hot (all
               touch one first) and hot last (all touch one at their end); and open: memory of
               some that are open and do nothing

It works in a database of its own, `millstream_bench`, dropped at the end, and refuses to start if
there is one already. Every watcher is a connection: for 1,000 and more raise the limit of open files
on both sides (`ulimit -n 65536`). Figures drift from machine to machine: compare only what ran side
by side.";

/// Measure one or more servers, or what SQL makes of them.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) other: Option<Other>,
    /// What to measure: all, latency, throughput, replay, delivery, crud, transactions, fanout
    #[arg(value_name = "CASE", value_parser = case, default_value = "all")]
    pub(crate) cases: Vec<String>,
    /// A server; several are measured in turn and put side by side [default: as for `watch`]
    #[arg(long, value_name = "URI")]
    pub(crate) uri: Vec<String>,
    /// What to call the servers in the table, in order
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Vec<String>,
    /// The process ids of the servers, in order, to read their memory [default: what they say]
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Vec<u32>,
    /// How long each figure of crud, transactions and fanout is measured
    #[arg(long, value_name = "N", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Writes of latency
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    pub(crate) writes: u64,
    /// Documents of throughput, replay and delivery
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    pub(crate) documents: u64,
    /// Numbers of watchers of fanout and delivery
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,100,1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) watchers: Vec<u32>,
    /// What the watchers of fanout watch [default: idle at every number, the others once]
    #[arg(long, value_name = "MODE", value_delimiter = ',')]
    pub(crate) mode: Vec<Mode>,
    /// Numbers of connections of crud and transactions
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,8,32", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: Vec<u32>,
    /// Transactions that stay open, of transactions
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) open: u32,
    /// Measure everything so many times, and show the median
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// One JSON object a figure instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Drop a database `millstream_bench` that is there already
    #[arg(long)]
    pub(crate) force: bool,
}

/// What is measured in another way.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Other {
    /// Measure views and triggers
    #[command(after_help = sql::EXAMPLES)]
    Sql(sql::Arguments),
}

/// What the watchers of fanout watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Each a key that never comes
    Idle,
    /// Each a collection of its own
    Coll,
    /// Each write matches exactly one
    Own,
    /// Everyone gets everything
    All,
}

/// What the cases need to know.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seconds: Duration,
    pub(crate) writes: u64,
    pub(crate) documents: u64,
    pub(crate) watchers: Vec<u32>,
    pub(crate) modes: Vec<Mode>,
    pub(crate) connections: Vec<u32>,
    pub(crate) open: u32,
}

impl Arguments {
    /// What the cases need to know.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            seconds: Duration::from_secs_f64(self.seconds),
            writes: self.writes,
            documents: self.documents,
            watchers: self.watchers.clone(),
            modes: self.mode.clone(),
            connections: self.connections.clone(),
            open: self.open,
        }
    }

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

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("not a number of seconds from 0.1 to 3600".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        bench: Arguments,
    }

    fn read(text: &[&str]) -> Result<Arguments, clap::Error> {
        Cli::try_parse_from([&["bench"], text].concat()).map(|cli| cli.bench)
    }

    #[test]
    fn everything_is_measured_unless_cases_are_named() {
        let all = read(&[]).unwrap();
        assert!(CASES.iter().all(|case| all.wants(case.name)));
        let some = read(&["latency", "crud"]).unwrap();
        assert!(some.wants("crud") && !some.wants("fanout"));
        assert!(read(&["speed"]).unwrap_err().to_string().contains("there are"));
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let given = read(&["--watchers", "1,10000", "--mode", "idle,coll", "--connections", "4"]).unwrap();
        let plan = given.plan();
        assert_eq!(plan.watchers, [1, 10_000]);
        assert_eq!(plan.modes, [Mode::Idle, Mode::Coll]);
        assert_eq!(plan.connections, [4]);
        assert!(read(&["--seconds", "0"]).is_err());
        assert!(read(&["--watchers", "0"]).is_err());
    }

    #[test]
    fn every_case_is_in_the_help() {
        assert!(CASES.iter().all(|case| EXAMPLES.contains(&format!("\n  {} ", case.name))));
    }
}
