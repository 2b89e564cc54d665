//! Writes of every kind, at random.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bson::{Document, doc};
use mongodb::error::{Error, Result as Answer, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::{Client, ClientSession, Collection, Database};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::plan::{GROUPS, IDS};
use super::{COLLECTIONS, DATABASES, Shared, code, is_outage};

/// What such writes may run into: a duplicate key, a namespace that is missing or there already.
const EXPECTED: [i32; 3] = [11000, 26, 48];

/// Writes until it is told to stop.
pub(super) async fn write(
    number: i64,
    writers: i64,
    pause_ms: Range<u64>,
    mut random: StdRng,
    client: Client,
    shared: Arc<Shared>,
) -> Result<(), String> {
    // Every attempt to insert has a mark of its own, so that one that was made twice is seen.
    let mut marks = (number..).step_by(usize::try_from(writers).expect("a count"));
    while !shared.stop.load(Ordering::SeqCst) {
        let database = client.database(DATABASES.choose(&mut random).expect("a database"));
        let collection = database.collection(COLLECTIONS.choose(&mut random).expect("a collection"));
        let acknowledged = match random.random_range(0..1000) {
            0..600 => one(&collection, &mut random, &mut marks).await,
            600..700 => together(&client, &mut random, &mut marks, &shared).await,
            700..975 => many(&collection, &mut random, &mut marks).await,
            _ => define(&database, &collection, &mut random).await.map(|()| Vec::new()),
        };
        match acknowledged {
            Ok(acknowledged) => {
                shared.writes.fetch_add(1, Ordering::Relaxed);
                shared.acknowledged.lock().expect("the marks").extend(acknowledged);
            }
            Err(error) if is_outage(&error) || is_transient(&error) => {}
            Err(error) if code(&error).is_some_and(|code| EXPECTED.contains(&code)) => {}
            Err(error) => return Err(format!("writer {number}: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(pause_ms.clone()))).await;
    }
    Ok(())
}

/// Whether a transaction ended because of another one, or because the server did.
fn is_transient(error: &Error) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR) || error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
}

/// Several documents of any collections in a transaction; the marks of what was inserted for sure.
async fn together(
    client: &Client,
    random: &mut StdRng,
    marks: &mut impl Iterator<Item = i64>,
    shared: &Shared,
) -> Answer<Vec<i64>> {
    if random.random_bool(0.1) {
        // Most are too small to need several entries of the log.
        let count = random.random_range(1..6);
        let parameter = doc! {"setParameter": 1, "maxNumberOfTransactionOperationsInSingleOplogEntry": count};
        client.database("admin").run_command(parameter).await?;
    }
    let mut session = client.start_session().await?;
    session.start_transaction().await?;
    let mut inserted = Vec::new();
    let done = inside(client, random, marks, &mut session, &mut inserted).await;
    let is_committed = done.is_ok() && random.random_bool(0.8);
    shared.transactions.lock().expect("the transactions").push((inserted.clone(), is_committed));
    if !is_committed {
        // One that has failed is over already.
        let _ = session.abort_transaction().await;
        return done.map(|()| Vec::new());
    }
    session.commit_transaction().await?;
    Ok(inserted)
}

async fn inside(
    client: &Client,
    random: &mut StdRng,
    marks: &mut impl Iterator<Item = i64>,
    session: &mut ClientSession,
    inserted: &mut Vec<i64>,
) -> Answer<()> {
    for _ in 0..random.random_range(1..8) {
        let database = client.database(DATABASES.choose(random).expect("a database"));
        let collection = database.collection::<Document>(COLLECTIONS.choose(random).expect("a collection"));
        let by_id = doc! {"_id": random.random_range(0..IDS)};
        let (group, n) = (random.random_range(0..GROUPS), random.random_range(0..1000));
        match random.random_range(0..10) {
            0..=3 => {
                let mark = marks.next().expect("a mark");
                inserted.push(mark);
                let document = doc! {"_id": IDS + mark, "group": group, "n": n, "mark": mark, "tags": ["x"]};
                collection.insert_one(document).session(&mut *session).await?;
            }
            4..=6 => {
                let change = doc! {"$inc": {"n": 1}, "$set": {"group": group}};
                collection.update_one(by_id, change).session(&mut *session).await?;
            }
            7 => {
                collection.replace_one(by_id, doc! {"group": group, "n": n}).session(&mut *session).await?;
            }
            _ => {
                collection.delete_one(by_id).session(&mut *session).await?;
            }
        }
    }
    Ok(())
}

/// One document; the marks of what was inserted for sure.
async fn one(
    collection: &Collection<Document>,
    random: &mut StdRng,
    marks: &mut impl Iterator<Item = i64>,
) -> Answer<Vec<i64>> {
    let id = random.random_range(0..IDS);
    let (group, n) = (random.random_range(0..GROUPS), random.random_range(0..1000));
    let by_id = doc! {"_id": id};
    match random.random_range(0..14) {
        0..=5 => {
            let mark = marks.next().expect("a mark");
            collection.insert_one(doc! {"_id": id, "group": group, "n": n, "mark": mark, "tags": ["x"]}).await?;
            return Ok(vec![mark]);
        }
        6..=7 => {
            let change = [
                doc! {"$inc": {"n": 1}},
                doc! {"$set": {"group": group}},
                doc! {"$set": {"n": n, "group": group}, "$unset": {"pad": ""}},
                doc! {"$push": {"tags": {"$each": ["y", n], "$slice": -5}}},
            ];
            let change = change.choose(random).expect("a change").clone();
            collection.update_one(by_id, change).await?;
        }
        8 => {
            let mark = marks.next().expect("a mark");
            let change = doc! {"$set": {"n": n}, "$setOnInsert": {"mark": mark, "group": group}};
            let result = collection.update_one(by_id, change).upsert(true).await?;
            return Ok(result.upserted_id.map(|_| mark).into_iter().collect());
        }
        9 => {
            collection.find_one_and_update(by_id, doc! {"$set": {"group": group}, "$inc": {"n": 1}}).await?;
        }
        10..=11 => {
            collection.replace_one(by_id, doc! {"group": group, "n": n, "pad": "p".repeat(80)}).await?;
        }
        _ => {
            collection.delete_one(by_id).await?;
        }
    }
    Ok(Vec::new())
}

/// Several documents at once; the marks of what was inserted for sure.
async fn many(
    collection: &Collection<Document>,
    random: &mut StdRng,
    marks: &mut impl Iterator<Item = i64>,
) -> Answer<Vec<i64>> {
    let group = random.random_range(0..GROUPS);
    match random.random_range(0..10) {
        0..=4 => {
            let marks: Vec<i64> = marks.take(random.random_range(2..12)).collect();
            let documents = marks.iter().map(|mark| doc! {"_id": IDS + mark, "group": group, "n": 0, "mark": mark});
            collection.insert_many(documents).await?;
            return Ok(marks);
        }
        5..=6 => {
            let below = random.random_range(0..1000);
            collection.update_many(doc! {"group": group, "n": {"$lt": below}}, doc! {"$inc": {"n": 100}}).await?;
        }
        _ => {
            // Those of `insert_many`, of which there would be more and more.
            let change = doc! {"group": group, "_id": {"$gte": random.random_range(0..2 * IDS)}};
            collection.delete_many(change).await?;
        }
    }
    Ok(Vec::new())
}

/// What exists: collections, names, indexes, and rarely a whole database.
async fn define(database: &Database, collection: &Collection<Document>, random: &mut StdRng) -> Answer<()> {
    let name = collection.name();
    match random.random_range(0..25) {
        0..=7 => database.run_command(doc! {"drop": name}).await?,
        8..=15 => {
            let others: Vec<&&str> = COLLECTIONS.iter().filter(|other| **other != name).collect();
            let to = format!("{}.{}", database.name(), others.choose(random).expect("another"));
            let rename = doc! {"renameCollection": collection.namespace().to_string(), "to": to};
            let with_target = doc! {"dropTarget": random.random_bool(0.7)};
            let rename: Document = rename.into_iter().chain(with_target).collect();
            database.client().database("admin").run_command(rename).await?
        }
        16..=19 => database.run_command(doc! {"create": name}).await?,
        20..=23 => {
            let index = doc! {"key": {"group": 1, "n": 1}, "name": "group_n"};
            database.run_command(doc! {"createIndexes": name, "indexes": [index]}).await?
        }
        _ => database.run_command(doc! {"dropDatabase": 1}).await?,
    };
    Ok(())
}
