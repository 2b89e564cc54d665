//! Answers that the first documents of an order decide (SQL-20.6): they are read in that order, until no later one can matter.
//!
//! MongoDB's order is SQL's but for a few values (SQL-4.5): NULL and NaN stand at the other end, and an array is sorted by one
//! of its elements. Wherever such a value could have a part, nothing is gained, and everything is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use millstream_flow::{Change, Circuit, Datum, Row, Store, key};
use millstream_sql::SqlError;
use millstream_sql::expr::Context;
use millstream_sql::plan::{First, Plan, Source};
use millstream_value::Doc;
use mongodb::Client;

use crate::deployment::now_ms;
use crate::error::{Result, of_driver, of_flow};
use crate::read::{self, Find, Moment};

/// The first reply has so many documents at least.
const FEW_MIN: u64 = 100;
/// … and at most.
const FEW_MAX: u64 = 10_000;

/// The rows of an answer that few documents decide; `None`: everything has to be read.
pub(super) async fn rows(
    client: &Client,
    moment: &mut Moment<'_>,
    plan: &Plan,
    context: &Arc<Context>,
) -> Result<Option<Vec<Row>>> {
    let (Some(first), [source]) = (&plan.first, plan.sources.as_slice()) else { return Ok(None) };
    if first.rows == 0 {
        return Ok(Some(Vec::new()));
    }
    if matches!(moment, Moment::Transaction(_)) || !has_index(client, source, &first.field).await? {
        return Ok(None);
    }
    let field = first.field.as_str();
    // Those that stand at the other end of MongoDB's order, where they would not be seen.
    let mut elsewhere = vec![];
    if first.descending {
        elsewhere.push(Bson::Double(f64::NAN));
        if first.nulls_first {
            elsewhere.push(Bson::Null);
        }
    }
    if !elsewhere.is_empty() && any(client, moment, source, doc! {field: {"$in": elsewhere}}).await? {
        return Ok(None);
    }
    let mut find = Find::of(source, Some(context));
    if !first.descending && !first.nulls_first {
        let there = doc! {field: {"$ne": null}};
        find.filter = if find.filter.is_empty() {
            there
        } else {
            doc! {"$and": [find.filter, there]}
        };
    }
    find.sorted = Some((field.to_owned(), first.descending));
    find.few = i32::try_from(first.rows.clamp(FEW_MIN, FEW_MAX)).ok();
    let Some((rows, last)) = until_certain(client, moment, &find, first, plan, context).await? else { return Ok(None) };
    // Arrays are sorted by an element, and belong between the documents and what follows those.
    let unseen_arrays_come_first = (key::of(&last) < key::of(&Datum::Array(Arc::from([])))) == first.descending;
    if field != "_id"
        && unseen_arrays_come_first
        && any(client, moment, source, doc! {field: {"$type": "array"}}).await?
    {
        return Ok(None);
    }
    Ok(Some(rows))
}

/// Reads until there are enough rows and the next document is behind them; gives the last value that was read.
async fn until_certain(
    client: &Client,
    moment: &mut Moment<'_>,
    find: &Find,
    first: &First,
    plan: &Plan,
    context: &Arc<Context>,
) -> Result<Option<(Vec<Row>, Datum)>> {
    let [source] = plan.sources.as_slice() else { return Ok(None) };
    let (nodes, output) = plan.circuit(context)?;
    let mut circuit = Circuit::new(nodes, output, Store::memory()).map_err(|error| of_flow(&error))?;
    let mut rows: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
    let mut last = None;
    let mut enough: Option<Datum> = None;
    let mut reading = find.open(client, moment).await?;
    while let Some(reply) = reading.next(moment).await? {
        let mut delta = Vec::new();
        let mut certain = true;
        read::documents(&reply, &mut |document| {
            let document = Doc::new(document.as_bytes());
            let value = document.get(&first.field).map_or(Datum::Missing, |value| Datum::from_value(&value));
            certain &= is_certain(&value);
            if !matches!(value, Datum::Array(_)) {
                last = Some(value);
            }
            delta.push(Change { row: source.row(document), weight: 1 });
            Ok(())
        })?;
        if !certain {
            return Ok(None);
        }
        let output = circuit.step(vec![(0, delta)], now_ms()).map_err(|error| of_flow(&error))?;
        if let Some(failure) = output.failures.into_iter().find(|failure| failure.weight > 0) {
            return Err(SqlError::from(failure.error));
        }
        for change in output.rows {
            let key = key::of_all(change.row.key.iter());
            if change.weight < 0 {
                rows.remove(&key);
            } else {
                rows.insert(key, change.row);
            }
        }
        let Some(last) = &last else { continue };
        match &enough {
            Some(value) if key::compare(value, last).is_ne() => break,
            Some(_) => {}
            None if u64::try_from(rows.len()).is_ok_and(|count| count >= first.rows) => {
                // Of `_id`s no two are equal.
                if first.field == "_id" {
                    break;
                }
                enough = Some(last.clone());
            }
            None => {}
        }
    }
    let reached = first.rows <= u64::try_from(rows.len()).unwrap_or(0);
    let excluded_nulls = !first.descending && !first.nulls_first;
    Ok(last.filter(|_| reached || !excluded_nulls).map(|last| {
        let mut rows: Vec<Row> = rows.into_values().collect();
        plan.sort(&mut rows);
        (rows, last)
    }))
}

/// Whether MongoDB puts such a value where SQL does, among others of its class.
fn is_certain(value: &Datum) -> bool {
    match value {
        Datum::Double(number) => !number.is_nan(),
        Datum::Decimal(number) => !number.is_nan(),
        Datum::Document(_) => false,
        _ => true,
    }
}

/// Whether there is a document that a filter of the plan does not need to know of.
async fn any(client: &Client, moment: &mut Moment<'_>, source: &Source, filter: Document) -> Result<bool> {
    let mut find = Find::all(&source.database, &source.collection);
    find.filter = filter;
    find.fields = Some(Vec::new());
    find.few = Some(1);
    let mut found = false;
    if let Some(reply) = find.open(client, moment).await?.next(moment).await? {
        read::documents(&reply, &mut |_| {
            found = true;
            Ok(())
        })?;
    }
    Ok(found)
}

/// Whether the deployment has that order at hand.
async fn has_index(client: &Client, source: &Source, field: &str) -> Result<bool> {
    if field == "_id" {
        return Ok(true);
    }
    let collection = client.database(&source.database).collection::<Document>(&source.collection);
    let mut indexes = match collection.list_indexes().await {
        Ok(indexes) => indexes,
        // There is no such collection.
        Err(error) if of_driver(&error).state.0 == "42P01" => return Ok(false),
        Err(error) => return Err(of_driver(&error)),
    };
    while let Some(index) = indexes.try_next().await.map_err(|error| of_driver(&error))? {
        let begins = index.keys.iter().next().is_some_and(|(name, way)| name == field && way.as_str().is_none());
        let options = index.options.unwrap_or_default();
        let is_whole = options.partial_filter_expression.is_none()
            && options.collation.is_none()
            && !options.sparse.unwrap_or(false)
            && !options.hidden.unwrap_or(false);
        if begins && is_whole {
            return Ok(true);
        }
    }
    Ok(false)
}
