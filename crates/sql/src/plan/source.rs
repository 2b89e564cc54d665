//! Collections as sources: what of a document, or of a change, becomes a row, and which documents need not be read.

use std::sync::Arc;

use millstream_flow::{Datum, Row};
use millstream_value::{Doc, DocBuf, Value};

use crate::expr::{Comparison, Context};
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

    /// A filter in the language of `find` that lets through every document whose row can matter (SQL-20.2, SQL-20.5);
    /// `None`: all.
    #[must_use]
    pub fn filter(&self, context: &Context) -> Option<DocBuf> {
        let parts: Vec<DocBuf> =
            self.conditions.iter().filter_map(|condition| self.translated(condition, context)).collect();
        if parts.is_empty() {
            return None;
        }
        Some(listed("$and", &parts))
    }

    /// A condition as a match expression that is true wherever the condition is; `None`: it is not translated.
    fn translated(&self, condition: &Expr, context: &Context) -> Option<DocBuf> {
        match condition {
            Expr::Compare(op, a, b) => {
                let (path, literal, op) = match (self.path(a), self.path(b)) {
                    (Some(path), None) => (path, b, *op),
                    (None, Some(path)) => (path, a, crate::plan::clock::turned(*op)),
                    _ => return None,
                };
                let forms = forms(literal, context)?;
                match op {
                    Comparison::Equal => Some(one_of(&path, &forms)),
                    Comparison::Less => Some(either(&path, "$lt", &forms)),
                    Comparison::LessOrEqual => Some(either(&path, "$lte", &forms)),
                    Comparison::Greater => Some(either(&path, "$gt", &forms)),
                    Comparison::GreaterOrEqual => Some(either(&path, "$gte", &forms)),
                    Comparison::NotEqual | Comparison::Distinct | Comparison::NotDistinct => None,
                }
            }
            Expr::In(value, list) => {
                let path = self.path(value)?;
                let mut all = Vec::new();
                for literal in list {
                    all.extend(forms(literal, context)?);
                }
                Some(one_of(&path, &all))
            }
            Expr::Or(parts) => {
                let parts = parts.iter().map(|part| self.translated(part, context)).collect::<Option<Vec<_>>>()?;
                Some(listed("$or", &parts))
            }
            Expr::And(parts) => {
                let parts: Vec<_> = parts.iter().filter_map(|part| self.translated(part, context)).collect();
                if parts.is_empty() {
                    return None;
                }
                Some(listed("$and", &parts))
            }
            _ => None,
        }
    }

    /// The dotted path of a column, if MongoDB's paths can say it.
    fn path(&self, expr: &Expr) -> Option<String> {
        let name = |at: &usize| match self.columns.get(*at) {
            Some(SourceColumn::Field(name)) if plain(name) => Some(name.clone()),
            _ => None,
        };
        match expr {
            Expr::Column(at) => name(at),
            Expr::Path(inner, steps) => {
                let Expr::Column(at) = inner.as_ref() else { return None };
                let mut path = name(at)?;
                for step in steps {
                    match step {
                        crate::expr::Step::Field(field) if plain(field) => {
                            path.push('.');
                            path.push_str(field);
                        }
                        _ => return None,
                    }
                }
                Some(path)
            }
            _ => None,
        }
    }
}

/// Whether a name means itself in a dotted path.
fn plain(name: &str) -> bool {
    !name.is_empty() && !name.contains('.') && !name.starts_with('$') && name.parse::<u64>().is_err()
}

fn whole(document: Doc<'_>) -> Datum {
    Datum::Document(Arc::from(document.to_buf().into_bytes()))
}

/// Every stored form of a constant that SQL holds for equal to it (SQL-4.5, SQL-4.10). `None`: it is no constant, or NULL, or
/// of a type that is not compared this way.
fn forms(literal: &Expr, context: &Context) -> Option<Vec<Value<'static>>> {
    let value = match literal {
        Expr::Constant(value) => value.clone(),
        Expr::Variable(slot) => context.variables.get(*slot)?.clone(),
        Expr::Path(inner, _) if matches!(**inner, Expr::Variable(_)) => constant(literal, context)?,
        Expr::Untyped(text) => return Some(text_forms(text, context)),
        _ => return None,
    };
    match &value {
        Datum::Text(text) => Some(text_forms(text, context)),
        Datum::Int(_) | Datum::Long(_) => Some(vec![crate::expr::to_value(&value, &context.time_zone)]),
        Datum::Decimal(number) => {
            let double = number.to_f64();
            Some(vec![Value::Decimal(*number), Value::Double(double)])
        }
        Datum::ObjectId(id) => Some(vec![Value::ObjectId(*id), Value::String(millstream_value::shell::hex(id).into())]),
        Datum::Bool(_) | Datum::Instant(_) | Datum::Binary(..) => {
            Some(vec![crate::expr::to_value(&value, &context.time_zone)])
        }
        _ => None,
    }
}

fn constant(expr: &Expr, context: &Context) -> Option<Datum> {
    let Expr::Path(inner, steps) = expr else { return None };
    let Expr::Variable(slot) = inner.as_ref() else { return None };
    Some(crate::expr::step_into(context.variables.get(*slot)?, steps))
}

/// What a text may be stored as: text, or what it reads as.
fn text_forms(text: &str, context: &Context) -> Vec<Value<'static>> {
    let forms = crate::expr::stored_forms(text, context);
    let stored = |form: &Datum| match form {
        Datum::Decimal(number) => vec![Value::Decimal(*number), Value::Double(number.to_f64())],
        other => vec![crate::expr::to_value(other, &context.time_zone)],
    };
    forms.iter().flat_map(stored).collect()
}

/// `$and` or `$or` of match expressions.
fn listed(operator: &str, parts: &[DocBuf]) -> DocBuf {
    let mut out = DocBuf::new();
    out.array(operator, |all| {
        for part in parts {
            all.push_document(part.as_bytes());
        }
    });
    out
}

fn one_of(path: &str, forms: &[Value<'static>]) -> DocBuf {
    let mut out = DocBuf::new();
    out.nest(path, |inner| {
        inner.array("$in", |all| {
            for form in forms {
                all.push(form.clone());
            }
        });
    });
    out
}

/// One of the forms compares so. What MongoDB orders otherwise is let through: NaN above all numbers.
fn either(path: &str, operator: &str, forms: &[Value<'static>]) -> DocBuf {
    let compared = |form: &Value<'static>| {
        let mut one = DocBuf::new();
        one.nest(path, |inner| {
            inner.push(operator, form.clone());
        });
        one
    };
    let mut parts: Vec<DocBuf> = forms.iter().map(compared).collect();
    if operator.starts_with("$gt") {
        let mut one = DocBuf::new();
        one.push(path, f64::NAN);
        parts.push(one);
    }
    listed("$or", &parts)
}
