//! Reads the collection; tries again, or drops.

use std::collections::HashSet;

use bson::oid::ObjectId;
use bson::{DateTime, Document, RawDocumentBuf, doc};
use millstream_watch::{Connection, Failure};
use mongodb::Collection;

use super::Arguments;
use super::arguments::{Replay, What};
use super::letter::{self, Letter};
use crate::signals::Signals;
use crate::watch::{About, Children, Form, OwnCollection, Sink, Wrapper, uri_or_default};
use crate::{exit, terminal};

/// Shows, replays or drops dead letters.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let connection = Connection::new(&uri_or_default(arguments.place.uri.as_deref())).await?;
    let own = arguments.place.collection(&arguments.dead_letter, connection.default_database());
    let rows = connection.client().database(&own.database).collection(&own.collection);
    let letters = Letters { connection, own, rows, watcher: arguments.watcher };
    match arguments.what {
        What::List { json } => letters.list(json).await,
        What::Show { id } => letters.show(id).await,
        What::Replay(replay) => letters.replay(&replay).await,
        What::Drop { ids, yes } => letters.drop(&ids, yes).await,
    }
}

struct Letters {
    connection: Connection,
    own: OwnCollection,
    rows: Collection<RawDocumentBuf>,
    watcher: Option<String>,
}

impl Letters {
    async fn list(&self, json: bool) -> anyhow::Result<exit::Code> {
        let letters = self.find(&[]).await?;
        if letters.is_empty() {
            eprintln!("no dead letters in {}", self.own);
        } else if json {
            terminal::say(&letters.iter().map(|letter| format!("{}\n", letter.json())).collect::<String>());
        } else {
            terminal::say(&letter::table(&letters, DateTime::now()));
        }
        Ok(exit::Code::Done)
    }

    async fn show(&self, id: ObjectId) -> anyhow::Result<exit::Code> {
        let letters = self.find(&[id]).await?;
        let Some(letter) = letters.first() else { return Ok(self.missing(&[id], &letters)) };
        terminal::say(&format!("{:#}\n", letter.json()));
        Ok(exit::Code::Done)
    }

    async fn replay(&self, replay: &Replay) -> anyhow::Result<exit::Code> {
        let mut signals = Signals::catch()?;
        let children = Children::default();
        let letters = self.find(&replay.ids).await?;
        let missing = self.missing(&replay.ids, &letters);
        let (mut done, mut left) = (0, 0);
        let mut blocked = HashSet::new();
        for letter in letters {
            let wrapper = Wrapper {
                envelope: replay.envelope,
                about: About {
                    servers: self.connection.servers().join(","),
                    watcher: letter.watcher.clone(),
                    mode: replay.json_mode(),
                },
            };
            let sink = Sink::new(&replay.target, wrapper.clone(), Form::Single, children.clone())?;
            if blocked.contains(&letter.subject()) {
                eprintln!("{} is left: an earlier one of its document failed", letter.id);
                left += 1;
                continue;
            }
            let outcome = tokio::select! {
                outcome = deal_with(&letter, sink.as_ref(), &wrapper) => outcome,
                name = signals.next() => {
                    children.kill_all();
                    anyhow::bail!("stopped by {name}: {done} were dealt with");
                }
            };
            match outcome {
                Ok(()) => {
                    self.remove(letter.id).await?;
                    done += 1;
                }
                Err(failure) => {
                    eprintln!("{} failed again: {failure}", letter.id);
                    blocked.insert(letter.subject());
                    left += 1;
                }
            }
        }
        eprintln!("{done} dealt with, {left} left");
        Ok(if left > 0 { exit::Code::Failed } else { missing })
    }

    async fn drop(&self, ids: &[ObjectId], yes: bool) -> anyhow::Result<exit::Code> {
        let letters = self.find(ids).await?;
        if !yes {
            return Err(exit::misuse(format!(
                "{} dead letters of {} would be gone for good: add --yes if that is meant",
                letters.len(),
                self.own
            )));
        }
        for letter in &letters {
            self.remove(letter.id).await?;
        }
        eprintln!("{} dropped", letters.len());
        Ok(self.missing(ids, &letters))
    }

    fn missing(&self, ids: &[ObjectId], found: &[Letter]) -> exit::Code {
        let mut code = exit::Code::Done;
        for id in ids.iter().filter(|id| !found.iter().any(|letter| letter.id == **id)) {
            eprintln!("millstream: there is no dead letter {id} in {}", self.own);
            code = exit::Code::Failed;
        }
        code
    }

    /// Those of these numbers, or all; the oldest first.
    async fn find(&self, ids: &[ObjectId]) -> anyhow::Result<Vec<Letter>> {
        let mut filter = Document::new();
        if let Some(watcher) = &self.watcher {
            filter.insert("watcher", watcher);
        }
        if !ids.is_empty() {
            filter.insert("_id", doc! {"$in": ids});
        }
        let mut found = self.rows.find(filter).sort(doc! {"_id": 1}).await.map_err(|error| self.explain(error))?;
        let mut letters = Vec::new();
        while found.advance().await.map_err(|error| self.explain(error))? {
            letters.extend(Letter::of(found.current()));
        }
        Ok(letters)
    }

    async fn remove(&self, id: ObjectId) -> anyhow::Result<()> {
        self.rows.delete_one(doc! {"_id": id}).await.map_err(|error| self.explain(error))?;
        Ok(())
    }

    fn explain(&self, error: mongodb::error::Error) -> millstream_watch::Error {
        self.connection.explain(error, &format!("the dead letters in {}", self.own))
    }
}

async fn deal_with(letter: &Letter, sink: Option<&Sink>, wrapper: &Wrapper) -> Result<(), Failure> {
    match sink {
        Some(sink) => sink.deliver(std::slice::from_ref(&letter.event)).await,
        None => {
            if let Some(line) = wrapper.one(&letter.event) {
                use std::io::Write as _;
                let printed = writeln!(std::io::stdout(), "{line}");
                printed.map_err(|error| Failure::lasting(format!("it could not be printed: {error}")))?;
            }
            Ok(())
        }
    }
}
