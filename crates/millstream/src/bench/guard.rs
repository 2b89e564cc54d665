//! Never touch a database that was there before.

use super::target::{DATABASE, Target};
use crate::exit;

/// Makes sure that the database of the benchmark is ours to write and to drop.
pub(crate) async fn claim(target: &Target, force: bool) -> anyhow::Result<()> {
    let client = target.connection().client();
    let names = client.list_database_names().await.map_err(|error| target.explain(error))?;
    if !names.iter().any(|name| name == DATABASE) {
        return Ok(());
    }
    if !force {
        return Err(exit::misuse(format!(
            "{} has a database {DATABASE} already, perhaps of a benchmark that was cut off: --force drops it",
            target.label
        )));
    }
    release(target).await
}

/// Drops the database.
pub(crate) async fn release(target: &Target) -> anyhow::Result<()> {
    let database = target.connection().client().database(DATABASE);
    database.drop().await.map_err(|error| target.explain(error))
}
