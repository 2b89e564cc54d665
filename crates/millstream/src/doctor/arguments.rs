//! The flags of `doctor`.

use clap::Args;

pub(crate) use crate::terminal::Format;

/// The end of `doctor --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream doctor --uri 'mongodb://db.example/?replicaSet=rs0' --db shop
  millstream doctor --db shop --round-trip          also write a document, and time its event
  millstream doctor --format json | jq 'select(.level != \"ok\")'

Every line is ok, warn or fail, with what to do. Nothing is written without --round-trip.

Exit codes:
  0  nothing failed (there may be warnings)     2  the flags make no sense
  1  something failed                           3  no server was reached";

/// Look whether a server is fit to be watched.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// The server to look at; else MONGO_URL, else CHANGE_STREAM_DB, else the local default
    #[arg(long, value_name = "URI")]
    pub(crate) uri: Option<String>,
    /// The database that is to be watched
    #[arg(long, value_name = "NAME")]
    pub(crate) db: Option<String>,
    /// All databases are to be watched
    #[arg(long, conflicts_with = "db")]
    pub(crate) all: bool,
    /// Insert a document into a collection of its own (`millstream_doctor`), time its event, and drop it
    #[arg(long)]
    pub(crate) round_trip: bool,
    /// The form of the answer
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
}
