//! Lines for the shell itself: `\d`, `\timing`, `\watch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::arguments::Format;
use crate::parse;

/// What such a line asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Meta {
    /// Other names are in another database now.
    Database(String),
    /// What a table looks like.
    Describe(String),
    /// Other rows.
    Expanded,
    /// Another form of rows.
    Format(Format),
    /// What there is to type.
    Help,
    /// A file of statements.
    Include(PathBuf),
    /// Lists, merged into one: what each is called, and the statement that gives it.
    List(&'static [(&'static str, &'static str)]),
    /// Rows go into a file, or back to the terminal.
    Output(Option<PathBuf>),
    /// The end.
    Quit,
    /// How long statements take.
    Timing,
    /// The last statement again and again.
    Watch(Duration),
}

/// One of the commands.
struct Command {
    name: &'static str,
    /// What follows it.
    takes: &'static str,
    help: &'static str,
    make: fn(Option<&str>) -> Result<Meta, String>,
}

const RELATIONS: &[(&str, &str)] =
    &[("view", "SHOW VIEWS"), ("materialized view", "SHOW MATERIALIZED VIEWS"), ("table", "SHOW TABLES")];
const ROUTINES: &[(&str, &str)] = &[("function", "SHOW FUNCTIONS"), ("procedure", "SHOW PROCEDURES")];
const TABLES: &[(&str, &str)] = &[("table", "SHOW TABLES")];
const TRIGGERS: &[(&str, &str)] = &[("trigger", "SHOW TRIGGERS")];
const VIEWS: &[(&str, &str)] = &[("view", "SHOW VIEWS"), ("materialized view", "SHOW MATERIALIZED VIEWS")];

/// Every command.
// tidy: sorted by name
static COMMANDS: &[Command] = &[
    Command { name: "?", takes: "", help: "this list", make: |_| Ok(Meta::Help) },
    Command { name: "c", takes: "DB", help: "use another database", make: |name| needed(name).map(Meta::Database) },
    Command { name: "d", takes: "[NAME]", help: "what there is; or what a table looks like", make: describe },
    Command { name: "df", takes: "", help: "functions and procedures", make: |_| Ok(Meta::List(ROUTINES)) },
    Command { name: "dg", takes: "", help: "triggers", make: |_| Ok(Meta::List(TRIGGERS)) },
    Command { name: "dt", takes: "", help: "tables", make: |_| Ok(Meta::List(TABLES)) },
    Command { name: "dv", takes: "", help: "views and materialized views", make: |_| Ok(Meta::List(VIEWS)) },
    Command { name: "format", takes: "table|json|csv", help: "how rows are written", make: format },
    Command { name: "i", takes: "FILE", help: "run the statements of a file", make: include },
    Command { name: "o", takes: "[FILE]", help: "write rows into a file; or here again", make: output },
    Command { name: "q", takes: "", help: "end", make: |_| Ok(Meta::Quit) },
    Command { name: "timing", takes: "", help: "say how long statements take, or no more", make: |_| Ok(Meta::Timing) },
    Command { name: "watch", takes: "[SECONDS]", help: "run the last statement again and again", make: watch },
    Command { name: "x", takes: "", help: "a line for each field of a row, or no more", make: |_| Ok(Meta::Expanded) },
];

/// Reads a line that begins with a backslash.
pub(super) fn read(line: &str) -> Result<Meta, String> {
    let line = line.trim_start_matches('\\').trim().trim_end_matches(';');
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = Some(rest.trim()).filter(|rest| !rest.is_empty());
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("there is no \\{name}: \\? lists what there is"));
    };
    if command.takes.is_empty() && rest.is_some() {
        return Err(format!("\\{name} takes nothing"));
    }
    (command.make)(rest).map_err(|problem| format!("\\{name} {}: {problem}", command.takes))
}

/// What there is to type.
pub(super) fn help() -> String {
    let row = |command: &Command| vec![format!("\\{} {}", command.name, command.takes), command.help.to_owned()];
    let commands = crate::terminal::columns(&COMMANDS.iter().map(row).collect::<Vec<_>>());
    format!("{commands}\nAnything else is SQL, up to a semicolon. Tab completes, Ctrl-C cancels, Ctrl-D ends.\n")
}

/// Names of commands, with the backslash.
pub(super) fn names() -> impl Iterator<Item = String> {
    COMMANDS.iter().map(|command| format!("\\{}", command.name))
}

fn needed(text: Option<&str>) -> Result<String, String> {
    text.map(str::to_owned).ok_or_else(|| "it needs a name".to_owned())
}

fn describe(name: Option<&str>) -> Result<Meta, String> {
    Ok(name.map_or(Meta::List(RELATIONS), |name| Meta::Describe(name.to_owned())))
}

fn format(name: Option<&str>) -> Result<Meta, String> {
    Format::from_str(name.unwrap_or_default(), true).map(Meta::Format).map_err(|_| "there is no such form".to_owned())
}

fn include(path: Option<&str>) -> Result<Meta, String> {
    needed(path).map(|path| Meta::Include(path.into()))
}

fn output(path: Option<&str>) -> Result<Meta, String> {
    Ok(Meta::Output(path.map(PathBuf::from)))
}

fn watch(seconds: Option<&str>) -> Result<Meta, String> {
    const SECONDS_BETWEEN: f64 = 2.0;
    const SECONDS_MIN: f64 = 0.01;
    let seconds = seconds.map_or(Ok(SECONDS_BETWEEN), |text| text.parse().map_err(|_| "write a number of seconds"))?;
    let wait = Duration::try_from_secs_f64(seconds).ok().filter(|wait| wait.as_secs_f64() >= SECONDS_MIN);
    wait.map(Meta::Watch).ok_or_else(|| {
        format!("write a number of seconds, at least {}", parse::show_duration(Duration::from_millis(10)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        assert_eq!(read("\\d"), Ok(Meta::List(RELATIONS)));
        assert_eq!(read("\\d orders;"), Ok(Meta::Describe("orders".to_owned())));
        assert_eq!(read("\\watch 0.5"), Ok(Meta::Watch(Duration::from_millis(500))));
        assert_eq!(read("\\watch"), Ok(Meta::Watch(Duration::from_secs(2))));
        assert_eq!(read("\\format JSON"), Ok(Meta::Format(Format::Json)));
        for wrong in ["\\nope", "\\q now", "\\i", "\\watch x", "\\watch 0", "\\watch -1", "\\format xml", "\\"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
