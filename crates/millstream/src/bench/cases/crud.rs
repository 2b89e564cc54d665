//! Plain reads and writes by some number of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bson::{Document, doc};
use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use mongodb::Collection;
use tokio::task::JoinSet;

use super::BATCH;
use crate::bench::arguments::Plan;
use crate::bench::case::Job;
use crate::bench::measure::Measure;
use crate::bench::target::{Target, order};

/// Documents that are found, updated and ranged over.
const STOCK: u64 = 20_000;

/// Documents that wait to be deleted, for each second. Should a server be faster, the
/// measurement ends when there are none left.
const TO_DELETE_PER_SECOND: u64 = 20_000;

/// Documents of one range, and of one `insert_many`.
const HUNDRED: u64 = 100;

type Done<'a> = BoxFuture<'a, mongodb::error::Result<()>>;

/// One operation: what a task does again and again, `turn` counting over all tasks.
struct Operation {
    name: &'static str,
    run: fn(&Collection<Document>, turn: u64) -> Done<'_>,
}

static OPERATIONS: &[Operation] = &[
    Operation { name: "insert_one", run: |c, turn| Box::pin(async move { c.insert_one(order(turn)).await.map(drop) }) },
    Operation {
        name: "insert_many_100",
        run: |c, turn| Box::pin(async move { c.insert_many((0..HUNDRED).map(|n| order(turn + n))).await.map(drop) }),
    },
    Operation {
        name: "find_id",
        run: |c, _| {
            Box::pin(async move {
                c.clone_with_type::<bson::RawDocumentBuf>().find_one(doc! {"_id": any()}).await.map(drop)
            })
        },
    },
    Operation {
        name: "update_inc",
        run: |c, _| Box::pin(async move { c.update_one(doc! {"_id": any()}, doc! {"$inc": {"n": 1}}).await.map(drop) }),
    },
    Operation {
        name: "delete_id",
        run: |c, turn| Box::pin(async move { c.delete_one(doc! {"_id": signed(STOCK + turn)}).await.map(drop) }),
    },
    Operation {
        name: "range_100",
        run: |c, _| {
            Box::pin(async move {
                let limit = i64::try_from(HUNDRED).unwrap_or(i64::MAX);
                let raw = c.clone_with_type::<bson::RawDocumentBuf>();
                let cursor = raw.find(doc! {"_id": {"$gte": any()}}).sort(doc! {"_id": 1}).limit(limit).await?;
                cursor.try_for_each(|_| async { Ok(()) }).await
            })
        },
    },
];

pub(crate) fn jobs(plan: &Plan) -> Vec<Job> {
    let seconds = plan.seconds;
    let job = |operation: &'static Operation, connections: u32| {
        Job::new(format!("crud {} {connections}", operation.name), move |target| {
            Box::pin(measure(target, operation, connections, seconds))
        })
    };
    OPERATIONS
        .iter()
        .flat_map(|operation| plan.connections.iter().map(move |connections| job(operation, *connections)))
        .collect()
}

async fn measure(
    target: &Target,
    operation: &'static Operation,
    connections: u32,
    time: Duration,
) -> anyhow::Result<Vec<Measure>> {
    let seed = target.fresh("crud").await?;
    let deletes = operation.name == "delete_id";
    let seconds = time.as_secs().max(1);
    let extra = if deletes { TO_DELETE_PER_SECOND.saturating_mul(seconds) } else { 0 };
    let stock = STOCK + extra;
    stock_up(target, &seed, stock).await?;

    // A client of its own, so that there are so many connections and no more.
    let connection = target.another(connections).await?;
    let collection = connection.client().database(&seed.namespace().db).collection::<Document>(seed.name());
    let stop = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (collection, stop, turns) = (collection.clone(), Arc::clone(&stop), Arc::clone(&turns));
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let turn = turns.fetch_add(1, Ordering::Relaxed);
                if deletes && turn >= extra {
                    break;
                }
                (operation.run)(&collection, turn).await?;
            }
            mongodb::error::Result::Ok(())
        });
    }
    let began = Instant::now();
    // Deleting may be done before the time is up.
    let mut ended = Vec::new();
    while let Ok(Some(task)) = tokio::time::timeout(time.saturating_sub(began.elapsed()), tasks.join_next()).await {
        ended.push(task);
    }
    stop.store(true, Ordering::Relaxed);
    let took = began.elapsed();
    while let Some(task) = tasks.join_next().await {
        ended.push(task);
    }
    for task in ended {
        task.context("a connection failed")?.map_err(|error| target.explain(error))?;
    }
    connection.client().clone().shutdown().immediate(true).await;
    let mut done = turns.load(Ordering::Relaxed);
    if deletes {
        done = done.min(extra);
    }
    Ok(vec![Measure::rate("operations", done, took.as_secs_f64())])
}

async fn stock_up(target: &Target, collection: &Collection<Document>, count: u64) -> anyhow::Result<()> {
    let numbered = |number: u64| {
        let mut document = doc! {"_id": signed(number)};
        document.extend(order(number));
        document
    };
    let mut done = 0;
    while done < count {
        let until = count.min(done + BATCH);
        collection.insert_many((done..until).map(numbered)).await.map_err(|error| target.explain(error))?;
        done = until;
    }
    Ok(())
}

/// The key of a document that is there.
fn any() -> i64 {
    rand::random_range(0..signed(STOCK))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
