//! Two collections joined on a key, over updates of random rows of either.

use std::ops::Range;

use bson::{Bson, doc};
use mongodb::Database;

use super::group::scattered;
use super::join::{VIEW, probe, row};
use crate::bench::measure::Measure;
use crate::bench::sql::arguments::Sizes;
use crate::bench::sql::lab::Lab;
use crate::bench::sql::stream::{Stream, Writing};

pub(in crate::bench::sql) async fn measure(lab: &mut Lab, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let rows = sizes.rows;
    lab.create(&["orders", "payments"], sizes).await?;
    lab.fill("orders", rows, |number| row(number, number, "total")).await?;
    lab.fill("payments", rows, |number| row(number, number, "paid")).await?;
    lab.sql(VIEW).await?;
    let stream = Stream::new(move |database, numbers| update(database, numbers, rows), probe);
    stream.measure(lab, sizes).await
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
