//! `ALTER … RENAME TO` (SQL-18.3): an object goes on under another name, where it was.

use std::sync::Arc;

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use millstream_sql::SqlError;
use millstream_sql::statement::{Kind, Name, Statement};
use mongodb::ClientSession;

use super::Session;
use super::define::is_routine_free;
use super::write::{command, finish, start};
use crate::answer::Answer;
use crate::checkpoint::{CHECKPOINTS, DATABASE, abort};
use crate::dead_letters::DEAD_LETTERS;
use crate::definition::{DEFINITIONS, Definition, State};
use crate::error::{Result, code, of_driver};
use crate::outbox::OUTBOX;

impl Session {
    /// Gives an object that nothing uses another name in its database.
    pub(super) async fn rename(&mut self, old: &Definition, to: &Name, tag: &str) -> Result<Answer> {
        if to.database.as_ref().is_some_and(|database| *database != old.database) {
            return Err(SqlError::new("0A000", "an object stays in its database"));
        }
        self.with_dependants(&old.id, false)?;
        let planning = self.planning().await?;
        let mut statement = old.statement.as_ref().clone();
        match &statement {
            Statement::CreateRoutine(create) => {
                is_routine_free(&planning.catalog, &old.database, &to.name, create, false)?;
            }
            _ => self.is_free(&planning, &old.database, old.kind, &to.name, false)?,
        }
        match &mut statement {
            Statement::CreateRoutine(create) => create.name.name.clone_from(&to.name),
            Statement::CreateTrigger(create) => create.name.name.clone_from(&to.name),
            Statement::CreateView(create) => create.name.name.clone_from(&to.name),
            _ => return Err(SqlError::new("0A000", "this kind of object keeps its name")),
        }
        let runs = matches!(old.state, State::Building | State::Running);
        let new = Definition {
            id: planning.catalog.free_id(&old.database, old.kind, &to.name, &statement),
            name: to.name.clone(),
            sql: statement.to_string(),
            statement: Arc::new(statement),
            // Nobody runs it before everything has its new name.
            state: if runs { State::Paused } else { old.state },
            version: old.version + 1,
            ..old.clone()
        };
        let client = self.deployment.client().clone();
        let mut session = client.start_session().await.map_err(|error| of_driver(&error))?;
        start(&mut session).await?;
        if let Err(error) = moved(&mut session, old, &new).await {
            abort(&mut session).await;
            return Err(error);
        }
        finish(&mut session).await?;
        if old.kind == Kind::MaterializedView && old.options.text("target")?.is_none() {
            let names = (format!("{}.{}", old.database, old.name), format!("{}.{}", old.database, new.name));
            match command(self, "admin", doc! {"renameCollection": names.0, "to": names.1}).await {
                // It has not been made yet.
                Err(error) if error.state.0 == "42P01" || error.state.0 == "42704" => {}
                done => drop(done?),
            }
        }
        if runs {
            let rows = client.database(DATABASE).collection::<Document>(DEFINITIONS);
            let go_on = doc! {"$set": {"state": old.state.name()}, "$inc": {"version": 1_i64}};
            rows.update_one(doc! {"_id": &new.id}, go_on).await.map_err(|error| of_driver(&error))?;
        }
        Ok(Answer::done(tag, Vec::new()))
    }
}

/// Moves the documents of an object to its new id.
async fn moved(session: &mut ClientSession, old: &Definition, new: &Definition) -> Result<()> {
    let own = session.client().database(DATABASE);
    let rows = |name: &str| own.collection::<Document>(name);
    let of = |error: &mongodb::error::Error| match code(error) {
        Some(11_000) => SqlError::new("42710", format!("{} exists already", new.name)),
        _ => of_driver(error),
    };
    let which = doc! {"_id": &old.id, "version": old.version};
    let gone = rows(DEFINITIONS).delete_one(which).session(&mut *session).await.map_err(|error| of(&error))?;
    if gone.deleted_count == 0 {
        return Err(SqlError::new("40001", "somebody else has just changed it"));
    }
    rows(DEFINITIONS).insert_one(new.to_document()).session(&mut *session).await.map_err(|error| of(&error))?;
    for (from, to) in old.checkpoints().iter().zip(new.checkpoints()) {
        let checkpoint = rows(CHECKPOINTS).find_one_and_delete(doc! {"_id": from}).session(&mut *session).await;
        if let Some(mut checkpoint) = checkpoint.map_err(|error| of(&error))? {
            checkpoint.insert("_id", to);
            rows(CHECKPOINTS).insert_one(checkpoint).session(&mut *session).await.map_err(|error| of(&error))?;
        }
    }
    let outbox = rows(OUTBOX);
    let calls = outbox.update_many(doc! {"procedure": &old.id}, doc! {"$set": {"procedure": &new.id}});
    calls.session(&mut *session).await.map_err(|error| of(&error))?;
    let letters = rows(DEAD_LETTERS).find(doc! {"_id.object": &old.id}).session(&mut *session).await;
    let mut letters = letters.map_err(|error| of(&error))?;
    let letters: Vec<Document> = letters.stream(session).try_collect().await.map_err(|error| of(&error))?;
    for mut letter in letters {
        let id = letter.get("_id").cloned().unwrap_or(Bson::Null);
        if let Ok(id) = letter.get_document_mut("_id") {
            id.insert("object", &new.id);
        }
        rows(DEAD_LETTERS).insert_one(letter).session(&mut *session).await.map_err(|error| of(&error))?;
        rows(DEAD_LETTERS).delete_one(doc! {"_id": id}).session(&mut *session).await.map_err(|error| of(&error))?;
    }
    Ok(())
}
