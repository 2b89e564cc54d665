//! Queries (SQL-9).

use std::sync::Arc;

use bson::RawDocumentBuf;
use millstream_sql::expr::Context;
use millstream_sql::plan::{Plan, Purpose};
use millstream_sql::statement::Options;
use sqlparser::ast;

use super::Session;
use crate::answer::Answer;
use crate::error::{Result, bug};
use crate::execute;
use crate::planning::context;
use crate::read::Moment;

impl Session {
    /// Answers a query: rows that end, or for a change query rows that come.
    pub(super) async fn query(&mut self, query: &ast::Query) -> Result<Answer> {
        let (variables, values) = self.variables();
        let mut planning = self.planning().await?;
        let plan = planning.query(&self.deployment, query, Purpose::Batch, &variables).await?;
        let context = context(&self.settings.kept.time_zone, values)?;
        let plan = Arc::new(plan);
        if plan.changes {
            return self.subscription(query, &Options::default(), false).await;
        }
        let rows = self.rows(&plan, &context).await?;
        Ok(Answer::rows(plan.columns.clone(), rows, plan.notices.clone()))
    }

    /// The rows of a plan as documents.
    pub(super) async fn rows(&mut self, plan: &Arc<Plan>, context: &Arc<Context>) -> Result<Vec<RawDocumentBuf>> {
        let client = self.deployment.client().clone();
        let rows = match &mut self.transaction {
            Some(transaction) => {
                execute::rows(&client, &mut Moment::Transaction(&mut transaction.session), plan, context).await?
            }
            None => {
                let time = if plan.sources.is_empty() { None } else { self.deployment.time().await? };
                let mut moment = time.map_or(Moment::Now, Moment::Time);
                execute::rows(&client, &mut moment, plan, context).await?
            }
        };
        let document = |row| {
            let bytes = plan.result(row, context).into_bytes();
            RawDocumentBuf::from_bytes(bytes).map_err(|_| bug("a row is no document"))
        };
        rows.iter().map(document).collect()
    }
}
