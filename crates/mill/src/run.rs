//! What all running objects have in common: how they are stopped, how they end, and how they tell of themselves.

use std::time::Duration;

use bson::{Document, doc};
use millstream_sql::SqlError;
use mongodb::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::checkpoint::DATABASE;
use crate::definition::{DEFINITIONS, Definition};
use crate::deployment::now_ms;
use crate::error::{Result, bug, of_driver};

/// Why an object runs no more, without anything being wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was asked to.
    Stopped,
    /// Another process runs it.
    TakenOver,
    /// What it holds has to be made anew.
    Rebuild,
}

/// Tells an object to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// One that is told by the sender.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (tell, told) = watch::channel(false);
        (tell, Self(told))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is told.
    pub(crate) async fn stopped(&self) {
        let mut told = self.0.clone();
        // Whoever could tell is gone: that is an end, too.
        let _ = told.wait_for(|stopped| *stopped).await;
    }
}

/// Does something that computes, away from those who wait.
pub(crate) async fn blocking<L, T>(
    mut live: L,
    work: impl FnOnce(&mut L) -> Result<T> + Send + 'static,
) -> Result<(L, T)>
where
    L: Send + 'static,
    T: Send + 'static,
{
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&mut live)?;
        Ok((live, done))
    });
    done.await.map_err(|error| bug(&format!("a computation ended: {error}")))?
}

/// Waits until then; without an instant for ever.
pub(crate) async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}

/// The instant of a time of the mill's clock.
pub(crate) fn until(clock_ms: i64) -> Instant {
    let wait = u64::try_from(clock_ms.saturating_sub(now_ms())).unwrap_or(0);
    // Nothing sleeps for longer than a day at a time: clocks are set.
    Instant::now() + Duration::from_millis(wait.min(86_400_000))
}

/// Writes an object's state into its definition.
pub(crate) async fn published(
    client: &Client,
    definition: &Definition,
    state: &str,
    error: Option<&SqlError>,
) -> Result<()> {
    let rows = client.database(DATABASE).collection::<Document>(DEFINITIONS);
    let which = doc! {"_id": &definition.id, "generation": definition.generation, "state": {"$ne": "paused"}};
    let change = match error {
        None => doc! {"$set": {"state": state}, "$unset": {"error": 1}},
        Some(error) => {
            doc! {"$set": {"state": state, "error": {"sqlstate": error.state.0, "message": &error.message}}}
        }
    };
    rows.update_one(which, change).await.map(drop).map_err(|error| of_driver(&error))
}

/// The collection that a view is written to.
pub(crate) fn target(definition: &Definition) -> Result<(String, String)> {
    let own = &definition.database;
    let (database, collection) = match definition.options.text("target")? {
        None => (own.clone(), definition.name.clone()),
        Some(target) => match target.split('.').collect::<Vec<_>>().as_slice() {
            [collection] => (own.clone(), (*collection).to_owned()),
            [database, collection] => ((*database).to_owned(), (*collection).to_owned()),
            _ => return Err(SqlError::new("0A000", "a view into another deployment is not offered yet")),
        },
    };
    check_writable(&database)?;
    Ok((database, collection))
}

/// Refuses what a mill alone writes (SQL-18.1).
pub(crate) fn check_writable(database: &str) -> Result<()> {
    if database != DATABASE {
        return Ok(());
    }
    Err(SqlError::new("42501", format!("the tables of \"{DATABASE}\" can be read, but not written")))
}
