//! What a stream wants to be told about, worked out once when it is opened.

use millstream_query::path::Path;
use millstream_value::{Value, key};

use crate::entry::Form;
use crate::options::{FullDocument, Options};
use crate::pipeline::{Required, Stages, is_of_type};
use crate::scope::Scope;

/// A value list longer than this is not indexed: it costs more than it saves.
const VALUES_MAX: usize = 1_000;
/// Longer lists of collections or databases are not split up.
const NAMES_MAX: usize = 100;

/// Where in the routing a watcher stands.
pub(crate) struct Interest(Vec<Place>);

pub(super) enum Place {
    Everything,
    Collection(String, Spot),
    Database(String, Spot),
    Cluster(Spot),
}

impl Place {
    pub(super) fn spot(&self) -> Option<&Spot> {
        match self {
            Self::Everything => None,
            Self::Collection(_, spot) | Self::Database(_, spot) | Self::Cluster(spot) => Some(spot),
        }
    }
}

/// What of a namespace a watcher wants.
#[derive(Clone, Default)]
pub(super) struct Spot {
    /// Operations without a condition.
    pub(super) forms: Vec<Form>,
    /// Operations on documents with one of these values.
    pub(super) value: Option<RequiredValue>,
}

/// A required value, ready for the index.
#[derive(Clone)]
pub(super) struct RequiredValue {
    pub(super) field: Field,
    /// Below the field.
    pub(super) path: String,
    /// The key bytes of the values.
    pub(super) keys: Vec<Box<[u8]>>,
    /// The operations that are wanted.
    pub(super) forms: Vec<Form>,
    /// Whether an update has a `fullDocument` that only a lookup can tell.
    pub(super) looks_up: bool,
}

/// Which document of an event a path leads into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    DocumentKey,
    FullDocument,
}

impl Interest {
    /// Of a reader of the log itself.
    pub(crate) fn everything() -> Self {
        Self(vec![Place::Everything])
    }

    /// Of a stream: the commands that concern its scope, and the documents that may pass its filter in one way or another.
    pub(crate) fn of(scope: &Scope, options: &Options, stages: &Stages) -> Self {
        let commands = Spot { forms: vec![Form::Command], value: None };
        let mut places = vec![match scope {
            Scope::Collection(ns) => Place::Collection(ns.to_string(), commands),
            Scope::Database(db) => Place::Database(db.clone(), commands),
            Scope::Cluster => Place::Cluster(commands),
        }];
        for way in &stages.ways {
            add(&mut places, scope, way, &documents(options, way));
        }
        Self(places)
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.0
    }
}

/// Adds where the documents are found that pass in one way.
fn add(places: &mut Vec<Place>, scope: &Scope, way: &[Required], documents: &Spot) {
    let names = |path: &str| names(way, path);
    match scope {
        Scope::Collection(ns) => places.push(Place::Collection(ns.to_string(), documents.clone())),
        Scope::Database(db) => match names("ns.coll") {
            None => places.push(Place::Database(db.clone(), documents.clone())),
            Some(colls) => {
                places.extend(colls.iter().map(|coll| Place::Collection(format!("{db}.{coll}"), documents.clone())))
            }
        },
        Scope::Cluster => match (names("ns.db"), names("ns.coll")) {
            (None, _) => places.push(Place::Cluster(documents.clone())),
            (Some(dbs), Some(colls)) if dbs.len() * colls.len() <= NAMES_MAX => {
                for db in &dbs {
                    places
                        .extend(colls.iter().map(|coll| Place::Collection(format!("{db}.{coll}"), documents.clone())));
                }
            }
            (Some(dbs), _) => places.extend(dbs.into_iter().map(|db| Place::Database(db, documents.clone()))),
        },
    }
}

/// The names that are required at a path, if they are few.
fn names(way: &[Required], path: &str) -> Option<Vec<String>> {
    let required = way.iter().find(|required| required.path == path)?;
    let mut names: Vec<String> = required.values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    names.sort_unstable();
    names.dedup();
    (names.len() <= NAMES_MAX).then_some(names)
}

/// What of documents passes in one way: by type, and by value where a value is required.
fn documents(options: &Options, way: &[Required]) -> Spot {
    let types =
        [(Form::Insert, "insert"), (Form::Update, "update"), (Form::Replace, "replace"), (Form::Delete, "delete")];
    let forms: Vec<Form> = types.iter().filter(|row| is_of_type(way, row.1)).map(|row| row.0).collect();
    let looks_up = options.full_document != FullDocument::Default;
    let value = |field, prefix: &str| {
        way.iter().find_map(|required| {
            let path = required.path.strip_prefix(prefix)?;
            let keys = keys(required)?;
            Some(RequiredValue { field, path: path.to_owned(), keys, forms: forms.clone(), looks_up })
        })
    };
    let value = value(Field::DocumentKey, "documentKey.").or_else(|| value(Field::FullDocument, "fullDocument."));
    match value {
        Some(value) => Spot { forms: Vec::new(), value: Some(value) },
        None => Spot { forms, value: None },
    }
}

fn keys(required: &Required) -> Option<Vec<Box<[u8]>>> {
    if required.values.len() > VALUES_MAX {
        return None;
    }
    let mut keys: Vec<Box<[u8]>> = required.values.iter().map(|value| key_of(value).into()).collect();
    keys.sort_unstable();
    keys.dedup();
    Some(keys)
}

/// Equal values have equal keys.
pub(super) fn key_of(value: &Value<'_>) -> Vec<u8> {
    key::of(value)
}

impl RequiredValue {
    pub(super) fn parsed_path(&self) -> Path {
        Path::parse(&self.path)
    }
}
