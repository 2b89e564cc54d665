//! Transactions of two updates: apart from each other, all at one document, and many that only stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bson::{Document, doc};
use futures::{StreamExt as _, TryStreamExt as _};
use mongodb::{ClientSession, Collection};
use tokio::task::JoinSet;

use super::BATCH;
use crate::bench::arguments::Plan;
use crate::bench::case::Job;
use crate::bench::measure::Measure;
use crate::bench::target::{Target, order};

/// Documents of each connection, which no other touches.
const OWN: u64 = 500;

/// The document that all touch where they are meant to meet.
const HOT: i64 = -1;

/// Transactions that are opened or ended at the same time.
const AT_ONCE: usize = 32;

/// After opening, so that memory has settled.
const SETTLE: Duration = Duration::from_secs(1);

/// With fewer transactions their memory drowns in everything else that a server does.
const MEMORY_OPEN_MIN: u32 = 100;

/// Whether transactions meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// Each connection has documents of its own.
    Apart,
    /// The first update of all is of the same document, which is held until the commit.
    Hot,
    /// The last one is, which is how programs hold what many want as short as they can.
    HotLast,
}

pub(crate) fn jobs(plan: &Plan) -> Vec<Job> {
    let (seconds, open) = (plan.seconds, plan.open);
    let job = |name: &str, meeting: Meeting, connections: u32| {
        Job::new(format!("transactions {name} {connections}"), move |target| {
            Box::pin(measure(target, meeting, connections, seconds))
        })
    };
    let mut jobs = Vec::new();
    for (name, meeting) in [("apart", Meeting::Apart), ("hot", Meeting::Hot), ("hot last", Meeting::HotLast)] {
        jobs.extend(plan.connections.iter().map(|connections| job(name, meeting, *connections)));
    }
    jobs.push(Job::new(format!("transactions open {open}"), move |target| Box::pin(stay_open(target, open))));
    jobs
}

async fn measure(target: &Target, meeting: Meeting, connections: u32, time: Duration) -> anyhow::Result<Vec<Measure>> {
    let seed = target.fresh("transactions").await?;
    stock_up(target, &seed, u64::from(connections) * OWN).await?;

    // A client of its own, so that there are so many connections and no more.
    let connection = target.another(connections).await?;
    let collection = connection.client().database(&seed.namespace().db).collection::<Document>(seed.name());
    let stop = Arc::new(AtomicBool::new(false));
    let runs = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        let session = connection.client().start_session().await.map_err(|error| target.explain(error))?;
        tasks.spawn(transfer_until(collection.clone(), session, meeting, number, Arc::clone(&runs), Arc::clone(&stop)));
    }
    let began = Instant::now();
    // A task that failed ends before the others.
    let mut ended = Vec::new();
    while let Ok(Some(task)) = tokio::time::timeout(time.saturating_sub(began.elapsed()), tasks.join_next()).await {
        ended.push(task);
    }
    stop.store(true, Ordering::Relaxed);
    // The last transaction of each still counts, and so does its time.
    while let Some(task) = tasks.join_next().await {
        ended.push(task);
    }
    let took = began.elapsed();
    let mut committed = 0;
    for task in ended {
        committed += task.context("a connection failed")?.map_err(|error| target.explain(error))?;
    }
    connection.client().clone().shutdown().immediate(true).await;
    let runs = runs.load(Ordering::Relaxed);
    Ok(vec![
        Measure::rate("committed", committed, took.as_secs_f64()),
        Measure::percent("runs that committed", committed as f64, runs as f64),
    ])
}

/// One transaction after the other; how many were committed.
async fn transfer_until(
    collection: Collection<Document>,
    mut session: ClientSession,
    meeting: Meeting,
    number: u32,
    runs: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> mongodb::error::Result<u64> {
    let first = signed(u64::from(number) * OWN);
    let mut committed = 0;
    while !stop.load(Ordering::Relaxed) {
        let at = rand::random_range(0..signed(OWN));
        let (from, to) = (first + at, first + (at + 1) % signed(OWN));
        let (from, to) = match meeting {
            Meeting::Apart => (from, to),
            Meeting::Hot => (HOT, to),
            Meeting::HotLast => (from, HOT),
        };
        let shared = (collection.clone(), Arc::clone(&runs));
        session
            .start_transaction()
            .and_run2(async move |session| {
                let (collection, runs) = &shared;
                runs.fetch_add(1, Ordering::Relaxed);
                collection.update_one(doc! {"_id": from}, doc! {"$inc": {"n": -1}}).session(&mut *session).await?;
                collection.update_one(doc! {"_id": to}, doc! {"$inc": {"n": 1}}).session(session).await
            })
            .await?;
        committed += 1;
    }
    Ok(committed)
}

/// Transactions that have changed one document each, and wait.
async fn stay_open(target: &Target, count: u32) -> anyhow::Result<Vec<Measure>> {
    let collection = target.fresh("transactions").await?;
    stock_up(target, &collection, u64::from(count)).await?;
    let client = target.connection().client();
    let before = target.memory_kb().await;

    let began = Instant::now();
    let openings = (0..count).map(|number| {
        let collection = &collection;
        async move {
            let mut session = client.start_session().await?;
            session.start_transaction().await?;
            let this = doc! {"_id": i64::from(number)};
            collection.update_one(this, doc! {"$inc": {"n": 1}}).session(&mut session).await?;
            mongodb::error::Result::Ok(session)
        }
    });
    let opening = futures::stream::iter(openings).buffer_unordered(AT_ONCE);
    let sessions: Vec<ClientSession> = opening.try_collect().await.map_err(|error| target.explain(error))?;
    let opened = began.elapsed();
    tokio::time::sleep(SETTLE).await;
    let after = target.memory_kb().await;

    let began = Instant::now();
    let commits = sessions.into_iter().map(|mut session| async move { session.commit_transaction().await });
    let committing = futures::stream::iter(commits).buffer_unordered(AT_ONCE);
    committing.try_for_each(|()| async { Ok(()) }).await.map_err(|error| target.explain(error))?;
    let mut measures =
        vec![Measure::micros("open all", micros(opened)), Measure::micros("commit all", micros(began.elapsed()))];
    if let (Some(before), Some(after)) = (before, after)
        && count >= MEMORY_OPEN_MIN
    {
        measures.push(Measure::kilobytes("memory a transaction", (after - before).max(0.0) / f64::from(count)));
    }
    Ok(measures)
}

/// The hot document, and so many others.
async fn stock_up(target: &Target, collection: &Collection<Document>, count: u64) -> anyhow::Result<()> {
    let numbered = |number: i64| {
        let mut document = doc! {"_id": number};
        document.extend(order(u64::try_from(number).unwrap_or(0)));
        document
    };
    collection.insert_one(numbered(HOT)).await.map_err(|error| target.explain(error))?;
    let mut done = 0;
    while done < count {
        let until = count.min(done + BATCH);
        let documents = (done..until).map(|number| numbered(signed(number)));
        collection.insert_many(documents).await.map_err(|error| target.explain(error))?;
        done = until;
    }
    Ok(())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
