//! `COUNT` and `SUM` over the last hour of each change's customer.

use bson::{Document, doc};

use super::group::scattered;
use crate::bench::measure::Measure;
use crate::bench::sql::arguments::Sizes;
use crate::bench::sql::lab::Lab;
use crate::bench::sql::stream::{Stream, insert};

const VIEW: &str = "CREATE MATERIALIZED VIEW target AS
    SELECT customer AS who, COUNT(*) OVER w AS orders, SUM(total) OVER w AS total FROM orders
    WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT'
    WINDOW w AS (PARTITION BY customer ORDER BY CHANGE_TIMESTAMP()
        RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW)";

pub(in crate::bench::sql) async fn measure(lab: &mut Lab, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    lab.sql(VIEW).await?;
    let customers = sizes.customers;
    let stream = Stream::new(
        move |database, numbers| Box::pin(insert(database, "orders", numbers.map(move |n| order(n, customers)))),
        |database, who| Box::pin(insert(database, "orders", std::iter::once(doc! {"customer": who, "total": 1_i64}))),
    );
    stream.measure(lab, sizes).await
}

fn order(number: u64, customers: u64) -> Document {
    let signed = i64::try_from(number).unwrap_or(i64::MAX);
    let customer = i64::try_from(scattered(number) % customers).unwrap_or(i64::MAX);
    doc! {"_id": signed, "customer": customer, "total": signed % 1000, "status": "pending"}
}
