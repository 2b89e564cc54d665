//! `--config FILE`: the flags of one watcher or several in a TOML file, by their names.
//!
//! Shape: flags for all watchers, then a `[[watch]]` with those of each.
//! Order: a flag on the command line beats the environment, which beats the file.

mod file;
mod print;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use self::file::{File, Section};
use super::Arguments;
use crate::{cli, exit, terminal};

/// Flags of which only one can be given besides those that know so of each other.
const START: &[&str] = &["resume-after", "start-after", "start-at", "snapshot"];

/// The flags of each watcher; none, if they were only to be printed.
pub(crate) fn resolve(arguments: Arguments) -> anyhow::Result<Option<Vec<Arguments>>> {
    if arguments.service.config.is_none() && !arguments.service.print_config {
        return Ok(Some(vec![arguments]));
    }
    let file = arguments.service.config.as_deref().map(|path| File::read(path, &command())).transpose();
    let file = file.map_err(exit::misuse)?;
    // Once more, to know what was given and what is a default.
    let given = cli::Cli::command().get_matches_from(std::env::args_os());
    let Some(given) = given.subcommand_matches("watch") else { return Ok(Some(vec![arguments])) };
    let sections = file.as_ref().map_or_else(|| vec![Section::default()], |file| file.sections.clone());
    let mut watches = Vec::new();
    let mut printed = String::new();
    for section in sections {
        let section = section.without(|name| is_given(given, name) || has_rival(given, name));
        let matches = merge(&section, given).map_err(exit::misuse)?;
        printed.push_str(&print::table(&command(), &matches, given, &section));
        watches.push(Arguments::from_arg_matches(&matches).map_err(|error| exit::misuse(first_line(&error)))?);
    }
    if arguments.service.print_config {
        terminal::say(&printed);
        return Ok(None);
    }
    Ok(Some(watches))
}

/// `watch` alone.
fn command() -> Command {
    let command = cli::Cli::command();
    command.find_subcommand("watch").cloned().unwrap_or(command).no_binary_name(true)
}

/// The flags of a section, and then those of the command line.
fn merge(section: &Section, given: &ArgMatches) -> Result<ArgMatches, String> {
    let mut line = section.line();
    for argument in command().get_arguments() {
        let (Some(name), Some(ValueSource::CommandLine)) =
            (argument.get_long(), given_source(given, argument.get_id().as_str()))
        else {
            continue;
        };
        let takes_values = argument.get_action().takes_values();
        let values = given.get_raw(argument.get_id().as_str()).into_iter().flatten();
        for value in values {
            let value = value.to_string_lossy();
            line.push(if takes_values { format!("--{name}={value}") } else { format!("--{name}") });
        }
    }
    command().try_get_matches_from(line).map_err(|error| format!("{}: {}", section.place, first_line(&error)))
}

/// Whether it was given in a way that beats the file.
fn is_given(given: &ArgMatches, name: &str) -> bool {
    let source = given_source(given, &name.replace('-', "_"));
    matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

/// Whether something was given that excludes it.
fn has_rival(given: &ArgMatches, name: &str) -> bool {
    let command = command();
    let Some(argument) = command.get_arguments().find(|argument| argument.get_long() == Some(name)) else {
        return false;
    };
    let on_line = |name: &str| given_source(given, &name.replace('-', "_")) == Some(ValueSource::CommandLine);
    let mut conflicts = command.get_arg_conflicts_with(argument).into_iter().filter_map(clap::Arg::get_long);
    conflicts.any(on_line) || (START.contains(&name) && START.iter().any(|name| on_line(name)))
}

fn given_source(given: &ArgMatches, id: &str) -> Option<ValueSource> {
    given.try_contains_id(id).ok().and_then(|_| given.value_source(id))
}

/// What clap says first; the rest is about the command line.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
