//! An order, its payment, its shipment: several collections, one stream, and each step begins the next.
//!
//! An order makes a payment that is due; one that was paid makes a shipment; one that has arrived completes the order. All
//! steps are written so that doing them again changes nothing, since an event may come again after a crash.

use millstream_watch::{ChangeStreams, Event, FullDocumentMode};
use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde::Deserialize;

use crate::{Result, document, run_until_stopped};

/// Orders, payments and shipments have the number of the order and, but for a new order, a status.
#[derive(Deserialize)]
struct Step {
    #[serde(rename = "_id")]
    order: i32,
    #[serde(default)]
    status: String,
}

pub(crate) async fn run(streams: &ChangeStreams) -> Result<()> {
    let shop = streams.connection().client().database("shop");
    let handle = streams
        .watch_collections("shop", ["orders", "payments", "shipments"])
        .operations(["insert", "update"])
        .full_document(FullDocumentMode::UpdateLookup)
        .keep_position("shop", "workflow")
        .for_each(move |event: Event| {
            let shop = shop.clone();
            async move {
                let step: Step = document(&event, "fullDocument")?;
                match (event.namespace().as_str(), event.operation(), step.status.as_str()) {
                    ("shop.orders", "insert", _) => begin(&shop, "payments", "due", step.order).await,
                    ("shop.payments", "update", "paid") => begin(&shop, "shipments", "packing", step.order).await,
                    ("shop.shipments", "update", "arrived") => complete(&shop, step.order).await,
                    _ => Ok(()),
                }
            }
        })
        .await?;
    run_until_stopped(handle).await
}

/// The next step, if it was not begun before.
async fn begin(shop: &Database, collection: &str, status: &str, order: i32) -> Result<()> {
    let steps = shop.collection::<Document>(collection);
    let begun = steps.update_one(doc! {"_id": order}, doc! {"$setOnInsert": {"status": status}}).upsert(true).await?;
    if begun.upserted_id.is_some() {
        println!("order {order}: {collection} {status}");
    }
    Ok(())
}

async fn complete(shop: &Database, order: i32) -> Result<()> {
    let orders = shop.collection::<Document>("orders");
    orders.update_one(doc! {"_id": order}, doc! {"$set": {"status": "complete"}}).await?;
    println!("order {order}: complete");
    Ok(())
}
