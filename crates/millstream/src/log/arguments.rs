//! The flags of `log`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use millstream_watch::Token;

use crate::parse;

/// The end of `log --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream log                                       what the log holds, and how long it lasts
  millstream log --checkpoint place.json               can a watcher still go on from its checkpoint?
  millstream log --resume-after 8268A1B2C0…            the same for a token
  millstream log --format json | jq .position.secondsLeft
  millstream log --uri 'mongodb://db.example/?replicaSet=rs0'

The URI is that of --uri, else of MONGO_URL, else of CHANGE_STREAM_DB, else mongodb://127.0.0.1:27017.

Exit codes:
  0  done                        3  no server was reached
  1  something else went wrong   4  the server refuses (standalone, no rights)
  2  the flags make no sense     5  the position is not in the log (or the checkpoint is unusable)";

/// Show how far back the log reaches.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// The server to ask; else MONGO_URL, else CHANGE_STREAM_DB, else the local default
    #[arg(long, value_name = "URI")]
    pub(crate) uri: Option<String>,
    /// Look also where the position in this checkpoint of `millstream watch` stands
    #[arg(long, value_name = "FILE", group = "position")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Look also where this token stands: the text of its _data, or its JSON
    #[arg(long, value_name = "TOKEN", value_parser = parse::token, group = "position")]
    pub(crate) resume_after: Option<Token>,
    /// The form of the answer
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For reading
    Table,
    /// One JSON object
    Json,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        log: Arguments,
    }

    #[test]
    fn one_position_at_most_and_it_is_checked() {
        let read = |text: &[&str]| Cli::try_parse_from([&["log"], text].concat()).map(|cli| cli.log);
        assert_eq!(read(&[]).unwrap().format, Format::Table);
        assert!(read(&["--resume-after", "82AA"]).unwrap().resume_after.is_some());
        assert!(read(&["--resume-after", "82AA", "--checkpoint", "f"]).is_err());
        assert!(read(&["--resume-after", "xyz"]).unwrap_err().to_string().contains("resume token"));
    }
}
