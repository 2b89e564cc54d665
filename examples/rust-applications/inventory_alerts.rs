//! Alerts about stock: little is left, nothing is left, or much came or went at once. Each compares a product before and
//! after its change, so that an alert comes when a line is crossed, and not again with every sale below it.

use millstream_watch::{BeforeMode, ChangeStreams, Event, FullDocumentMode};
use mongodb::bson::{Document, doc};
use serde::Deserialize;

use crate::{Error, Result, document, keep_images, run_until_stopped};

/// Who sells more than this part of the stock at once, or gets that much more, has perhaps mistyped.
const UNUSUAL: f64 = 0.5;

#[derive(Deserialize)]
struct Product {
    name: String,
    stock: i64,
    /// Below this, more has to be ordered.
    reorder_at: i64,
}

pub(crate) async fn run(streams: &ChangeStreams) -> Result<()> {
    let shop = streams.connection().client().database("shop");
    keep_images(&shop, "products").await?;
    let alerts = shop.collection::<Document>("alerts");
    let handle = streams
        .watch_collection("shop", "products")
        .operations(["update", "replace"])
        .full_document(FullDocumentMode::Required)
        .before(BeforeMode::Required)
        .keep_position("shop", "inventory-alerts")
        .for_each(move |event: Event| {
            let alerts = alerts.clone();
            async move {
                let before: Product = document(&event, "fullDocumentBeforeChange")?;
                let after: Product = document(&event, "fullDocument")?;
                for alert in alerts_of(&before, &after) {
                    println!("{alert}: {} ({} -> {})", after.name, before.stock, after.stock);
                    // The event's token makes it the same alert if the event comes again.
                    let id = format!("{alert} {}", event.token().data().unwrap_or_default());
                    let row = doc! {"alert": alert, "product": &after.name, "stock": after.stock};
                    alerts.replace_one(doc! {"_id": id}, row).upsert(true).await?;
                }
                Ok::<_, Error>(())
            }
        })
        .await?;
    run_until_stopped(handle).await
}

fn alerts_of(before: &Product, after: &Product) -> Vec<&'static str> {
    let mut alerts = Vec::new();
    if after.stock <= 0 && before.stock > 0 {
        alerts.push("out of stock");
    } else if after.stock < after.reorder_at && before.stock >= before.reorder_at {
        alerts.push("low stock");
    }
    let moved = (after.stock - before.stock).abs();
    if before.stock > 0 && moved as f64 > before.stock as f64 * UNUSUAL {
        alerts.push("unusual change");
    }
    alerts
}
