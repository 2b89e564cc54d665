//! Triggers (SQL-15): what runs once for each matching change, after its commit.

mod body;
mod copy;
mod deal;
mod existing;
mod plan;
mod run;
mod watched;

use std::sync::Arc;

use bson::raw::cstr;
use bson::{Document, RawDocument, RawDocumentBuf, doc};
use futures::TryStreamExt;
use millstream_sql::SqlError;
use millstream_sql::statement::{Options, Statement, TriggerEvent};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::deployment::Deployment;
use crate::error::{Result, of_driver};
use crate::images::Images;
use crate::object::Object;
use crate::planning::Planning;
use crate::run::End;

pub(crate) use self::body::{Cause, Run};
pub(crate) use self::plan::{Body, Planned, plan, plan_call, plan_procedure, type_of};

/// Runs a trigger.
pub(crate) async fn run(object: Object) -> Result<End> {
    let Statement::CreateTrigger(create) = object.definition.statement.as_ref() else {
        return Err(crate::error::bug("a trigger without its statement"));
    };
    let mut planning = Planning::of(&object.definition, &object.catalog)?;
    let planned = plan(&mut planning, &object.deployment, create).await?;
    let planned = Arc::new(planned);
    let lanes = crate::options::lanes(&object.definition.options);
    let mut running = JoinSet::new();
    let (is_open, mut closed) = mpsc::channel(1);
    let by_id = Images::of(&object.definition.options)? == Images::Mirror;
    let mut all = Vec::new();
    for number in 0..lanes {
        let lane = Lane { number, of: lanes, by_id };
        all.push(run::Trigger::new(object.clone(), Arc::clone(&planned), lane, &is_open).await?);
    }
    for lane in all {
        running.spawn(lane.run());
    }
    // If one ends by itself the others end with it, and begin with it again.
    let mut end = Ok(End::Stopped);
    while let Some(ended) = running.join_next().await {
        let ended = ended.map_err(|error| crate::error::bug(&format!("a lane ended: {error}")));
        end = ended.and_then(|ended| ended);
        if !matches!(end, Ok(End::Stopped)) {
            running.shutdown().await;
        }
    }
    // Nobody may open their copies before.
    drop(is_open);
    closed.recv().await;
    end
}

/// Which of the changes one lane of a trigger deals with (SQL-15.6): those of some documents.
#[derive(Clone, Copy, Debug)]
struct Lane {
    number: u64,
    of: u64,
    /// By the `_id` alone: of a document that was read for a copy the other fields of a key of shards are not known.
    by_id: bool,
}

impl Lane {
    /// Whether a document's changes are dealt with here.
    fn has(self, document_key: Option<&RawDocument>) -> bool {
        if self.of == 1 {
            return true;
        }
        let mut id = RawDocumentBuf::new();
        let key = match document_key {
            Some(key) if self.by_id => {
                key.get("_id").ok().flatten().into_iter().for_each(|value| id.append(cstr!("_id"), value));
                id.as_bytes()
            }
            key => key.map_or(&[][..], RawDocument::as_bytes),
        };
        let hash = Sha256::digest(key);
        let number = hash.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        number % self.of == self.number
    }
}

impl Planned {
    /// Whether changes need the document before or after them from images (SQL-12.7).
    pub(crate) fn needs_images(&self) -> bool {
        self.events.iter().any(|event| *event != TriggerEvent::Insert)
    }

    /// Has the deployment keep images where they are needed (SQL-12.6), and refuses what cannot be kept once.
    pub(crate) async fn prepare(&self, deployment: &Deployment, options: &Options) -> Result<()> {
        let images = Images::of(options)?;
        match options.text("on_failure")? {
            None | Some("dead_letter" | "pause") => {}
            Some(other) => return Err(SqlError::new("22023", format!("on_failure cannot be '{other}'"))),
        }
        for number in ["batch", "max_depth", "parallel", "retries"] {
            options.integer(number)?;
        }
        if at_least_once(options)? {
            self.check_loops(options)?;
        } else {
            self.check_targets(deployment).await?;
        }
        if self.needs_images() && images == Images::Kept {
            keep_images(deployment, &self.database, &self.collection).await?;
        }
        Ok(())
    }

    /// What cannot share a transaction with the place cannot happen exactly once (SQL-15.5).
    async fn check_targets(&self, deployment: &Deployment) -> Result<()> {
        let hint = "WITH (guarantee = 'at_least_once') accepts that it may be repeated after a crash";
        if let Some(routine) = self.body.outside.first() {
            let message = format!("what {routine} does cannot be part of a transaction");
            return Err(SqlError::new("0A000", message).hint(hint));
        }
        for (database, collection) in &self.body.written {
            let database = deployment.client().database(database);
            let found = database.list_collections().filter(doc! {"name": collection}).await;
            let mut found = found.map_err(|error| of_driver(&error))?;
            while let Some(found) = found.try_next().await.map_err(|error| of_driver(&error))? {
                if found.options.capped == Some(true) || found.options.timeseries.is_some() {
                    let message = format!("{collection} is capped or of time series, which no transaction writes");
                    return Err(SqlError::new("0A000", message).hint(hint));
                }
            }
        }
        Ok(())
    }

    /// Without transactions a trigger does not know its own changes (SQL-15.7).
    fn check_loops(&self, options: &Options) -> Result<()> {
        let own = (self.database.clone(), self.collection.clone());
        if self.body.written.contains(&own) && !options.boolean("recursive")?.unwrap_or(false) {
            let message = format!("the trigger writes its own table {}, and would fire itself", own.1);
            return Err(SqlError::new("42P16", message)
                .hint("with guarantee = 'at_least_once' that needs recursive = true, and a condition that ends it"));
        }
        Ok(())
    }
}

/// Whether effects may be repeated.
pub(crate) fn at_least_once(options: &Options) -> Result<bool> {
    match options.text("guarantee")? {
        None | Some("exactly_once") => Ok(false),
        Some("at_least_once") => Ok(true),
        Some(other) => Err(SqlError::new("22023", format!("guarantee cannot be '{other}'"))),
    }
}

/// Has a deployment keep the documents before and after changes of a collection.
pub(crate) async fn keep_images(deployment: &Deployment, database: &str, collection: &str) -> Result<()> {
    let rows = deployment.client().database(database);
    let images = doc! {"enabled": true};
    let change: Document = doc! {"collMod": collection, "changeStreamPreAndPostImages": images.clone()};
    let done = match rows.run_command(change.clone()).await {
        Err(error) if crate::error::code(&error) == Some(26) => {
            let create = doc! {"create": collection, "changeStreamPreAndPostImages": images};
            match rows.run_command(create).await {
                // Somebody was faster.
                Err(error) if crate::error::code(&error) == Some(48) => rows.run_command(change).await,
                done => done,
            }
        }
        done => done,
    };
    done.map(drop).map_err(|error| {
        let reason = of_driver(&error);
        let message = format!("images of {database}.{collection} cannot be kept: {}", reason.message);
        SqlError::new("MS002", message)
            .hint("images = 'mirror' keeps an own copy, images = 'lookup' looks documents up")
    })
}
