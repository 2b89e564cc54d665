//! From just before `insert_one` to the event in hand, one after the other.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bson::Document;
use hdrhistogram::Histogram;
use mongodb::Collection;
use mongodb::options::FullDocumentType;

use super::next;
use crate::bench::arguments::Plan;
use crate::bench::case::Job;
use crate::bench::measure::Measure;
use crate::bench::target::{Target, order};

/// The first events are not counted: connections and caches are cold.
const WARM_UP: u64 = 50;

pub(crate) fn jobs(plan: &Plan) -> Vec<Job> {
    let writes = plan.writes;
    vec![
        Job::new("latency", move |target| {
            Box::pin(async move {
                let collection = target.fresh("latency").await?;
                measure(target, collection, writes).await
            })
        }),
        Job::new("latency w=1", move |target| {
            Box::pin(async move {
                let collection = target.fresh("latency").await?;
                let collection = target.with_w1(&collection);
                measure(target, collection, writes).await
            })
        }),
    ]
}

async fn measure(target: &Target, collection: Collection<Document>, writes: u64) -> anyhow::Result<Vec<Measure>> {
    let stream = collection.watch().full_document(FullDocumentType::UpdateLookup).await;
    let mut stream = stream.map_err(|error| target.explain(error))?.with_type();
    let mut events = Histogram::<u64>::new(3)?;
    let mut acknowledgements = Histogram::<u64>::new(3)?;
    for number in 0..writes + WARM_UP {
        let collection = collection.clone();
        let began = Instant::now();
        // In a task of its own, as the writer is another process in life.
        let write = tokio::spawn(async move { collection.insert_one(order(number)).await.map(|_| began.elapsed()) });
        next(target, &mut stream).await?;
        let event = began.elapsed();
        let acknowledged = write.await.context("the writer failed")?.map_err(|error| target.explain(error))?;
        if number >= WARM_UP {
            events.record(micros(event))?;
            acknowledgements.record(micros(acknowledged))?;
        }
    }
    Ok(vec![
        Measure::micros("event p50", events.value_at_quantile(0.5)),
        Measure::micros("event p99", events.value_at_quantile(0.99)),
        Measure::micros("event max", events.max()),
        Measure::micros("write p50", acknowledgements.value_at_quantile(0.5)),
        Measure::micros("write p99", acknowledgements.value_at_quantile(0.99)),
    ])
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
