//! Every setting of the engine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::TransactionLimits;
use crate::logging::LogFormat;
use crate::parse;

/// What to serve, and how.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServeConfig {
    /// The folder of the data; not used if `memory` is set.
    pub(crate) data: PathBuf,
    /// Keep nothing on disk.
    pub(crate) memory: bool,
    /// How many bytes of what was read from disk to hold in memory.
    pub(crate) cache_bytes: u64,
    /// The address to listen on.
    pub(crate) bind_ip: IpAddr,
    /// The port to listen on; 0 picks a free one.
    pub(crate) port: u16,
    /// Keep pre-images for every user collection, whatever its own option says.
    pub(crate) images_all: bool,
    /// Run what SQL defines.
    pub(crate) mill: bool,
    /// How many bytes of the change log to keep.
    pub(crate) oplog_bytes: u64,
    /// How long to keep the change log at least, whatever its size.
    pub(crate) oplog_age_min: Duration,
    /// Where to speak PostgreSQL's protocol, if anywhere.
    pub(crate) pg_listen: Option<SocketAddr>,
    /// The name of the replica set that clients see.
    pub(crate) replica_set: String,
    /// How far back the data can be read as it was.
    pub(crate) snapshot_window: Duration,
    /// What transactions may take.
    pub(crate) transactions: TransactionLimits,
    /// How many bytes of the newest changes to hold in memory.
    pub(crate) tail_bytes: usize,
    /// How many bytes all watchers together may hold beside those.
    pub(crate) watch_bytes: usize,
    /// Let clients make commands fail.
    pub(crate) test_commands: bool,
    /// The form of log lines.
    pub(crate) log: LogFormat,
    /// What to log, as a filter.
    pub(crate) log_level: String,
}

/// One setting.
pub(crate) struct Setting {
    /// Its flag without the dashes, and its key in the config file.
    pub(crate) name: &'static str,
    /// What the value is called in the help; a switch has none.
    pub(crate) value: Option<&'static str>,
    /// Its environment variables, the stronger first.
    pub(crate) environment: &'static [&'static str],
    /// Its value if nothing else is said.
    pub(crate) default: &'static str,
    /// One sentence.
    pub(crate) help: &'static str,
    /// Checks a value and puts it in its place.
    pub(crate) set: fn(&mut ServeConfig, &str) -> Result<(), String>,
}

/// The settings, by name.
pub(crate) static SETTINGS: &[Setting] = &[
    Setting {
        name: "bind-ip",
        value: Some("ADDR"),
        environment: &["MILLSTREAM_BIND_IP"],
        default: "127.0.0.1",
        help: "The address to listen on; there is no authentication yet, so mind who can reach it",
        set: |config, text| {
            config.bind_ip = if text == "localhost" {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            } else {
                text.parse().map_err(|_| format!("`{text}` is no IP address"))?
            };
            Ok(())
        },
    },
    Setting {
        name: "cache-bytes",
        value: Some("SIZE"),
        environment: &["MILLSTREAM_CACHE_BYTES"],
        default: "256MiB",
        help: "How much of what was read from disk to hold in memory; it is taken as it is needed",
        set: |config, text| {
            config.cache_bytes = u64::try_from(memory_size(text)?).unwrap_or(u64::MAX);
            Ok(())
        },
    },
    Setting {
        name: "data",
        value: Some("DIR"),
        environment: &["MILLSTREAM_DATA"],
        default: "./millstream-data",
        help: "The folder of the data; it is created if it is missing",
        set: |config, text| {
            if text.is_empty() {
                return Err("the folder has no name".into());
            }
            config.data = PathBuf::from(text);
            Ok(())
        },
    },
    Setting {
        name: "images",
        value: Some("WHICH"),
        environment: &["MILLSTREAM_IMAGES"],
        default: "collection",
        help: "Whose pre-images to keep: those of the collections whose option asks for it (collection), or all",
        set: |config, text| {
            config.images_all = match text {
                "all" => true,
                "collection" => false,
                _ => return Err(format!("`{text}` is neither collection nor all")),
            };
            Ok(())
        },
    },
    Setting {
        name: "log",
        value: Some("FORMAT"),
        environment: &["MILLSTREAM_LOG_FORMAT"],
        default: "pretty",
        help: "The form of log lines on standard error: pretty or json",
        set: |config, text| {
            config.log = match text {
                "pretty" => LogFormat::Pretty,
                "json" => LogFormat::Json,
                _ => return Err(format!("`{text}` is neither pretty nor json")),
            };
            Ok(())
        },
    },
    Setting {
        name: "log-level",
        value: Some("FILTER"),
        environment: &["MILLSTREAM_LOG_LEVEL", "MILLSTREAM_LOG"],
        default: "info",
        help: "How much to log: error, warn, info, debug, trace, or a filter such as info,millstream_storage=debug",
        set: |config, text| {
            tracing_subscriber::EnvFilter::try_new(text)
                .map_err(|error| format!("`{text}` is no level and no filter ({error})"))?;
            text.clone_into(&mut config.log_level);
            Ok(())
        },
    },
    Setting {
        name: "memory",
        value: None,
        environment: &["MILLSTREAM_MEMORY"],
        default: "false",
        help: "Keep nothing on disk: for tests and experiments",
        set: |config, text| {
            config.memory = switch(text)?;
            Ok(())
        },
    },
    Setting {
        name: "mill",
        value: Some("STATE"),
        environment: &["MILLSTREAM_MILL"],
        default: "on",
        help: "Run the views and triggers that SQL defines in this process: on, or off where `millstream run` does it",
        set: |config, text| {
            config.mill = match text {
                "on" => true,
                "off" => false,
                _ => return Err(format!("`{text}` is neither on nor off")),
            };
            Ok(())
        },
    },
    Setting {
        name: "oplog-bytes",
        value: Some("SIZE"),
        environment: &["MILLSTREAM_OPLOG_BYTES"],
        default: "1GiB",
        help: "How much of the change log to keep, such as 512MB or 2GiB: how far back watchers can resume",
        set: |config, text| {
            let bytes = parse::size(text)?;
            if bytes < OPLOG_BYTES_MIN {
                return Err(format!("`{text}` is too little: a log needs 1MiB at least"));
            }
            config.oplog_bytes = bytes;
            Ok(())
        },
    },
    Setting {
        name: "oplog-hours",
        value: Some("HOURS"),
        environment: &["MILLSTREAM_OPLOG_HOURS"],
        default: "0",
        help: "Keep the change log for so many hours at least, even if it grows beyond its size; 0 sets no time",
        set: |config, text| {
            let hours: f64 = text.parse().map_err(|_| format!("`{text}` is no number of hours"))?;
            config.oplog_age_min = Duration::try_from_secs_f64(hours * 3600.0)
                .map_err(|_| format!("`{text}` is no number of hours that can be kept"))?;
            Ok(())
        },
    },
    Setting {
        name: "pg-listen",
        value: Some("ADDR"),
        environment: &["MILLSTREAM_PG_LISTEN"],
        default: "off",
        help: "Speak PostgreSQL's protocol on this address, such as 127.0.0.1:5432, for psql, dashboards and drivers; or off",
        set: |config, text| {
            config.pg_listen = if text == "off" { None } else { Some(parse::listen_address(text)?) };
            Ok(())
        },
    },
    Setting {
        name: "port",
        value: Some("PORT"),
        environment: &["MILLSTREAM_PORT"],
        default: "27017",
        help: "The port to listen on; 0 picks a free one",
        set: |config, text| {
            config.port = text.parse().map_err(|_| format!("`{text}` is no port (0 to 65535)"))?;
            Ok(())
        },
    },
    Setting {
        name: "replica-set",
        value: Some("NAME"),
        environment: &["MILLSTREAM_REPLICA_SET"],
        default: "rs0",
        help: "The name of the replica set that clients see",
        set: |config, text| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if text.is_empty() || !text.chars().all(fits) {
                return Err(format!("`{text}` is no name: use letters, digits, - _ and ."));
            }
            text.clone_into(&mut config.replica_set);
            Ok(())
        },
    },
    Setting {
        name: "snapshot-window",
        value: Some("SECONDS"),
        environment: &["MILLSTREAM_SNAPSHOT_WINDOW"],
        default: "300",
        help: "How far back data can be read as it was (readConcern snapshot, atClusterTime); what was overwritten since stays on disk",
        set: |config, text| {
            config.snapshot_window = seconds(text)?;
            Ok(())
        },
    },
    Setting {
        name: "tail-bytes",
        value: Some("SIZE"),
        environment: &["MILLSTREAM_TAIL_BYTES"],
        default: "32MiB",
        help: "How much of the newest changes to hold in memory for watchers; those further behind read the disk",
        set: |config, text| {
            config.tail_bytes = memory_size(text)?;
            Ok(())
        },
    },
    Setting {
        name: "test-commands",
        value: None,
        environment: &["MILLSTREAM_TEST_COMMANDS"],
        default: "false",
        help: "Let clients make commands fail with configureFailPoint: for tests of applications and drivers",
        set: |config, text| {
            config.test_commands = switch(text)?;
            Ok(())
        },
    },
    Setting {
        name: "transaction-bytes",
        value: Some("SIZE"),
        environment: &["MILLSTREAM_TRANSACTION_BYTES"],
        default: "128MiB",
        help: "How much a transaction may write before it is committed",
        set: |config, text| {
            config.transactions.bytes_max = memory_size(text)?;
            Ok(())
        },
    },
    Setting {
        name: "transaction-seconds",
        value: Some("SECONDS"),
        environment: &["MILLSTREAM_TRANSACTION_SECONDS"],
        default: "60",
        help: "How long a transaction may stay open before it is aborted",
        set: |config, text| {
            config.transactions.life = seconds(text)?;
            if config.transactions.life.is_zero() {
                return Err("a transaction needs a second at least".to_owned());
            }
            Ok(())
        },
    },
    Setting {
        name: "transactions-max",
        value: Some("COUNT"),
        environment: &["MILLSTREAM_TRANSACTIONS_MAX"],
        default: "10000",
        help: "How many transactions may be open at once",
        set: |config, text| {
            config.transactions.open_max =
                text.parse().map_err(|_| format!("`{text}` is no number of transactions"))?;
            Ok(())
        },
    },
    Setting {
        name: "watch-bytes",
        value: Some("SIZE"),
        environment: &["MILLSTREAM_WATCH_BYTES"],
        default: "256MiB",
        help: "How much memory all watchers together may take for what is read ahead and sent to them",
        set: |config, text| {
            config.watch_bytes = memory_size(text)?;
            Ok(())
        },
    },
];

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| format!("`{text}` is no whole number of seconds"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// Below this the disk would be read again and again.
const MEMORY_BYTES_MIN: usize = 1 << 20;

fn memory_size(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(parse::size(text)?).map_err(|_| format!("`{text}` is more than this machine has"))?;
    if bytes < MEMORY_BYTES_MIN { Err(format!("`{text}` is too little: 1MiB at least")) } else { Ok(bytes) }
}

/// Below this a single transaction would not fit.
const OPLOG_BYTES_MIN: u64 = 1 << 20;

impl Default for ServeConfig {
    /// Zeroes: the defaults that count are those of the table, which `merge` applies.
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            memory: false,
            cache_bytes: 0,
            bind_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            images_all: false,
            mill: false,
            oplog_bytes: 0,
            oplog_age_min: Duration::ZERO,
            pg_listen: None,
            replica_set: String::new(),
            snapshot_window: Duration::ZERO,
            transactions: TransactionLimits::default(),
            tail_bytes: 0,
            watch_bytes: 0,
            test_commands: false,
            log: LogFormat::default(),
            log_level: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_valid() {
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
        let mut config = ServeConfig::default();
        for setting in SETTINGS {
            (setting.set)(&mut config, setting.default).unwrap();
        }
        assert_eq!(config.port, 27017);
        assert_eq!(config.oplog_bytes, 1 << 30);
        assert_eq!(config.replica_set, "rs0");
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            ("bind-ip", "here"),
            ("cache-bytes", "1000"),
            ("data", ""),
            ("images", "none"),
            ("log", "xml"),
            ("log-level", "info,,=x=["),
            ("memory", "perhaps"),
            ("mill", "perhaps"),
            ("oplog-bytes", "12"),
            ("oplog-hours", "-1"),
            ("oplog-hours", "NaN"),
            ("pg-listen", "here"),
            ("pg-listen", "::1:99999"),
            ("port", "70000"),
            ("replica-set", "a b"),
            ("tail-bytes", "1"),
            ("watch-bytes", "much"),
            ("snapshot-window", "long"),
            ("test-commands", "perhaps"),
            ("transaction-bytes", "1KB"),
            ("transaction-seconds", "0"),
            ("transactions-max", "many"),
        ] {
            let setting = SETTINGS.iter().find(|setting| setting.name == name).unwrap();
            assert!((setting.set)(&mut ServeConfig::default(), value).is_err(), "{name}={value}");
        }
    }
}
