//! Orders: the urgent ones first, and an action for each status. An action puts the order into its next status, which
//! comes as a change and has an action of its own, until it is delivered.

use std::time::Duration;

use millstream_watch::{ChangeStreams, FullDocumentMode, Queue, one_of};
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use serde::Deserialize;

use crate::{Result, document};

/// Orders that are looked at together: a more urgent one does not wait for more than so many.
const TOGETHER: usize = 50;
/// How long an order waits for more urgent ones.
const WAIT: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
struct Order {
    #[serde(rename = "_id")]
    number: i32,
    status: String,
    cents: i64,
    #[serde(default)]
    express: bool,
}

impl Order {
    fn priority(&self) -> u8 {
        match (self.express, self.cents) {
            (true, _) => 3,
            (false, 100_000..) => 2,
            (false, 10_000..) => 1,
            _ => 0,
        }
    }
}

pub(crate) async fn run(streams: &ChangeStreams) -> Result<()> {
    let orders = streams.connection().client().database("shop").collection::<Document>("orders");
    let mut queue: Queue = streams
        .watch_collection("shop", "orders")
        .operations(["insert", "update"])
        .full_document(FullDocumentMode::UpdateLookup)
        .where_field("status", one_of(["new", "paid", "shipped"]))
        .keep_position("shop", "order-processing")
        .queue()
        .await?;
    eprintln!("watching; Ctrl-C ends it");
    loop {
        let batch = tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(queue.join().await?),
            batch = queue.batch(TOGETHER, usize::MAX, WAIT) => batch,
        };
        if batch.is_empty() {
            return Ok(queue.join().await?);
        }
        let mut batch: Vec<Order> = batch.iter().map(|event| document(event, "fullDocument")).collect::<Result<_>>()?;
        batch.sort_by_key(|order| std::cmp::Reverse(order.priority()));
        for order in &batch {
            process(&orders, order).await?;
        }
        // The batch is done: if this program dies before, it comes again, and finds the orders that have gone on.
        queue.done();
    }
}

async fn process(orders: &Collection<Document>, order: &Order) -> Result<()> {
    let (action, next) = match order.status.as_str() {
        "new" => ("charge", "paid"),
        "paid" => ("pack", "shipped"),
        "shipped" => ("follow", "delivered"),
        _ => return Ok(()),
    };
    // Only one that is still in that status: an event that comes again changes nothing.
    let this = doc! {"_id": order.number, "status": &order.status};
    let moved = orders.update_one(this, doc! {"$set": {"status": next}}).await?;
    if moved.modified_count > 0 {
        println!("{action} order {} (priority {})", order.number, order.priority());
    }
    Ok(())
}
