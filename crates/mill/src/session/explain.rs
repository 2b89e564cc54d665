//! `EXPLAIN` (SQL-18.7).

use std::iter::Peekable;
use std::time::{Duration, Instant};

use bson::{Bson, doc};
use millstream_sql::SqlError;
use millstream_sql::plan::{Plan, Purpose, Write};
use millstream_sql::statement::{Explain, ExplainFormat, Explained, Statement};

use sqlparser::ast;

use super::Session;
use crate::answer::{Answer, Outcome};
use crate::error::Result;

impl Session {
    pub(super) async fn explain(&mut self, explain: &Explain) -> Result<Answer> {
        let (variables, _) = self.variables();
        let mut planning = self.planning().await?;
        let statement = match &explain.subject {
            Explained::Statement(statement) => statement.clone(),
            Explained::Object(object) => self.object(object).await?.statement.as_ref().clone(),
        };
        let run = match (&statement, explain.analyze) {
            (_, false) => None,
            (Statement::Query(query), true) => Some(self.analyze(query).await?),
            (_, true) => return Err(SqlError::new("0A000", "EXPLAIN (ANALYZE) runs queries, and nothing that writes")),
        };
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
        let (operators, key, notices) = match plan {
            Some(plan) => (plan.explain(), plan.key, plan.notices),
            None => Default::default(),
        };
        let rows = match explain.format {
            ExplainFormat::Text => {
                let mut lines = vec![statement.to_string()];
                lines.extend(operators.lines().map(str::to_owned));
                if !key.is_empty() {
                    lines.push(format!("key: {}", key.join(", ")));
                }
                lines.extend(run.map(|(rows, time)| format!("answered with {rows} row(s) in {} ms", time.as_millis())));
                lines.into_iter().map(|line| doc! {"plan": line}).collect()
            }
            ExplainFormat::Json => {
                let notices: Vec<&str> = notices.iter().map(|notice| notice.message.as_str()).collect();
                let operators = tree(&mut operators.lines().peekable(), 0);
                let mut plan = doc! {"statement": statement.to_string(), "operators": operators, "key": key};
                plan.insert("notices", notices);
                if let Some((rows, time)) = run {
                    plan.insert("rows", i64::try_from(rows).unwrap_or(i64::MAX));
                    plan.insert("ms", i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
                }
                vec![doc! {"plan": plan}]
            }
        };
        let mut answer = super::show::table(&["plan"], rows)?;
        answer.notices = notices;
        Ok(answer)
    }

    /// Runs a query that ends; gives how many rows it answers with, and how long that took.
    async fn analyze(&mut self, query: &ast::Query) -> Result<(usize, Duration)> {
        let since = Instant::now();
        match self.query(query).await?.outcome {
            Outcome::Rows(rows) => Ok((rows.all().await?.len(), since.elapsed())),
            _ => Err(SqlError::new("0A000", "EXPLAIN (ANALYZE) runs queries that end")),
        }
    }
}

/// Lines whose depth is twice as many spaces, as documents in documents.
fn tree<'l>(lines: &mut Peekable<impl Iterator<Item = &'l str>>, depth: usize) -> Vec<Bson> {
    let mut operators = Vec::new();
    while let Some(line) = lines.next_if(|line| line.len() - line.trim_start().len() >= depth * 2) {
        let (operator, keeps) = match line.trim().split_once("  [keeps ") {
            Some((operator, keeps)) => (operator, Some(keeps.trim_end_matches(']'))),
            None => (line.trim(), None),
        };
        operators.push(doc! {"operator": operator, "keeps": keeps, "inputs": tree(lines, depth + 1)}.into());
    }
    operators
}
