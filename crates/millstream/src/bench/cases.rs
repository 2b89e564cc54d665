//! One file a case.

pub(crate) mod crud;
pub(crate) mod delivery;
pub(crate) mod fanout;
pub(crate) mod latency;
pub(crate) mod replay;
pub(crate) mod throughput;
pub(crate) mod transactions;

use bson::{Document, RawDocumentBuf};
use futures::StreamExt as _;
use mongodb::Collection;
use mongodb::change_stream::ChangeStream;

use super::target::{Target, order};

/// A change stream of events that are left as bytes: decoding is the same for every server.
pub(crate) type Stream = ChangeStream<RawDocumentBuf>;

/// Documents in one `insert_many`.
const BATCH: u64 = 1000;

/// The next event of a stream that must not end.
async fn next(target: &Target, stream: &mut Stream) -> anyhow::Result<RawDocumentBuf> {
    match stream.next().await {
        Some(Ok(event)) => Ok(event),
        Some(Err(error)) => Err(target.explain(error)),
        None => anyhow::bail!("the change stream ended in the middle of the measurement"),
    }
}

/// Inserts `count` orders in large batches.
async fn fill(target: &Target, collection: &Collection<Document>, count: u64) -> anyhow::Result<()> {
    let mut done = 0;
    while done < count {
        let until = count.min(done + BATCH);
        collection.insert_many((done..until).map(order)).await.map_err(|error| target.explain(error))?;
        done = until;
    }
    Ok(())
}
