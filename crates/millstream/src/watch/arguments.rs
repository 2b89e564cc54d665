//! The flags of `watch`, and what they come down to.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use millstream_watch::{
    BeforeMode, Connection, FullDocumentMode, JsonMode, OPERATIONS, Options, Scope, Source, StartAt, Token,
};

use super::Format;
use crate::{exit, parse};

/// Where to look if nothing is said.
const DEFAULT_URI: &str = "mongodb://127.0.0.1:27017";

/// The database if neither the flag nor the URI names one; MongoDB's shell does the same.
const DEFAULT_DATABASE: &str = "test";

/// The end of `watch --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream watch --db shop                             every change in the database `shop`
  millstream watch --db shop --collection orders         one collection
  millstream watch --all --operations insert delete      everything, but only these kinds
  millstream watch --db shop --pipeline '[{\"$match\": {\"fullDocument.qty\": {\"$gt\": 5}}}]'
  millstream watch --db shop --full-document updateLookup --before whenAvailable
  millstream watch --db shop --checkpoint place.json     goes on where it ended the last time
  millstream watch --db shop --snapshot                  what is there, then what changes (Millstream only)
  millstream watch --db shop --start-at 2025-08-17T10:45:00Z
  millstream watch --db shop --format json | jq .fullDocument
  MONGO_URL='mongodb+srv://user:password@cluster.example' millstream watch --db shop

The URI is that of --uri, else of MONGO_URL, else of CHANGE_STREAM_DB, else mongodb://127.0.0.1:27017.
The database is that of --db, else of the URI, else `test`. Ctrl-C ends it and tells what it saw.

Exit codes:
  0  done, or asked to stop      3  no server was reached
  1  something else went wrong   4  the server refuses (standalone, no rights, pipeline)
  2  the flags make no sense     5  the position is gone (history lost, token, checkpoint)";

/// Show changes in a terminal.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// The server to watch; else MONGO_URL, else CHANGE_STREAM_DB, else the local default
    #[arg(long, value_name = "URI")]
    pub(crate) uri: Option<String>,
    /// The database to watch
    #[arg(long, value_name = "NAME")]
    pub(crate) db: Option<String>,
    /// One collection; without it the whole database
    #[arg(long, short, value_name = "NAME")]
    pub(crate) collection: Option<String>,
    /// All databases
    #[arg(long, conflicts_with_all = ["db", "collection"])]
    pub(crate) all: bool,
    /// Only these kinds of changes, such as insert update replace delete
    #[arg(long, value_name = "KIND", num_args = 1.., value_delimiter = ',', value_parser = operation)]
    pub(crate) operations: Vec<String>,
    /// Stages that the server applies to the events: a JSON array, or one stage
    #[arg(long, value_name = "JSON", value_parser = parse::pipeline)]
    pub(crate) pipeline: Option<std::vec::Vec<bson::Document>>,
    /// What an update shows of the document after it
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub(crate) full_document: AfterMode,
    /// What an event shows of the document before it
    #[arg(long, value_name = "MODE", default_value = "off")]
    pub(crate) before: ImageMode,
    /// Also show created collections, indexes and changed options (MongoDB 6.0)
    #[arg(long)]
    pub(crate) expanded: bool,
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
    /// The form of events: for programs, for reading, or a row each [default: pretty on a
    /// terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Extended JSON with the exact type of every value
    #[arg(long, conflicts_with = "relaxed")]
    pub(crate) canonical: bool,
    /// Extended JSON with plain numbers (the default)
    #[arg(long)]
    pub(crate) relaxed: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// After a drop or rename, go on with a collection of the same name
    #[arg(long)]
    pub(crate) follow: bool,
    /// Say nothing but events and errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// What an update shows of the document after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum AfterMode {
    /// Nothing
    Default,
    /// The document as it is now
    UpdateLookup,
    /// The document as it was just after, if images are kept, else null
    WhenAvailable,
    /// The same, or an error
    Required,
}

/// What an event shows of the document before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum ImageMode {
    /// Nothing
    Off,
    /// The document, if images are kept, else null
    WhenAvailable,
    /// The document, or an error
    Required,
}

/// The URI of a flag, else of the environment, else the local one.
pub(crate) fn uri_or_default(flag: Option<&str>) -> String {
    choose_uri(flag, |name| std::env::var(name).ok())
}

impl Arguments {
    /// What to watch, once the URI is known.
    pub(crate) fn source(&self, connection: &Connection) -> Source {
        Source {
            scope: self.scope(connection.default_database()),
            pipeline: self.pipeline.clone().unwrap_or_default(),
            options: Options {
                full_document: match self.full_document {
                    AfterMode::Default => FullDocumentMode::Default,
                    AfterMode::UpdateLookup => FullDocumentMode::UpdateLookup,
                    AfterMode::WhenAvailable => FullDocumentMode::WhenAvailable,
                    AfterMode::Required => FullDocumentMode::Required,
                },
                before: match self.before {
                    ImageMode::Off => BeforeMode::Off,
                    ImageMode::WhenAvailable => BeforeMode::WhenAvailable,
                    ImageMode::Required => BeforeMode::Required,
                },
                operations: self.operations.clone(),
                expanded_events: self.expanded,
                ..Options::default()
            },
        }
    }

    /// Where to begin, without a checkpoint.
    pub(crate) fn start(&self) -> StartAt {
        match (&self.resume_after, &self.start_after, self.start_at) {
            (Some(token), _, _) => StartAt::ResumeAfter(token.clone()),
            (_, Some(token), _) => StartAt::StartAfter(token.clone()),
            (_, _, Some(time)) => StartAt::Time(time),
            _ if self.snapshot => StartAt::Snapshot,
            _ => StartAt::Now,
        }
    }

    /// How to write Extended JSON.
    pub(crate) fn json_mode(&self) -> JsonMode {
        if self.canonical { JsonMode::Canonical } else { JsonMode::Relaxed }
    }

    /// The asked or the fitting form.
    pub(crate) fn format(&self, interactive: bool) -> Format {
        self.format.unwrap_or(if interactive { Format::Pretty } else { Format::Json })
    }

    fn scope(&self, of_uri: Option<&str>) -> Scope {
        if self.all {
            return Scope::Cluster;
        }
        let database = self.db.as_deref().or(of_uri).unwrap_or(DEFAULT_DATABASE).to_owned();
        match &self.collection {
            Some(collection) => Scope::Collection { database, collection: collection.clone() },
            None => Scope::Database(database),
        }
    }

    /// What the types of the flags cannot say.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let empty = |name: &Option<String>| name.as_ref().is_some_and(String::is_empty);
        if empty(&self.db) || empty(&self.collection) {
            return Err(exit::misuse("a database and a collection need a name"));
        }
        Ok(())
    }
}

fn choose_uri(flag: Option<&str>, environment: impl Fn(&str) -> Option<String>) -> String {
    let variable = |name| environment(name).filter(|value| !value.is_empty());
    flag.map(str::to_owned)
        .or_else(|| variable("MONGO_URL"))
        .or_else(|| variable("CHANGE_STREAM_DB"))
        .unwrap_or_else(|| DEFAULT_URI.to_owned())
}

fn operation(text: &str) -> Result<String, String> {
    let names = || OPERATIONS.iter().map(|operation| operation.name);
    if names().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    let known = match parse::nearest(text, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(format!("there is no such kind of change: {known}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        watch: Arguments,
    }

    fn read(text: &[&str]) -> Result<Arguments, clap::Error> {
        Cli::try_parse_from([&["watch"], text].concat()).map(|cli| cli.watch)
    }

    #[test]
    fn scopes_are_chosen_from_narrow_to_wide() {
        let scope = |text: &[&str], of_uri| read(text).unwrap().scope(of_uri).to_string();
        assert_eq!(scope(&[], None), "database test");
        assert_eq!(scope(&[], Some("shop")), "database shop");
        assert_eq!(scope(&["--db", "x"], Some("shop")), "database x");
        assert_eq!(scope(&["--collection", "c"], Some("shop")), "collection shop.c");
        assert_eq!(scope(&["--all"], Some("shop")), "the whole cluster");
        assert!(read(&["--all", "--db", "x"]).is_err());
    }

    #[test]
    fn operations_are_many_and_checked() {
        let given = read(&["--operations", "insert", "update", "--db", "x"]).unwrap();
        assert_eq!(given.operations, ["insert", "update"]);
        assert_eq!(read(&["--operations", "drop,delete"]).unwrap().operations, ["drop", "delete"]);
        let text = read(&["--operations", "inserts"]).unwrap_err().to_string();
        assert!(text.contains("did you mean `insert`?"), "{text}");
    }

    #[test]
    fn modes_have_the_names_of_the_protocol() {
        let given = read(&["--full-document", "updateLookup", "--before", "whenAvailable"]).unwrap();
        assert_eq!((given.full_document, given.before), (AfterMode::UpdateLookup, ImageMode::WhenAvailable));
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
    fn pipelines_are_arrays_or_stages() {
        let given = read(&["--pipeline", r#"{"$match": {}}"#]).unwrap();
        assert_eq!(given.pipeline.unwrap().len(), 1);
        let text = read(&["--pipeline", "[{"]).unwrap_err().to_string();
        assert!(text.contains("pipeline"), "{text}");
    }

    #[test]
    fn the_uri_comes_from_the_first_that_has_one() {
        let only = |have: &'static str| move |name: &str| (name == have).then(|| name.to_owned());
        assert_eq!(choose_uri(Some("u"), only("MONGO_URL")), "u");
        assert_eq!(choose_uri(None, only("MONGO_URL")), "MONGO_URL");
        assert_eq!(choose_uri(None, only("CHANGE_STREAM_DB")), "CHANGE_STREAM_DB");
        assert_eq!(choose_uri(None, |_| Some(String::new())), DEFAULT_URI);
    }
}
