//! Many changes, few writes: an index of products for searching, kept in batches. Of a product that has changed often
//! within one batch only the last state is written.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_watch::{ChangeStreams, Event, FullDocumentMode};
use mongodb::bson::{Document, doc};
use mongodb::options::ReplaceOneModel;
use mongodb::{Client, Namespace};
use serde::Deserialize;

use crate::{Result, document};

/// A batch is written when it has so many events, so many bytes, or its first event has waited for so long.
const EVENTS: usize = 1_000;
const BYTES: usize = 4 << 20;
const WAIT: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Product {
    #[serde(rename = "_id")]
    id: i32,
    name: String,
}

pub(crate) async fn run(streams: &ChangeStreams) -> Result<()> {
    let mut queue = streams
        .watch_collection("shop", "products")
        .operations(["insert", "update", "replace"])
        .full_document(FullDocumentMode::UpdateLookup)
        .keep_position("shop", "search-index")
        .queue()
        .await?;
    eprintln!("watching; Ctrl-C ends it");
    loop {
        let batch = tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(queue.join().await?),
            batch = queue.batch(EVENTS, BYTES, WAIT) => batch,
        };
        if batch.is_empty() {
            return Ok(queue.join().await?);
        }
        let written = write(streams.connection().client(), &batch).await?;
        println!("{} changes, {written} written", batch.len());
        // Only now: if this program dies before, the batch comes again, and writing it again changes nothing.
        queue.done();
    }
}

async fn write(client: &Client, batch: &[Event]) -> Result<usize> {
    let mut latest = BTreeMap::new();
    for event in batch {
        // A product that is gone since has no document any more.
        if event.raw().get_document("fullDocument").is_ok() {
            let product: Product = document(event, "fullDocument")?;
            latest.insert(product.id, product);
        }
    }
    let index = Namespace::new("shop", "search_index");
    let writes = latest.into_values().map(|product| {
        let words: Vec<String> = product.name.split_whitespace().map(str::to_lowercase).collect();
        let entry: Document = doc! {"_id": product.id, "name": product.name, "words": words};
        let this = doc! {"_id": product.id};
        ReplaceOneModel::builder().namespace(index.clone()).filter(this).replacement(entry).upsert(true).build()
    });
    let writes: Vec<_> = writes.collect();
    let count = writes.len();
    if count > 0 {
        client.bulk_write(writes).await?;
    }
    Ok(count)
}
