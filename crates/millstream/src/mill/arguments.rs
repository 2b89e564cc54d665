//! The flags of `run`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::parse;

/// The end of `run --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream run --uri 'mongodb://db.example/?replicaSet=rs0'
  millstream run --state /var/lib/millstream-mill --name mill-1
  millstream run --pg-listen 127.0.0.1:5432          and psql -h 127.0.0.1 shop

Several of them on one deployment share the work: each view and trigger runs in one of them, and when that one
ends another goes on where it was. `millstream serve` has a mill of its own for the engine's data.
Definitions are made with SQL: `millstream sql`.

Exit codes:
  0  asked to stop     1  it failed     2  the flags make no sense     3  no server was reached";

/// Run the views and triggers that are defined on a MongoDB.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// The server; else MONGO_URL, else CHANGE_STREAM_DB, else the local default
    #[arg(long, value_name = "URI")]
    pub(crate) uri: Option<String>,
    /// Where the state of views is kept; one folder belongs to one process
    #[arg(long, value_name = "FOLDER", env = "MILLSTREAM_STATE", default_value = "./millstream-mill")]
    pub(crate) state: PathBuf,
    /// Speak PostgreSQL's protocol on this address, such as 127.0.0.1:5432; there is no authentication
    #[arg(long, value_name = "ADDR", env = "MILLSTREAM_PG_LISTEN", value_parser = parse::listen_address)]
    pub(crate) pg_listen: Option<SocketAddr>,
    /// What this one is called among several
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How many seconds the others wait for it when it is gone
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) lease: u64,
}
