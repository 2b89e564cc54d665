//! How to show events, and when to end.

use clap::{Args, ValueEnum};
use millstream_watch::{Batching, JsonMode};

use crate::parse;
use crate::watch::envelope::{self, Envelope};
use crate::watch::format::Format;

/// The flags that say how events are shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct Show {
    /// The form of events: for programs, for reading, or a row each [default: pretty on a
    /// terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// What an event is wrapped in: mongo (as it came), debezium, cloudevents, simple
    #[arg(long, value_name = "ENVELOPE", default_value = "mongo", value_parser = envelope::by_name)]
    pub(crate) envelope: &'static Envelope,
    /// Extended JSON with the exact type of every value
    #[arg(long, conflicts_with = "relaxed")]
    pub(crate) canonical: bool,
    /// Extended JSON with plain numbers (the default)
    #[arg(long)]
    pub(crate) relaxed: bool,
    /// Several events at a time, as a JSON array: N, and perhaps how many bytes and how long to wait
    /// for more, such as 500,4MiB,1s
    #[arg(long, value_name = "N[,BYTES][,TIME]", value_parser = parse::batch)]
    pub(crate) batch: Option<Batching>,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Show numbers on standard error: while it runs (line), or as a table at the end (table)
    #[arg(long, value_name = "FORM", num_args = 0..=1, default_missing_value = "line")]
    pub(crate) stats: Option<StatsForm>,
    /// Say nothing but events and errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// How numbers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsForm {
    /// One line that changes, or a line every five seconds where there is no terminal
    Line,
    /// A table at the end
    Table,
}

impl Show {
    /// How to write Extended JSON.
    pub(crate) fn json_mode(&self) -> JsonMode {
        if self.canonical { JsonMode::Canonical } else { JsonMode::Relaxed }
    }

    /// The asked or the fitting form.
    pub(crate) fn format(&self, interactive: bool) -> Format {
        self.format.unwrap_or(if interactive && self.batch.is_none() { Format::Pretty } else { Format::Json })
    }
}
