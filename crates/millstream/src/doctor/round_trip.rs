//! A real insert, and the time until its event is here.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use millstream_watch::{Backoff, Connection, Error, Scope, Source, StartAt, Step, Watcher};

use super::report::Finding;

/// The collection that is made and dropped for this.
const COLLECTION: &str = "millstream_doctor";
/// An event that takes longer does not come.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it is done; the shortest time counts, the first ones make connections.
const TRIES: usize = 5;

/// Writes, and times the event.
pub(super) async fn time(connection: &Connection, database: &str) -> Finding {
    let trip = tokio::time::timeout(WAIT_MAX, measure(connection, database)).await;
    let dropped = connection.client().database(database).collection::<Document>(COLLECTION).drop().await;
    match trip {
        Ok(Ok(best)) if dropped.is_ok() => {
            Finding::ok("round trip", format!("an insert is an event after {:.1} ms", best.as_secs_f64() * 1000.0))
        }
        Ok(Ok(_)) => Finding::warn(
            "round trip",
            format!("the events came, but {database}.{COLLECTION} could not be dropped"),
            "drop it by hand",
        ),
        Ok(Err(error)) => Finding::fail("round trip", error.to_string(), None),
        Err(_) => Finding::fail(
            "round trip",
            format!("no event came within {} s", WAIT_MAX.as_secs()),
            Some("a majority of the replica set's members has to be there for events to come".to_owned()),
        ),
    }
}

async fn measure(connection: &Connection, database: &str) -> Result<Duration, Error> {
    let scope = Scope::Collection { database: database.to_owned(), collection: COLLECTION.to_owned() };
    let rows = connection.client().database(database).collection::<Document>(COLLECTION);
    let mut watcher = Watcher::open(connection.clone(), Source::new(scope), StartAt::Now, Backoff::default()).await?;
    let mut best = Duration::MAX;
    for n in 0..TRIES {
        let began = Instant::now();
        let insert = rows.insert_one(doc! {"n": i64::try_from(n).unwrap_or(0)}).await;
        insert.map_err(|error| connection.explain(error, &format!("{database}.{COLLECTION}")))?;
        while !matches!(watcher.next().await?, Step::Event(event) if event.operation() == "insert") {}
        best = best.min(began.elapsed());
    }
    Ok(best)
}
