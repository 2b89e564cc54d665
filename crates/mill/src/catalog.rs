//! What names stand for: definitions, and the collections that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bson::{Document, doc};
use futures::TryStreamExt;
use millstream_sql::plan::{self, Relation, Routine};
use millstream_sql::statement::{CreateRoutine, Kind, Options, RoutineBody, Statement, Volatility};
use parking_lot::Mutex;

use crate::checkpoint::DATABASE;
use crate::definition::{DEFINITIONS, Definition};
use crate::deployment::Deployment;
use crate::error::{Result, of_driver};
use crate::hosted::Host;
use crate::system::{self, Facts, System};

/// Databases that hold nothing of a user's.
const OWN: &[&str] = &["admin", "config", "local", DATABASE];

/// Definitions and collections as they were a moment ago. Planning asks for what it needs; what was not looked up is
/// noted, so that it can be, and planning is tried again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    definitions: BTreeMap<String, Arc<Definition>>,
    collections: BTreeMap<String, BTreeSet<String>>,
    unknown: Arc<Mutex<BTreeSet<String>>>,
    /// What routines that are no SQL need of the program.
    pub(crate) host: Host,
    /// The database whose catalogue is told of.
    database: String,
    /// What is told of it, where it was asked for.
    facts: Option<Arc<Facts>>,
}

/// What planning has asked for that is no database: what the catalogue tells of itself, with columns or without.
const NAMES: &str = "!names";
const COLUMNS: &str = "!columns";

impl Catalog {
    /// Nothing is known yet.
    pub(crate) fn new(host: Host) -> Self {
        Self { host, ..Self::default() }
    }

    /// Reads the definitions, with those of `before` where they have not changed, and the collections of a database.
    pub(crate) async fn read(deployment: &Deployment, before: &Self, database: &str) -> Result<Self> {
        let definitions = definitions(deployment, before).await?;
        let mut catalog =
            Self { definitions, host: before.host.clone(), database: database.to_owned(), ..Self::default() };
        catalog.look(deployment, database).await?;
        Ok(catalog)
    }

    /// Looks up what planning has asked for. False: it has asked for nothing new.
    pub(crate) async fn look_again(&mut self, deployment: &Deployment) -> Result<bool> {
        let unknown = std::mem::take(&mut *self.unknown.lock());
        for database in &unknown {
            if matches!(database.as_str(), NAMES | COLUMNS) {
                let columns = unknown.contains(COLUMNS);
                self.facts = Some(Arc::new(Facts::look(deployment, self, &self.database, columns).await?));
                continue;
            }
            self.look(deployment, database).await?;
        }
        Ok(!unknown.is_empty())
    }

    async fn look(&mut self, deployment: &Deployment, database: &str) -> Result<()> {
        let names = deployment.client().database(database).list_collection_names().await;
        let names = names.map_err(|error| of_driver(&error))?.into_iter();
        let names = names.filter(|name| !name.starts_with("system.")).collect();
        self.collections.insert(database.to_owned(), names);
        Ok(())
    }

    /// An object that is no routine.
    pub(crate) fn get(&self, database: &str, kind: Kind, name: &str) -> Option<&Arc<Definition>> {
        self.definitions.get(&Definition::id_of(database, kind, name))
    }

    /// The routines of a name; they differ in their numbers of arguments (SQL-16.3).
    pub(crate) fn overloads(&self, database: &str, kind: Kind, name: &str) -> Vec<(&Arc<Definition>, &CreateRoutine)> {
        let id = Definition::id_of(database, kind, name);
        let near = self.definitions.range(id.clone()..).take_while(|(other, _)| other.starts_with(&id));
        let own = near.filter(|(_, definition)| Definition::id_of(database, kind, &definition.name) == id);
        own.filter_map(|(_, definition)| Some((definition, routine(definition)?))).collect()
    }

    /// The routine that a call with so many arguments means.
    pub(crate) fn called(
        &self,
        database: &str,
        kind: Kind,
        name: &str,
        arguments: usize,
    ) -> Option<(&Arc<Definition>, &CreateRoutine)> {
        self.overloads(database, kind, name).into_iter().find(|(_, routine)| counts(routine).contains(&arguments))
    }

    /// The `_id` of an object that is new. The first routine of a name has the `_id` of any object, another tells its number of
    /// arguments besides.
    pub(crate) fn free_id(&self, database: &str, kind: Kind, name: &str, statement: &Statement) -> String {
        let id = Definition::id_of(database, kind, name);
        match statement {
            Statement::CreateRoutine(routine) if self.definitions.contains_key(&id) => {
                format!("{id}({})", routine.arguments.len())
            }
            _ => id,
        }
    }

    /// All objects, in the order of their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.definitions.values()
    }

    /// The collections of a database, if they were looked up.
    pub(crate) fn tables(&self, database: &str) -> impl Iterator<Item = &String> {
        self.collections.get(database).into_iter().flatten()
    }

    /// Whether a collection is there.
    pub(crate) fn has_table(&self, database: &str, name: &str) -> bool {
        self.collections.get(database).is_some_and(|names| names.contains(name))
    }

    /// The objects that use one, by its id.
    pub(crate) fn dependants(&self, id: &str) -> Vec<&Arc<Definition>> {
        self.all().filter(|definition| definition.depends_on.iter().any(|used| used == id)).collect()
    }

    /// The databases of users.
    pub(crate) async fn databases(deployment: &Deployment) -> Result<Vec<String>> {
        let names = deployment.client().list_database_names().await.map_err(|error| of_driver(&error))?;
        Ok(names.into_iter().filter(|name| !OWN.contains(&name.as_str())).collect())
    }

    /// A table of the catalogue itself, under the name of its schema; those of `pg_catalog` also without, unless a collection
    /// has that name.
    fn system(&self, database: &str, name: &str) -> Option<&'static System> {
        match database {
            database if system::is_schema(database) => system::table(database, name),
            _ if self.has_table(database, name) => None,
            _ => system::table(system::PG_CATALOG, name),
        }
    }

    /// Whether this program has the native routines that an object uses, at whatever depth.
    pub(crate) fn is_runnable(&self, definition: &Definition) -> bool {
        self.natives_of(definition).iter().all(|name| self.host.natives.get(name).is_some())
    }

    /// The native routines that an object uses, at whatever depth.
    pub(crate) fn natives_of(&self, definition: &Definition) -> BTreeSet<String> {
        let native = |used: &&Arc<Definition>| match &routine(used)?.body {
            RoutineBody::Native(name) => Some(name.clone()),
            _ => None,
        };
        self.uses(definition).iter().filter_map(native).collect()
    }

    /// Goes up with every change of an object, and of the routines that a trigger has taken into its plan.
    pub(crate) fn version(&self, definition: &Definition) -> i64 {
        let mut version = definition.version;
        if definition.kind == Kind::Trigger {
            version += self.uses(definition).iter().map(|used| used.version).sum::<i64>();
        }
        version
    }

    /// The routines and views that an object uses, at whatever depth. What reads a materialized view does not run it.
    fn uses(&self, definition: &Definition) -> Vec<&Arc<Definition>> {
        let mut uses = Vec::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut ahead: Vec<&str> = definition.depends_on.iter().map(String::as_str).collect();
        while let Some(id) = ahead.pop() {
            let Some((id, used)) = self.definitions.get_key_value(id) else { continue };
            if used.kind != Kind::MaterializedView && seen.insert(id) {
                uses.push(used);
                ahead.extend(used.depends_on.iter().map(String::as_str));
            }
        }
        uses
    }

    /// The webhooks that procedures are.
    pub(crate) fn webhook_procedures(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.all().filter(|definition| {
            definition.kind == Kind::Procedure && routine(definition).is_some_and(|routine| webhook(routine).is_some())
        })
    }
}

/// Reads all definitions; those that are as before are not taken apart again.
async fn definitions(deployment: &Deployment, before: &Catalog) -> Result<BTreeMap<String, Arc<Definition>>> {
    let rows = deployment.client().database(DATABASE).collection::<Document>(DEFINITIONS);
    let mut found = rows.find(doc! {}).await.map_err(|error| of_driver(&error))?;
    let mut definitions = BTreeMap::new();
    while let Some(row) = found.try_next().await.map_err(|error| of_driver(&error))? {
        let known = row.get_str("_id").ok().and_then(|id| before.definitions.get(id));
        let same = known.filter(|known| {
            row.get_i64("version").ok() == Some(known.version)
                && row.get_object_id("generation").ok() == Some(known.generation)
                && row.get_str("state").ok() == Some(known.state.name())
        });
        let definition = match same {
            Some(known) => Arc::clone(known),
            None => match Definition::from_document(&row) {
                Ok(definition) => Arc::new(definition),
                Err(error) => {
                    tracing::warn!("a definition cannot be read: {error}");
                    continue;
                }
            },
        };
        definitions.insert(definition.id.clone(), definition);
    }
    Ok(definitions)
}

impl plan::Catalog for Catalog {
    fn relation(&self, database: &str, name: &str) -> Relation {
        let view = self.get(database, Kind::View, name).or_else(|| self.get(database, Kind::MaterializedView, name));
        if let Some(definition) = view
            && let Statement::CreateView(view) = definition.statement.as_ref()
        {
            if !view.materialized {
                return Relation::View { query: view.query.clone(), columns: view.columns.clone() };
            }
            return Relation::Materialized { columns: definition.columns.clone(), order: definition.order.clone() };
        }
        if let Some(table) = self.system(database, name) {
            let facts = self.facts.as_deref().filter(|facts| facts.has_columns || !table.needs_columns);
            if facts.is_none() {
                self.unknown.lock().insert(if table.needs_columns { COLUMNS } else { NAMES }.to_owned());
            }
            return table.relation(facts);
        }
        if system::is_schema(database) {
            return Relation::Collection { exists: false };
        }
        match self.collections.get(database) {
            Some(names) => Relation::Collection { exists: names.contains(name) },
            None => {
                self.unknown.lock().insert(database.to_owned());
                Relation::Collection { exists: true }
            }
        }
    }

    fn is_writable(&self, database: &str) -> bool {
        database != DATABASE
    }

    fn routine(&self, database: &str, name: &str, arguments: usize) -> Option<Routine> {
        let (_, routine) = self.called(database, Kind::Function, name, arguments)?;
        let body = match &routine.body {
            RoutineBody::Query(query) => plan::RoutineBody::Query(query.clone()),
            RoutineBody::Expression(expression) => plan::RoutineBody::Query(crate::syntax::select(expression)),
            RoutineBody::Block(_) | RoutineBody::Native(_) => plan::RoutineBody::Host,
            RoutineBody::Webhook(_) => plan::RoutineBody::Remote,
        };
        Some(Routine {
            arguments: routine
                .arguments
                .iter()
                .map(|argument| (argument.name.clone(), crate::trigger::type_of(&argument.data_type).ok().flatten()))
                .collect(),
            defaults: routine.arguments.iter().filter_map(|argument| argument.default.clone()).collect(),
            returns: routine.returns.as_ref().and_then(|kind| crate::trigger::type_of(kind).ok().flatten()),
            body,
            volatility: match routine.volatility {
                Volatility::Immutable => plan::Volatility::Immutable,
                Volatility::Stable => plan::Volatility::Stable,
                Volatility::Volatile => plan::Volatility::Volatile,
            },
            strict: routine.strict,
        })
    }

    fn relations(&self, database: &str) -> Vec<String> {
        let views = self.all().filter(|definition| definition.database == database);
        let views = views.filter(|definition| matches!(definition.kind, Kind::View | Kind::MaterializedView));
        let views = views.map(|definition| definition.name.clone());
        let mut names: Vec<String> = self.tables(database).cloned().chain(views).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn routines(&self, database: &str) -> Vec<String> {
        let own = self.all().filter(|definition| definition.database == database);
        let routines = own.filter(|definition| matches!(definition.kind, Kind::Function | Kind::Procedure));
        routines.map(|definition| definition.name.clone()).collect()
    }
}

/// With how many arguments a routine can be called.
pub(crate) fn counts(routine: &CreateRoutine) -> RangeInclusive<usize> {
    let least = routine.arguments.iter().filter(|argument| argument.default.is_none()).count();
    least..=routine.arguments.len()
}

/// The routine that a definition makes.
pub(crate) fn routine(definition: &Definition) -> Option<&CreateRoutine> {
    match definition.statement.as_ref() {
        Statement::CreateRoutine(routine) => Some(routine),
        _ => None,
    }
}

/// The options of a routine that is a webhook.
pub(crate) fn webhook(routine: &CreateRoutine) -> Option<&Options> {
    match &routine.body {
        RoutineBody::Webhook(options) => Some(options),
        _ => None,
    }
}
