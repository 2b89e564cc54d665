//! `WAIT FOR` (SQL-18.5): a mark in the changes, and who has come past it.

use std::time::Duration;

use bson::{Document, Timestamp, doc};
use millstream_sql::SqlError;
use millstream_watch::Event;

use crate::checkpoint::{CHECKPOINTS, DATABASE, refused};
use crate::commit::Place;
use crate::definition::{DEFINITIONS, checkpoints};
use crate::deployment::Deployment;
use crate::error::{Result, of_driver};
use crate::hub::{Name, namespace};

/// The collection of marks.
pub(crate) const BARRIERS: &str = "barriers";

/// The collection of marks by its name. Every running object sees it, and tells its place when a mark goes by.
pub(crate) fn barriers() -> Name {
    (DATABASE.to_owned(), BARRIERS.to_owned())
}

/// Whether an event is a mark.
pub(crate) fn is_mark(event: &Event) -> bool {
    namespace(event) == Some((DATABASE, BARRIERS))
}

/// Waits until objects have dealt with all that was acknowledged before.
pub(crate) async fn wait_for(deployment: &Deployment, objects: &[String], timeout: Duration) -> Result<()> {
    let database = deployment.client().database(DATABASE);
    let waited = async {
        let time = mark(&database).await?;
        let mut marked = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(1);
        while !all_past(&database, objects, time).await? {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(25));
            // Who was building when the mark was set sees none.
            if marked.elapsed() >= MARK_EVERY {
                mark(&database).await?;
                marked = tokio::time::Instant::now();
            }
        }
        Ok(())
    };
    match tokio::time::timeout(timeout, waited).await {
        Ok(outcome) => outcome,
        Err(_) => Err(SqlError::new("57014", format!("not ready after {} s", timeout.as_secs_f64()))),
    }
}

/// How often a mark is set while one waits.
const MARK_EVERY: Duration = Duration::from_millis(500);

/// Sets a mark; gives its time.
async fn mark(database: &mongodb::Database) -> Result<Option<Timestamp>> {
    let set = doc! {
        "update": BARRIERS,
        "updates": [{"q": {"_id": "mark"}, "u": {"$inc": {"n": 1_i64}}, "upsert": true}],
    };
    let reply = database.run_command(set).await.map_err(|error| of_driver(&error))?;
    match refused(&reply) {
        Some(error) => Err(error),
        None => Ok(reply.get_timestamp("operationTime").ok()),
    }
}

async fn all_past(database: &mongodb::Database, objects: &[String], time: Option<Timestamp>) -> Result<bool> {
    for object in objects {
        let definition = database.collection::<Document>(DEFINITIONS).find_one(doc! {"_id": object}).await;
        let Some(definition) = definition.map_err(|error| of_driver(&error))? else {
            return Err(SqlError::new("42704", format!("{object} is gone")));
        };
        match definition.get_str("state") {
            Ok("failed") => {
                let why = definition.get_document("error").and_then(|error| error.get_str("message"));
                let message = format!("{object} has failed: {}", why.unwrap_or("it is not known why"));
                return Err(SqlError::new("55000", message));
            }
            Ok("paused") => return Err(SqlError::new("55000", format!("{object} is paused"))),
            Ok("running") => {}
            _ => return Ok(false),
        }
        let options = crate::options::from_document(definition.get_document("options").ok());
        for checkpoint in checkpoints(object, &options) {
            let row = database.collection::<Document>(CHECKPOINTS).find_one(doc! {"_id": checkpoint}).await;
            let row = row.map_err(|error| of_driver(&error))?.unwrap_or_default();
            if row.get_object_id("generation").ok() != definition.get_object_id("generation").ok() {
                return Ok(false);
            }
            // Its place is that of the snapshot, of which some is still to be dealt with.
            let existing = row.get_document("existing").is_ok_and(|it| it.get_bool("under_way").unwrap_or(false));
            let place = row.get("place").and_then(Place::from_bson).and_then(|place| place.time());
            if existing || place.is_none() || place.map(before) < time.map(before) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn before(time: Timestamp) -> (u32, u32) {
    (time.time, time.increment)
}
