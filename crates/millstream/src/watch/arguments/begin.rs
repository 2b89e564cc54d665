//! Where to begin, where the position is kept, and what to do where a stream ends.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use millstream_watch::{OnHistoryLost, StartAt, Token};

use crate::parse;

/// The flags that say where to begin.
#[derive(Debug, Clone, Args)]
pub(crate) struct Begin {
    /// Begin after this token: the text of its _data, or its JSON
    #[arg(long, value_name = "TOKEN", value_parser = parse::token, group = "start")]
    pub(crate) resume_after: Option<Token>,
    /// The same, also behind an invalidate
    #[arg(long, value_name = "TOKEN", value_parser = parse::token, group = "start")]
    pub(crate) start_after: Option<Token>,
    /// Begin at a cluster time (SECONDS or SECONDS:INCREMENT) or a date (UTC if it has no zone)
    #[arg(long, value_name = "TIME", value_parser = parse::moment, group = "start")]
    pub(crate) start_at: Option<bson::Timestamp>,
    /// Begin with the documents that are there, then go on with their changes (Millstream only)
    #[arg(long, group = "start")]
    pub(crate) snapshot: bool,
    /// Keep the position in this file after each printed event, and go on from it; the flags above
    /// count only as long as the file does not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The name of this watcher. Without --checkpoint its position is kept under that name in the
    /// collection change_stream_tokens, and it goes on from there
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) watcher: Option<String>,
    /// The collection for the positions of named watchers [default: change_stream_tokens of the
    /// watched database; of the database millstream with --all]
    #[arg(long, value_name = "[DB.]COLL", value_parser = super::own::name)]
    pub(crate) tokens: Option<String>,
    /// Share the work with other processes that give the same name: each event is dealt with by one
    /// of them, and the group keeps the positions
    #[arg(long, value_name = "NAME", conflicts_with = "checkpoint")]
    pub(crate) group: Option<String>,
    /// When the server has forgotten the changes that come next: stop with exit code 5, go on with
    /// the next change, or go through the documents that are there and show what has changed
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub(crate) on_history_lost: AfterHistoryLost,
    /// When what is watched is dropped or renamed: stop, or go on with a collection of that name
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub(crate) on_invalidate: AfterInvalidate,
    /// The same as --on-invalidate go-on
    #[arg(long, conflicts_with = "on_invalidate")]
    pub(crate) follow: bool,
}

/// What to do when the history is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AfterHistoryLost {
    /// End with an error
    Stop,
    /// Go on with the next change; what lies between is never seen
    StartNow,
    /// Show what differs from what was shown before, then go on; needs --watcher
    ReSnapshot,
}

/// What to do when what is watched is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AfterInvalidate {
    /// End
    Stop,
    /// Go on behind it
    GoOn,
}

impl Begin {
    /// Where to begin if no position is kept.
    pub(crate) fn start(&self) -> StartAt {
        match (&self.resume_after, &self.start_after, self.start_at) {
            (Some(token), _, _) => StartAt::ResumeAfter(token.clone()),
            (_, Some(token), _) => StartAt::StartAfter(token.clone()),
            (_, _, Some(time)) => StartAt::Time(time),
            _ if self.snapshot => StartAt::Snapshot,
            _ => StartAt::Now,
        }
    }

    /// Whether to go on where a stream ends.
    pub(crate) fn follows(&self) -> bool {
        self.follow || self.on_invalidate == AfterInvalidate::GoOn
    }

    /// What to do when the history is lost.
    pub(crate) fn on_history_lost(&self) -> OnHistoryLost {
        match self.on_history_lost {
            AfterHistoryLost::Stop => OnHistoryLost::Stop,
            AfterHistoryLost::StartNow => OnHistoryLost::StartNow,
            AfterHistoryLost::ReSnapshot => OnHistoryLost::Resnapshot,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        begin: Begin,
    }

    fn read(text: &[&str]) -> Result<Begin, clap::Error> {
        Cli::try_parse_from([&["watch"], text].concat()).map(|cli| cli.begin)
    }

    #[test]
    fn only_one_start() {
        assert!(read(&["--resume-after", "82AA", "--start-at", "5"]).is_err());
        let given = read(&["--start-at", "5:2"]).unwrap();
        assert_eq!(given.start(), StartAt::Time(bson::Timestamp { time: 5, increment: 2 }));
        let given = read(&["--start-after", "82AA"]).unwrap();
        assert!(matches!(given.start(), StartAt::StartAfter(_)));
        assert!(read(&["--snapshot", "--start-at", "5"]).is_err());
        assert_eq!(read(&["--snapshot"]).unwrap().start(), StartAt::Snapshot);
    }

    #[test]
    fn following_has_two_names() {
        assert!(!read(&[]).unwrap().follows());
        assert!(read(&["--follow"]).unwrap().follows());
        assert!(read(&["--on-invalidate", "go-on"]).unwrap().follows());
        assert!(read(&["--follow", "--on-invalidate", "stop"]).is_err());
    }
}
