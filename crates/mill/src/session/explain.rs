//! `EXPLAIN` (SQL-18.7).

use bson::doc;
use millstream_sql::plan::{Plan, Purpose, Write};
use millstream_sql::statement::{Explain, ExplainFormat, Explained, Statement};

use super::Session;
use crate::answer::{Answer, not_offered};
use crate::error::Result;

impl Session {
    pub(super) async fn explain(&mut self, explain: &Explain) -> Result<Answer> {
        if explain.format == ExplainFormat::Json {
            return Err(not_offered("EXPLAIN (FORMAT JSON)"));
        }
        if explain.analyze {
            return Err(not_offered("EXPLAIN (ANALYZE)"));
        }
        let (variables, _) = self.variables();
        let mut planning = self.planning().await?;
        let statement = match &explain.subject {
            Explained::Statement(statement) => statement.clone(),
            Explained::Object(object) => self.object(object).await?.statement.as_ref().clone(),
        };
        let mut lines = vec![statement.to_string()];
        let plan: Option<Plan> = match &statement {
            Statement::Query(query) => Some(planning.query(&self.deployment, query, Purpose::Batch, &variables).await?),
            Statement::CreateView(view) => {
                planning.options(&view.options)?;
                let purpose = if view.materialized { Purpose::View } else { Purpose::Batch };
                Some(planning.query(&self.deployment, &view.query, purpose, &variables).await?)
            }
            Statement::Insert(insert) => {
                let planned = planning
                    .plan(&self.deployment, |catalog, settings| Write::insert(insert, &variables, catalog, settings));
                Some(planned.await?.plan)
            }
            Statement::Update(update) => {
                let planned = planning
                    .plan(&self.deployment, |catalog, settings| Write::update(update, &variables, catalog, settings));
                Some(planned.await?.plan)
            }
            Statement::Delete(delete) => {
                let planned = planning
                    .plan(&self.deployment, |catalog, settings| Write::delete(delete, &variables, catalog, settings));
                Some(planned.await?.plan)
            }
            _ => None,
        };
        let mut notices = Vec::new();
        if let Some(plan) = plan {
            lines.extend(plan.explain().lines().map(str::to_owned));
            if !plan.key.is_empty() {
                lines.push(format!("key: {}", plan.key.join(", ")));
            }
            notices = plan.notices;
        }
        let rows = lines.into_iter().map(|line| doc! {"plan": line}).collect();
        let mut answer = super::show::table(&["plan"], rows)?;
        answer.notices = notices;
        Ok(answer)
    }
}
