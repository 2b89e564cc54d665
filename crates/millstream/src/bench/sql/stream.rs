//! What all cases over a stream measure: the mill alone, beside a writer, how soon a change is visible.

use std::ops::Range;
use std::time::{Duration, Instant};

use bson::{Document, RawDocumentBuf, doc};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use hdrhistogram::Histogram;
use mongodb::Database;
use mongodb::change_stream::ChangeStream;

use super::arguments::Sizes;
use super::lab::{Busy, Lab};
use crate::bench::measure::Measure;

/// Changes in one command.
const BATCH: u64 = 1000;

/// How often the writer with a fixed rate writes.
const TICK: Duration = Duration::from_millis(5);
/// Every so many ticks it is looked how soon a change is visible.
const PROBE_EVERY: u64 = 5;

/// How long a view has to be left alone until it is surely paused.
const PAUSED: Duration = Duration::from_secs(1);
/// A probe that is not seen by then will not be.
const PROBE_MAX: Duration = Duration::from_secs(60);

/// A write under way.
pub(super) type Writing = BoxFuture<'static, mongodb::error::Result<()>>;

/// A view with the name `target` over a stream of changes.
pub(super) struct Stream {
    write: Box<dyn Fn(Database, Range<u64>) -> Writing + Send + Sync>,
    probe: fn(Database, String) -> Writing,
}

impl Stream {
    /// `write` writes the changes with some numbers; `probe` writes what brings a row into the view whose column `who` has a
    /// text.
    pub(super) fn new(
        write: impl Fn(Database, Range<u64>) -> Writing + Send + Sync + 'static,
        probe: fn(Database, String) -> Writing,
    ) -> Self {
        Self { write: Box::new(write), probe }
    }

    /// Measures all three.
    pub(super) async fn measure(&self, lab: &mut Lab, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
        let mut measures = Vec::new();
        let changes = sizes.changes;
        lab.caught_up("MATERIALIZED VIEW").await?;
        lab.sql("PAUSE MATERIALIZED VIEW target").await?;
        tokio::time::sleep(PAUSED).await;
        self.write_all(lab, 0..changes).await?;
        let (busy, began) = (lab.busy(), Instant::now());
        lab.sql("RESUME MATERIALIZED VIEW target").await?;
        lab.caught_up("MATERIALIZED VIEW").await?;
        measures.push(Measure::rate("mill", changes, began.elapsed().as_secs_f64()));
        measures.extend(used(busy, lab.busy(), changes));

        let began = Instant::now();
        self.write_all(lab, changes..2 * changes).await?;
        measures.push(Measure::rate("written beside it", changes, began.elapsed().as_secs_f64()));
        lab.caught_up("MATERIALIZED VIEW").await?;
        measures.push(Measure::rate("beside a writer", changes, began.elapsed().as_secs_f64()));
        measures.extend(self.visible(lab, sizes, 2 * changes).await?);
        Ok(measures)
    }

    async fn write_all(&self, lab: &Lab, changes: Range<u64>) -> anyhow::Result<()> {
        for first in changes.clone().step_by(1000) {
            (self.write)(lab.database(), first..changes.end.min(first + BATCH)).await?;
        }
        Ok(())
    }

    /// How soon one more change is visible while others are written at a fixed rate.
    async fn visible(&self, lab: &Lab, sizes: &Sizes, from: u64) -> anyhow::Result<Vec<Measure>> {
        let view = lab.collection("target");
        let ours = doc! {"fullDocument.who": {"$gte": "probe ", "$lt": "probe!"}};
        let mut seen: ChangeStream<RawDocumentBuf> = view.watch().pipeline([doc! {"$match": ours}]).await?.with_type();
        let began = Instant::now();
        let until = Duration::from_secs(sizes.seconds);
        let (tell, mut probes) = tokio::sync::mpsc::unbounded_channel();
        let write = async move {
            let (mut written, mut ticks) = (0, 0_u64);
            let mut timer = tokio::time::interval(TICK);
            while began.elapsed() < until {
                timer.tick().await;
                ticks += 1;
                if ticks % PROBE_EVERY == 0 {
                    let (database, probe) = (lab.database(), self.probe);
                    // Beside the writer, as it is another client in life.
                    tell.send((Instant::now(), tokio::spawn(probe(database, format!("probe {ticks:09}")))))?;
                }
                let due = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) * sizes.rate / 1000;
                while written < due {
                    let some = BATCH.min(due - written);
                    (self.write)(lab.database(), from + written..from + written + some).await?;
                    written += some;
                }
            }
            // Who waits for probes hears that there are no more.
            drop(tell);
            anyhow::Ok(Measure::rate("written at a rate", written, began.elapsed().as_secs_f64()))
        };
        let watch = async {
            let mut times = Histogram::<u64>::new(3)?;
            while let Some((sent, probe)) = probes.recv().await {
                match tokio::time::timeout(PROBE_MAX, seen.next()).await {
                    Ok(Some(event)) => event.map(drop)?,
                    _ => anyhow::bail!("a change does not come into the view"),
                }
                times.record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX))?;
                probe.await??;
            }
            anyhow::Ok(times)
        };
        let (written, times) = tokio::try_join!(write, watch)?;
        Ok(vec![
            written,
            Measure::micros("visible p50", times.value_at_quantile(0.5)),
            Measure::micros("visible p99", times.value_at_quantile(0.99)),
        ])
    }
}

/// The processor time of the two processes for a change.
pub(super) fn used(before: Busy, after: Busy, changes: u64) -> Vec<Measure> {
    let each = |name, before: Option<f64>, after: Option<f64>| Some(Measure::each(name, after? - before?, changes));
    let mill = each("mill's processor time a change", before.mill, after.mill);
    mill.into_iter().chain(each("engine's processor time a change", before.engine, after.engine)).collect()
}

/// A write of many documents, or none.
pub(super) async fn insert(
    database: Database,
    collection: &str,
    documents: impl Iterator<Item = Document>,
) -> mongodb::error::Result<()> {
    let documents: Vec<Document> = documents.collect();
    if documents.is_empty() {
        return Ok(());
    }
    database.collection::<Document>(collection).insert_many(documents).await.map(drop)
}
