//! What the catalogue tells of: databases, relations with their columns and indexes, routines.

use std::collections::BTreeSet;

use bson::{Bson, Document, doc};
use futures::{StreamExt, TryStreamExt};
use millstream_sql::Type;
use millstream_sql::statement::{Argument, Kind, RoutineKind, Statement};
use mongodb::results::{CollectionSpecification, CollectionType};

use super::all;
use crate::catalog::Catalog;
use crate::deployment::Deployment;
use crate::error::{Result, code, of_driver};

/// So many documents show which fields a collection has.
const SAMPLE: i64 = 100;
/// Collections that are looked at beside each other.
const AT_ONCE: usize = 8;
/// The first number that PostgreSQL gives to what users make.
const FIRST_NUMBER: u32 = 16_384;

/// What there is.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The database, which is the schema.
    pub(crate) database: String,
    pub(crate) databases: Vec<String>,
    pub(crate) relations: Vec<Relation>,
    pub(crate) routines: Vec<Routine>,
    /// Whether the columns of collections were looked at.
    pub(crate) has_columns: bool,
}

/// A collection, a view, or a table of the catalogue.
#[derive(Debug)]
pub(crate) struct Relation {
    pub(crate) number: i64,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// PostgreSQL's letter: `r`, `v`, `m`.
    pub(crate) kind: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) indexes: Vec<Index>,
    /// The query of a view.
    pub(crate) query: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Option<Type>,
    pub(crate) not_null: bool,
}

#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) number: i64,
    pub(crate) name: String,
    /// Paths, and whether they are descending.
    pub(crate) fields: Vec<(String, bool)>,
    pub(crate) unique: bool,
}

#[derive(Debug)]
pub(crate) struct Routine {
    pub(crate) number: i64,
    pub(crate) name: String,
    pub(crate) is_procedure: bool,
    pub(crate) arguments: String,
    pub(crate) count: usize,
    pub(crate) result: String,
    pub(crate) text: String,
}

impl Facts {
    /// Nothing but the catalogue itself.
    pub(crate) fn of_nothing(database: &str) -> Self {
        let mut facts = Self {
            database: database.to_owned(),
            databases: vec![database.to_owned()],
            relations: Vec::new(),
            routines: Vec::new(),
            has_columns: true,
        };
        facts.add_own();
        facts
    }

    /// Looks at everything; with `columns` also at what the collections hold.
    pub(crate) async fn look(
        deployment: &Deployment,
        catalog: &Catalog,
        database: &str,
        columns: bool,
    ) -> Result<Self> {
        let mut facts = Self { has_columns: columns, ..Self::of_nothing(database) };
        let mut databases = Catalog::databases(deployment).await?;
        if !databases.iter().any(|name| name == database) {
            databases.push(database.to_owned());
        }
        facts.databases = databases;
        let client = deployment.client().database(database);
        let found = client.list_collections().await.map_err(|error| of_driver(&error))?;
        let found: Vec<CollectionSpecification> = found.try_collect().await.map_err(|error| of_driver(&error))?;
        let found = found.into_iter().filter(|found| !found.name.starts_with("system."));
        let looked = futures::stream::iter(found.map(|found| look(deployment, catalog, database, found, columns)));
        let mut relations: Vec<Relation> = looked.buffered(AT_ONCE).try_collect().await?;
        for definition in catalog.all().filter(|definition| definition.database == database) {
            match definition.statement.as_ref() {
                Statement::CreateView(view) => {
                    let kind = if view.materialized { "m" } else { "v" };
                    let known = relations.iter().position(|relation| relation.name == definition.name);
                    let mut relation = match known {
                        Some(at) => relations.swap_remove(at),
                        None => Relation::new(database, &definition.name, kind),
                    };
                    relation.kind = kind;
                    relation.query = Some(view.query.to_string());
                    if !definition.columns.is_empty() && definition.columns.iter().all(|column| !column.spread) {
                        let id = view.materialized && definition.columns.iter().all(|column| column.name != "_id");
                        let id = id.then(|| Column { name: "_id".to_owned(), kind: None, not_null: true });
                        let own = definition.columns.iter().map(|column| Column {
                            name: column.name.clone(),
                            kind: column.kind.clone(),
                            not_null: false,
                        });
                        relation.columns = id.into_iter().chain(own).collect();
                    }
                    relations.push(relation);
                }
                Statement::CreateRoutine(routine) => {
                    let argument = |argument: &Argument| format!("{} {}", argument.name, argument.data_type);
                    let returns = routine.returns.as_ref().map_or_else(String::new, ToString::to_string);
                    facts.routines.push(Routine {
                        number: number(database, "routine", &definition.id),
                        name: definition.name.clone(),
                        is_procedure: routine.kind == RoutineKind::Procedure,
                        arguments: routine.arguments.iter().map(argument).collect::<Vec<_>>().join(", "),
                        count: routine.arguments.len(),
                        result: returns,
                        text: definition.sql.clone(),
                    });
                }
                _ => {}
            }
        }
        relations.sort_by(|a, b| a.name.cmp(&b.name));
        facts.relations.extend(relations);
        facts.unique();
        Ok(facts)
    }

    /// The catalogue's own tables.
    fn add_own(&mut self) {
        self.relations = all()
            .filter(|table| !table.name.starts_with('!'))
            .map(|table| Relation {
                columns: table
                    .columns()
                    .map(|(name, kind)| Column { name: name.to_owned(), kind: Some(kind), not_null: false })
                    .collect(),
                ..Relation::new(table.schema, table.name, "v")
            })
            .collect();
    }

    /// Gives what happens to have the number of another the next one.
    fn unique(&mut self) {
        let mut used = BTreeSet::new();
        let relations = self.relations.iter_mut().flat_map(|relation| {
            std::iter::once(&mut relation.number).chain(relation.indexes.iter_mut().map(|index| &mut index.number))
        });
        for number in relations.chain(self.routines.iter_mut().map(|routine| &mut routine.number)) {
            while !used.insert(*number) {
                *number += 1;
            }
        }
    }
}

impl Relation {
    fn new(schema: &str, name: &str, kind: &'static str) -> Self {
        let number = number(schema, "relation", name);
        let (schema, name) = (schema.to_owned(), name.to_owned());
        Self { number, schema, name, kind, columns: Vec::new(), indexes: Vec::new(), query: None }
    }
}

/// The number of an object, made of its name: FNV-1a.
pub(crate) fn number(database: &str, kind: &str, name: &str) -> i64 {
    let bytes = [database, kind, name].into_iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // PostgreSQL's numbers have 32 bits; of these some are left for neighbours.
    i64::from(FIRST_NUMBER + (hash & 0x3fff_ffff))
}

async fn look(
    deployment: &Deployment,
    catalog: &Catalog,
    database: &str,
    found: CollectionSpecification,
    columns: bool,
) -> Result<Relation> {
    let is_view = found.collection_type == CollectionType::View;
    let mut relation = Relation::new(database, &found.name, if is_view { "v" } else { "r" });
    if !is_view {
        relation.indexes = indexes(deployment, database, &found.name).await?;
    }
    if columns {
        let known = catalog.get(database, Kind::MaterializedView, &found.name);
        if known.is_none_or(|view| view.columns.iter().any(|column| column.spread)) {
            relation.columns = fields(deployment, database, &found).await?;
        }
    }
    Ok(relation)
}

async fn indexes(deployment: &Deployment, database: &str, name: &str) -> Result<Vec<Index>> {
    let rows = deployment.client().database(database).collection::<Document>(name);
    let mut listed = match rows.list_indexes().await {
        Ok(listed) => listed,
        // It has gone meanwhile.
        Err(error) if matches!(code(&error), Some(26 | 166)) => return Ok(Vec::new()),
        Err(error) => return Err(of_driver(&error)),
    };
    let mut indexes = Vec::new();
    while let Some(index) = listed.try_next().await.map_err(|error| of_driver(&error))? {
        let options = index.options.unwrap_or_default();
        let own = options.name.unwrap_or_default();
        let is_id = own == "_id_";
        // As PostgreSQL calls the index of a primary key.
        let shown = if is_id { format!("{name}_pkey") } else { own };
        let down =
            |value: &Bson| value.as_i32() == Some(-1) || value.as_f64() == Some(-1.0) || value.as_i64() == Some(-1);
        indexes.push(Index {
            number: number(database, "index", &format!("{name}.{shown}")),
            name: shown,
            fields: index.keys.iter().map(|(field, value)| (field.clone(), down(value))).collect(),
            unique: is_id || options.unique == Some(true),
        });
    }
    Ok(indexes)
}

/// The fields of a collection: those of its validator, and those that a sample has.
async fn fields(deployment: &Deployment, database: &str, found: &CollectionSpecification) -> Result<Vec<Column>> {
    let mut columns = vec![Column { name: "_id".to_owned(), kind: None, not_null: true }];
    let validator = found.options.validator.as_ref();
    let schema = validator.and_then(|validator| validator.get_document("$jsonSchema").ok());
    let required: Vec<&str> = schema
        .and_then(|schema| schema.get_array("required").ok())
        .into_iter()
        .flatten()
        .filter_map(Bson::as_str)
        .collect();
    for (name, property) in schema.and_then(|schema| schema.get_document("properties").ok()).into_iter().flatten() {
        let column = Column {
            name: name.clone(),
            kind: property.as_document().and_then(declared),
            not_null: required.contains(&name.as_str()),
        };
        match columns.iter_mut().find(|known| known.name == *name) {
            Some(known) => known.kind = column.kind,
            None => columns.push(column),
        }
    }
    for (name, kind) in sampled(deployment, database, &found.name).await? {
        match columns.iter_mut().find(|known| known.name == name) {
            Some(known) if known.kind.is_none() => known.kind = kind,
            Some(_) => {}
            None => columns.push(Column { name, kind, not_null: false }),
        }
    }
    Ok(columns)
}

/// The type that a validator's property allows, if it is one.
fn declared(property: &Document) -> Option<Type> {
    let names: Vec<&str> = match property.get("bsonType") {
        Some(Bson::String(name)) => vec![name],
        Some(Bson::Array(names)) => names.iter().filter_map(Bson::as_str).collect(),
        _ => return None,
    };
    let names: Vec<&str> = names.into_iter().filter(|name| *name != "null").collect();
    Some(match names.as_slice() {
        ["int"] => Type::Integer,
        ["long"] | ["int", "long"] => Type::BigInt,
        ["int", "long", "double", "decimal"] | ["number" | "decimal"] => Type::Numeric(None),
        ["double"] => Type::Double,
        ["string"] => Type::Text(None),
        ["bool"] => Type::Boolean,
        ["date"] => Type::Timestamptz,
        ["timestamp"] => Type::BsonTimestamp,
        ["objectId"] => Type::ObjectId,
        ["binData"] => Type::Bytea,
        ["object"] => Type::Document,
        ["array"] => Type::Array(None),
        _ => return None,
    })
}

/// The fields of a sample of a collection, in the order in which they are met, with their type if they have one.
pub(crate) async fn sampled(
    deployment: &Deployment,
    database: &str,
    name: &str,
) -> Result<Vec<(String, Option<Type>)>> {
    let rows = deployment.client().database(database).collection::<Document>(name);
    let sample = rows.aggregate(vec![doc! {"$sample": {"size": SAMPLE}}, doc! {"$sort": {"_id": 1}}]).await;
    let mut sample = sample.map_err(|error| of_driver(&error))?;
    let mut seen: Vec<(String, Seen)> = Vec::new();
    while let Some(document) = sample.try_next().await.map_err(|error| of_driver(&error))? {
        for (name, value) in &document {
            let now = Seen::of(value);
            match seen.iter_mut().find(|(known, _)| known == name) {
                Some((_, so_far)) => *so_far = so_far.clone().and(now),
                None => seen.push((name.clone(), now)),
            }
        }
    }
    let kind = |seen| match seen {
        Seen::One(kind) => Some(kind),
        Seen::Nothing | Seen::Several => None,
    };
    Ok(seen.into_iter().map(|(name, seen)| (name, kind(seen))).collect())
}

/// The types that a field was seen to have.
#[derive(Clone, PartialEq)]
enum Seen {
    Nothing,
    One(Type),
    Several,
}

impl Seen {
    fn of(value: &Bson) -> Self {
        Self::One(match value {
            Bson::Null | Bson::Undefined => return Self::Nothing,
            Bson::Double(_) => Type::Double,
            Bson::Int32(_) => Type::Integer,
            Bson::Int64(_) => Type::BigInt,
            Bson::Decimal128(_) => Type::Numeric(None),
            Bson::String(_) | Bson::Symbol(_) => Type::Text(None),
            Bson::Boolean(_) => Type::Boolean,
            Bson::DateTime(_) => Type::Timestamptz,
            Bson::Timestamp(_) => Type::BsonTimestamp,
            Bson::ObjectId(_) => Type::ObjectId,
            Bson::Binary(binary) if binary.subtype == bson::spec::BinarySubtype::Uuid => Type::Uuid,
            Bson::Binary(_) => Type::Bytea,
            Bson::Document(_) => Type::Document,
            Bson::Array(_) => Type::Array(None),
            _ => return Self::Several,
        })
    }

    /// Numbers of several kinds are the widest of them.
    fn and(self, other: Self) -> Self {
        let rank = |kind: &Type| match kind {
            Type::Integer => Some(0),
            Type::BigInt => Some(1),
            Type::Numeric(_) => Some(2),
            Type::Double => Some(3),
            _ => None,
        };
        match (self, other) {
            (Self::Nothing, seen) | (seen, Self::Nothing) => seen,
            (Self::One(a), Self::One(b)) if a == b => Self::One(a),
            (Self::One(a), Self::One(b)) => match (rank(&a), rank(&b)) {
                (Some(first), Some(second)) => Self::One(if first > second { a } else { b }),
                _ => Self::Several,
            },
            _ => Self::Several,
        }
    }
}
