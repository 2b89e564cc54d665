//! The millstream program: flags, config, assembly, shutdown.
//!
//! | file | idea |
//! |---|---|
//! | `cli` | the commands and their help |
//! | `compatibility` | the page that is rendered from the tables |
//! | `config` | where the engine's settings come from |
//! | `engine` | starting the engine inside this process |
//! | `serve` | the engine as a service: start lines, signals, a clean stop |
//! | `sql` | statements, from a terminal, a file or the command line |
//! | `watch` | changes in a terminal, of any MongoDB |
//! | `log` | how far back the log of any MongoDB reaches |
//! | `tokens`, `groups`, `dead_letters` | what watchers keep in collections |
//! | `doctor` | whether a server is fit to be watched |
//! | `health` | how watchers are doing, for those who look after them |
//! | `mill` | what runs the views and triggers that SQL defines |
//! | `demo` | the thing at work in ten seconds |
//! | `bench` | measurements of any MongoDB-compatible server |
//! | `exit` | exit codes, and errors as one sentence |
//! | `logging` | where log lines go |
//! | `mill` | what SQL has defined, at work |
//! | `parse` | sizes, times, pipelines and near misses in what people type |
//! | `terminal` | colour and width |

mod bench;
mod cli;
mod compatibility;
mod config;
mod dead_letters;
mod demo;
mod doctor;
mod engine;
mod exit;
mod groups;
mod health;
mod log;
mod logging;
mod mill;
mod parse;
mod postgres;
mod serve;
mod signals;
mod sql;
mod sql_command;
mod terminal;
mod tokens;
mod watch;

use std::process::ExitCode;

use clap::Parser;

/// Documents and rows are many small pieces of memory that one thread makes and another one drops.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = cli::Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("millstream: could not start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(cli::run(command));
    // The driver's background tasks have nothing left to say, and must not hold the program up. They are left as they are: if they
    // were taken down one after the other, one could panic for another that is gone.
    std::mem::forget(runtime);
    exit::report(result)
}
