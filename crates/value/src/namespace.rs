//! Names of databases and collections.

use std::fmt;

/// `<database>.<collection>`; the collection part may itself hold dots, or be empty for a whole database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace {
    /// Database name.
    pub db: String,
    /// Collection name.
    pub coll: String,
}

impl Namespace {
    /// A collection's name from its parts.
    pub fn new(db: impl Into<String>, coll: impl Into<String>) -> Self {
        Self { db: db.into(), coll: coll.into() }
    }

    /// Splits at the first dot; no dot means a whole database.
    #[must_use]
    pub fn parse(full: &str) -> Self {
        let (db, coll) = full.split_once('.').unwrap_or((full, ""));
        Self::new(db, coll)
    }

    /// Whether the collection is one of the server's own (`system.…`).
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.coll.starts_with("system.")
    }

    /// Whether the database is one of `admin`, `config` and `local`.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(self.db.as_str(), "admin" | "config" | "local")
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.coll.is_empty() { f.write_str(&self.db) } else { write!(f, "{}.{}", self.db, self.coll) }
    }
}
