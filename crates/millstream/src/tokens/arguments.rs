//! The flags of `tokens`.

use clap::{Args, Subcommand};
use millstream_watch::TOKENS;

pub(crate) use crate::terminal::Format;
use crate::watch::{Where, own_name};

/// The end of `tokens --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream tokens list --db shop                  every watcher's position, and whether it is still in the log
  millstream tokens list --db shop --format json | jq 'select(.lagSeconds > 60)'
  millstream tokens show mailer --db shop           one of them, with its token
  millstream tokens reset mailer --db shop --yes    forget it: the watcher begins anew at its next start

They are the positions of `millstream watch --watcher NAME`, and of programs that use the library.

Exit codes:
  0  done                        3  no server was reached
  1  something else went wrong   4  the server refuses (no rights)
  2  the flags make no sense     5  a position is not in the log any more, or there is none of that name";

/// Look at positions, and forget them.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The collection that they are in
    #[arg(long, value_name = "[DB.]COLL", default_value = TOKENS, value_parser = own_name, global = true)]
    pub(crate) tokens: String,
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What to do with them.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum What {
    /// Show all of them: their age, how far they are behind, and whether they are still in the log
    List {
        /// The form of the answer
        #[arg(long, value_name = "FORMAT", default_value = "table")]
        format: Format,
    },
    /// Show one as JSON, with its token
    Show {
        /// The watcher's name
        watcher: String,
    },
    /// Forget some, so that their watchers begin anew
    Reset {
        /// The watchers' names
        #[arg(required = true)]
        watchers: Vec<String>,
        /// Really
        #[arg(long)]
        yes: bool,
    },
}
