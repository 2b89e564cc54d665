//! The flags of `dead-letters`.

use bson::oid::ObjectId;
use clap::{Args, Subcommand};
use millstream_watch::JsonMode;

use crate::watch::{Envelope, Target, Where, envelope_by_name, own_name};

/// The end of `dead-letters --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream dead-letters list --db shop --dead-letter unsent
  millstream dead-letters show 68a1b2c0f1e2d3c4b5a69788 --db shop --dead-letter unsent
  millstream dead-letters replay --db shop --dead-letter unsent --exec ./send-mail
  millstream dead-letters replay --db shop --dead-letter unsent --webhook https://example.com/changes
  millstream dead-letters drop 68a1b2c0f1e2d3c4b5a69788 --db shop --dead-letter unsent --yes

They are those of `millstream watch --dead-letter COLL`, and of programs that use the library. What a replay deals with
is removed; what fails again stays, and so does what came later for the same document.

Exit codes:
  0  done                                       3  no server was reached
  1  some failed again, or were not there       4  the server refuses (no rights)
  2  the flags make no sense";

/// Look at events that could not be dealt with, try them again, or drop them.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The collection that they are in
    #[arg(long, value_name = "[DB.]COLL", default_value = "dead_letters", value_parser = own_name, global = true)]
    pub(crate) dead_letter: String,
    /// Only those of this watcher
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) watcher: Option<String>,
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What to do with them.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum What {
    /// Show them in short, the oldest first
    List {
        /// One JSON object a line, with the whole event
        #[arg(long)]
        json: bool,
    },
    /// Show one as JSON
    Show {
        /// Its number
        id: ObjectId,
    },
    /// Deal with them again, the oldest first, and remove those that work; without --exec and --webhook they are
    /// printed
    Replay(Box<Replay>),
    /// Remove them for good
    Drop {
        /// Their numbers; none: all of them
        ids: Vec<ObjectId>,
        /// Really
        #[arg(long)]
        yes: bool,
    },
}

/// The flags of a replay.
#[derive(Debug, Clone, Args)]
pub(crate) struct Replay {
    /// Their numbers; none: all of them
    pub(crate) ids: Vec<ObjectId>,
    #[command(flatten)]
    pub(crate) target: Target,
    /// What an event is wrapped in: mongo (as it came), debezium, cloudevents, simple
    #[arg(long, value_name = "ENVELOPE", default_value = "mongo", value_parser = envelope_by_name)]
    pub(crate) envelope: &'static Envelope,
    /// Extended JSON with the exact type of every value
    #[arg(long)]
    pub(crate) canonical: bool,
}

impl Replay {
    /// How to write Extended JSON.
    pub(crate) fn json_mode(&self) -> JsonMode {
        if self.canonical { JsonMode::Canonical } else { JsonMode::Relaxed }
    }
}
