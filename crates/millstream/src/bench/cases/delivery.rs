//! The client library: events through a watcher whose callback does nothing, and many watchers in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bson::{Timestamp, doc};
use futures::{StreamExt as _, TryStreamExt as _};
use millstream_watch::{ChangeStreams, Event, Handle, StartAt};
use tokio::sync::Notify;

use super::fill;
use crate::bench::arguments::Plan;
use crate::bench::case::Job;
use crate::bench::measure::Measure;
use crate::bench::target::{DATABASE, Target, own_memory_kb};

/// Watchers that are begun at the same time.
const AT_ONCE: usize = 32;

/// With fewer watchers their memory drowns in everything else that a program does.
const MEMORY_WATCHERS_MIN: u32 = 100;

/// After opening, so that memory has settled.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) fn jobs(plan: &Plan) -> Vec<Job> {
    let documents = plan.documents;
    let mut jobs = vec![Job::new("delivery", move |target| Box::pin(events(target, documents)))];
    for watchers in plan.watchers.iter().copied().filter(|watchers| *watchers >= MEMORY_WATCHERS_MIN) {
        let name = format!("delivery watchers {watchers}");
        jobs.push(Job::new(name, move |target| Box::pin(many(target, watchers))));
    }
    jobs
}

/// Events that are in the log already, through a callback.
async fn events(target: &Target, documents: u64) -> anyhow::Result<Vec<Measure>> {
    let collection = target.fresh("delivery").await?;
    let before = target.connection().ping().await?;
    fill(target, &collection, documents).await?;

    let start = before.map_or(StartAt::Now, |time| StartAt::Time(next_after(time)));
    let (came, all) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let (in_callback, last) = (Arc::clone(&came), Arc::clone(&all));
    let began = Instant::now();
    let streams = ChangeStreams::on(target.connection());
    let watch = streams.watch_collection(DATABASE, collection.name()).operations(["insert"]).start(start);
    let handle = watch
        .for_each(move |_: Event| {
            if in_callback.fetch_add(1, Ordering::Relaxed) + 1 == documents {
                last.notify_one();
            }
            async { Ok::<_, std::convert::Infallible>(()) }
        })
        .await?;
    all.notified().await;
    let took = began.elapsed();
    handle.stop();
    handle.join().await?;
    ensure!(came.load(Ordering::Relaxed) == documents, "events came twice");
    Ok(vec![Measure::rate("events", documents, took.as_secs_f64())])
}

/// Watchers of one program that all wait.
async fn many(target: &Target, count: u32) -> anyhow::Result<Vec<Measure>> {
    let collection = target.fresh("delivery").await?;
    let connection = target.another(count).await?;
    let streams = ChangeStreams::on(&connection);
    let before = own_memory_kb();
    let began = Instant::now();
    let beginnings = (0..count).map(|number| {
        let watch = streams.watch_collection(DATABASE, collection.name());
        let watch = watch.stage(doc! {"$match": {"documentKey._id": i64::from(number)}});
        watch.for_each(|_: Event| async { Ok::<_, std::convert::Infallible>(()) })
    });
    let beginnings = futures::stream::iter(beginnings).buffer_unordered(AT_ONCE);
    let handles: Vec<Handle> = beginnings.try_collect().await?;
    let opened = began.elapsed();
    tokio::time::sleep(SETTLE).await;
    let after = own_memory_kb();
    handles.iter().for_each(|handle| handle.stop());
    for handle in handles {
        handle.join().await?;
    }
    connection.client().clone().shutdown().immediate(true).await;
    let opened = u64::try_from(opened.as_micros()).unwrap_or(u64::MAX);
    let mut measures = vec![Measure::micros("begin all", opened)];
    if let (Some(before), Some(after)) = (before, after) {
        let each = (after - before).max(0.0) / f64::from(count);
        measures.push(Measure::kilobytes("memory a watcher, here", each));
    }
    Ok(measures)
}

fn next_after(time: Timestamp) -> Timestamp {
    Timestamp { time: time.time, increment: time.increment.saturating_add(1) }
}
