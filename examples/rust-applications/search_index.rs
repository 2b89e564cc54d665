//! Many changes, few writes: an index of products for searching, kept in batches. Of a product that has changed often
//! within one batch only the last state is written.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_watch::{Batching, ChangeStreams, Event, FullDocumentMode};
use mongodb::bson::{Document, doc};
use mongodb::options::ReplaceOneModel;
use mongodb::{Client, Namespace};
use serde::Deserialize;

use crate::{Error, Result, document, run_until_stopped};

#[derive(Deserialize)]
struct Product {
    #[serde(rename = "_id")]
    id: i32,
    name: String,
}

pub(crate) async fn run(streams: &ChangeStreams) -> Result<()> {
    let client = streams.connection().client().clone();
    // So many events, or what came within so long.
    let batching = Batching { count: 1_000, time: Duration::from_millis(200), ..Batching::default() };
    let handle = streams
        .watch_collection("shop", "products")
        .operations(["insert", "update", "replace"])
        .full_document(FullDocumentMode::UpdateLookup)
        .keep_position("shop", "search-index")
        // A batch that is cut short by a crash comes again, and writing it again changes nothing.
        .for_each_batch(batching, move |batch: Vec<Event>| {
            let client = client.clone();
            async move {
                let written = write(&client, &batch).await?;
                println!("{} changes, {written} written", batch.len());
                Ok::<_, Error>(())
            }
        })
        .await?;
    run_until_stopped(handle).await
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
