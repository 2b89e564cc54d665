//! Two tables, and what happens to them.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use rand::Rng;
use rand::rngs::StdRng;
use tokio_postgres::Client;

/// The rows of `a` and `b`, here and in PostgreSQL.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) a: BTreeMap<i32, Document>,
    pub(crate) b: BTreeMap<i32, Document>,
}

/// What happened to a row of a table: the document before and after.
pub(crate) struct Event {
    pub(crate) table: &'static str,
    pub(crate) old: Option<Document>,
    pub(crate) new: Option<Document>,
}

const IDS: i32 = 14;

impl Tables {
    pub(crate) const SCHEMA: &str = "CREATE TABLE a (id int PRIMARY KEY, g int, x int, t text, n numeric);
        CREATE TABLE b (id int PRIMARY KEY, a_id int, y int, t text);";

    /// Tables with some rows.
    pub(crate) async fn filled(random: &mut StdRng, client: &Client) -> Self {
        client.batch_execute("TRUNCATE a; TRUNCATE b").await.expect("truncate");
        let mut tables = Self::default();
        for _ in 0..3 {
            tables.change(random, client).await;
        }
        tables
    }

    /// A few changes.
    pub(crate) async fn change(&mut self, random: &mut StdRng, client: &Client) -> Vec<Event> {
        let mut events = Vec::new();
        let mut sql = String::new();
        for _ in 0..random.random_range(1..8) {
            let id = random.random_range(0..IDS);
            let in_a = random.random_bool(0.55);
            let (table, rows) = if in_a { ("a", &mut self.a) } else { ("b", &mut self.b) };
            let old = rows.get(&id).cloned();
            let new = match &old {
                Some(_) if random.random_bool(0.3) => None,
                Some(old) if random.random_bool(0.6) => {
                    let mut new = old.clone();
                    let fresh = if in_a { row_of_a(random, id) } else { row_of_b(random, id) };
                    let names: Vec<_> = new.keys().filter(|name| *name != "_id" && *name != "id").cloned().collect();
                    if let Some(name) = names.get(random.random_range(0..names.len().max(1))) {
                        new.insert(name, fresh.get(name).cloned().unwrap_or(Bson::Null));
                    }
                    Some(new)
                }
                _ => Some(if in_a { row_of_a(random, id) } else { row_of_b(random, id) }),
            };
            sql.push_str(&format!("DELETE FROM {table} WHERE id = {id};"));
            match &new {
                None => {
                    rows.remove(&id);
                }
                Some(new) => {
                    let columns: Vec<_> = new.keys().filter(|name| *name != "_id").cloned().collect();
                    let values: Vec<_> =
                        columns.iter().map(|name| literal(new.get(name).unwrap_or(&Bson::Null))).collect();
                    sql.push_str(&format!(
                        "INSERT INTO {table} ({}) VALUES ({});",
                        columns.join(", "),
                        values.join(", ")
                    ));
                    rows.insert(id, new.clone());
                }
            }
            events.push(Event { table, old, new });
        }
        client.batch_execute(&sql).await.expect("the same changes in PostgreSQL");
        events
    }
}

fn row_of_a(random: &mut StdRng, id: i32) -> Document {
    let mut row = doc! {"_id": id, "id": id};
    put(random, &mut row, "g", |random| Bson::Int32(random.random_range(0..4)));
    put(random, &mut row, "x", |random| Bson::Int32(random.random_range(-5..15)));
    put(random, &mut row, "t", text);
    put(random, &mut row, "n", |random| {
        let text = format!("{}.{}", random.random_range(-3..9), ["0", "5", "25", "125"][random.random_range(0..4)]);
        Bson::Decimal128(text.parse().expect("a decimal"))
    });
    row
}

fn row_of_b(random: &mut StdRng, id: i32) -> Document {
    let mut row = doc! {"_id": id, "id": id};
    put(random, &mut row, "a_id", |random| Bson::Int32(random.random_range(0..IDS)));
    put(random, &mut row, "y", |random| Bson::Int32(random.random_range(-5..15)));
    put(random, &mut row, "t", text);
    row
}

fn text(random: &mut StdRng) -> Bson {
    Bson::String(["a", "b", "ab", "B", "c d", ""][random.random_range(0..6)].to_owned())
}

/// A value, or null, or nothing: both are NULL.
fn put(random: &mut StdRng, row: &mut Document, name: &str, value: impl Fn(&mut StdRng) -> Bson) {
    match random.random_range(0..10) {
        0 => {}
        1 => {
            row.insert(name, Bson::Null);
        }
        _ => {
            let value = value(random);
            row.insert(name, value);
        }
    }
}

fn literal(value: &Bson) -> String {
    match value {
        Bson::Null => "NULL".to_owned(),
        Bson::String(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}
