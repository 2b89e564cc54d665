//! Flags over environment over file over defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::settings::{SETTINGS, ServeConfig, Setting};
use crate::parse::nearest;

/// Larger files are no config files.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A config file that was read.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    values: BTreeMap<&'static str, String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Environment(&'static str),
    Flag(&'static str),
}

/// A setting's name, its value as text, and where that comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// The settings with their origins.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) config: ServeConfig,
    pub(crate) origins: Vec<Resolved>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// Chooses every setting's value and checks it.
pub(crate) fn merge(
    flags: &BTreeMap<&'static str, String>,
    environment: &dyn Fn(&str) -> Option<String>,
    file: Option<&File>,
) -> Result<Merged, String> {
    let mut config = ServeConfig::default();
    let mut origins = Vec::with_capacity(SETTINGS.len());
    for setting in SETTINGS {
        let resolved = choose(setting, flags, environment, file);
        (setting.set)(&mut config, &resolved.value)
            .map_err(|reason| format!("{} ({}): {reason}", resolved.name, resolved.origin))?;
        origins.push(resolved);
    }
    Ok(Merged { config, origins })
}

/// The table of `--print-config`.
pub(crate) fn show(origins: &[Resolved]) -> String {
    let width = |text: fn(&Resolved) -> &str| origins.iter().map(|r| text(r).chars().count()).max().unwrap_or(0);
    let (name, value) = (width(|r| r.name), width(|r| &r.value));
    origins.iter().map(|r| format!("{:name$}  {:value$}  {}\n", r.name, r.value, r.origin)).collect()
}

impl File {
    /// Reads and checks the file's names; the values are checked when they are used.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let refused = |error: std::io::Error| format!("could not read the config file {}: {error}", path.display());
        let size = std::fs::metadata(path).map_err(refused)?.len();
        if size > FILE_BYTES_MAX {
            return Err(format!("{} is too large for a config file", path.display()));
        }
        let text = std::fs::read_to_string(path).map_err(refused)?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let shown = path.display();
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line =
                error.span().and_then(|span| text.get(..span.start)).map_or(0, |before| before.matches('\n').count());
            format!("{shown}, line {}: {}", line + 1, error.message())
        })?;
        let mut values = BTreeMap::new();
        for (key, value) in &table {
            let known = key.replace('_', "-");
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == known) else {
                let near = nearest(&known, SETTINGS.iter().map(|setting| setting.name));
                let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                return Err(format!("{shown}: there is no setting `{key}`{hint}"));
            };
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(yes) => yes.to_string(),
                toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                    return Err(format!("{shown}: `{key}` is a single value, not {}", value.type_str()));
                }
            };
            values.insert(setting.name, text);
        }
        Ok(Self { path: path.to_owned(), values })
    }
}

fn choose(
    setting: &'static Setting,
    flags: &BTreeMap<&'static str, String>,
    environment: &dyn Fn(&str) -> Option<String>,
    file: Option<&File>,
) -> Resolved {
    let name = setting.name;
    let resolved = |value: String, origin| Resolved { name, value, origin };
    if let Some(value) = flags.get(name) {
        return resolved(value.clone(), Origin::Flag(name));
    }
    for variable in setting.environment {
        if let Some(value) = environment(variable) {
            return resolved(value, Origin::Environment(variable));
        }
    }
    match file.and_then(|file| Some((file, file.values.get(name)?))) {
        Some((file, value)) => resolved(value.clone(), Origin::File(file.path.clone())),
        None => resolved(setting.default.to_owned(), Origin::Default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<File, String> {
        File::parse(Path::new("m.toml"), text)
    }

    fn origin<'a>(merged: &'a Merged, name: &str) -> &'a Resolved {
        merged.origins.iter().find(|resolved| resolved.name == name).unwrap()
    }

    #[test]
    fn the_nearer_source_wins() {
        let file = file("port = 1\noplog_hours = 1.5\nmemory = true\nreplica-set = 'a'\n").unwrap();
        let flags = BTreeMap::from([("port", "3".to_owned())]);
        let environment = |name: &str| match name {
            "MILLSTREAM_PORT" => Some("2".to_owned()),
            "MILLSTREAM_REPLICA_SET" => Some("b".to_owned()),
            _ => None,
        };
        let merged = merge(&flags, &environment, Some(&file)).unwrap();
        assert_eq!(merged.config.port, 3);
        assert_eq!(merged.config.replica_set, "b");
        assert_eq!(merged.config.oplog_age_min.as_secs(), 5400);
        assert!(merged.config.memory);
        assert_eq!(origin(&merged, "port").origin, Origin::Flag("port"));
        assert_eq!(origin(&merged, "replica-set").origin.to_string(), "env MILLSTREAM_REPLICA_SET");
        assert_eq!(origin(&merged, "oplog-hours").origin.to_string(), "file m.toml");
        assert_eq!(origin(&merged, "data").origin, Origin::Default);
    }

    #[test]
    fn the_log_filter_has_a_short_variable() {
        let environment = |name: &str| (name == "MILLSTREAM_LOG").then(|| "debug".to_owned());
        let merged = merge(&BTreeMap::new(), &environment, None).unwrap();
        assert_eq!(merged.config.log_level, "debug");
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest() {
        assert_eq!(file("prot = 1").unwrap_err(), "m.toml: there is no setting `prot`; did you mean `port`?");
        assert_eq!(file("colour = 1").unwrap_err(), "m.toml: there is no setting `colour`");
        assert!(file("[port]\nx = 1").unwrap_err().contains("single value, not table"));
        assert!(file("a = 1\nport = = 2").unwrap_err().starts_with("m.toml, line 2: "));
    }

    #[test]
    fn a_wrong_value_says_where_it_is() {
        let file = file("port = 'high'").unwrap();
        let reason = merge(&BTreeMap::new(), &|_| None, Some(&file)).unwrap_err();
        assert_eq!(reason, "port (file m.toml): `high` is no port (0 to 65535)");
    }

    #[test]
    fn the_print_out_has_columns() {
        let rows = [
            Resolved { name: "data", value: "x".into(), origin: Origin::Default },
            Resolved { name: "bind-ip", value: "::1".into(), origin: Origin::Flag("bind-ip") },
        ];
        assert_eq!(show(&rows), "data     x    default\nbind-ip  ::1  flag --bind-ip\n");
    }
}
