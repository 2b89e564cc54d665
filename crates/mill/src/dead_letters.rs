//! What was left out, and why (SQL-18.6, SQL-19.6): `millstream.dead_letters`.

use bson::{Bson, DateTime, Document, doc};
use millstream_flow::Failure;
use mongodb::ClientSession;

use crate::checkpoint::{self, DATABASE};
use crate::error::Result;
use crate::value::to_bson;

/// The collection of dead letters.
pub(crate) const DEAD_LETTERS: &str = "dead_letters";

/// Statements in one command.
const STATEMENTS_MAX: usize = 1_000;

/// A row that a view leaves out, or no longer does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Letter {
    key: Bson,
    /// Why; `None`: it evaluates again.
    error: Option<Document>,
}

impl Letter {
    pub(crate) fn of(failure: &Failure) -> Self {
        let parts: Vec<Bson> = failure.key.iter().map(to_bson).collect();
        let key = match <[Bson; 1]>::try_from(parts) {
            Ok([one]) => one,
            Err(parts) => Bson::Array(parts),
        };
        let error = doc! {"sqlstate": failure.error.state.0, "message": &failure.error.message};
        Self { key, error: (failure.weight >= 0).then_some(error) }
    }
}

/// Writes down rows that a view leaves out, and crosses out those that it no longer does.
pub(crate) async fn note(session: &mut ClientSession, object: &str, kind: &str, letters: &[Letter]) -> Result<()> {
    let mut updates = Vec::new();
    let mut deletes = Vec::new();
    for letter in letters {
        let id = doc! {"object": object, "key": letter.key.clone()};
        let Some(error) = &letter.error else {
            deletes.push(Bson::from(doc! {"q": {"_id": id}, "limit": 1}));
            continue;
        };
        let change = doc! {
            "$set": {"kind": kind, "error": error.clone(), "last_at": DateTime::now()},
            "$setOnInsert": {"first_at": DateTime::now()},
            "$inc": {"attempts": 1},
        };
        updates.push(Bson::from(doc! {"q": {"_id": id}, "u": change, "upsert": true}));
    }
    // A row whose error is another one is crossed out and written down again.
    for (command, field, statements) in [("delete", "deletes", deletes), ("update", "updates", updates)] {
        for some in statements.chunks(STATEMENTS_MAX) {
            let command = doc! {command: DEAD_LETTERS, field: some.to_vec(), "ordered": true};
            checkpoint::run(session, DATABASE, command).await?;
        }
    }
    Ok(())
}

/// Writes down a change that a trigger could not deal with.
pub(crate) async fn note_change(session: &mut ClientSession, letter: Document) -> Result<()> {
    let id = letter.get("_id").cloned().unwrap_or(Bson::Null);
    let mut set = letter;
    set.remove("_id");
    let attempts = set.remove("attempts").unwrap_or(Bson::Int32(1));
    set.insert("last_at", DateTime::now());
    let change = doc! {"$set": set, "$setOnInsert": {"first_at": DateTime::now()}, "$inc": {"attempts": attempts}};
    let update = doc! {"q": {"_id": id}, "u": change, "upsert": true};
    let command = doc! {"update": DEAD_LETTERS, "updates": [update]};
    checkpoint::run(session, DATABASE, command).await.map(drop)
}
