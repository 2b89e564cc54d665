//! Two collections joined on a key, while the rows of both come.

use std::ops::Range;

use bson::{Document, doc};
use mongodb::Database;

use crate::bench::measure::Measure;
use crate::bench::sql::arguments::Sizes;
use crate::bench::sql::lab::Lab;
use crate::bench::sql::stream::{Stream, Writing, insert};

/// The view, also over updates.
pub(super) const VIEW: &str = "CREATE MATERIALIZED VIEW target AS
    SELECT o.number AS who, o.total AS total, p.paid AS paid FROM orders o JOIN payments p ON p.number = o.number";

pub(in crate::bench::sql) async fn measure(lab: &mut Lab, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let rows = sizes.rows;
    lab.create(&["orders", "payments"], sizes).await?;
    lab.sql(VIEW).await?;
    let stream = Stream::new(move |database, numbers| insert_both(database, numbers, rows), probe);
    stream.measure(lab, &Sizes { changes: 2 * rows, ..sizes.clone() }).await
}

/// An order and a payment by turns. Payments come in another order than what they pay.
fn insert_both(database: Database, numbers: Range<u64>, rows: u64) -> Writing {
    Box::pin(async move {
        let orders = numbers.start.div_ceil(2)..numbers.end.div_ceil(2);
        let payments = numbers.start / 2..numbers.end / 2;
        insert(database.clone(), "orders", orders.map(|number| row(number, number, "total"))).await?;
        insert(database, "payments", payments.map(|number| row(number, shuffled(number, rows), "paid"))).await
    })
}

/// A row of one of the two, with an amount of that name.
pub(super) fn row(id: u64, number: u64, amount: &str) -> Document {
    let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
    doc! {"_id": signed(id), "number": signed(number), amount: 1_i64, "status": "pending"}
}

/// Another number for each, in an order that looks random; the first so many stay among themselves, and so do the next.
fn shuffled(number: u64, many: u64) -> u64 {
    // A prime that is greater than `many` has no divisor in common with it.
    const PRIME: u64 = 2_654_435_761;
    number - number % many + number % many * PRIME % many
}

/// Writes a pair.
pub(super) fn probe(database: Database, who: String) -> Writing {
    Box::pin(async move {
        for (collection, amount) in [("orders", "total"), ("payments", "paid")] {
            let row = doc! {"number": &who, amount: 1_i64};
            insert(database.clone(), collection, std::iter::once(row)).await?;
        }
        Ok(())
    })
}
