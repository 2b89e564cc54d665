//! Collections as sources: what of a document, or of a change, becomes a row.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_flow::{Datum, Row};
use millstream_value::{Doc, DocBuf};

use crate::expr::{Comparison, Step};
use crate::plan::binder::Scan;
use crate::plan::rel::{ColumnId, Join, Over, Rel};
use crate::plan::sure::Conditions;
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
pub(crate) fn sources(scans: &[Scan], rel: &Rel, output: &[ColumnId]) -> Vec<Source> {
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
        let mut streamed = chain(rel, at);
        streamed.retain(|condition| condition.columns().iter().all(|id| ids.contains(id)));
        streamed.rewrite(&mut |part| match part {
            Expr::Column(id) => ids.iter().position(|known| known == id).map(Expr::Column),
            _ => None,
        });
        let driven = scan.driven.then(|| driven(&columns, &conditions));
        let whole =
            columns.iter().any(|column| matches!(column, SourceColumn::Whole | SourceColumn::New | SourceColumn::Old));
        let fields = columns.iter().filter_map(|column| match column {
            SourceColumn::Field(name) => Some(name.clone()),
            _ => None,
        });
        let fields: Option<Vec<String>> = (!whole && !columns.contains(&SourceColumn::Event)).then(|| fields.collect());
        let streamed_fields = if scan.driven { used(rel, output, scan) } else { None };
        let streamed_fields = streamed_fields.or_else(|| fields.clone().filter(|_| !scan.driven));
        let (database, collection) = (scan.database.clone(), scan.collection.clone());
        Source { database, collection, fields, streamed_fields, driven, columns, conditions, streamed }
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

/// The conditions over a scan that may be evaluated wherever its documents come from: nothing below or beside them fails for
/// a row that they leave out (see [`super::sure`]).
fn chain(rel: &Rel, scan: usize) -> Conditions {
    let mut made: Vec<&[(ColumnId, Expr)]> = Vec::new();
    let mut found = Conditions::default();
    if occurrences(rel, scan) == 1 {
        climb(rel, scan, &mut made, &mut found);
    }
    found
}

/// Goes up from a scan as long as rows are rows of the scan; true: still on the way.
fn climb<'r>(rel: &'r Rel, scan: usize, made: &mut Vec<&'r [(ColumnId, Expr)]>, found: &mut Conditions) -> bool {
    match rel {
        Rel::Scan(at) => *at == scan,
        Rel::Filter { input, conditions } => {
            if !climb(input, scan, made, found) {
                return false;
            }
            // In the order in which they are evaluated, which goes by how they stand here.
            let mut own = Conditions::of(conditions.clone());
            for columns in made.iter().rev() {
                own.rewrite(&mut |part| match part {
                    Expr::Column(id) => columns.iter().find(|(made, _)| made == id).map(|(_, expr)| expr.clone()),
                    _ => None,
                });
            }
            let goes_on = own.are_sure();
            found.extend(own);
            goes_on
        }
        Rel::Map { input, columns } => {
            let goes_on = climb(input, scan, made, found) && columns.iter().all(|(_, expr)| expr.is_sure());
            made.push(columns);
            goes_on
        }
        other => {
            for input in other.inputs() {
                climb(input, scan, made, found);
            }
            false
        }
    }
}

fn occurrences(rel: &Rel, scan: usize) -> usize {
    match rel {
        Rel::Scan(at) => usize::from(*at == scan),
        other => other.inputs().into_iter().map(|input| occurrences(input, scan)).sum(),
    }
}

/// The top-level fields of the documents of a scan that a plan uses, of a document as a whole the fields that are stepped into;
/// `None`: all.
fn used(rel: &Rel, output: &[ColumnId], scan: &Scan) -> Option<Vec<String>> {
    let mut fields = BTreeSet::new();
    let mut documents = Vec::new();
    for (column, id) in &scan.columns {
        match column {
            SourceColumn::Field(name) => drop(fields.insert(name.clone())),
            SourceColumn::New | SourceColumn::Old | SourceColumn::Whole => documents.push(*id),
            // The names of the fields are read off the documents.
            SourceColumn::Event | SourceColumn::Fields => return None,
            SourceColumn::Key | SourceColumn::Operation | SourceColumn::Time | SourceColumn::Token => {}
        }
    }
    fn within(expr: &Expr, documents: &[ColumnId], fields: &mut BTreeSet<String>) -> bool {
        match expr {
            Expr::Path(inner, steps) => match (inner.as_ref(), steps.first()) {
                (Expr::Column(id), Some(Step::Field(name))) if documents.contains(id) => {
                    fields.insert(name.clone());
                    true
                }
                _ => within(inner, documents, fields),
            },
            Expr::Column(id) => !documents.contains(id),
            other => other.children().into_iter().all(|part| within(part, documents, fields)),
        }
    }
    fn all(rel: &Rel, documents: &[ColumnId], fields: &mut BTreeSet<String>) -> bool {
        let own = rel.expressions().into_iter().all(|expr| within(expr, documents, fields));
        let bare = |columns: &[ColumnId]| columns.iter().any(|id| documents.contains(id));
        let handed_on = match rel {
            Rel::UnionAll { branches, .. } => {
                branches.iter().any(|(_, columns, key)| bare(columns) || !within(key, documents, fields))
            }
            Rel::SetOperation { left, right, .. } | Rel::Recursive { base: left, step: right, .. } => {
                bare(&left.1) || bare(&right.1)
            }
            _ => false,
        };
        own && !handed_on && rel.inputs().into_iter().all(|input| all(input, documents, fields))
    }
    let some = !output.iter().any(|id| documents.contains(id)) && all(rel, &documents, &mut fields);
    some.then(|| fields.into_iter().collect())
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
