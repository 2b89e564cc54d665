//! Reads the collection, and says what is in it.

use bson::{DateTime, Document, doc};
use millstream_watch::{Connection, LogWindow, Standing};
use mongodb::Collection;

use super::Arguments;
use super::arguments::{Format, What};
use super::report::{self, Position};
use crate::watch::{OwnCollection, uri_or_default};
use crate::{exit, terminal};

/// Shows or forgets positions.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let connection = Connection::new(&uri_or_default(arguments.place.uri.as_deref())).await?;
    let own = arguments.place.collection(&arguments.tokens, connection.default_database());
    let tokens =
        Tokens { rows: connection.client().database(&own.database).collection(&own.collection), own, connection };
    match arguments.what {
        What::List { format } => tokens.list(format).await,
        What::Show { watcher } => tokens.show(&watcher).await,
        What::Reset { watchers, yes } => tokens.reset(&watchers, yes).await,
    }
}

struct Tokens {
    connection: Connection,
    own: OwnCollection,
    rows: Collection<Document>,
}

impl Tokens {
    async fn list(&self, format: Format) -> anyhow::Result<exit::Code> {
        let positions = self.find(doc! {}).await?;
        if positions.is_empty() {
            eprintln!("no watcher keeps a position in {}", self.own);
            return Ok(exit::Code::Done);
        }
        let log = self.log().await;
        let now = log.as_ref().map_or_else(DateTime::now, |log| log.now);
        match format {
            Format::Table => terminal::say(&report::table(&positions, log.as_ref(), now)),
            Format::Json => {
                let lines = positions.iter().map(|position| format!("{}\n", report::json(position, log.as_ref(), now)));
                terminal::say(&lines.collect::<String>());
            }
        }
        Ok(code(&positions, log.as_ref()))
    }

    async fn show(&self, watcher: &str) -> anyhow::Result<exit::Code> {
        let positions = self.find(doc! {"_id": watcher}).await?;
        let Some(position) = positions.first() else { return Ok(self.none_of(watcher)) };
        let log = self.log().await;
        let now = log.as_ref().map_or_else(DateTime::now, |log| log.now);
        terminal::say(&format!("{:#}\n", report::json(position, log.as_ref(), now)));
        Ok(code(&positions, log.as_ref()))
    }

    async fn reset(&self, watchers: &[String], yes: bool) -> anyhow::Result<exit::Code> {
        if !yes {
            return Err(exit::misuse(format!(
                "{} would begin anew, and not see what changed since its last event: add --yes if that is meant",
                watchers.join(", ")
            )));
        }
        let mut code = exit::Code::Done;
        for watcher in watchers {
            let removed = self.rows.delete_one(doc! {"_id": watcher}).await;
            if removed.map_err(|error| self.explain(error))?.deleted_count == 0 {
                code = self.none_of(watcher);
            } else {
                eprintln!("{watcher} begins anew at its next start");
            }
        }
        Ok(code)
    }

    fn none_of(&self, watcher: &str) -> exit::Code {
        eprintln!("millstream: no watcher `{watcher}` keeps a position in {}", self.own);
        exit::Code::PositionLost
    }

    async fn find(&self, filter: Document) -> anyhow::Result<Vec<Position>> {
        let mut found = self.rows.find(filter).sort(doc! {"_id": 1}).await.map_err(|error| self.explain(error))?;
        let mut positions = Vec::new();
        while found.advance().await.map_err(|error| self.explain(error))? {
            positions.push(Position::of(&found.deserialize_current().map_err(|error| self.explain(error))?));
        }
        Ok(positions)
    }

    /// The log, if the server lets it be seen.
    async fn log(&self) -> Option<LogWindow> {
        match self.connection.log_window().await {
            Ok(log) => Some(log),
            Err(error) => {
                eprintln!("how far behind they are is not known: {error}");
                None
            }
        }
    }

    fn explain(&self, error: mongodb::error::Error) -> millstream_watch::Error {
        self.connection.explain(error, &format!("the positions in {}", self.own))
    }
}

fn code(positions: &[Position], log: Option<&LogWindow>) -> exit::Code {
    let gone = |position: &Position| matches!(position.standing(log), Some(Standing::Lost | Standing::Ahead));
    if positions.iter().any(gone) { exit::Code::PositionLost } else { exit::Code::Done }
}
