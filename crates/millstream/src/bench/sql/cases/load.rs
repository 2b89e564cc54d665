//! The first load of a view over documents that are there.

use std::time::Instant;

use super::group::{VIEW, order};
use crate::bench::measure::Measure;
use crate::bench::sql::arguments::Sizes;
use crate::bench::sql::lab::Lab;
use crate::bench::sql::stream::used;

pub(in crate::bench::sql) async fn measure(lab: &mut Lab, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    lab.fill("orders", sizes.rows, order).await?;
    let (busy, began) = (lab.busy(), Instant::now());
    lab.sql(VIEW).await?;
    lab.caught_up("MATERIALIZED VIEW").await?;
    let took = began.elapsed();
    let mut measures = vec![
        Measure::micros("until it answers", u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        Measure::rate("documents", sizes.rows, took.as_secs_f64()),
    ];
    measures.extend(used(busy, lab.busy(), sizes.rows));
    Ok(measures)
}
