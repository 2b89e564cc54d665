//! The file, and what is in it as flags.

use std::path::Path;

use clap::Command;

use crate::parse::nearest;

/// Larger files are no config files.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Flags that make no sense in a file.
const NOT_IN_FILES: &[&str] = &["config", "print-config", "help"];
/// Flags of the whole process.
const OF_THE_PROCESS: &[&str] = &["health"];

/// A config file that was read.
#[derive(Debug)]
pub(super) struct File {
    /// One for each watcher.
    pub(super) sections: Vec<Section>,
}

/// The flags of one watcher.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    /// Where it stands, for messages.
    pub(super) place: String,
    /// Names without dashes, and values; none for a switch.
    flags: Vec<(String, Option<String>)>,
}

impl File {
    /// Reads it and checks its names; the values are checked as those of flags.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Self, String> {
        let refused = |error: std::io::Error| format!("could not read the config file {}: {error}", path.display());
        if std::fs::metadata(path).map_err(refused)?.len() > FILE_BYTES_MAX {
            return Err(format!("{} is too large for a config file", path.display()));
        }
        let text = std::fs::read_to_string(path).map_err(refused)?;
        Self::parse(&path.display().to_string(), &text, command)
    }

    fn parse(shown: &str, text: &str, command: &Command) -> Result<Self, String> {
        let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(0, |before| before.matches('\n').count());
            format!("{shown}, line {}: {}", line + 1, error.message())
        })?;
        let watches = match table.remove("watch") {
            None => vec![toml::Table::new()],
            Some(toml::Value::Array(watches)) => {
                let tables = watches.into_iter().map(|watch| match watch {
                    toml::Value::Table(watch) => Ok(watch),
                    _ => Err(format!("{shown}: write [[watch]] above the flags of each watcher")),
                });
                tables.collect::<Result<_, _>>()?
            }
            Some(_) => return Err(format!("{shown}: write [[watch]] above the flags of each watcher")),
        };
        let mut sections = Vec::new();
        for (number, watch) in watches.into_iter().enumerate() {
            let place = format!("{shown}, watch {}", number + 1);
            if let Some(name) = watch.keys().find(|name| OF_THE_PROCESS.contains(&name.as_str())) {
                return Err(format!("{place}: `{name}` is one for all watchers, and stands above the first [[watch]]"));
            }
            let mut section = Section { place, flags: Vec::new() };
            for (name, value) in table.iter().filter(|(name, _)| !watch.contains_key(*name)).chain(&watch) {
                section.add(name, value, command)?;
            }
            sections.push(section);
        }
        Ok(Self { sections })
    }
}

impl Section {
    fn add(&mut self, name: &str, value: &toml::Value, command: &Command) -> Result<(), String> {
        let place = &self.place;
        let known = name.replace('_', "-");
        let names =
            || command.get_arguments().filter_map(clap::Arg::get_long).filter(|name| !NOT_IN_FILES.contains(name));
        if !names().any(|name| name == known) {
            let hint = nearest(&known, names()).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(format!("{place}: there is no flag `{name}`{hint}"));
        }
        // A pipeline may be written in TOML too.
        if known == "pipeline" && !value.is_str() {
            let json = serde_json::to_string(value).map_err(|error| format!("{place}: `{name}`: {error}"))?;
            self.flags.push((known, Some(json)));
            return Ok(());
        }
        let single = |value: &toml::Value| match value {
            toml::Value::String(text) => Ok(Some(text.clone())),
            toml::Value::Integer(number) => Ok(Some(number.to_string())),
            toml::Value::Float(number) => Ok(Some(number.to_string())),
            toml::Value::Datetime(time) => Ok(Some(time.to_string())),
            toml::Value::Boolean(_) => Ok(None),
            toml::Value::Array(_) | toml::Value::Table(_) => {
                Err(format!("{place}: `{name}` cannot be {}", value.type_str()))
            }
        };
        let mut add = |value: &toml::Value| -> Result<(), String> {
            if value.as_bool() != Some(false) {
                self.flags.push((known.clone(), single(value)?));
            }
            Ok(())
        };
        match value {
            toml::Value::Array(values) => values.iter().try_for_each(add),
            value => add(value),
        }
    }

    /// Those flags that are not beaten by others.
    pub(super) fn without(mut self, is_beaten: impl Fn(&str) -> bool) -> Self {
        self.flags.retain(|(name, _)| !is_beaten(name));
        self
    }

    /// Whether it has a flag of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|(own, _)| own == name)
    }

    /// As they would be on a command line.
    pub(super) fn line(&self) -> Vec<String> {
        let flag = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        };
        self.flags.iter().map(flag).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Vec<String>>, String> {
        let file = File::parse("w.toml", text, &super::super::command())?;
        Ok(file.sections.iter().map(Section::line).collect())
    }

    #[test]
    fn flags_for_all_and_for_each() {
        let lines = parse(
            "db = 'shop'\nquiet = true\n[[watch]]\nwatcher = 'a'\ncollection = ['x', 'y']\nfollow = false\n\
             [[watch]]\nwatcher = 'b'\ndb = 'other'\nqueue_size = 5\npipeline = [{'$match' = {n = 1}}]\n",
        )
        .unwrap();
        let mut lines: Vec<Vec<&str>> = lines.iter().map(|line| line.iter().map(String::as_str).collect()).collect();
        lines.iter_mut().for_each(|line| line.sort_unstable());
        assert_eq!(lines[0], ["--collection=x", "--collection=y", "--db=shop", "--quiet", "--watcher=a"]);
        let pipeline = r#"--pipeline=[{"$match":{"n":1}}]"#;
        assert_eq!(lines[1], ["--db=other", pipeline, "--queue-size=5", "--quiet", "--watcher=b"]);
        assert_eq!(parse("").unwrap(), [Vec::<String>::new()]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let reason = |text: &str| parse(text).unwrap_err();
        assert_eq!(
            reason("colection = 'x'"),
            "w.toml, watch 1: there is no flag `colection`; did you mean `collection`?"
        );
        assert!(reason("config = 'x'").contains("there is no flag `config`"));
        assert!(reason("[[watch]]\nhealth = '1'").contains("above the first [[watch]]"));
        assert!(reason("[watch]\ndb = 'x'").contains("[[watch]]"));
        assert!(reason("a = = 1").starts_with("w.toml, line 1: "));
        assert!(reason("db = {a = 1}").contains("cannot be table"));
    }
}
