//! The commands and their help.

use clap::{Parser, Subcommand};

use crate::{
    bench, compatibility, config, dead_letters, demo, doctor, exit, groups, log, logging, mill, serve, sql, terminal,
    tokens, watch,
};

/// A document database whose heart is change streams.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, arg_required_else_help = true, subcommand_required = true)]
#[command(max_term_width = 110, disable_help_subcommand = true)]
#[command(after_help = "\
Start here:
  millstream demo                       see it work, ten seconds, leaves nothing behind
  millstream serve                      start the engine, then connect any MongoDB driver
  millstream watch --db shop            see every change in the database `shop`
  millstream sql --db shop              ask in SQL, once or for as long as you look

`millstream <command> --help` has more of everything.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the engine: a durable database that any MongoDB driver can use
    #[command(after_help = serve::EXAMPLES)]
    Serve(config::ServeArguments),
    /// Show changes in a terminal or hand them to other programs, of Millstream or any other MongoDB
    #[command(after_help = watch::EXAMPLES)]
    Watch(Box<watch::Arguments>),
    /// Run SQL: queries, changes as they come, views and triggers, on Millstream or any other MongoDB
    #[command(after_help = sql::EXAMPLES)]
    Sql(sql::Arguments),
    /// Run the views and triggers that SQL has defined, on Millstream or any other MongoDB
    #[command(after_help = mill::EXAMPLES)]
    Run(mill::Arguments),
    /// Show how far back the log reaches and how long that lasts, of Millstream or any other MongoDB
    #[command(after_help = log::EXAMPLES)]
    Log(log::Arguments),
    /// Look at the positions of named watchers, and forget them
    #[command(after_help = tokens::EXAMPLES)]
    Tokens(tokens::Arguments),
    /// Look at the groups of processes that share a stream
    #[command(after_help = groups::EXAMPLES)]
    Groups(groups::Arguments),
    /// Look at events that could not be dealt with, try them again, or drop them
    #[command(after_help = dead_letters::EXAMPLES)]
    DeadLetters(dead_letters::Arguments),
    /// Look whether a MongoDB is fit to be watched, and say what to do if not
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Arguments),
    /// See writes and their events side by side, with an engine of its own
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::Arguments),
    /// Measure one or more MongoDB-compatible servers
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::Arguments),
    /// Print the version
    Version,
    /// Print what of MongoDB is here, as the page in the documentation
    #[command(hide = true)]
    Compatibility,
}

/// Runs a command to its end.
pub(crate) async fn run(command: Command) -> anyhow::Result<exit::Code> {
    match command {
        Command::Serve(arguments) => {
            let Some(config) = config::resolve(arguments)? else {
                return Ok(exit::Code::Done);
            };
            serve::run(config).await?;
            Ok(exit::Code::Done)
        }
        Command::Watch(arguments) => {
            logging::for_clients();
            watch::run(*arguments).await
        }
        Command::Sql(arguments) => {
            logging::for_clients();
            sql::run(arguments).await
        }
        Command::Run(arguments) => {
            logging::for_clients();
            mill::run(arguments).await
        }
        Command::Log(arguments) => {
            logging::for_clients();
            log::run(arguments).await
        }
        Command::Tokens(arguments) => {
            logging::for_clients();
            tokens::run(arguments).await
        }
        Command::Groups(arguments) => {
            logging::for_clients();
            groups::run(arguments).await
        }
        Command::DeadLetters(arguments) => {
            logging::for_clients();
            dead_letters::run(arguments).await
        }
        Command::Doctor(arguments) => {
            logging::for_clients();
            doctor::run(arguments).await
        }
        Command::Demo(arguments) => {
            logging::for_clients();
            demo::run(arguments).await
        }
        Command::Bench(arguments) => {
            logging::for_clients();
            bench::run(arguments).await
        }
        Command::Compatibility => {
            terminal::say(&compatibility::page());
            Ok(exit::Code::Done)
        }
        Command::Version => {
            terminal::say(concat!("millstream ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(exit::Code::Done)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands().filter(|c| c.get_name() != "version" && !c.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("millstream "), "{}", command.get_name());
        }
    }
}
