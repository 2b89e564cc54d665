//! `--print-config`: every flag, its value, and where that comes from.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::file::Section;
use super::given_source;

/// Flags whose values are nobody's business.
const SECRET: &[&str] = &["webhook-secret", "webhook-header"];

/// The table for one watcher.
pub(super) fn table(command: &Command, matches: &ArgMatches, given: &ArgMatches, section: &Section) -> String {
    let mut rows = Vec::new();
    for argument in command.get_arguments() {
        let (Some(name), id) = (argument.get_long(), argument.get_id().as_str()) else { continue };
        if matches!(name, "help" | "config" | "print-config") {
            continue;
        }
        let origin = match given_source(given, id) {
            _ if section.has(name) => format!("file {}", section.place),
            Some(ValueSource::CommandLine) => format!("flag --{name}"),
            Some(ValueSource::EnvVariable) => "environment".to_owned(),
            _ => "default".to_owned(),
        };
        let values = matches.try_get_raw(id).ok().flatten();
        let values: Vec<_> = values.into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
        let value = match values.is_empty() {
            true => "-".to_owned(),
            false if SECRET.contains(&name) => "(set)".to_owned(),
            false => values.join(" "),
        };
        rows.push(vec![name.to_owned(), value, origin]);
    }
    let title = if section.place.is_empty() { String::new() } else { format!("# {}\n", section.place) };
    format!("{title}{}\n", crate::terminal::columns(&rows))
}
