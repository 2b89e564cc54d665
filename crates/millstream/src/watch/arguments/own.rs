//! The collections that watchers keep for themselves: positions, and events that could not be dealt with.

use clap::Args;

/// Where they are if everything is watched.
const DATABASE: &str = "millstream";

/// A collection of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnCollection {
    pub(crate) database: String,
    pub(crate) collection: String,
}

impl OwnCollection {
    /// `COLL` of a database, or `DB.COLL`.
    pub(crate) fn new(name: &str, database: &str) -> Self {
        let (database, collection) = name.split_once('.').unwrap_or((database, name));
        Self { database: database.to_owned(), collection: collection.to_owned() }
    }

    /// The database for them, given the one that is watched.
    pub(crate) fn database(watched: String, all: bool) -> String {
        if all { DATABASE.to_owned() } else { watched }
    }
}

impl std::fmt::Display for OwnCollection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.collection)
    }
}

/// The flags by which commands beside `watch` find such a collection.
#[derive(Debug, Clone, Args)]
pub(crate) struct Where {
    /// The server to ask; else MONGO_URL, else CHANGE_STREAM_DB, else the local default
    #[arg(long, value_name = "URI", global = true)]
    pub(crate) uri: Option<String>,
    /// The database that is watched, as with `watch`
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) db: Option<String>,
    /// Everything is watched, as with `watch --all`
    #[arg(long, global = true, conflicts_with = "db")]
    pub(crate) all: bool,
}

impl Where {
    /// A collection of our own, by its name or the usual one.
    pub(crate) fn collection(&self, name: &str, of_uri: Option<&str>) -> OwnCollection {
        let watched = self.db.as_deref().or(of_uri).unwrap_or(super::DEFAULT_DATABASE).to_owned();
        OwnCollection::new(name, &OwnCollection::database(watched, self.all))
    }
}

/// Reads `COLL` or `DB.COLL`.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let whole = text.split_once('.').map_or(!text.is_empty(), |(db, coll)| !db.is_empty() && !coll.is_empty());
    if whole {
        Ok(text.to_owned())
    } else {
        Err("write a collection as COLL, or with its database as DB.COLL".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_a_database() {
        assert_eq!(OwnCollection::new("tokens", "shop").to_string(), "shop.tokens");
        assert_eq!(OwnCollection::new("ops.a.b", "shop").to_string(), "ops.a.b");
        assert_eq!(OwnCollection::database("shop".into(), true), "millstream");
        assert!(name("a").is_ok() && name("a.b").is_ok());
        for wrong in ["", ".a", "a."] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
