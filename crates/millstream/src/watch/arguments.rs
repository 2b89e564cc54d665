//! The flags of `watch`, and what they come down to.

mod begin;
mod deliver;
mod own;
mod service;
mod show;
mod what;

pub(crate) use begin::Begin;
pub(crate) use deliver::{Deliver, Target};
pub(crate) use own::{OwnCollection, Where, name as own_name};
pub(crate) use service::Service;
pub(crate) use show::{Show, StatsForm};
pub(crate) use what::What;

use clap::Args;
use millstream_watch::{GROUPS, Group, OnHistoryLost, OnInvalidate, SEEN, Settings, Source, TOKENS};

use super::format::Format;
use crate::exit;

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
  millstream watch --db shop -c orders,items             several, in the order of their changes
  millstream watch --db shop --checkpoint place.json     goes on where it ended the last time
  millstream watch --db shop --watcher mailer            the same, with the position in the database
  millstream watch --db shop --snapshot                  what is there, then what changes (Millstream only)
  millstream watch --db shop --start-at 2025-08-17T10:45:00Z
  millstream watch --db shop --format json | jq .fullDocument
  millstream watch --db shop --envelope simple --stats

Do something with every event, four at a time, those of one document in their order:
  millstream watch --db shop -c orders --watcher mailer --concurrency 4 \\
      --exec './send-mail' --retries 5 --dead-letter unsent
  millstream watch --db shop -c orders --watcher hook --envelope cloudevents \\
      --webhook https://example.com/changes --webhook-secret \"$SECRET\"
  millstream watch --db shop --exec 'jq -c .documentKey; echo \"$MILLSTREAM_OPERATION\" >&2'

Run it as a service, several watchers in one process:
  millstream watch --config watchers.toml --health 9090

And elsewhere:
  MONGO_URL='mongodb+srv://user:password@cluster.example' millstream watch --db shop

The URI is that of --uri, else of MONGO_URL, else of CHANGE_STREAM_DB, else mongodb://127.0.0.1:27017.
The database is that of --db, else of the URI, else `test`. Ctrl-C or SIGTERM
ends it when what is under way is done, and tells what it saw; a second one ends it at once.

Exit codes:
  0  done, or asked to stop      3  no server was reached
  1  something else went wrong   4  the server refuses (standalone, no rights, pipeline)
  2  the flags make no sense     5  the position is gone (history lost, token, checkpoint)";

/// Show changes in a terminal, or do something with them.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten, next_help_heading = "What to watch")]
    pub(crate) what: What,
    #[command(flatten, next_help_heading = "Where to begin")]
    pub(crate) begin: Begin,
    #[command(flatten, next_help_heading = "How to show it, and when to end")]
    pub(crate) show: Show,
    #[command(flatten, next_help_heading = "What to do with it")]
    pub(crate) deliver: Deliver,
    #[command(flatten, next_help_heading = "As a service")]
    pub(crate) service: Service,
}

/// The URI of a flag, else of the environment, else the local one.
pub(crate) fn uri_or_default(flag: Option<&str>) -> String {
    choose_uri(flag, |name| std::env::var(name).ok())
}

impl Arguments {
    /// What to watch, once the URI is known.
    pub(crate) fn source(&self, of_uri: Option<&str>) -> Source {
        let own: Vec<OwnCollection> =
            [self.tokens(of_uri), self.dead_letters(of_uri), self.seen(of_uri)].into_iter().flatten().collect();
        self.what.source(of_uri, &own)
    }

    /// The collection where the position is kept.
    pub(crate) fn tokens(&self, of_uri: Option<&str>) -> Option<OwnCollection> {
        let kept = self.begin.watcher.is_some() && self.begin.checkpoint.is_none() && self.begin.group.is_none();
        kept.then(|| self.own(self.begin.tokens.as_deref().unwrap_or(TOKENS), of_uri))
    }

    /// The collection where it is remembered what was delivered.
    pub(crate) fn seen(&self, of_uri: Option<&str>) -> Option<OwnCollection> {
        let wanted = self.begin.on_history_lost() == OnHistoryLost::Resnapshot;
        wanted.then(|| self.own(SEEN, of_uri))
    }

    /// The group to join.
    pub(crate) fn group(&self, of_uri: Option<&str>) -> Option<Group> {
        let name = self.begin.group.as_ref()?;
        Some(Group::new(name, &self.own(GROUPS, of_uri).database))
    }

    /// The collection for events that could not be dealt with.
    pub(crate) fn dead_letters(&self, of_uri: Option<&str>) -> Option<OwnCollection> {
        self.deliver.dead_letter.as_ref().map(|name| self.own(name, of_uri))
    }

    /// The watcher's name, or what it watches.
    pub(crate) fn name(&self, of_uri: Option<&str>) -> String {
        let given = self.begin.watcher.as_ref().or(self.begin.group.as_ref());
        given.cloned().unwrap_or_else(|| self.what.words(of_uri))
    }

    /// How events are delivered.
    pub(crate) fn settings(&self) -> Settings {
        let usual = Settings::default();
        Settings {
            concurrency: usize::from(self.deliver.concurrency),
            queue: usize::try_from(self.deliver.queue_size).unwrap_or(usize::MAX),
            retries: self.deliver.retries(),
            pause: self.deliver.pause(),
            on_failure: self.deliver.on_failure(),
            on_history_lost: self.begin.on_history_lost(),
            on_invalidate: if self.begin.follows() { OnInvalidate::StartAgain } else { OnInvalidate::Stop },
            // A file is replaced or appended to for less than an event costs; a collection is not.
            save_events: if self.begin.checkpoint.is_some() { 1 } else { usual.save_events },
            ..usual
        }
    }

    fn own(&self, name: &str, of_uri: Option<&str>) -> OwnCollection {
        OwnCollection::new(name, &OwnCollection::database(self.what.database(of_uri), self.what.all))
    }

    /// What the types of the flags cannot say.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.what.check()?;
        if self.show.format == Some(Format::Table) && self.show.envelope.name != "mongo" {
            return Err(exit::misuse("--format table has columns of its own: leave --envelope out"));
        }
        if self.show.batch.is_some() && self.show.format.is_some_and(|format| format != Format::Json) {
            return Err(exit::misuse("batches are JSON arrays: leave --format out, or say json"));
        }
        if self.begin.on_history_lost() == OnHistoryLost::Resnapshot && self.begin.watcher.is_none() {
            return Err(exit::misuse(
                "--on-history-lost re-snapshot remembers under the watcher's name what was shown: give it one with --watcher",
            ));
        }
        if self.begin.group.is_some() && self.show.batch.is_some() {
            return Err(exit::misuse("the members of a group take events one by one: leave --batch out"));
        }
        if self.deliver.is_elsewhere() && self.show.format.is_some() {
            return Err(exit::misuse("--format is about what is printed, which nothing is with --exec or --webhook"));
        }
        if !self.deliver.is_elsewhere() {
            let unused = [
                (self.deliver.concurrency > 1 && self.begin.group.is_none(), "--concurrency"),
                (self.deliver.retries.is_some(), "--retries"),
                (self.deliver.dead_letter.is_some(), "--dead-letter"),
                (self.deliver.on_failure.is_some(), "--on-failure"),
            ];
            if let Some((_, flag)) = unused.iter().find(|(given, _)| *given) {
                return Err(exit::misuse(format!("{flag} is about what --exec or --webhook do: add one of them")));
            }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        watch: Arguments,
    }

    fn read(text: &[&str]) -> Arguments {
        Cli::try_parse_from([&["watch"], text].concat()).unwrap().watch
    }

    #[test]
    fn positions_are_kept_where_the_flags_say() {
        let tokens = |text: &[&str]| read(text).tokens(Some("shop")).map(|own| own.to_string());
        assert_eq!(tokens(&[]), None);
        assert_eq!(tokens(&["--watcher", "w"]).as_deref(), Some("shop.change_stream_tokens"));
        assert_eq!(tokens(&["--watcher", "w", "--all"]).as_deref(), Some("millstream.change_stream_tokens"));
        assert_eq!(tokens(&["--watcher", "w", "--tokens", "ops.places"]).as_deref(), Some("ops.places"));
        assert_eq!(tokens(&["--watcher", "w", "--checkpoint", "f"]), None);
    }

    #[test]
    fn a_position_in_a_file_is_saved_after_each_event() {
        assert_eq!(read(&["--checkpoint", "f"]).settings().save_events, 1);
        assert!(read(&["--watcher", "w"]).settings().save_events > 1);
    }

    #[test]
    fn what_fails_goes_on_only_if_it_is_put_aside() {
        use millstream_watch::OnFailure;
        let settings = |text: &[&str]| read(&[&["--exec", "true"], text].concat()).settings();
        assert_eq!(settings(&[]).on_failure, OnFailure::Stop);
        assert_eq!(settings(&["--dead-letter", "x"]).on_failure, OnFailure::GoOn);
        assert_eq!(settings(&["--dead-letter", "x", "--on-failure", "stop"]).on_failure, OnFailure::Stop);
        assert_eq!((settings(&[]).retries, settings(&["--retries", "0"]).retries), (3, 0));
    }

    #[test]
    fn flags_without_an_effect_are_refused() {
        for text in [&["--concurrency", "2"], &["--dead-letter", "x"], &["--on-failure", "go-on"]] {
            let reason = read(text).check().unwrap_err().to_string();
            assert!(reason.contains("--exec or --webhook"), "{reason}");
            assert!(read(&[text.as_slice(), &["--exec", "true"]].concat()).check().is_ok());
        }
        assert!(read(&["--format", "table", "--envelope", "simple"]).check().is_err());
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
