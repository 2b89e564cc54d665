//! `pg_catalog` and `information_schema`: what there is, as tables that can be asked like all others.
//!
//! A database is a schema of its own name. The numbers of objects are made of their names, so that they are the same in every
//! session. What PostgreSQL has and there is nothing of here, such as collations, is an empty table.

mod facts;
mod information;
mod pg_catalog;

use millstream_flow::Datum;
use millstream_sql::Type;
use millstream_sql::plan::Relation;

pub(crate) use facts::{Facts, sampled};
pub(crate) use pg_catalog::version;

/// PostgreSQL's own schema.
pub(crate) const PG_CATALOG: &str = "pg_catalog";
/// That of the SQL standard.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";
/// The version whose catalogue this is like.
pub(crate) const VERSION: &str = "15.0";
/// The same as one number.
pub(crate) const VERSION_NUMBER: &str = "150000";

/// A row: the columns that have a value of their own; the others have the least of their type, or NULL.
type Record = Vec<(&'static str, Datum)>;

/// A table of the catalogue.
pub(crate) struct System {
    schema: &'static str,
    name: &'static str,
    /// `name:type`, with a letter for each type: see [`kind`].
    columns: &'static str,
    /// Whether it tells of the columns of collections, which have to be looked at for that.
    pub(crate) needs_columns: bool,
    rows: fn(&Facts) -> Vec<Record>,
}

/// The table of a name.
pub(crate) fn table(schema: &str, name: &str) -> Option<&'static System> {
    all().find(|table| table.schema == schema && table.name == name)
}

/// Whether a database is a part of the catalogue.
pub(crate) fn is_schema(database: &str) -> bool {
    matches!(database, PG_CATALOG | INFORMATION_SCHEMA)
}

fn all() -> impl Iterator<Item = &'static System> {
    pg_catalog::TABLES.iter().chain(information::TABLES)
}

impl System {
    /// Its columns and their types.
    fn columns(&self) -> impl Iterator<Item = (&'static str, Type)> {
        self.columns.split_whitespace().filter_map(|column| column.split_once(':')).map(|(name, of)| (name, kind(of)))
    }

    /// It as a relation; without facts it has no rows.
    pub(crate) fn relation(&self, facts: Option<&Facts>) -> Relation {
        let columns: Vec<(&'static str, Type)> = self.columns().collect();
        let row = |record: Record| {
            let value = |(name, of): &(&'static str, Type)| {
                let own = record.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                own.unwrap_or_else(|| least(of))
            };
            columns.iter().map(value).collect()
        };
        let rows = facts.map(|facts| (self.rows)(facts).into_iter().map(row).collect()).unwrap_or_default();
        Relation::Rows { columns, rows }
    }
}

/// The type of a letter.
fn kind(letter: &str) -> Type {
    match letter {
        "a" => Type::Array(Some(Box::new(Type::Text(None)))),
        "b" => Type::Boolean,
        "f" => Type::Double,
        "i" => Type::Integer,
        "n" => Type::BigInt,
        "z" => Type::Timestamptz,
        _ => Type::Text(None),
    }
}

fn least(kind: &Type) -> Datum {
    match kind {
        Type::Boolean => Datum::Bool(false),
        Type::Double => Datum::Double(0.0),
        Type::Integer => Datum::Int(0),
        Type::BigInt => Datum::Long(0),
        _ => Datum::Null,
    }
}

fn none(_: &Facts) -> Vec<Record> {
    Vec::new()
}

fn text(value: &str) -> Datum {
    Datum::text(value)
}

fn number(value: impl Into<i64>) -> Datum {
    Datum::Long(value.into())
}

fn int(value: usize) -> Datum {
    Datum::Int(i32::try_from(value).unwrap_or(i32::MAX))
}

fn yes_or_no(value: bool) -> Datum {
    Datum::text(if value { "YES" } else { "NO" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_know_their_columns() {
        for tables in [pg_catalog::TABLES, information::TABLES] {
            assert!(tables.is_sorted_by_key(|table| table.name));
        }
        let facts = Facts::of_nothing("shop");
        for table in all() {
            let names: Vec<&str> = table.columns().map(|(name, _)| name).collect();
            for record in (table.rows)(&facts) {
                for (name, _) in record {
                    assert!(names.contains(&name), "{}.{name}", table.name);
                }
            }
            let Relation::Rows { columns, rows } = table.relation(Some(&facts)) else { panic!() };
            assert!(rows.iter().all(|row| row.len() == columns.len()));
        }
    }
}
