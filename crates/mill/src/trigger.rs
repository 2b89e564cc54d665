//! Triggers (SQL-15): what runs once for each matching change, after its commit.

mod body;
mod plan;
mod run;

use bson::{Document, doc};
use millstream_sql::SqlError;
use millstream_sql::statement::{Options, Statement, TriggerEvent};

use crate::deployment::Deployment;
use crate::error::{Result, of_driver};
use crate::object::Object;
use crate::planning::Planning;
use crate::run::End;

pub(crate) use self::body::Run;
pub(crate) use self::plan::{Body, Planned, plan, plan_call, plan_procedure, type_of};

/// The options of webhooks (SQL-16.4).
// Sorted by name.
pub(crate) static WEBHOOK_OPTIONS: &[&str] = &["headers", "method", "retries", "secret", "timeout", "url"];

/// Runs a trigger.
pub(crate) async fn run(object: Object) -> Result<End> {
    let Statement::CreateTrigger(create) = object.definition.statement.as_ref() else {
        return Err(crate::error::bug("a trigger without its statement"));
    };
    let mut planning = Planning::of(&object.definition, &object.catalog)?;
    let planned = plan(&mut planning, &object.deployment, create).await?;
    run::Trigger::new(object, planned).await?.run().await
}

impl Planned {
    /// Whether changes need the document before or after them from images (SQL-12.7).
    pub(crate) fn needs_images(&self) -> bool {
        self.events.iter().any(|event| *event != TriggerEvent::Insert)
    }

    /// Has the deployment keep images where they are needed (SQL-12.6), and refuses what cannot be kept once.
    pub(crate) async fn prepare(&self, deployment: &Deployment, options: &Options) -> Result<()> {
        match options.text("images")? {
            None | Some("auto") => {}
            Some("mirror" | "lookup") => return Err(crate::answer::not_offered("images other than 'auto'")),
            Some(other) => return Err(SqlError::new("22023", format!("images cannot be '{other}'"))),
        }
        match options.text("on_failure")? {
            None | Some("dead_letter" | "pause") => {}
            Some(other) => return Err(SqlError::new("22023", format!("on_failure cannot be '{other}'"))),
        }
        match options.text("guarantee")? {
            None | Some("exactly_once") => {}
            Some("at_least_once") => return Err(crate::answer::not_offered("guarantee = 'at_least_once'")),
            Some(other) => return Err(SqlError::new("22023", format!("guarantee cannot be '{other}'"))),
        }
        for number in ["batch", "max_depth", "parallel", "retries"] {
            options.integer(number)?;
        }
        if self.needs_images() {
            keep_images(deployment, &self.database, &self.collection).await?;
        }
        Ok(())
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
