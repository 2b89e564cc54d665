//! Aggregates that the deployment computes (SQL-20.6).

use std::sync::Arc;

use bson::RawDocumentBuf;
use millstream_sql::expr::Context;
use millstream_sql::plan::{Answered, Plan, Pushed};
use millstream_value::Doc;
use mongodb::Client;

use crate::error::Result;
use crate::read::{Moment, Pipeline, documents};

/// The answers of a deployment to those aggregates of a plan that it can compute as SQL does, and the sources that need not be
/// read for that.
pub(super) async fn answers(
    client: &Client,
    moment: &mut Moment<'_>,
    plan: &Plan,
    context: &Arc<Context>,
) -> (Vec<usize>, Vec<Answered>) {
    let mut answers = (Vec::new(), Vec::new());
    // A command that fails would end a transaction.
    if matches!(moment, Moment::Transaction(_)) {
        return answers;
    }
    for pushed in plan.pushed(context) {
        match answer(client, moment, plan, &pushed).await {
            Ok(Some(answered)) => {
                answers.0.push(pushed.source);
                answers.1.push(answered);
            }
            Ok(None) => tracing::debug!("types are mixed: an aggregate is computed here"),
            // Whatever is wrong with more than this pipeline is found when the documents are read.
            Err(error) => tracing::debug!("an aggregate is computed here: {error}"),
        }
    }
    answers
}

async fn answer(client: &Client, moment: &mut Moment<'_>, plan: &Plan, pushed: &Pushed) -> Result<Option<Answered>> {
    let Some(source) = plan.sources.get(pushed.source) else { return Ok(None) };
    let pipeline = Pipeline::of(source, pushed);
    let mut groups: Vec<RawDocumentBuf> = Vec::new();
    let mut reading = pipeline.open(client, moment).await?;
    while let Some(reply) = reading.next(moment).await? {
        documents(&reply, &mut |group| {
            groups.push(group.to_owned());
            Ok(())
        })?;
    }
    Ok(pushed.answered(groups.iter().map(|group| Doc::new(group.as_bytes()))))
}
