//! What to do with events beside printing them, and what to do when that fails.

use std::time::Duration;

use clap::{Args, ValueEnum};
use millstream_watch::{Backoff, OnFailure};

use crate::parse;

/// The flags that say where events go.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// Run this with `sh -c` for each event, which it gets as JSON on its standard input; an exit
    /// code other than 0 is a failure
    #[arg(long, value_name = "COMMAND", conflicts_with = "webhook")]
    pub(crate) exec: Option<String>,
    /// How long a command may run
    #[arg(long, value_name = "TIME", default_value = "5min", value_parser = parse::duration)]
    pub(crate) exec_timeout: Duration,
    /// POST each event as JSON to this address; an answer other than 2xx is a failure
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// Sign what is sent with this secret (HMAC-SHA256)
    #[arg(long, value_name = "SECRET", env = "MILLSTREAM_WEBHOOK_SECRET", hide_env_values = true)]
    pub(crate) webhook_secret: Option<String>,
    /// A header to send along, such as 'Authorization: Bearer …'; may be given several times
    #[arg(long, value_name = "'NAME: VALUE'")]
    pub(crate) webhook_header: Vec<String>,
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse::duration)]
    pub(crate) webhook_timeout: Duration,
}

/// The flags that say what to do with events.
#[derive(Debug, Clone, Args)]
pub(crate) struct Deliver {
    #[command(flatten)]
    pub(crate) target: Target,
    /// How many events are dealt with at the same time; those of one document stay in their order
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,
    /// How many events may have come and not be dealt with; then reading waits
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) queue_size: u32,
    /// How often an event is tried again [default: 3, with --webhook 10]
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<u32>,
    /// Put events that still fail into this collection
    #[arg(long, value_name = "[DB.]COLL", value_parser = super::own::name)]
    pub(crate) dead_letter: Option<String>,
    /// After an event that still fails: stop before it, or go on [default: go-on with
    /// --dead-letter, else stop]
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_failure: Option<AfterFailure>,
}

/// After an event that could not be dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AfterFailure {
    /// End with an error; the event comes again at the next start
    Stop,
    /// Go on with the next one
    GoOn,
}

impl Deliver {
    /// Whether events go somewhere else than to standard output.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.target.exec.is_some() || self.target.webhook.is_some()
    }

    /// How often an event is tried again.
    pub(crate) fn retries(&self) -> u32 {
        self.retries.unwrap_or(if self.target.webhook.is_some() { 10 } else { 3 })
    }

    /// How long to wait between tries: a receiver that is away is asked less often than a command.
    pub(crate) fn pause(&self) -> Backoff {
        let longest = Duration::from_secs(if self.target.webhook.is_some() { 30 } else { 5 });
        Backoff { longest, ..Backoff::default() }
    }

    /// What to do after an event that could not be dealt with.
    pub(crate) fn on_failure(&self) -> OnFailure {
        match self.on_failure {
            Some(AfterFailure::Stop) => OnFailure::Stop,
            Some(AfterFailure::GoOn) => OnFailure::GoOn,
            None if self.dead_letter.is_some() => OnFailure::GoOn,
            None => OnFailure::Stop,
        }
    }
}
