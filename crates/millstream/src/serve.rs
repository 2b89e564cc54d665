//! `millstream serve`: the engine as a service.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tracing::{info, warn};

use crate::config::ServeConfig;
use crate::engine::{self, Data, EngineOptions, start_engine};
use millstream_value::Namespace;

use crate::mill::{self, Keeper, State};
use crate::signals::Signals;
use crate::sql_command::SqlCommand;
use crate::{logging, parse, postgres, terminal};

/// The end of `serve --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream serve                                   data in ./millstream-data, on 127.0.0.1:27017
  millstream serve --data /var/lib/millstream --oplog-bytes 20GiB --log json
  millstream serve --memory --port 0                 for a test: nothing on disk, a free port
  millstream serve --pg-listen 127.0.0.1:5432        and psql -h 127.0.0.1 shop
  MILLSTREAM_PORT=27018 millstream serve             every flag is also an environment variable
  millstream serve --config m.toml --print-config    see every setting and where it comes from

A config file has the names of the flags:
  data = \"/var/lib/millstream\"
  oplog-bytes = \"20GiB\"
  oplog-hours = 48

A flag beats the environment, which beats the file. There is nothing to initiate: a fresh start is a
primary that streams. Ctrl-C or SIGTERM stops cleanly; a second one stops at once.";

/// Serves until asked to stop.
pub(crate) async fn run(config: ServeConfig) -> anyhow::Result<()> {
    logging::for_engine(config.log, &config.log_level)?;
    let mut signals = Signals::catch().context("could not listen for signals")?;
    if !config.memory {
        make_folder(&config.data)?;
    }
    let sql = Arc::new(SqlCommand::default());
    let options = EngineOptions { sql: Some(sql.clone()), ..engine_options(&config) };
    let warnings = options.warnings.clone();
    // This port, too, before anything is made.
    let postgres = match config.pg_listen {
        Some(address) => Some(postgres::open(address).await?),
        None => None,
    };
    let say_started = |address: SocketAddr| {
        sql.reach(engine::uri(address, &config.replica_set));
        terminal::say(&start_lines(address, &config));
        if let Some(postgres) = &postgres {
            terminal::say(&postgres.line());
        }
        for warning in warnings {
            terminal::say(&format!("WARNING: {warning}\n"));
            warn!("{warning}");
        }
    };
    let mut engine = start_engine(options, say_started).await.map_err(|error| explain(error, &config))?;

    let (stop_mill, stopped) = tokio::sync::oneshot::channel();
    let mill = config.mill.then(|| {
        let keeper = Keeper {
            uri: engine::uri(engine.address, &config.replica_set),
            state: if config.memory { State::Temporary } else { State::Folder(mill::folder_in(&config.data)) },
        };
        let has_definitions = engine.has_collection(Namespace::new("millstream", "definitions"));
        tokio::spawn(keeper.keep(has_definitions, stopped))
    });
    let postgres = postgres.map(|port| port.serve(engine::uri(engine.address, &config.replica_set)));
    let asked = tokio::select! {
        name = signals.next() => name,
        ended = &mut engine.task => {
            return ended.context("the engine failed")?.context("the engine ended by itself");
        }
    };
    info!(signal = asked, "stopping: asked to");
    let stop = async {
        // Those first that are clients of the engine.
        if let Some(postgres) = postgres {
            postgres.stop().await?;
        }
        let _ = stop_mill.send(());
        if let Some(mill) = mill {
            mill.await.context("the mill failed")?;
        }
        engine.stop().await
    };
    tokio::select! {
        result = stop => result.context("could not stop cleanly"),
        again = signals.next() => Err(anyhow!("stopped at once: {again} came a second time")),
    }
}

fn engine_options(config: &ServeConfig) -> EngineOptions {
    EngineOptions {
        data: if config.memory { Data::Memory } else { Data::Folder(config.data.clone()) },
        address: SocketAddr::new(config.bind_ip, config.port),
        cache_bytes: config.cache_bytes,
        images_all: config.images_all,
        oplog_bytes: config.oplog_bytes,
        oplog_age_min: config.oplog_age_min,
        snapshot_window: config.snapshot_window,
        transactions: config.transactions,
        tail_bytes: config.tail_bytes,
        watch_bytes: config.watch_bytes,
        replica_set: config.replica_set.clone(),
        test_commands: config.test_commands,
        warnings: public_warning(config).into_iter().chain(config.pg_listen.and_then(postgres::warning)).collect(),
        sql: None,
    }
}

fn public_warning(config: &ServeConfig) -> Option<String> {
    (!config.bind_ip.is_loopback()).then(|| {
        format!(
            "there is no authentication yet, and {} can be reached from other machines: everyone who reaches port {} can read and change everything",
            config.bind_ip, config.port
        )
    })
}

fn start_lines(address: SocketAddr, config: &ServeConfig) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let uri = engine::uri(address, &config.replica_set);
    format!("millstream {version} listens on {address}\n{}\nconnect with {uri}\n", data_line(config))
}

fn data_line(config: &ServeConfig) -> String {
    let log = parse::show_size(config.oplog_bytes);
    if config.memory {
        return format!("data in memory only: all of it ends with this process (change log: {log})");
    }
    format!("data in {} (change log: {log})", config.data.display())
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        let shown = folder.display();
        match error.kind() {
            ErrorKind::PermissionDenied => anyhow!("the data folder {shown} cannot be created: no permission; choose another with --data, or have it created for this user"),
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => anyhow!("the data folder {shown} is a file: choose another with --data"),
            _ => anyhow!("the data folder {shown} cannot be created: {error}"),
        }
    })
}

/// The usual reasons why a start fails, said with what to do.
fn explain(error: anyhow::Error, config: &ServeConfig) -> anyhow::Error {
    let address = SocketAddr::new(config.bind_ip, config.port);
    if is_locked(&error) {
        let folder = config.data.display();
        return anyhow!(
            "the data folder {folder} is in use by another process: stop that one, or choose another --data"
        );
    }
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    match io {
        Some(ErrorKind::AddrInUse) => {
            anyhow!("{address} is in use: stop the program that listens there, or choose another --port")
        }
        Some(ErrorKind::AddrNotAvailable) => {
            anyhow!("{} is no address of this machine: choose another --bind-ip", config.bind_ip)
        }
        Some(ErrorKind::PermissionDenied) if (1..1024).contains(&config.port) => {
            anyhow!(
                "no permission to listen on port {}: choose one from 1024 up with --port, or check the rights on {}",
                config.port,
                config.data.display()
            )
        }
        Some(ErrorKind::PermissionDenied) => {
            anyhow!(
                "no permission to use the data folder {}: change its owner, or choose another with --data",
                config.data.display()
            )
        }
        _ if config.memory => error.context("could not start"),
        _ => error.context(format!("could not start on the data folder {}", config.data.display())),
    }
}

fn is_locked(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(millstream_db::Error::Storage(cause)) => matches!(**cause, millstream_storage::Error::Locked { .. }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ServeConfig {
        ServeConfig { data: "/d".into(), port: 27017, oplog_bytes: 1 << 30, ..ServeConfig::default() }
    }

    #[test]
    fn only_public_addresses_are_warned_about() {
        assert_eq!(public_warning(&config()), None);
        let public = ServeConfig { bind_ip: "0.0.0.0".parse().unwrap(), ..config() };
        assert!(public_warning(&public).unwrap().contains("no authentication"));
        let other = ServeConfig { bind_ip: "127.0.0.2".parse().unwrap(), ..config() };
        assert_eq!(public_warning(&other), None);
    }

    #[test]
    fn a_taken_port_is_one_sentence() {
        let cause = anyhow::Error::from(io::Error::from(ErrorKind::AddrInUse)).context("could not listen");
        let text = crate::exit::sentence(&explain(cause, &config()));
        assert_eq!(text, "127.0.0.1:27017 is in use: stop the program that listens there, or choose another --port");
    }

    #[test]
    fn other_failures_name_the_folder() {
        let text = crate::exit::sentence(&explain(anyhow!("it is locked"), &config()));
        assert_eq!(text, "could not start on the data folder /d: it is locked");
    }

    #[test]
    fn a_file_in_the_way_is_said_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = make_folder(file.path()).unwrap_err().to_string();
        assert!(text.contains("is a file"), "{text}");
    }

    #[test]
    fn the_data_line_says_where() {
        assert_eq!(data_line(&config()), "data in /d (change log: 1 GiB)");
        assert!(data_line(&ServeConfig { memory: true, ..config() }).contains("memory only"));
    }
}
