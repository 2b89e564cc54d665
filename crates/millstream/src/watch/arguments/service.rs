//! Running as a service: health, and a file with flags.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::parse;

/// The flags of a service.
#[derive(Debug, Clone, Args)]
pub(crate) struct Service {
    /// Serve /livez, /readyz and /metrics (Prometheus) here: HOST:PORT, or a port of this machine's
    /// own address
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) health: Option<SocketAddr>,
    /// Not ready (503) while the oldest event that is not dealt with is older than this
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse::duration)]
    pub(crate) ready_lag_max: Duration,
    /// A TOML file with flags by their names, and a [[watch]] for each watcher
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print every flag, its value and where it comes from, and end
    #[arg(long)]
    pub(crate) print_config: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse() {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    let text = text.replacen("localhost:", "127.0.0.1:", 1);
    text.parse().map_err(|_| format!("`{text}` is no address: write 127.0.0.1:9090, 0.0.0.0:9090 or 9090"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_for_this_machine() {
        let shown = |text| address(text).unwrap().to_string();
        assert_eq!(shown("9090"), "127.0.0.1:9090");
        assert_eq!(shown(":9090"), "127.0.0.1:9090");
        assert_eq!(shown("localhost:1"), "127.0.0.1:1");
        assert_eq!(shown("0.0.0.0:9090"), "0.0.0.0:9090");
        assert!(address("here").is_err());
    }
}
