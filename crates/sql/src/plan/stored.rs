//! Rows as they are stored, and what a stored definition may not have (SQL-3.11, SQL-14.3, SQL-14.4).

use jiff::tz::TimeZone;
use millstream_flow::Datum;
use millstream_value::{DocBuf, Value};
use sha2::{Digest, Sha256};

use crate::SqlError;
use crate::error::Result;
use crate::expr::to_value;
use crate::plan::binder::{Output, Scan};
use crate::plan::rel::{ColumnId, Rel};
use crate::plan::{Plan, SourceColumn, clock};

/// A key of more bytes than this is stored as its hash.
const KEY_BYTES_MAX: usize = 1024;

/// The `_id` of a row.
pub(crate) fn id(key: &[Datum], names: &[String], zone: &TimeZone) -> Value<'static> {
    let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| format!("k{}", at + 1));
    let value = match key {
        [one] => {
            let value = to_value(one, zone);
            if must_be_wrapped(&value) { document(&[(name(0), value)]) } else { value }
        }
        several => {
            let fields: Vec<_> =
                several.iter().enumerate().map(|(at, part)| (name(at), to_value(part, zone))).collect();
            document(&fields)
        }
    };
    let mut bytes = DocBuf::new();
    bytes.push("", value.clone());
    if bytes.size() <= KEY_BYTES_MAX {
        return value;
    }
    let hash = Sha256::digest(bytes.as_bytes());
    document(&[("h".to_owned(), Value::Binary(0, hash.to_vec().into()))])
}

/// MongoDB refuses arrays, regular expressions and documents with `$` names as `_id`.
fn must_be_wrapped(value: &Value<'_>) -> bool {
    match value {
        Value::Array(_) | Value::Regex(..) | Value::Undefined => true,
        Value::Document(_) => {
            value.as_doc().is_some_and(|doc| doc.elements().any(|element| element.key().starts_with('$')))
        }
        _ => false,
    }
}

fn document(fields: &[(String, Value<'static>)]) -> Value<'static> {
    let mut out = DocBuf::new();
    for (name, value) in fields {
        out.push(name, value.clone());
    }
    Value::Document(out.into_bytes().into())
}

/// The column named `_id` that is the row's key, so that it is not stored twice.
pub(crate) fn id_column(rel: &Rel, scans: &[Scan], columns: &[Output], key: &[String]) -> Option<usize> {
    let at = columns.iter().position(|column| column.name == "_id" && !column.spread)?;
    let [only] = key else { return None };
    let column = columns.get(at)?.column;
    let scanned = scans.iter().flat_map(|scan| &scan.columns);
    let of_scan = scanned.into_iter().any(|(what, id)| *id == column && *what == SourceColumn::Field("_id".to_owned()));
    ((of_scan && matches!(rel.keyed_by(), Rel::Scan(_))) || only == "_id").then_some(at)
}

/// What a stored definition may not have.
pub(crate) fn check(plan: &Plan) -> Result<()> {
    if plan.columns.iter().filter(|column| column.spread).count() > 1 {
        return Err(SqlError::new("42P16", "* over several tables may not be stored").hint("list the columns"));
    }
    let mut names: Vec<&str> = Vec::new();
    for (at, column) in plan.columns.iter().enumerate().filter(|(_, column)| !column.spread) {
        let name = column.name.as_str();
        if name.contains('.') || name.starts_with('$') || name.is_empty() {
            return Err(
                SqlError::new("42602", format!("\"{name}\" is no name for a stored column")).hint("give it an alias")
            );
        }
        if names.contains(&name) {
            return Err(SqlError::new("42701", format!("column \"{name}\" is there more than once"))
                .hint("give one of them an alias"));
        }
        if name == "_id" && plan.id != Some(at) {
            return Err(SqlError::new("42701", "a column named _id must be the row's key").hint("give it an alias"));
        }
        names.push(name);
    }
    Ok(())
}

/// Refuses the clock anywhere but in temporal filters (SQL-11.4).
pub(crate) fn check_clock(rel: &Rel, clock: ColumnId) -> Result<()> {
    let temporal = matches!(rel, Rel::Temporal { .. });
    if !temporal && rel.expressions().into_iter().any(|expr| expr.columns().contains(&clock)) {
        return Err(clock::not_monotone("the clock outside of WHERE"));
    }
    // What a temporal filter may do with it was checked when it was made.
    rel.inputs().into_iter().try_for_each(|input| check_clock(input, clock))
}
