//! What a statement would answer, without running it.

use millstream_flow::Datum;
use millstream_sql::Type;
use millstream_sql::expr::Expr;
use millstream_sql::plan::{Column, Plan, Purpose, Write};
use millstream_sql::statement::{Statement, Subscribed};

use super::Session;
use crate::answer::Outcome;
use crate::error::Result;
use crate::subscription::TOLD;
use crate::system::sampled;
use crate::write::returning_columns;

impl Session {
    /// The columns of a statement's rows, for parameters of these types; `None`: it has no rows. Where a column stands for all
    /// fields of a document, they are those that a sample of the collection has.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub async fn columns(&mut self, statement: &Statement, parameters: &[Option<Type>]) -> Result<Option<Vec<Column>>> {
        let null = |kind: &Option<Type>| {
            let null = Expr::Constant(Datum::Null);
            match kind {
                Some(kind) => Expr::Cast { value: Box::new(null), to: kind.clone(), attempt: false },
                None => null,
            }
        };
        let mut planning = self.planning().await?;
        if !parameters.is_empty() {
            planning.settings.parameters = parameters.iter().map(null).collect();
        }
        let deployment = self.deployment.clone();
        match statement {
            Statement::Query(query) => {
                let plan = planning.query(&deployment, query, Purpose::Batch, &[]).await?;
                let columns = plan.columns.clone();
                self.opened(&plan, columns).await.map(Some)
            }
            Statement::Subscribe(subscribe) => {
                let query = match &subscribe.to {
                    Subscribed::Query(query) => query.clone(),
                    Subscribed::Name(name) => self.all_of(name)?,
                };
                let plan = planning.query(&deployment, &query, Purpose::Batch, &[]).await?;
                let told = TOLD.iter().map(|name| Column { name: (*name).to_owned(), kind: None, spread: false });
                let columns = told.chain(plan.columns.clone()).collect();
                self.opened(&plan, columns).await.map(Some)
            }
            Statement::Insert(insert) => {
                let written =
                    planning.plan(&deployment, |catalog, settings| Write::insert(insert, &[], catalog, settings));
                self.returned(&written.await?).await
            }
            Statement::Update(update) => {
                let written =
                    planning.plan(&deployment, |catalog, settings| Write::update(update, &[], catalog, settings));
                self.returned(&written.await?).await
            }
            Statement::Delete(delete) => {
                let written =
                    planning.plan(&deployment, |catalog, settings| Write::delete(delete, &[], catalog, settings));
                self.returned(&written.await?).await
            }
            Statement::Fetch { skip: true, .. } => Ok(None),
            Statement::Fetch { name, .. } => self.cursor_columns(name).map(Some),
            // To run them changes nothing.
            Statement::Describe(_) | Statement::Explain(_) | Statement::Show(_) => {
                match Box::pin(self.run(statement)).await?.outcome {
                    Outcome::Rows(rows) => Ok(Some(rows.columns)),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    async fn returned(&self, write: &Write) -> Result<Option<Vec<Column>>> {
        let Some(columns) = returning_columns(write) else { return Ok(None) };
        let name = [(write.database.clone(), write.collection.clone())];
        self.without_spread(&name, columns).await.map(Some)
    }

    async fn opened(&self, plan: &Plan, columns: Vec<Column>) -> Result<Vec<Column>> {
        let names: Vec<(String, String)> =
            plan.sources.iter().map(|source| (source.database.clone(), source.collection.clone())).collect();
        self.without_spread(&names, columns).await
    }

    /// Columns with the fields of these collections in the place of what stands for all of them.
    async fn without_spread(&self, names: &[(String, String)], columns: Vec<Column>) -> Result<Vec<Column>> {
        if columns.iter().all(|column| !column.spread) {
            return Ok(columns);
        }
        let mut fields = Vec::new();
        for (database, name) in names {
            fields.extend(sampled(&self.deployment, database, name).await?.into_iter().map(|(name, _)| name));
        }
        let mut opened: Vec<Column> = Vec::new();
        for column in columns {
            let own = if column.spread { fields.clone() } else { vec![column.name.clone()] };
            for name in own {
                if opened.iter().all(|known| known.name != name) {
                    let kind = column.kind.clone().filter(|_| !column.spread);
                    opened.push(Column { name, kind, spread: false });
                }
            }
        }
        Ok(opened)
    }
}
