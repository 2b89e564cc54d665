//! `COUNT`, `SUM` and `AVG` by one of 1,000 groups, over inserts.

use bson::{Document, doc};

use crate::bench::measure::Measure;
use crate::bench::sql::arguments::Sizes;
use crate::bench::sql::lab::Lab;
use crate::bench::sql::stream::{Stream, insert};

/// The view, also of the first load.
pub(super) const VIEW: &str = "CREATE MATERIALIZED VIEW target AS
    SELECT region AS who, COUNT(*) AS orders, SUM(total) AS total, AVG(total) AS mean FROM orders GROUP BY region";

pub(in crate::bench::sql) async fn measure(lab: &mut Lab, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    lab.create(&["orders"], sizes).await?;
    lab.sql(VIEW).await?;
    let stream = Stream::new(
        |database, numbers| Box::pin(insert(database, "orders", numbers.map(order))),
        |database, who| Box::pin(insert(database, "orders", std::iter::once(doc! {"region": who, "total": 1.0}))),
    );
    stream.measure(lab, sizes).await
}

/// An order of about 130 bytes, with more than the view uses.
pub(super) fn order(number: u64) -> Document {
    let signed = i64::try_from(number).unwrap_or(i64::MAX);
    doc! {
        "_id": signed,
        "region": format!("region {}", scattered(number) % 1000),
        "total": (number % 997) as f64 * 1.25,
        "status": "pending",
        "created": bson::DateTime::now(),
        "customer": signed % 5000,
    }
}

/// A number that looks random, always the same for the same one.
pub(super) fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}
