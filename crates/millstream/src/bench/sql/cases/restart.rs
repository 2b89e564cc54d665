//! From the start of the mill, and of the engine that goes with it, until a view with much state answers and follows.

use std::time::Instant;

use bson::{Document, doc};

use super::group::scattered;
use crate::bench::measure::Measure;
use crate::bench::sql::arguments::Sizes;
use crate::bench::sql::lab::Lab;

/// Each text is in the copy of the collection and among those that the largest is found of.
const VIEW: &str = "CREATE MATERIALIZED VIEW target AS
    SELECT customer AS who, COUNT(*) AS orders, MAX(note) AS last FROM orders GROUP BY customer";

/// Bytes of a text.
const NOTE: usize = 1000;

pub(in crate::bench::sql) async fn measure(lab: &mut Lab, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let rows = sizes.state_mb * 1_000_000 / 2 / 1000;
    lab.fill("orders", rows, order).await?;
    lab.sql(VIEW).await?;
    lab.caught_up("MATERIALIZED VIEW").await?;
    lab.stop().await?;
    let state = lab.state_bytes()?;
    let began = Instant::now();
    lab.start_again().await?;
    let started = began.elapsed();
    lab.sql("SELECT * FROM target WHERE who = 1").await?;
    let answers = began.elapsed();
    lab.collection("orders").insert_one(doc! {"customer": 1_i64, "note": "new"}).await?;
    lab.caught_up("MATERIALIZED VIEW").await?;
    let follows = began.elapsed();
    let millis =
        |name, time: std::time::Duration| Measure::micros(name, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    Ok(vec![
        Measure::kilobytes("state on disk", state as f64 / 1000.0),
        millis("until the processes are there", started),
        millis("until it answers", answers),
        millis("until it shows a new change", follows),
    ])
}

fn order(number: u64) -> Document {
    let signed = i64::try_from(number).unwrap_or(i64::MAX);
    // Nothing that could be kept in fewer bytes.
    let note: String = (0..).map(|part| format!("{:016x}", scattered(number * 64 + part))).take(NOTE / 16).collect();
    doc! {"_id": signed, "customer": signed % 1000, "note": note}
}
