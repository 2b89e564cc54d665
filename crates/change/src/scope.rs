//! What a stream watches: a collection, a database, or everything (CS-3).

use millstream_value::Namespace;

use crate::entry::{Change, Form};
use crate::options::Options;
use crate::{Error, Result};

/// What a stream watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One collection, by name (CS-3.3.2).
    Collection(Namespace),
    /// Every collection of a database.
    Database(String),
    /// Every collection of every database but `admin`, `config` and `local`.
    Cluster,
}

impl Scope {
    /// The scope of an `aggregate` on a database, with a collection or with `1` in its place.
    ///
    /// # Errors
    /// `ClusterScope` (72) and `InternalNamespace` (73), CS-3.2.
    pub fn of(db: &str, coll: Option<&str>, options: &Options) -> Result<Self> {
        if options.all_changes_for_cluster {
            return match (db, coll) {
                ("admin", None) => Ok(Self::Cluster),
                (_, None) => Err(Error::ClusterScope(db.to_owned())),
                (_, Some(coll)) => Err(Error::ClusterScope(format!("{db}.{coll}"))),
            };
        }
        let config_is_fine = options.allow_to_run_on_config_db && db == "config";
        if is_internal(db) && !config_is_fine {
            return Err(Error::InternalNamespace(format!("{db} database")));
        }
        match coll {
            None => Ok(Self::Database(db.to_owned())),
            Some(coll) if coll.starts_with("system.") && !options.allow_to_run_on_system_ns => {
                Err(Error::InternalNamespace(format!("{db}.{coll} collection")))
            }
            Some(coll) => Ok(Self::Collection(Namespace::new(db, coll))),
        }
    }

    /// Whether a stream sees an operation (CS-3.4). `show_system` admits some of the system collections too.
    pub(crate) fn admits(&self, change: Change<'_>, show_system: bool) -> bool {
        match change.form() {
            Form::Noop => false,
            Form::Insert | Form::Update | Form::Replace | Form::Delete | Form::Unknown => {
                if let Self::Collection(ns) = self {
                    return change.names() == (ns.db.as_bytes(), ns.coll.as_bytes());
                }
                // Views are in the scope of their database, and in that of no collection (CS-1.7.3).
                let show_system = show_system || change.is_definition();
                self.admits_collection(change.db(), change.coll(), show_system)
            }
            Form::Command => match change.command() {
                "dropDatabase" => match self {
                    Self::Collection(_) => false,
                    Self::Database(db) => db == change.db(),
                    Self::Cluster => !is_internal(change.db()),
                },
                "renameCollection" => change
                    .renamed()
                    .is_some_and(|names| names.iter().any(|(db, coll)| self.admits_collection(db, coll, show_system))),
                _ => change.named().is_some_and(|coll| self.admits_collection(change.db(), coll, show_system)),
            },
        }
    }

    /// Whether an operation that is seen ends the stream (CS-7.1).
    pub(crate) fn is_ended_by(&self, change: Change<'_>) -> bool {
        if change.form() != Form::Command {
            return false;
        }
        match self {
            Self::Collection(_) => matches!(change.command(), "drop" | "renameCollection"),
            Self::Database(_) => change.command() == "dropDatabase",
            Self::Cluster => false,
        }
    }

    /// Whether a stream sees what happens to a collection.
    pub(crate) fn admits_collection(&self, db: &str, coll: &str, show_system: bool) -> bool {
        match self {
            Self::Collection(ns) => ns.coll == coll && ns.db == db,
            Self::Database(name) => name == db && !is_hidden(coll, show_system),
            Self::Cluster => !is_internal(db) && !is_hidden(coll, show_system),
        }
    }
}

/// CS-3.4.4.
fn is_internal(db: &str) -> bool {
    matches!(db, "admin" | "config" | "local")
}

/// CS-3.4.5 and CS-3.4.6.
fn is_hidden(coll: &str, show_system: bool) -> bool {
    if coll.starts_with('$') {
        return true;
    }
    let Some(rest) = coll.strip_prefix("system.") else {
        return false;
    };
    let shown = matches!(rest, "js" | "views") || rest.starts_with("buckets.") || rest.starts_with("resharding.");
    !(show_system && shown)
}
