//! Two collections joined on a key, over updates of either.

use std::ops::Range;

use bson::{Bson, Document, doc};
use mongodb::Database;

use super::group::scattered;
use crate::bench::measure::Measure;
use crate::bench::sql::arguments::Sizes;
use crate::bench::sql::lab::Lab;
use crate::bench::sql::stream::{Stream, Writing, insert};

const VIEW: &str = "CREATE MATERIALIZED VIEW target AS
    SELECT o.number AS who, o.total AS total, p.paid AS paid FROM orders o JOIN payments p ON p.number = o.number";

pub(in crate::bench::sql) async fn measure(lab: &mut Lab, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let rows = sizes.rows;
    lab.create(&["orders", "payments"], sizes).await?;
    lab.fill("orders", rows, |number| row(number, "total")).await?;
    lab.fill("payments", rows, |number| row(number, "paid")).await?;
    lab.sql(VIEW).await?;
    let stream = Stream::new(move |database, numbers| update(database, numbers, rows), probe);
    stream.measure(lab, sizes).await
}

fn row(number: u64, amount: &str) -> Document {
    let signed = i64::try_from(number).unwrap_or(i64::MAX);
    doc! {"_id": signed, "number": signed, amount: 1_i64, "status": "pending"}
}

/// Gives random rows another amount, first of one side and then of the other.
fn update(database: Database, numbers: Range<u64>, rows: u64) -> Writing {
    Box::pin(async move {
        let middle = numbers.start + (numbers.end - numbers.start) / 2;
        for (collection, amount, numbers) in
            [("orders", "total", numbers.start..middle), ("payments", "paid", middle..numbers.end)]
        {
            let one = |number: u64| {
                let which = i64::try_from(scattered(number) % rows).unwrap_or(0);
                let amount = doc! {amount: i64::try_from(number).unwrap_or(0) + 2};
                Bson::from(doc! {"q": {"_id": which}, "u": {"$set": amount}})
            };
            let updates: Vec<Bson> = numbers.map(one).collect();
            if !updates.is_empty() {
                database.run_command(doc! {"update": collection, "updates": updates}).await?;
            }
        }
        Ok(())
    })
}

fn probe(database: Database, who: String) -> Writing {
    Box::pin(async move {
        for (collection, amount) in [("orders", "total"), ("payments", "paid")] {
            let row = doc! {"number": &who, amount: 1_i64};
            insert(database.clone(), collection, std::iter::once(row)).await?;
        }
        Ok(())
    })
}
