//! `SUBSCRIBE` (SQL-13.12).

use std::sync::Arc;

use millstream_sql::SqlError;
use millstream_sql::plan::Purpose;
use millstream_sql::statement::{self, Literal, Name, Options, Statement, Subscribe, Subscribed};
use sqlparser::ast;

use super::Session;
use crate::answer::{Answer, Outcome};
use crate::commit::Place;
use crate::error::{Result, bug};
use crate::hub::Hub;
use crate::images::Images;
use crate::subscription::{Start, Subscription};
use crate::subscriptions::Listed;

/// The options of subscriptions (SQL-18.8).
// Sorted by name.
static OPTIONS: &[&str] = &[
    "idle_timeout",
    "images",
    "late",
    "lateness",
    "max_state_bytes",
    "missing_image",
    "on_error",
    "snapshot",
    "start",
    "unbounded_state",
    "until",
];

impl Session {
    pub(super) async fn subscribe(&mut self, subscribe: &Subscribe) -> Result<Answer> {
        subscribe.options.check(OPTIONS)?;
        let query: Box<ast::Query> = match &subscribe.to {
            Subscribed::Query(query) => query.clone(),
            Subscribed::Name(name) => self.all_of(name)?,
        };
        self.subscription(&query, &subscribe.options, true).await
    }

    /// `SELECT * FROM name`.
    pub(super) fn all_of(&self, name: &Name) -> Result<Box<ast::Query>> {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let (database, table) = self.resolve(name)?;
        let text = format!("SELECT * FROM {}.{}", quoted(&database), quoted(&table));
        match statement::statement(&text)? {
            Statement::Query(query) => Ok(query),
            _ => Err(bug("a query that is none")),
        }
    }

    /// Subscribes to a query.
    pub(super) async fn subscription(&mut self, query: &ast::Query, options: &Options, told: bool) -> Result<Answer> {
        // An open transaction is no part of it: it begins with what is committed now.
        let (variables, values) = self.variables();
        let mut planning = self.planning().await?;
        planning.options(options)?;
        let plan = planning.query(&self.deployment, query, Purpose::View, &variables).await;
        let plan = match plan {
            Ok(plan) => plan,
            // Some of what cannot be kept right can be a change query, which is planned for a batch.
            Err(error) => match planning.query(&self.deployment, query, Purpose::Batch, &variables).await {
                Ok(plan) if plan.changes => plan,
                _ => return Err(error),
            },
        };
        let mut notices = plan.notices.clone();
        notices.extend(self.loading(&plan, &planning.catalog).await?);
        let (hub, limits) = (self.hub(), self.limits.clone());
        let listed = Listed::new(&self.deployment, &hub, &self.database, query.to_string(), limits.count)?;
        let subscription = Subscription {
            deployment: self.deployment.clone(),
            hub,
            plan: Arc::new(plan),
            context: self.surroundings()?.context(values),
            start: start(options)?,
            until: until(options)?,
            images: Images::of(options)?,
            missing_is_null: options.text("missing_image")? == Some("null"),
            state_bytes_max: options.integer("max_state_bytes")?,
            fails: options.text("on_error")? == Some("fail"),
            listed: Arc::new(listed),
            limits,
            told,
            snapshot: options.boolean("snapshot")?.unwrap_or(false),
        };
        let rows = subscription.begin().await?;
        Ok(Answer { outcome: Outcome::Subscription(rows), notices })
    }

    /// The stream that all subscriptions of this session share.
    fn hub(&mut self) -> Hub {
        let deployment = &self.deployment;
        self.hub.get_or_insert_with(|| Hub::start(deployment.connection().clone())).clone()
    }
}

/// Where it ends (SQL-13.12).
fn until(options: &Options) -> Result<Option<Place>> {
    match options.get("until") {
        None => Ok(None),
        Some(Literal::Text(token)) => {
            let token = millstream_watch::Token::parse(token);
            token.map(|token| Some(Place::Token(token))).map_err(|error| SqlError::new("22023", error.to_string()))
        }
        Some(Literal::Time(text)) => Ok(Some(Place::Time(crate::interval::time(text)?))),
        Some(_) => Err(SqlError::new("22023", "until takes a time or a token")),
    }
}

fn start(options: &Options) -> Result<Start> {
    match options.get("start") {
        None => Ok(Start::Now),
        Some(Literal::Text(word)) if word == "now" => Ok(Start::Now),
        Some(Literal::Text(word)) if word == "snapshot" => Ok(Start::Snapshot),
        Some(Literal::Text(token)) => {
            let token = millstream_watch::Token::parse(token);
            token.map(|token| Start::At(Place::Token(token))).map_err(|error| SqlError::new("22023", error.to_string()))
        }
        Some(Literal::Time(text)) => Ok(Start::At(Place::Time(crate::interval::time(text)?))),
        Some(_) => Err(SqlError::new("22023", "start takes 'now', 'snapshot', a time or a token")),
    }
}
