//! Collections as sources: what of a document, or of a change, becomes a row.

use std::sync::Arc;

use millstream_flow::{Datum, Row};
use millstream_value::{Doc, DocBuf};

use crate::expr::Comparison;
use crate::plan::binder::Scan;
use crate::plan::rel::{ColumnId, Join, Over, Rel};
use crate::plan::{Driven, DrivenChange, Source};
use crate::{Expr, Type};

/// What a column of a source's rows is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceColumn {
    /// `CHANGE_EVENT()`.
    Event,
    /// A top-level field; of a change: of the document after it, or before it if that is gone (SQL-13.2).
    Field(String),
    /// `CHANGE_FIELDS()`.
    Fields,
    /// `CHANGE_KEY()`.
    Key,
    /// `NEW`.
    New,
    /// `OLD`.
    Old,
    /// `CHANGE_TYPE()`.
    Operation,
    /// `CHANGE_TIMESTAMP()`.
    Time,
    /// `CHANGE_TOKEN()`.
    Token,
    /// The whole document.
    Whole,
}

impl SourceColumn {
    /// Its type, if that is always the same.
    pub(crate) fn kind(&self) -> Option<Type> {
        match self {
            Self::Field(_) => None,
            Self::Event | Self::Key | Self::New | Self::Old | Self::Whole => Some(Type::Document),
            Self::Fields => Some(Type::Array(Some(Box::new(Type::Text(None))))),
            Self::Operation | Self::Token => Some(Type::Text(None)),
            Self::Time => Some(Type::Timestamptz),
        }
    }
}

/// The sources of a plan.
pub(crate) fn sources(scans: &[Scan], rel: &Rel) -> Vec<Source> {
    let source = |(at, scan): (usize, &Scan)| {
        let columns: Vec<SourceColumn> = scan.columns.iter().map(|(column, _)| column.clone()).collect();
        let ids: Vec<ColumnId> = scan.columns.iter().map(|(_, id)| *id).collect();
        let mut conditions = Vec::new();
        over_scan(rel, at, &mut conditions);
        conditions.retain(|condition| condition.columns().iter().all(|id| ids.contains(id)));
        for condition in &mut conditions {
            condition.rewrite(&mut |part| match part {
                Expr::Column(id) => ids.iter().position(|known| known == id).map(Expr::Column),
                _ => None,
            });
        }
        let driven = scan.driven.then(|| driven(&columns, &conditions));
        let whole =
            columns.iter().any(|column| matches!(column, SourceColumn::Whole | SourceColumn::New | SourceColumn::Old));
        let fields = columns.iter().filter_map(|column| match column {
            SourceColumn::Field(name) => Some(name.clone()),
            _ => None,
        });
        let fields = (!whole && !columns.contains(&SourceColumn::Event)).then(|| fields.collect());
        let (database, collection) = (scan.database.clone(), scan.collection.clone());
        Source { database, collection, fields, driven, columns, conditions }
    };
    scans.iter().enumerate().map(source).collect()
}

/// What the changes have to bring (SQL-12.7).
fn driven(columns: &[SourceColumn], conditions: &[Expr]) -> Driven {
    let operation = columns.iter().position(|column| *column == SourceColumn::Operation);
    let mut operations = [true; 3];
    for condition in conditions {
        let names = ["INSERT", "UPDATE", "DELETE"];
        let literal = |expr: &Expr| match expr {
            Expr::Untyped(text) => Some(text.clone()),
            Expr::Constant(Datum::Text(text)) => Some(text.to_string()),
            _ => None,
        };
        let is_operation = |expr: &Expr| operation.is_some_and(|at| *expr == Expr::Column(at));
        let (allowed, negated) = match condition {
            Expr::Compare(Comparison::Equal, a, b) if is_operation(a) => (literal(b).map(|text| vec![text]), false),
            Expr::Compare(Comparison::Equal, a, b) if is_operation(b) => (literal(a).map(|text| vec![text]), false),
            Expr::Compare(Comparison::NotEqual, a, b) if is_operation(a) => (literal(b).map(|text| vec![text]), true),
            Expr::In(a, list) if is_operation(a) => (list.iter().map(literal).collect(), false),
            _ => (None, false),
        };
        if let Some(allowed) = allowed {
            for (passes, name) in operations.iter_mut().zip(names) {
                *passes &= allowed.iter().any(|text| text == name) != negated;
            }
        }
    }
    let uses_old = columns.contains(&SourceColumn::Old) || columns.contains(&SourceColumn::Fields);
    let [_, updates, deletes] = operations;
    Driven { operations, old: uses_old || deletes, new: updates }
}

/// The conditions that stand directly over a scan: rows that do not satisfy them matter to nothing.
fn over_scan(rel: &Rel, scan: usize, found: &mut Vec<Expr>) {
    fn is_scan(rel: &Rel, scan: usize) -> bool {
        match rel {
            Rel::Scan(at) => *at == scan,
            Rel::Filter { input, .. } | Rel::Map { input, .. } | Rel::Temporal { input, .. } => is_scan(input, scan),
            Rel::Join(join) if keeps_left_only(join) => is_scan(&join.left, scan),
            _ => false,
        }
    }
    if let Rel::Filter { input, conditions } = rel
        && is_scan(input, scan)
    {
        found.extend(conditions.iter().cloned());
    }
    for input in rel.inputs() {
        over_scan(input, scan, found);
    }
}

/// Whether the join only drops or marks rows of its left side.
fn keeps_left_only(join: &Join) -> bool {
    use millstream_flow::JoinKind::{Anti, Mark, Semi, Single};
    matches!(join.kind, Semi | Anti | Mark | Single) && matches!(join.over, Over::Relations | Over::Lookup)
}

impl Source {
    /// The row of a document.
    #[must_use]
    pub fn row(&self, document: Doc<'_>) -> Row {
        let id = document.get("_id").map_or(Datum::Missing, |id| Datum::from_value(&id));
        let values: Vec<Datum> = self.columns.iter().map(|column| self.value(column, document, None)).collect();
        Row::new(vec![id], values)
    }

    /// Whether the row of a change has the names of its changed fields.
    #[must_use]
    pub fn wants_fields(&self) -> bool {
        self.columns.contains(&SourceColumn::Fields)
    }

    /// The row of a change, for a driven source. Its key is the change's token, which is unique.
    #[must_use]
    pub fn change_row(&self, change: &DrivenChange<'_>) -> Row {
        let empty = DocBuf::new();
        let document = change.new.or(change.old).unwrap_or_else(|| empty.as_doc());
        let values: Vec<Datum> = self.columns.iter().map(|column| self.value(column, document, Some(change))).collect();
        Row::new(vec![Datum::text(change.token)], values)
    }

    fn value(&self, column: &SourceColumn, document: Doc<'_>, change: Option<&DrivenChange<'_>>) -> Datum {
        let image = |doc: Option<Doc<'_>>| doc.map_or(Datum::Null, whole);
        match (column, change) {
            (SourceColumn::Field(name), _) => {
                document.get(name).map_or(Datum::Missing, |value| Datum::from_value(&value))
            }
            (SourceColumn::Whole, _) => whole(document),
            (_, None) => Datum::Null,
            (SourceColumn::Event, Some(change)) => whole(change.event),
            (SourceColumn::Fields, Some(change)) => Datum::Array(change.fields.iter().map(Datum::text).collect()),
            (SourceColumn::Key, Some(change)) => whole(change.key),
            (SourceColumn::New, Some(change)) => image(change.new),
            (SourceColumn::Old, Some(change)) => image(change.old),
            (SourceColumn::Operation, Some(change)) => Datum::text(change.operation),
            (SourceColumn::Time, Some(change)) => Datum::Instant(change.time_ms),
            (SourceColumn::Token, Some(change)) => Datum::text(change.token),
        }
    }
}

fn whole(document: Doc<'_>) -> Datum {
    Datum::Document(Arc::from(document.to_buf().into_bytes()))
}
