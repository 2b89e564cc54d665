//! The flags of `groups`.

use clap::{Args, Subcommand};
use millstream_watch::GROUPS;

pub(crate) use crate::terminal::Format;
use crate::watch::{Where, own_name};

/// The end of `groups --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream groups list --db shop                  every group, with its members and its lag
  millstream groups show billing --db shop          its members, their partitions, and how far behind they are
  millstream groups show billing --db shop --format json | jq .lagSeconds

They are the groups of `millstream watch --group NAME`, and of programs that use the library.

Exit codes:
  0  done                        3  no server was reached
  1  something else went wrong   4  the server refuses (no rights)
  2  the flags make no sense     5  there is no group of that name";

/// Look at groups.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The collection that they are in
    #[arg(long, value_name = "[DB.]COLL", default_value = GROUPS, value_parser = own_name, global = true)]
    pub(crate) groups: String,
    /// The form of the answer
    #[arg(long, value_name = "FORMAT", default_value = "table", global = true)]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What to look at.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum What {
    /// Show all groups, a row each
    List,
    /// Show one with its members
    Show {
        /// Its name
        group: String,
    },
}
