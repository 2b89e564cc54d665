//! Queries (SQL-9).

use std::sync::Arc;

use bson::{Document, RawDocumentBuf, doc};
use millstream_sql::expr::Context;
use millstream_sql::plan::{Plan, Purpose};
use millstream_sql::statement::{Kind, Options};
use millstream_sql::{Notice, SqlError};
use sqlparser::ast;

use super::Session;
use crate::answer::Answer;
use crate::catalog::Catalog;
use crate::checkpoint::{CHECKPOINTS, DATABASE};
use crate::definition::State;
use crate::error::{Result, bug, of_driver};
use crate::execute;
use crate::read::Moment;
use crate::run::target;

/// What a row may have (SQL-22.1).
const ROW_BYTES_MAX: usize = 16 << 20;

impl Session {
    /// Answers a query: rows that end, or for a change query rows that come.
    pub(super) async fn query(&mut self, query: &ast::Query) -> Result<Answer> {
        let (variables, values) = self.variables();
        let mut planning = self.planning().await?;
        let plan = planning.query(&self.deployment, query, Purpose::Batch, &variables).await?;
        let context = self.surroundings()?.context(values);
        let plan = Arc::new(plan);
        if plan.changes {
            return self.subscription(query, &Options::default(), false).await;
        }
        let rows = self.rows(&plan, &context).await?;
        let mut notices = plan.notices.clone();
        notices.extend(self.loading(&plan, &planning.catalog).await?);
        Ok(Answer::rows(plan.columns.clone(), rows, notices))
    }

    /// Says of each view among the sources that is not whole yet how far it is.
    pub(super) async fn loading(&self, plan: &Plan, catalog: &Catalog) -> Result<Vec<Notice>> {
        let mut notices = Vec::new();
        let building = catalog
            .all()
            .filter(|definition| definition.kind == Kind::MaterializedView && definition.state == State::Building);
        for view in building {
            let (database, collection) = target(view)?;
            if !plan.sources.iter().any(|source| source.database == database && source.collection == collection) {
                continue;
            }
            let checkpoints = self.deployment.client().database(DATABASE).collection::<Document>(CHECKPOINTS);
            let row = checkpoints.find_one(doc! {"_id": &view.id}).await.map_err(|error| of_driver(&error))?;
            let percent = row.and_then(|row| row.get_i32("loading").ok()).unwrap_or(0);
            notices.push(Notice::new(format!("\"{}\" is not whole yet: loading {percent} %", view.name)));
        }
        Ok(notices)
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
            if bytes.len() > ROW_BYTES_MAX {
                return Err(SqlError::new("54000", "a row of the answer has more than 16 MiB"));
            }
            RawDocumentBuf::from_bytes(bytes).map_err(|_| bug("a row is no document"))
        };
        rows.iter().map(document).collect()
    }
}
