//! Events to one watcher while a writer inserts as fast as it can.

use std::time::Instant;

use super::{BATCH, fill, next};
use crate::bench::arguments::Plan;
use crate::bench::case::Job;
use crate::bench::measure::Measure;
use crate::bench::target::Target;

pub(crate) fn jobs(plan: &Plan) -> Vec<Job> {
    let documents = plan.documents;
    vec![Job::new("throughput", move |target| Box::pin(measure(target, documents)))]
}

async fn measure(target: &Target, documents: u64) -> anyhow::Result<Vec<Measure>> {
    let collection = target.fresh("throughput").await?;
    let batch = u32::try_from(BATCH).unwrap_or(u32::MAX);
    let stream = collection.watch().batch_size(batch).await;
    let mut stream = stream.map_err(|error| target.explain(error))?.with_type();
    let began = Instant::now();
    let (written, seen) =
        tokio::join!(async { fill(target, &collection, documents).await.map(|()| began.elapsed()) }, async {
            for _ in 0..documents {
                next(target, &mut stream).await?;
            }
            anyhow::Ok(began.elapsed())
        },);
    Ok(vec![
        Measure::rate("events", documents, seen?.as_secs_f64()),
        Measure::rate("writes", documents, written?.as_secs_f64()),
    ])
}
