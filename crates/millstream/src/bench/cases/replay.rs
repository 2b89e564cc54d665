//! Events that are in the log already, from a token on.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bson::doc;

use super::{fill, next};
use crate::bench::arguments::Plan;
use crate::bench::case::Job;
use crate::bench::measure::Measure;
use crate::bench::target::Target;

/// Events in one reply.
const BATCH: u32 = 5000;

pub(crate) fn jobs(plan: &Plan) -> Vec<Job> {
    let documents = plan.documents;
    vec![Job::new("replay", move |target| Box::pin(measure(target, documents)))]
}

async fn measure(target: &Target, documents: u64) -> anyhow::Result<Vec<Measure>> {
    let collection = target.fresh("replay").await?;
    let stream = collection.watch().await.map_err(|error| target.explain(error))?;
    let mut stream = stream.with_type();
    collection.insert_one(doc! {"first": true}).await.map_err(|error| target.explain(error))?;
    next(target, &mut stream).await?;
    let token = stream.resume_token().context("the server sent no resume token")?;
    drop(stream);
    fill(target, &collection, documents).await?;

    let began = Instant::now();
    let stream = collection.watch().resume_after(token).batch_size(BATCH).await;
    let mut stream = stream.map_err(|error| target.explain(error))?.with_type();
    let mut first = Duration::ZERO;
    for number in 0..documents {
        next(target, &mut stream).await?;
        if number == 0 {
            first = began.elapsed();
        }
    }
    let first = u64::try_from(first.as_micros()).unwrap_or(u64::MAX);
    Ok(vec![Measure::rate("events", documents, began.elapsed().as_secs_f64()), Measure::micros("first event", first)])
}
