//! What a consumer makes of events: a copy of the documents. An event that cannot be applied fails the test.

use std::collections::{BTreeMap, BTreeSet};

use millstream_change::Scope;
use millstream_query::update::delta;
use millstream_value::{Doc, Namespace, key};

use crate::{Db, Find};

/// Documents by the key of their `_id`.
type Documents = BTreeMap<Vec<u8>, Vec<u8>>;

/// The documents of all namespaces that have any.
#[derive(Default)]
pub(super) struct Mirror(BTreeMap<(String, String), Documents>);

impl Mirror {
    /// Applies an event of a stream with `showRawUpdateDescription`.
    pub(super) fn apply(&mut self, event: Doc<'_>) {
        let operation = event.str("operationType").unwrap();
        let place = event.doc("ns").map(place).unwrap_or_default();
        let key = event.doc("documentKey").and_then(|key| key.get("_id")).map(|id| key::of(&id)).unwrap_or_default();
        let full = || event.doc("fullDocument").unwrap().as_bytes().to_vec();
        match operation {
            "insert" => {
                let before = self.0.entry(place).or_default().insert(key, full());
                assert!(before.is_none(), "a document came twice: {event:?}");
            }
            "replace" | "update" => {
                let documents = self.0.get_mut(&place);
                let document = documents.and_then(|documents| documents.get_mut(&key));
                let document = document.unwrap_or_else(|| panic!("a document is missing: {event:?}"));
                *document = match event.doc("rawUpdateDescription").and_then(|raw| raw.doc("diff")) {
                    Some(diff) => delta::apply_delta(Doc::new(document), diff).into_bytes(),
                    None => full(),
                };
            }
            "delete" => {
                let gone = self.0.get_mut(&place).and_then(|documents| documents.remove(&key));
                assert!(gone.is_some(), "a document is missing: {event:?}");
            }
            "drop" => drop(self.0.remove(&place)),
            "rename" => {
                let moved = self.0.remove(&place);
                let to = self::place(event.doc("to").unwrap());
                self.0.remove(&to);
                self.0.extend(moved.map(|moved| (to, moved)));
            }
            "dropDatabase" => self.0.retain(|(db, _), _| *db != place.0),
            "invalidate" => {}
            other => panic!("{other} was not asked for"),
        }
        self.0.retain(|_, documents| !documents.is_empty());
    }

    /// Fails with what differs.
    pub(super) fn must_be(&self, other: &Self) {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for name in names {
            let show = |mirror: &Self| {
                let documents = mirror.0.get(name).into_iter().flat_map(BTreeMap::values);
                documents.map(|document| format!("{:?}", Doc::new(document))).collect::<Vec<_>>()
            };
            assert_eq!(show(self), show(other), "{name:?}");
        }
    }

    /// What a database has in a scope.
    pub(super) fn of(db: &Db, scope: &Scope) -> Self {
        let mut mirror = Self::default();
        for (name, coll) in super::NAMESPACES {
            let ns = Namespace::new(name, coll);
            let is_in = match scope {
                Scope::Collection(only) => *only == ns,
                Scope::Database(only) => only == name,
                Scope::Cluster => true,
            };
            if !is_in {
                continue;
            }
            let everything = super::predicate(&bson::doc! {});
            let find = Find::all(everything);
            let documents: Documents = db
                .now()
                .find(&ns, find)
                .unwrap()
                .map(|document| {
                    let document = document.unwrap().to_vec();
                    (key::of(&Doc::new(&document).get("_id").unwrap()), document)
                })
                .collect();
            if !documents.is_empty() {
                mirror.0.insert((name.to_owned(), coll.to_owned()), documents);
            }
        }
        mirror
    }
}

fn place(ns: Doc<'_>) -> (String, String) {
    (ns.str("db").unwrap_or_default().to_owned(), ns.str("coll").unwrap_or_default().to_owned())
}
