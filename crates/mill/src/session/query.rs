//! Queries (SQL-9).

use std::sync::Arc;

use bson::RawDocumentBuf;
use millstream_sql::expr::Context;
use millstream_sql::plan::{Plan, Purpose};
use millstream_sql::statement::{Kind, Options, Statement, statement};
use sqlparser::ast;

use super::Session;
use crate::answer::Answer;
use crate::error::{Result, bug};
use crate::execute;
use crate::planning::{Planning, context};
use crate::read::Moment;

impl Session {
    /// Answers a query: rows that end, or for a change query rows that come.
    pub(super) async fn query(&mut self, query: &ast::Query) -> Result<Answer> {
        let (variables, values) = self.variables();
        let mut planning = self.planning().await?;
        let ordered = in_default_order(query, &planning)?;
        let plan = match &ordered {
            Some(ordered) => planning.query(&self.deployment, ordered, Purpose::Batch, &variables).await.ok(),
            None => None,
        };
        // Where the order cannot be had, as over an aggregate, there is none.
        let plan = match plan {
            Some(plan) => plan,
            None => planning.query(&self.deployment, query, Purpose::Batch, &variables).await?,
        };
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

/// A query of one materialized view that says no order has that of the view's definition (SQL-14.6).
fn in_default_order(query: &ast::Query, planning: &Planning) -> Result<Option<ast::Query>> {
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return Ok(None) };
    let ([table], None, None) = (select.from.as_slice(), &query.order_by, &select.distinct) else { return Ok(None) };
    let ast::TableFactor::Table { name, .. } = &table.relation else { return Ok(None) };
    let parts: Vec<&str> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect();
    let (database, view) = match parts.as_slice() {
        [view] => (planning.settings.database.as_str(), *view),
        [database, view] => (*database, *view),
        _ => return Ok(None),
    };
    let definition = planning.catalog.get(database, Kind::MaterializedView, view);
    let Some(definition) = definition.filter(|definition| table.joins.is_empty() && !definition.order.is_empty())
    else {
        return Ok(None);
    };
    let keys = definition.order.iter().map(|(name, descending)| {
        format!("\"{}\"{}", name.replace('"', "\"\""), if *descending { " DESC" } else { "" })
    });
    let text = format!("SELECT 1 AS one ORDER BY {}", keys.collect::<Vec<_>>().join(", "));
    let Statement::Query(with_order) = statement(&text)? else { return Ok(None) };
    Ok(Some(ast::Query { order_by: with_order.order_by, ..query.clone() }))
}
