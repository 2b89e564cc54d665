//! A trigger that inserts one document for each change.

use std::time::{Duration, Instant};

use super::group::order;
use crate::bench::measure::Measure;
use crate::bench::sql::arguments::Sizes;
use crate::bench::sql::lab::Lab;
use crate::bench::sql::stream::used;

const TRIGGER: &str = "CREATE TRIGGER target ON orders FOR INSERT AS BEGIN
    INSERT INTO copies (_id, region, total) VALUES (NEW._id, NEW.region, NEW.total);
    END";

/// How long a trigger has to be left alone until it is surely paused.
const PAUSED: Duration = Duration::from_secs(1);

pub(in crate::bench::sql) async fn measure(lab: &mut Lab, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    lab.sql(TRIGGER).await?;
    lab.caught_up("TRIGGER").await?;
    lab.sql("PAUSE TRIGGER target").await?;
    tokio::time::sleep(PAUSED).await;
    lab.fill("orders", sizes.triggers, order).await?;
    let (busy, began) = (lab.busy(), Instant::now());
    lab.sql("RESUME TRIGGER target").await?;
    lab.caught_up("TRIGGER").await?;
    let mut measures = vec![Measure::rate("mill", sizes.triggers, began.elapsed().as_secs_f64())];
    measures.extend(used(busy, lab.busy(), sizes.triggers));
    // A second copy would have been refused as a duplicate, and be a dead letter.
    let (copies, dead) = (lab.count("copies").await?, lab.dead_letters().await?);
    if copies != sizes.triggers || dead > 0 {
        anyhow::bail!("{} changes made {copies} documents and {dead} dead letters", sizes.triggers);
    }
    Ok(measures)
}
