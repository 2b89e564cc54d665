//! What a watcher watches, as the server is told and as this test computes it.

use bson::{Bson, Document, doc};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::history::Event;
use super::{COLLECTIONS, DATABASES};

/// Into how many groups the documents are put.
pub(super) const GROUPS: i32 = 8;
/// Single documents have an `_id` below this.
pub(super) const IDS: i64 = 200;

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) scope: Scope,
    pub(super) filter: Filter,
    /// `fullDocument: "updateLookup"`, the one thing that does not come from the log.
    pub(super) lookup: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Scope {
    Collection(&'static str, &'static str),
    Database(&'static str),
    Cluster,
}

#[derive(Clone, Debug)]
pub(super) enum Filter {
    All,
    Types(&'static [&'static str]),
    NotType(&'static str),
    Collection(&'static str),
    Group(i32),
    GroupInserted(i32),
    GroupOrDeleted(i32),
    GroupChanged,
    Key(i64),
    KeyBelow(i64),
}

const TYPES: [&[&str]; 6] = [
    &["insert"],
    &["insert", "delete"],
    &["update"],
    &["replace", "drop", "rename"],
    &["delete", "invalidate"],
    &["drop", "dropDatabase", "invalidate", "rename"],
];

impl Plan {
    pub(super) fn chosen(random: &mut StdRng) -> Self {
        let database = DATABASES.choose(random).expect("a database");
        let collection = COLLECTIONS.choose(random).expect("a collection");
        let scope = match random.random_range(0..10) {
            0..=5 => Scope::Collection(database, collection),
            6..=7 => Scope::Database(database),
            _ => Scope::Cluster,
        };
        let group = random.random_range(0..GROUPS);
        let filter = match random.random_range(0..16) {
            0..=3 => Filter::All,
            4..=6 => Filter::Types(TYPES.choose(random).expect("types")),
            7 => Filter::NotType(["insert", "update", "delete"].choose(random).expect("a type")),
            8 => Filter::Collection(collection),
            9 => Filter::Group(group),
            10 => Filter::GroupInserted(group),
            11 => Filter::GroupOrDeleted(group),
            12 => Filter::GroupChanged,
            13 => Filter::Key(random.random_range(0..IDS)),
            _ => Filter::KeyBelow(random.random_range(1..IDS)),
        };
        // A looked-up document would be in the way of the filters on `fullDocument`.
        let may_look = !matches!(filter, Filter::Group(_) | Filter::GroupOrDeleted(_));
        Self { scope, filter, lookup: may_look && random.random_bool(0.1) }
    }
}

impl Scope {
    /// CS-3.4.2 to CS-3.4.4.
    pub(super) fn admits(&self, event: &Event) -> bool {
        match self {
            Self::Collection(db, coll) => {
                event.db == *db && (event.coll.as_deref() == Some(coll) || event.to.as_deref() == Some(coll))
            }
            Self::Database(db) => event.db == *db,
            Self::Cluster => true,
        }
    }

    /// CS-7.1, of an event that is admitted.
    pub(super) fn is_ended_by(&self, event: &Event) -> bool {
        match self {
            Self::Collection(..) => matches!(event.kind.as_str(), "drop" | "rename"),
            Self::Database(_) => event.kind == "dropDatabase",
            Self::Cluster => false,
        }
    }
}

impl Filter {
    pub(super) fn stages(&self) -> Vec<Document> {
        let condition = match self {
            Self::All => return Vec::new(),
            Self::Types([kind]) => doc! {"operationType": *kind},
            Self::Types(kinds) => {
                let kinds: Vec<Bson> = kinds.iter().map(|kind| Bson::from(*kind)).collect();
                doc! {"operationType": {"$in": kinds}}
            }
            Self::NotType(kind) => doc! {"operationType": {"$ne": *kind}},
            Self::Collection(coll) => doc! {"ns.coll": *coll},
            Self::Group(group) => doc! {"fullDocument.group": group},
            Self::GroupInserted(group) => doc! {"operationType": "insert", "fullDocument.group": group},
            Self::GroupOrDeleted(group) => {
                doc! {"$or": [{"fullDocument.group": group}, {"operationType": "delete"}]}
            }
            Self::GroupChanged => doc! {"updateDescription.updatedFields.group": {"$exists": true}},
            Self::Key(id) => doc! {"documentKey._id": id},
            Self::KeyBelow(id) => doc! {"documentKey._id": {"$lt": id}},
        };
        vec![doc! {"$match": condition}]
    }

    pub(super) fn accepts(&self, event: &Event) -> bool {
        let is = |kind: &str| event.kind == kind;
        match self {
            Self::All => true,
            Self::Types(kinds) => kinds.contains(&event.kind.as_str()),
            Self::NotType(kind) => !is(kind),
            Self::Collection(coll) => event.coll.as_deref() == Some(coll),
            Self::Group(group) => event.group == Some(*group),
            Self::GroupInserted(group) => is("insert") && event.group == Some(*group),
            Self::GroupOrDeleted(group) => is("delete") || event.group == Some(*group),
            Self::GroupChanged => event.group_changed,
            Self::Key(id) => event.key == Some(*id),
            Self::KeyBelow(below) => event.key.is_some_and(|id| id < *below),
        }
    }
}
