//! The flags of `sql`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The end of `sql --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream sql --db shop                          a shell: statements, and \\? for what else it knows
  millstream sql --db shop -c 'SELECT status, COUNT(*) AS n FROM orders GROUP BY status'
  millstream sql --db shop -f views.sql             a file of statements; the first error ends it
  millstream sql --db shop < views.sql              the same
  millstream sql --db shop -c 'SELECT * FROM orders WHERE CHANGE_DETECTED()'      every change, until Ctrl-C
  millstream sql --db shop --format csv -c 'TABLE orders' > orders.csv
  millstream sql --db shop --format json -c 'SUBSCRIBE TO revenue' | jq .
  millstream sql --db shop --set time_zone=Europe/Rome --set strict_tables=on

Rows go to standard output, everything else to standard error. The URI is that of --uri, else of MONGO_URL, else of
CHANGE_STREAM_DB, else mongodb://127.0.0.1:27017. The database is that of --db, else of the URI, else `test`.
Ctrl-C ends a statement; in a script it ends that, too.";

/// The flags.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The server; else MONGO_URL, else CHANGE_STREAM_DB, else the local default
    #[arg(long, value_name = "URI")]
    pub(crate) uri: Option<String>,
    /// The database of names without one
    #[arg(long, value_name = "NAME")]
    pub(crate) db: Option<String>,
    /// Run these statements and end; can be given several times
    #[arg(long, short, value_name = "SQL", conflicts_with = "file")]
    pub(crate) command: Vec<String>,
    /// Run the statements of a file and end (`-` for standard input); can be given several times
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// How rows are written
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub(crate) format: Format,
    /// A setting of the session, such as time_zone=Europe/Rome; can be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For reading
    Table,
    /// One document a line, in relaxed Extended JSON
    Json,
    /// Comma-separated values with a header (RFC 4180); NULL is empty, an empty text is quoted
    Csv,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write a setting as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn flags_are_checked() {
        let read = |text: &[&str]| Cli::try_parse_from([&["sql"], text].concat());
        assert_eq!(read(&["--set", "a=b=c"]).unwrap().arguments.set, [("a".to_owned(), "b=c".to_owned())]);
        assert!(read(&["--set", "a"]).is_err());
        assert!(read(&["-c", "SELECT 1", "-f", "x"]).is_err());
        assert_eq!(read(&["-c", "SELECT 1", "-c", "SELECT 2"]).unwrap().arguments.command.len(), 2);
    }
}
