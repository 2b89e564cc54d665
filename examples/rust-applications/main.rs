//! Applications that live on changes. Each is one file, written as a program of your own would be.

mod audit_log;
mod cache_invalidation;
mod critical_data;
mod inventory_alerts;
mod live_notifications;
mod order_processing;
mod postgres_copy;
mod search_index;
mod workflow;

use std::pin::pin;

use millstream_watch::{ChangeStreams, Event, Handle};
use mongodb::Database;
use mongodb::bson::doc;
use serde::de::DeserializeOwned;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

const USAGE: &str = "\
usage: applications NAME [--uri URI] [--redis URI] [--postgres URI] [--listen ADDRESS]

  audit-log           who changed what, and what it was before, exactly once
  cache-invalidation  Redis forgets what has changed
  critical-data       payments: each once, none lost, what fails is put aside
  inventory-alerts    low stock, out of stock, unusual changes
  live-notifications  whoever connects hears of their orders
  order-processing    urgent orders first, an action for each status
  postgres-copy       a table that is what a collection is, exactly once
  search-index        many changes, few writes: batches
  workflow            an order, its payment, its shipment: one step begins the next";

struct Options {
    uri: String,
    redis: String,
    postgres: String,
    listen: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let uri = std::env::var("CHANGE_STREAM_DB").or_else(|_| std::env::var("MONGO_URL"));
    let mut options = Options {
        uri: uri.unwrap_or_else(|_| "mongodb://127.0.0.1:27017/?replicaSet=rs0".to_owned()),
        redis: "redis://127.0.0.1:6379".to_owned(),
        postgres: "postgres://postgres@127.0.0.1:5432/postgres".to_owned(),
        listen: "127.0.0.1:7070".to_owned(),
    };
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--uri" => options.uri = value,
            "--redis" => options.redis = value,
            "--postgres" => options.postgres = value,
            "--listen" => options.listen = value,
            _ => return Err(USAGE.into()),
        }
    }
    let streams = ChangeStreams::connect(&options.uri).await?;
    match name.as_str() {
        "audit-log" => audit_log::run(&streams).await,
        "cache-invalidation" => cache_invalidation::run(&streams, &options.redis).await,
        "critical-data" => critical_data::run(&streams).await,
        "inventory-alerts" => inventory_alerts::run(&streams).await,
        "live-notifications" => live_notifications::run(&streams, &options.listen).await,
        "order-processing" => order_processing::run(&streams).await,
        "postgres-copy" => postgres_copy::run(&streams, &options.postgres).await,
        "search-index" => search_index::run(&streams).await,
        "workflow" => workflow::run(&streams).await,
        _ => Err(USAGE.into()),
    }
}

/// Until Ctrl-C, or until the watch ends by itself.
async fn run_until_stopped(handle: Handle) -> Result<()> {
    eprintln!("watching; Ctrl-C ends it");
    let control = handle.control();
    let mut end = pin!(handle.join());
    tokio::select! {
        _ = tokio::signal::ctrl_c() => control.stop(),
        ended = &mut end => return Ok(ended?),
    }
    Ok(end.await?)
}

/// A document in an event (`fullDocument`, `documentKey`, …) as a type of ours.
fn document<T: DeserializeOwned>(event: &Event, field: &str) -> Result<T> {
    Ok(bson::deserialize_from_slice(event.raw().get_document(field)?.as_bytes())?)
}

/// From now on the events of a collection can show what a document was before, and after, each change.
async fn keep_images(database: &Database, name: &str) -> Result<()> {
    if !database.list_collection_names().await?.iter().any(|there| there == name) {
        database.create_collection(name).await?;
    }
    database.run_command(doc! {"collMod": name, "changeStreamPreAndPostImages": {"enabled": true}}).await?;
    Ok(())
}
