//! `CREATE` of views, triggers and routines (SQL-14 to SQL-16): checked when they are created, kept in
//! `millstream.definitions`.

use std::collections::BTreeSet;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use millstream_sql::plan::{Catalog as _, Plan, Purpose, Relation, Variable};
use millstream_sql::statement::{
    CreateRoutine, CreateTrigger, CreateView, Kind, Literal, Options, RoutineBody, RoutineKind, Statement,
};
use millstream_sql::{Notice, SqlError};
use mongodb::options::WriteConcern;
use std::sync::Arc;

use super::Session;
use crate::answer::Answer;
use crate::catalog::{Catalog, counts};
use crate::checkpoint::DATABASE;
use crate::commit::Place;
use crate::definition::{DEFINITIONS, Definition, State, kind_words};
use crate::error::{Result, bug, code, of_driver};
use crate::hub::Name;
use crate::images::{Images, check_copied_at};
use crate::live::imaged;
use crate::native::{Native, unregistered};
use crate::options::refuse_unoffered;
use crate::planning::Planning;
use crate::run::{check_writable, target};
use crate::subscription::prepare;
use crate::syntax::{Uses, used};

/// The options of materialized views over tables, and of those over changes (SQL-18.8).
// Sorted by name.
static VIEW_OPTIONS: &[&str] = &[
    "images",
    "max_delay",
    "max_state_bytes",
    "missing_image",
    "numeric_as",
    "on_error",
    "target",
    "temporal_resolution",
];
// Sorted by name.
static CHANGES_OPTIONS: &[&str] = &[
    "idle_timeout",
    "images",
    "late",
    "lateness",
    "max_state_bytes",
    "missing_image",
    "numeric_as",
    "on_error",
    "retain",
    "start",
    "target",
    "unbounded_state",
];
/// The options of triggers.
// Sorted by name.
static TRIGGER_OPTIONS: &[&str] = &[
    "batch",
    "guarantee",
    "images",
    "max_depth",
    "max_state_bytes",
    "missing_image",
    "on_failure",
    "parallel",
    "recursive",
    "retries",
    "start",
    "timeout",
];

/// Refuses options that no object of the kind has, and those that are not offered.
pub(super) fn check_options(kind: Kind, options: &Options) -> Result<()> {
    match kind {
        Kind::MaterializedView => options.check(&[VIEW_OPTIONS, CHANGES_OPTIONS].concat())?,
        Kind::Trigger => options.check(TRIGGER_OPTIONS)?,
        _ => options.check(&[])?,
    }
    refuse_unoffered(options)
}

/// Refuses images that what is made of changes, or of tables, cannot have (SQL-12.6).
pub(super) fn check_images(images: Option<&str>, changes: bool) -> Result<()> {
    match images {
        // The law of SQL-1.2 could not hold.
        Some("lookup") if !changes => {
            Err(SqlError::new("0A000", "a view over tables cannot look documents up: they may be later"))
        }
        _ => Ok(()),
    }
}

/// Each lane has a place of its own, for its share of the documents.
pub(super) fn other_lanes() -> SqlError {
    SqlError::new("0A000", "a trigger keeps its number of lanes (parallel)").hint("DROP it and CREATE it anew")
}

/// What is new of an object.
struct New {
    kind: Kind,
    database: String,
    name: String,
    options: Options,
    state: State,
    depends_on: BTreeSet<String>,
    plan: Option<Plan>,
    /// The names that a definition gives to its columns.
    columns: Vec<String>,
    start: Option<Bson>,
}

impl Session {
    pub(super) async fn create_view(&mut self, statement: &Statement, create: &CreateView) -> Result<Answer> {
        let what = if create.materialized { "CREATE MATERIALIZED VIEW" } else { "CREATE VIEW" };
        self.not_in_transaction(what)?;
        let (database, name) = self.resolve(&create.name)?;
        let kind = if create.materialized { Kind::MaterializedView } else { Kind::View };
        let mut planning = self.planning().await?;
        if planning.catalog.get(&database, kind, &name).is_some() && create.if_not_exists {
            let notice = Notice::new(format!("{name} exists already"));
            return Ok(Answer::done(what, vec![notice]));
        }
        self.is_free(&planning, &database, kind, &name, create.or_replace)?;
        planning.options(&create.options)?;
        planning.settings.database.clone_from(&database);
        let purpose = if create.materialized { Purpose::View } else { Purpose::Batch };
        let plan = planning.query(&self.deployment, &create.query, purpose, &[]).await?;
        let known = match (create.materialized, plan.changes) {
            (true, true) => CHANGES_OPTIONS,
            (true, false) => VIEW_OPTIONS,
            (false, _) => &[],
        };
        create.options.check(known)?;
        let images = create.options.text("images")?;
        check_images(images, plan.changes)?;
        if create.materialized {
            plan.check_stored()?;
        }
        if !create.columns.is_empty() && create.columns.len() != plan.columns.len() {
            let message = format!("{} names for {} columns", create.columns.len(), plan.columns.len());
            return Err(SqlError::new("42601", message));
        }
        let depends_on = dependencies(&planning, &database, &used(create.query.as_ref()));
        let (state, start) = match (create.materialized, create.with_data) {
            (false, _) => (State::Defined, None),
            (true, true) => (State::Building, None),
            (true, false) => (State::Paused, None),
        };
        let notices = plan.notices.clone();
        let start = if plan.changes { self.start_of(&create.options).await? } else { start };
        if plan.changes && create.materialized {
            match Images::of(&create.options)? {
                Images::Kept => prepare(&self.deployment, &plan).await?,
                Images::Lookup => {}
                Images::Mirror => self.check_start(&create.options, start.as_ref(), &imaged(&plan)).await?,
            }
        }
        let columns = create.columns.clone();
        let options = create.options.clone();
        let new = New { kind, database, name, options, state, depends_on, plan: Some(plan), columns, start };
        self.save(statement, new, create.or_replace).await?;
        Ok(Answer::done(what, notices))
    }

    pub(super) async fn create_trigger(&mut self, statement: &Statement, create: &CreateTrigger) -> Result<Answer> {
        self.not_in_transaction("CREATE TRIGGER")?;
        let database = create.name.database.clone().unwrap_or_else(|| self.database.clone());
        let name = create.name.name.clone();
        let mut planning = self.planning().await?;
        self.is_free(&planning, &database, Kind::Trigger, &name, create.or_replace)?;
        create.options.check(TRIGGER_OPTIONS)?;
        refuse_unoffered(&create.options)?;
        planning.settings.database.clone_from(&database);
        let planned = crate::trigger::plan(&mut planning, &self.deployment, create).await?;
        planned.prepare(&self.deployment, &create.options).await?;
        let depends_on = dependencies(&planning, &database, &planned.uses);
        let start = self.start_of(&create.options).await?;
        let replaced = planning.catalog.get(&database, Kind::Trigger, &name).is_some();
        if Images::of(&create.options)? == Images::Mirror && planned.needs_images() && !replaced {
            let table = (planned.database.clone(), planned.collection.clone());
            self.check_start(&create.options, start.as_ref(), &[table].into()).await?;
        }
        let notices = planned.notices;
        let (options, columns) = (create.options.clone(), Vec::new());
        let state = State::Running;
        let new = New { kind: Kind::Trigger, database, name, options, state, depends_on, plan: None, columns, start };
        self.save(statement, new, create.or_replace).await?;
        Ok(Answer::done("CREATE TRIGGER", notices))
    }

    pub(super) async fn create_routine(&mut self, statement: &Statement, create: &CreateRoutine) -> Result<Answer> {
        let (kind, what) = match create.kind {
            RoutineKind::Function => (Kind::Function, "CREATE FUNCTION"),
            RoutineKind::Procedure => (Kind::Procedure, "CREATE PROCEDURE"),
        };
        self.not_in_transaction(what)?;
        let (database, name) = self.resolve(&create.name)?;
        let mut planning = self.planning().await?;
        is_routine_free(&planning.catalog, &database, &name, create, create.or_replace)?;
        planning.settings.database.clone_from(&database);
        let names = create.arguments.iter().map(|argument| argument.name.clone());
        let numbers = (1..=create.arguments.len()).map(|number| format!("${number}"));
        let arguments: Vec<Variable> = names.chain(numbers).map(|name| Variable::new(name, None)).collect();
        let mut uses = (BTreeSet::new(), BTreeSet::new());
        let mut statement = statement.clone();
        let mut options = Options::default();
        match &create.body {
            RoutineBody::Query(query) => {
                uses = used(query.as_ref());
                planning.query(&self.deployment, query, Purpose::Batch, &arguments).await?;
            }
            RoutineBody::Expression(expression) => {
                uses = used(expression);
                let query = crate::syntax::select(expression);
                planning.query(&self.deployment, &query, Purpose::Batch, &arguments).await?;
            }
            RoutineBody::Block(block) => {
                let body = crate::trigger::plan_procedure(&mut planning, &self.deployment, create, block).await?;
                uses = body.uses;
            }
            RoutineBody::Native(native) => {
                let registered = self.catalog.host.natives.get(native);
                let Statement::CreateRoutine(create) = &mut statement else { return Err(bug("no routine")) };
                match (create.kind, registered) {
                    (RoutineKind::Function, Some(Native::Function(volatility, _))) => create.volatility = *volatility,
                    (RoutineKind::Procedure, Some(Native::Procedure(_))) => {
                        options.0.insert("transactional".to_owned(), Literal::Boolean(true));
                    }
                    (RoutineKind::Procedure, Some(Native::Outside(_))) => {
                        options.0.insert("transactional".to_owned(), Literal::Boolean(false));
                    }
                    _ => return Err(unregistered(native)),
                }
            }
            RoutineBody::Webhook(options) => crate::webhook::check(options)?,
        }
        for argument in &create.arguments {
            uses.1.extend(argument.default.iter().flat_map(|default| used(default).1));
        }
        let own = name.to_lowercase();
        let calls_itself = uses.1.iter().any(|(called, count)| *called == own && counts(create).contains(count));
        let depends_on = dependencies(&planning, &database, &uses);
        let before = planning.catalog.called(&database, kind, &name, create.arguments.len());
        let users = before.map(|(before, _)| self.with_dependants(&before.id, true)).transpose()?.unwrap_or_default();
        if calls_itself || users.iter().any(|user| depends_on.contains(&user.id)) {
            return Err(SqlError::new("42P19", format!("{name} calls itself")));
        }
        let state = State::Defined;
        let new =
            New { kind, database, name, options, state, depends_on, plan: None, columns: Vec::new(), start: None };
        self.save(&statement, new, create.or_replace).await?;
        Ok(Answer::done(what, Vec::new()))
    }

    /// Whether a name can be given to an object (SQL-3.1).
    pub(super) fn is_free(
        &self,
        planning: &Planning,
        database: &str,
        kind: Kind,
        name: &str,
        or_replace: bool,
    ) -> Result<()> {
        let catalog = &planning.catalog;
        if catalog.get(database, kind, name).is_some() {
            if or_replace {
                return Ok(());
            }
            let state = match kind {
                Kind::MaterializedView | Kind::View => "42P07",
                _ => "42710",
            };
            let message = format!("{} {name} exists already", kind_words(kind).to_lowercase());
            return Err(SqlError::new(state, message).hint("CREATE OR REPLACE takes its place"));
        }
        let other = match kind {
            Kind::View => Kind::MaterializedView,
            Kind::MaterializedView => Kind::View,
            _ => return Ok(()),
        };
        if catalog.get(database, other, name).is_some() || catalog.has_table(database, name) {
            return Err(SqlError::new("42P07", format!("{name} exists already, as something else")));
        }
        Ok(())
    }

    /// Where what reads changes begins (SQL-15.9).
    async fn start_of(&self, options: &Options) -> Result<Option<Bson>> {
        match options.get("start") {
            None => {}
            Some(Literal::Text(word)) if word == "now" => {}
            Some(Literal::Text(word)) if word == "snapshot" => return Ok(Some("snapshot".into())),
            Some(Literal::Text(token)) => {
                let token = millstream_watch::Token::parse(token);
                let token = token.map_err(|error| SqlError::new("22023", error.to_string()))?;
                return Ok(Some(Place::Token(token).to_bson()));
            }
            Some(Literal::Time(text)) => {
                let time: jiff::Timestamp = text.parse().map_err(|_| {
                    SqlError::new("22007", format!("'{text}' is no time, such as 2025-09-05T10:00:00Z"))
                })?;
                let seconds = u32::try_from(time.as_second()).unwrap_or(0);
                return Ok(Some(bson::Timestamp { time: seconds, increment: 1 }.into()));
            }
            Some(_) => return Err(SqlError::new("22023", "start takes 'now', 'snapshot', a time or a token")),
        }
        let time = self.deployment.time().await?;
        Ok(time.map(|time| crate::deployment::after(time).into()))
    }

    /// Refuses a start in the past of which there can be no copy (SQL-12.6).
    async fn check_start(&self, options: &Options, start: Option<&Bson>, names: &BTreeSet<Name>) -> Result<()> {
        let in_the_past = match options.get("start") {
            None => false,
            Some(Literal::Text(word)) => !matches!(word.as_str(), "now" | "snapshot"),
            Some(_) => true,
        };
        match start.and_then(Place::from_bson).filter(|_| in_the_past) {
            Some(place) => check_copied_at(&self.deployment, &place, names).await,
            None => Ok(()),
        }
    }

    /// Writes a definition.
    async fn save(&mut self, statement: &Statement, new: New, or_replace: bool) -> Result<()> {
        let before = match statement {
            Statement::CreateRoutine(create) => {
                let count = create.arguments.len();
                self.catalog.called(&new.database, new.kind, &new.name, count).map(|(before, _)| before)
            }
            _ => self.catalog.get(&new.database, new.kind, &new.name),
        };
        let before = before.cloned();
        let id = before.as_ref().map_or_else(
            || self.catalog.free_id(&new.database, new.kind, &new.name, statement),
            |before| before.id.clone(),
        );
        let (columns, order) = new.plan.as_ref().map_or_else(Default::default, |plan| {
            let mut columns = plan.columns.clone();
            for (column, name) in columns.iter_mut().zip(&new.columns) {
                column.name.clone_from(name);
            }
            let order = plan.order.iter().filter_map(|order| {
                let name = columns.get(order.column)?.name.clone();
                Some((name, order.descending))
            });
            (columns.clone(), order.collect())
        });
        // A trigger that is replaced keeps its place (SQL-15.9).
        let kept = before.as_ref().filter(|_| new.kind == Kind::Trigger);
        if kept.is_some_and(|before| crate::options::lanes(&before.options) != crate::options::lanes(&new.options)) {
            return Err(other_lanes());
        }
        let definition = Definition {
            id: id.clone(),
            kind: new.kind,
            database: new.database,
            name: new.name,
            sql: statement.to_string(),
            statement: Arc::new(statement.clone()),
            options: new.options,
            settings: self.settings.kept.clone(),
            depends_on: new.depends_on.into_iter().collect(),
            state: new.state,
            error: None,
            generation: kept.map_or_else(ObjectId::new, |before| before.generation),
            version: before.as_ref().map_or(1, |before| before.version + 1),
            created_at: DateTime::now(),
            columns,
            order,
            start: kept.map_or(new.start, |before| before.start.clone()),
        };
        if new.kind == Kind::MaterializedView {
            // It is refused now rather than when it runs.
            target(&definition)?;
        }
        let rows = self.deployment.client().database(DATABASE).collection::<Document>(DEFINITIONS);
        let document = definition.to_document();
        let saved = match before {
            None => rows.insert_one(document).write_concern(WriteConcern::majority()).await.map(|_| 1),
            Some(before) => {
                let which = doc! {"_id": &id, "version": before.version};
                let replaced = rows.replace_one(which, document).write_concern(WriteConcern::majority()).await;
                replaced.map(|replaced| replaced.matched_count)
            }
        };
        match saved {
            Ok(1..) => Ok(()),
            Ok(0) => Err(SqlError::new("40001", "somebody else has just changed it")),
            Err(error) if code(&error) == Some(11_000) && !or_replace => {
                Err(SqlError::new("42710", format!("{id} exists already")))
            }
            Err(error) => Err(of_driver(&error)),
        }
    }

    /// Refuses what is no table (SQL-10.7), and tables that only a mill writes (SQL-18.1).
    pub(super) fn is_table(&self, database: &str, name: &str) -> Result<()> {
        check_writable(database)?;
        match self.catalog.relation(database, name) {
            Relation::Collection { .. } => Ok(()),
            Relation::View { .. } | Relation::Materialized { .. } => {
                Err(SqlError::new("42809", format!("{name} is a view: it cannot be written")))
            }
            Relation::Rows { .. } => {
                Err(SqlError::new("42809", format!("{name} is part of the catalogue: it cannot be written")))
            }
        }
    }
}

/// The ids of what is used by names in FROM and by calls.
fn dependencies(planning: &Planning, database: &str, (relations, functions): &Uses) -> BTreeSet<String> {
    let catalog = &planning.catalog;
    let mut uses = BTreeSet::new();
    for (own, name) in relations {
        let database = own.as_deref().unwrap_or(database);
        let views =
            [Kind::View, Kind::MaterializedView].into_iter().filter_map(|kind| catalog.get(database, kind, name));
        let views: Vec<String> = views.map(|definition| definition.id.clone()).collect();
        if views.is_empty() {
            uses.insert(format!("{database}.table.{name}"));
        }
        uses.extend(views);
    }
    for (name, count) in functions {
        let kinds = [Kind::Function, Kind::Procedure].into_iter();
        let called = kinds.filter_map(|kind| catalog.called(database, kind, name, *count));
        uses.extend(called.map(|(definition, _)| definition.id.clone()));
    }
    uses
}

/// Whether a routine can have a name: no call may mean two of one name (SQL-16.3).
pub(super) fn is_routine_free(
    catalog: &Catalog,
    database: &str,
    name: &str,
    create: &CreateRoutine,
    or_replace: bool,
) -> Result<()> {
    let kind = match create.kind {
        RoutineKind::Function => Kind::Function,
        RoutineKind::Procedure => Kind::Procedure,
    };
    let own = counts(create);
    for (_, other) in catalog.overloads(database, kind, name) {
        let others = counts(other);
        let words = kind_words(kind).to_lowercase();
        if others.end() == own.end() {
            if !or_replace {
                let message = format!("{words} {name} of {} argument(s) exists already", own.end());
                return Err(SqlError::new("42723", message).hint("CREATE OR REPLACE takes its place"));
            }
        } else if own.start() <= others.end() && others.start() <= own.end() {
            let both = own.start().max(others.start());
            let message = format!("a call of {name} with {both} argument(s) could mean another {words} as well");
            let hint = "routines of one name differ in how many arguments they can be called with, defaults included";
            return Err(SqlError::new("42723", message).hint(hint));
        }
    }
    Ok(())
}

/// The table's id among what is used.
pub(super) fn table_id(database: &str, name: &str) -> String {
    format!("{database}.table.{name}")
}

/// The one that a name means.
pub(super) fn found<T>(found: Option<T>, kind: Kind, name: &str) -> Result<T> {
    found.ok_or_else(|| SqlError::new("42704", format!("there is no {} {name}", kind_words(kind).to_lowercase())))
}
