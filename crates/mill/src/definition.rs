//! What is defined: the documents of `millstream.definitions` (SQL-18.1).

use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use millstream_sql::plan::Column;
use millstream_sql::statement::{Kind, Options, Statement, statement};
use millstream_sql::{SqlError, Type};

use crate::error::{Result, bug};

/// The collection of definitions.
pub(crate) const DEFINITIONS: &str = "definitions";

/// One defined object.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// `<db>.<kind>.<name>`.
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) database: String,
    pub(crate) name: String,
    /// As it was written.
    pub(crate) sql: String,
    /// What was understood of it.
    pub(crate) statement: Arc<Statement>,
    /// Its options, with those that were set later.
    pub(crate) options: Options,
    pub(crate) settings: Kept,
    /// The ids of what it uses; collections as `<db>.table.<name>`.
    pub(crate) depends_on: Vec<String>,
    pub(crate) state: State,
    pub(crate) error: Option<(String, String)>,
    /// Changes when what it shows has to be made anew.
    pub(crate) generation: ObjectId,
    /// Goes up with every change of it.
    pub(crate) version: i64,
    pub(crate) created_at: DateTime,
    /// Of views: its columns.
    pub(crate) columns: Vec<Column>,
    /// Of views: its default order.
    pub(crate) order: Vec<(String, bool)>,
    /// Of what reads changes: from when on, in the words of `RESUME … FROM`, or a time.
    pub(crate) start: Option<Bson>,
}

/// The settings that are stored with definitions (SQL-18.9).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) time_zone: String,
    pub(crate) strict_tables: bool,
    pub(crate) strict_columns: bool,
}

/// What an object is doing (SQL-18.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Building,
    Running,
    Paused,
    Failed,
    /// Nothing runs: a view, a routine.
    Defined,
}

/// The kinds and what they are called: in ids, in statements.
// Sorted by name.
static KINDS: &[(Kind, &str, &str)] = &[
    (Kind::Connection, "connection", "CONNECTION"),
    (Kind::Dashboard, "dashboard", "DASHBOARD"),
    (Kind::Function, "function", "FUNCTION"),
    (Kind::MaterializedView, "materialized_view", "MATERIALIZED VIEW"),
    (Kind::Procedure, "procedure", "PROCEDURE"),
    (Kind::Sink, "sink", "SINK"),
    (Kind::Sync, "sync", "SYNC"),
    (Kind::Trigger, "trigger", "TRIGGER"),
    (Kind::View, "view", "VIEW"),
];

/// A kind's name in ids.
pub(crate) fn kind_id(kind: Kind) -> &'static str {
    KINDS.iter().find(|(known, _, _)| *known == kind).map_or("?", |(_, id, _)| id)
}

/// A kind's name in statements.
pub(crate) fn kind_words(kind: Kind) -> &'static str {
    KINDS.iter().find(|(known, _, _)| *known == kind).map_or("?", |(_, _, words)| words)
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Defined => "defined",
        }
    }

    fn of(name: &str) -> Self {
        [Self::Building, Self::Running, Self::Paused, Self::Failed]
            .into_iter()
            .find(|state| state.name() == name)
            .unwrap_or(Self::Defined)
    }
}

impl Definition {
    /// The `_id` of an object. Of routines that share a name only one has it: [`crate::catalog::Catalog::free_id`].
    pub(crate) fn id_of(database: &str, kind: Kind, name: &str) -> String {
        // Names of routines are the same in any case (SQL-16.3).
        match kind {
            Kind::Function | Kind::Procedure => format!("{database}.{}.{}", kind_id(kind), name.to_lowercase()),
            _ => format!("{database}.{}.{name}", kind_id(kind)),
        }
    }

    /// The ids of its checkpoints.
    pub(crate) fn checkpoints(&self) -> Vec<String> {
        checkpoints(&self.id, &self.options)
    }

    /// What state was made for: it does not depend on a name.
    pub(crate) fn fingerprint(&self) -> String {
        match self.statement.as_ref() {
            Statement::CreateView(view) => format!("{} AS {}", view.columns.join(", "), view.query),
            other => other.to_string(),
        }
    }

    pub(crate) fn to_document(&self) -> Document {
        let options = crate::options::to_document(&self.options);
        let columns = self.columns.iter().map(|column| {
            let kind = column.kind.as_ref().and_then(type_name);
            Bson::from(doc! {"name": &column.name, "type": kind, "spread": column.spread})
        });
        let order = self.order.iter().map(|(name, descending)| Bson::from(doc! {"name": name, "desc": descending}));
        let mut document = doc! {
            "_id": &self.id,
            "kind": kind_id(self.kind),
            "db": &self.database,
            "name": &self.name,
            "sql": &self.sql,
            "normalised": self.statement.to_string(),
            "options": options,
            "time_zone": &self.settings.time_zone,
            "strict_tables": self.settings.strict_tables,
            "strict_columns": self.settings.strict_columns,
            "depends_on": self.depends_on.clone(),
            "state": self.state.name(),
            "generation": self.generation,
            "version": self.version,
            "created_at": self.created_at,
            "columns": columns.collect::<Vec<_>>(),
            "order": order.collect::<Vec<_>>(),
        };
        if let Some((state, message)) = &self.error {
            document.insert("error", doc! {"sqlstate": state, "message": message});
        }
        if let Some(start) = &self.start {
            document.insert("start", start.clone());
        }
        document
    }

    pub(crate) fn from_document(row: &Document) -> Result<Self> {
        let text = |name: &str| row.get_str(name).map(str::to_owned).map_err(|_| damaged(row, name));
        let kind_name = text("kind")?;
        let kind = KINDS.iter().find(|(_, id, _)| *id == kind_name).map(|(kind, _, _)| *kind);
        let statement = statement(&text("normalised")?)
            .map_err(|error| SqlError::new("XX000", format!("the definition of {} is damaged: {error}", id(row))))?;
        let options = crate::options::from_document(row.get_document("options").ok());
        let documents = |name: &str| {
            row.get_array(name).into_iter().flatten().filter_map(Bson::as_document).cloned().collect::<Vec<_>>()
        };
        let columns = documents("columns").into_iter().map(|column| Column {
            name: column.get_str("name").unwrap_or_default().to_owned(),
            kind: column.get_str("type").ok().and_then(type_of),
            spread: column.get_bool("spread").unwrap_or(false),
        });
        let order = documents("order").into_iter().map(|order| {
            (order.get_str("name").unwrap_or_default().to_owned(), order.get_bool("desc").unwrap_or(false))
        });
        let error = row.get_document("error").ok().map(|error| {
            let text = |name: &str| error.get_str(name).unwrap_or_default().to_owned();
            (text("sqlstate"), text("message"))
        });
        Ok(Self {
            id: id(row),
            kind: kind.ok_or_else(|| damaged(row, "kind"))?,
            database: text("db")?,
            name: text("name")?,
            sql: text("sql")?,
            statement: Arc::new(statement),
            options,
            settings: Kept {
                time_zone: text("time_zone").unwrap_or_else(|_| "UTC".to_owned()),
                strict_tables: row.get_bool("strict_tables").unwrap_or(false),
                strict_columns: row.get_bool("strict_columns").unwrap_or(false),
            },
            depends_on: row
                .get_array("depends_on")
                .into_iter()
                .flatten()
                .filter_map(|id| id.as_str().map(str::to_owned))
                .collect(),
            state: State::of(row.get_str("state").unwrap_or_default()),
            error,
            generation: row.get_object_id("generation").map_err(|_| damaged(row, "generation"))?,
            version: row.get_i64("version").unwrap_or(1),
            created_at: row.get_datetime("created_at").copied().unwrap_or(DateTime::MIN),
            columns: columns.collect(),
            order: order.collect(),
            start: row.get("start").cloned(),
        })
    }
}

/// The ids of an object's checkpoints: one for each of its lanes (SQL-15.6).
pub(crate) fn checkpoints(id: &str, options: &Options) -> Vec<String> {
    match crate::options::lanes(options) {
        1 => vec![id.to_owned()],
        lanes => (0..lanes).map(|lane| format!("{id}#{lane}")).collect(),
    }
}

fn id(row: &Document) -> String {
    row.get_str("_id").unwrap_or("?").to_owned()
}

fn damaged(row: &Document, field: &str) -> SqlError {
    bug(&format!("the definition of {} has no {field}", id(row)))
}

/// Types by the names that are kept.
// Sorted by name.
static TYPES: &[(&str, Type)] = &[
    ("array", Type::Array(None)),
    ("bigint", Type::BigInt),
    ("boolean", Type::Boolean),
    ("bson_timestamp", Type::BsonTimestamp),
    ("bytea", Type::Bytea),
    ("date", Type::Date),
    ("document", Type::Document),
    ("double precision", Type::Double),
    ("integer", Type::Integer),
    ("interval", Type::Interval),
    ("numeric", Type::Numeric(None)),
    ("objectid", Type::ObjectId),
    ("text", Type::Text(None)),
    ("time", Type::Time),
    ("timestamp", Type::Timestamp),
    ("timestamptz", Type::Timestamptz),
    ("uuid", Type::Uuid),
];

/// A type's name, without what only casts need.
pub(crate) fn type_name(kind: &Type) -> Option<&'static str> {
    let plain = match kind {
        Type::Array(_) => Type::Array(None),
        Type::Numeric(_) => Type::Numeric(None),
        Type::Text(_) => Type::Text(None),
        other => other.clone(),
    };
    TYPES.iter().find(|(_, known)| *known == plain).map(|(name, _)| *name)
}

fn type_of(name: &str) -> Option<Type> {
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| kind.clone())
}
