//! `millstream demo`: the thing at work, with no driver installed.
//!
//! An engine in a temporary folder, an application that writes models, predictions and metrics
//! like a small service for machine learning would, and a watcher of its database. Both are
//! ordinary clients over the socket.

mod application;
mod run;
mod view;

use clap::Args;

pub(crate) use run::run;

/// The end of `demo --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream demo                    ten seconds
  millstream demo --seconds 60 --rate 200

Nothing is left behind. Afterwards: `millstream serve` in one terminal, `millstream watch --all` in
another, and any MongoDB driver or mongosh in a third.";

/// See writes and their events side by side.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// How long it writes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Writes in a second
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
}
