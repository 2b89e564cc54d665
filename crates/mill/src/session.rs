//! A session: one statement after the other, with a current database, settings, and perhaps an open transaction.

mod call;
mod client;
mod cursor;
mod define;
mod describe;
mod explain;
mod lifecycle;
mod query;
mod rename;
mod settings;
mod show;
mod subscribe;
mod tables;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use bson::Bson;
use millstream_flow::Datum;
use millstream_sql::SqlError;
use millstream_sql::expr::Expr;
use millstream_sql::plan::Variable;
use millstream_sql::statement::{Name, Statement};
use mongodb::ClientSession;

use crate::answer::{Answer, not_offered};
use crate::catalog::Catalog;
use crate::deployment::Deployment;
use crate::error::{Result, of_driver};
use crate::hosted::{Host, Surroundings};
use crate::hub::Hub;
use crate::native::Natives;
use crate::planning::Planning;
use crate::subscriptions::SubscriptionLimits;
use crate::temporary::remove_leftovers;
use crate::value::from_bson;

use self::client::ClientSettings;
use self::cursor::Cursor;
use self::settings::Settings;

/// How a session begins.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// The database of names without one; `None`: that of the URI, else `test`.
    pub database: Option<String>,
}

/// Runs statements on a deployment.
pub struct Session {
    deployment: Deployment,
    database: String,
    settings: Settings,
    /// Those of PostgreSQL's clients.
    client: ClientSettings,
    cursors: BTreeMap<String, Cursor>,
    /// Between `BEGIN` and `COMMIT`.
    transaction: Option<Transaction>,
    catalog: Catalog,
    /// What its subscriptions read.
    hub: Option<Hub>,
    /// `$1`, `$2`…
    parameters: Vec<Parameter>,
    limits: SubscriptionLimits,
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// A text that takes the type of what it meets (SQL-4.10).
    Literal(String),
    /// A value of its own type.
    Value(Datum),
}

/// Parameters of a statement (SQL-22.1).
const PARAMETERS_MAX: usize = 65_535;

struct Transaction {
    session: ClientSession,
    /// After an error nothing but its end is accepted.
    failed: bool,
}

impl Session {
    /// Reaches a deployment.
    ///
    /// # Errors
    /// The URI cannot be used, or nobody is there.
    pub async fn connect(uri: &str, options: SessionOptions) -> Result<Self> {
        remove_leftovers();
        let deployment = Deployment::connect(uri).await?;
        let own = deployment.connection().default_database().unwrap_or("test").to_owned();
        Ok(Self::on(deployment, options.database.unwrap_or(own)))
    }

    fn on(deployment: Deployment, database: String) -> Self {
        Self {
            deployment,
            database,
            settings: Settings::default(),
            client: ClientSettings::default(),
            cursors: BTreeMap::new(),
            transaction: None,
            catalog: Catalog::default(),
            hub: None,
            parameters: Vec::new(),
            limits: SubscriptionLimits::default(),
        }
    }

    /// Another session in a database of the same deployment, by the same connections.
    #[must_use]
    pub fn another(&self, database: &str) -> Self {
        Self {
            client: ClientSettings::at(database),
            catalog: self.catalog.clone(),
            hub: self.hub.clone(),
            limits: self.limits.clone(),
            ..Self::on(self.deployment.clone(), database.to_owned())
        }
    }

    /// The database of names without one.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Changes it.
    pub fn use_database(&mut self, database: &str) {
        self.database = database.to_owned();
    }

    /// Gives it the native routines of this program (SQL-16.5).
    pub fn set_natives(&mut self, natives: Natives) {
        self.catalog.host = Host::with(natives);
    }

    /// Bounds its subscriptions.
    pub fn limit_subscriptions(&mut self, limits: SubscriptionLimits) {
        self.limits = limits;
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether the open transaction has failed: nothing but its end is accepted.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.failed)
    }

    /// Fails the open transaction, if there is one: after a statement that was cancelled, or not understood.
    pub fn fail(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.failed = true;
        }
    }

    /// The values of `$1`, `$2`… of the statements to come.
    pub fn set_parameters(&mut self, parameters: Vec<Bson>) {
        let parameter = |value: Bson| match from_bson(&value) {
            Datum::Text(text) => Parameter::Literal(text.to_string()),
            value => Parameter::Value(value),
        };
        self.parameters = parameters.into_iter().map(parameter).collect();
    }

    /// The same, with values of types that documents do not have.
    pub fn set_values(&mut self, parameters: Vec<Parameter>) {
        self.parameters = parameters;
    }

    /// Runs a statement. Dropping the future cancels it; what it has written by then, if anything, is whole.
    ///
    /// # Errors
    /// Whatever is wrong with it, with the codes of SQL-21.
    pub async fn run(&mut self, statement: &Statement) -> Result<Answer> {
        if self.transaction.as_ref().is_some_and(|transaction| transaction.failed)
            && !matches!(statement, Statement::Commit | Statement::Rollback)
        {
            return Err(SqlError::new("25P02", "the transaction has failed: ROLLBACK ends it"));
        }
        if self.parameters.len() > PARAMETERS_MAX {
            return Err(SqlError::new("54000", format!("a statement has {PARAMETERS_MAX} parameters at most")));
        }
        let timeout = self.settings.statement_timeout;
        let answer = if timeout.is_zero() {
            self.dispatch(statement).await
        } else {
            match tokio::time::timeout(timeout, self.dispatch(statement)).await {
                Ok(answer) => answer,
                Err(_) => Err(timed_out(timeout)),
            }
        };
        if answer.is_err() {
            self.fail();
        }
        answer
    }

    async fn dispatch(&mut self, statement: &Statement) -> Result<Answer> {
        match statement {
            Statement::Alter { object, alteration } => self.alter(object, alteration).await,
            Statement::Begin => self.begin().await,
            Statement::Call(call) => self.call(call).await,
            Statement::CancelSubscription(id) => {
                if !crate::subscriptions::cancel(&self.deployment, id).await? {
                    let message = format!("there is no subscription {id}");
                    return Err(SqlError::new("42704", message).hint("SHOW SUBSCRIPTIONS lists them"));
                }
                Ok(Answer::done("CANCEL SUBSCRIPTION", Vec::new()))
            }
            Statement::Close(name) => self.close(name.as_deref()),
            Statement::Commit => self.commit().await,
            Statement::CreateConnection(_) => Err(not_offered("CREATE CONNECTION")),
            Statement::CreateDashboard(_) => Err(not_offered("CREATE DASHBOARD")),
            Statement::CreateIndex(create) => self.create_index(create).await,
            Statement::CreateRoutine(create) => self.create_routine(statement, create).await,
            Statement::CreateSink(_) => Err(not_offered("CREATE SINK")),
            Statement::CreateSync(_) => Err(not_offered("CREATE SYNC")),
            Statement::CreateTable(create) => self.create_table(create).await,
            Statement::CreateTrigger(create) => self.create_trigger(statement, create).await,
            Statement::CreateView(create) => self.create_view(statement, create).await,
            Statement::Deallocate(_) => Err(not_offered("PREPARE of statements as text")),
            Statement::Declare { name, hold, query } => self.declare(name, *hold, query).await,
            Statement::Delete(delete) => self.write(write::Source::Delete(delete)).await,
            Statement::DeleteDeadLetters(letters) => self.delete_dead_letters(letters).await,
            Statement::Describe(name) => self.describe(name).await,
            Statement::Discard => self.discard(),
            Statement::Drop { object, if_exists, on: _, cascade } => {
                self.drop_object(object, *if_exists, *cascade).await
            }
            Statement::DropIndex { if_exists, name, on } => self.drop_index(name, on.as_ref(), *if_exists).await,
            Statement::DropTable { if_exists, name, cascade } => self.drop_table(name, *if_exists, *cascade).await,
            Statement::Explain(explain) => self.explain(explain).await,
            Statement::Fetch { name, rows, skip } => self.fetch(name, *rows, *skip).await,
            Statement::Insert(insert) => self.write(write::Source::Insert(insert)).await,
            Statement::Pause(which) => self.pause(which).await,
            Statement::Query(query) => self.query(query).await,
            Statement::Refresh(name) => self.refresh_view(name).await,
            Statement::RenameTable { from, to } => self.rename_table(from, to).await,
            Statement::Resume { which, from } => self.resume(which, from.as_ref()).await,
            Statement::RetryDeadLetters(letters) => self.retry_dead_letters(letters).await,
            Statement::Rollback => self.rollback().await,
            Statement::Set { name, value } => self.set(name, value.as_ref()),
            Statement::Show(show) => self.show(show).await,
            Statement::Subscribe(subscribe) => self.subscribe(subscribe).await,
            Statement::Truncate(name) => self.truncate(name).await,
            Statement::Update(update) => self.write(write::Source::Update(update)).await,
            Statement::WaitFor { object, timeout } => self.wait_for(object.as_ref(), timeout.as_deref()).await,
        }
    }

    async fn begin(&mut self) -> Result<Answer> {
        if self.transaction.is_some() {
            return Err(SqlError::new("25001", "a transaction is open already"));
        }
        let mut session = self.deployment.client().start_session().await.map_err(|error| of_driver(&error))?;
        write::start(&mut session).await?;
        self.transaction = Some(Transaction { session, failed: false });
        Ok(Answer::done("BEGIN", Vec::new()))
    }

    async fn commit(&mut self) -> Result<Answer> {
        let Some(mut transaction) = self.transaction.take() else {
            return Err(SqlError::new("25P01", "no transaction is open"));
        };
        self.close_cursors();
        if transaction.failed {
            crate::checkpoint::abort(&mut transaction.session).await;
            return Ok(Answer::done("ROLLBACK", Vec::new()));
        }
        write::finish(&mut transaction.session).await?;
        Ok(Answer::done("COMMIT", Vec::new()))
    }

    async fn rollback(&mut self) -> Result<Answer> {
        let Some(mut transaction) = self.transaction.take() else {
            return Err(SqlError::new("25P01", "no transaction is open"));
        };
        self.close_cursors();
        crate::checkpoint::abort(&mut transaction.session).await;
        Ok(Answer::done("ROLLBACK", Vec::new()))
    }

    /// Reads the catalog, and gives what planning needs.
    async fn planning(&mut self) -> Result<Planning> {
        self.catalog = Catalog::read(&self.deployment, &self.catalog, &self.database).await?;
        let mut planning = Planning::new(self.catalog.clone(), &self.database, &self.settings.kept)?;
        let constant = |parameter: &Parameter| match parameter {
            Parameter::Literal(text) => Expr::Untyped(text.clone()),
            Parameter::Value(value) => Expr::Constant(value.clone()),
        };
        planning.settings.parameters = self.parameters.iter().map(constant).collect();
        planning.settings.shown = self.shown();
        Ok(planning)
    }

    /// What expressions of its statements meet.
    fn surroundings(&self) -> Result<Surroundings> {
        Surroundings::new(&self.catalog, &self.database, &self.settings.kept.time_zone)
    }

    /// The variables of a statement: none, since its parameters are constants.
    fn variables(&self) -> (Vec<Variable>, Vec<Datum>) {
        (Vec::new(), Vec::new())
    }

    /// A name's database and own part.
    fn resolve(&self, name: &Name) -> Result<(String, String)> {
        if name.connection.is_some() {
            return Err(not_offered("a table of another deployment"));
        }
        Ok((name.database.clone().unwrap_or_else(|| self.database.clone()), name.name.clone()))
    }

    fn not_in_transaction(&self, what: &str) -> Result<()> {
        match self.transaction {
            Some(_) => Err(SqlError::new("25001", format!("{what} cannot be part of a transaction"))),
            None => Ok(()),
        }
    }
}

fn timed_out(after: Duration) -> SqlError {
    SqlError::new("57014", format!("cancelled after {} s (statement_timeout)", after.as_secs_f64()))
}
