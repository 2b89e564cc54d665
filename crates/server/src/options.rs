//! What the operator chose.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::SqlRunner;

/// How to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 picks a free one.
    pub address: SocketAddr,
    /// The `host:port` that `hello` names as the one member. Drivers reconnect to it, so every
    /// client must be able to reach it. None: each client is told the address it connected to,
    /// which it evidently can reach.
    pub advertised: Option<String>,
    /// The replica set name.
    pub set_name: String,
    /// Connections beyond this are closed at once.
    pub connections_max: usize,
    /// Whether `configureFailPoint` may make commands fail.
    pub test_commands: bool,
    /// How long a stop waits for commands that are running.
    pub shutdown_grace: Duration,
    /// What `getCmdLineOpts` shows: the program's arguments.
    pub command_line: Vec<String>,
    /// What `getLog: "startupWarnings"` shows, one sentence each.
    pub startup_warnings: Vec<String>,
    /// Who runs what clients send as `sql`; none: nobody.
    pub sql: Option<Arc<dyn SqlRunner>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 27017)),
            advertised: None,
            set_name: "rs0".to_owned(),
            // Far above any pool; a descriptor and a few kilobytes each.
            connections_max: 65_536,
            test_commands: false,
            shutdown_grace: Duration::from_secs(5),
            command_line: Vec::new(),
            startup_warnings: Vec::new(),
            sql: None,
        }
    }
}
