//! Queries whose answer the first documents of an order decide (SQL-20.6): `ORDER BY … LIMIT` over one collection, and `LIMIT`
//! alone, which goes by row key.

use crate::Expr;
use crate::plan::SourceColumn;
use crate::plan::binder::Scan;
use crate::plan::rel::Rel;

/// The order in which the documents of a plan's only source decide its answer: once `rows` rows have come out, a document
/// whose key is behind all that were read changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// The top-level field; rows with equal values go by `_id`, ascending.
    pub field: String,
    /// From the greatest on.
    pub descending: bool,
    /// Where NULL is.
    pub nulls_first: bool,
    /// How many rows the answer has, if there are enough.
    pub rows: u64,
}

/// What the first documents decide, if anything.
pub(super) fn first(rel: &Rel, scans: &[Scan]) -> Option<First> {
    let mut rel = rel;
    while let Rel::Map { input, .. } = rel {
        rel = input;
    }
    let Rel::TopK { input, partition, order, limit: Some(rows), with_ties: false, .. } = rel else { return None };
    let [scan] = scans else { return None };
    if scan.driven || !partition.is_empty() || !is_row_by_row(input) {
        return None;
    }
    let (field, descending, nulls_first) = match order.as_slice() {
        [] => ("_id".to_owned(), false, false),
        [key, rest @ ..] => {
            let Expr::Column(id) = key.value else { return None };
            let column = scan.columns.iter().find(|(_, known)| *known == id);
            let Some((SourceColumn::Field(field), _)) = column else { return None };
            // Behind an `_id` nothing is left to decide.
            if !rest.is_empty() && field != "_id" {
                return None;
            }
            (field.clone(), key.descending, key.nulls_first)
        }
    };
    // Others would be paths.
    let is_name = !field.is_empty() && !field.contains('.') && !field.starts_with('$');
    is_name.then_some(First { field, descending, nulls_first, rows: *rows })
}

/// Whether each document is dealt with by itself.
fn is_row_by_row(rel: &Rel) -> bool {
    match rel {
        Rel::Scan(_) => true,
        Rel::Filter { input, .. } | Rel::Map { input, .. } => is_row_by_row(input),
        _ => false,
    }
}
