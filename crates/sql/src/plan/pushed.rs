//! Aggregates that a deployment can compute (SQL-20.6): COUNT, MIN and MAX over one collection, with or without GROUP BY.
//!
//! MongoDB's order, equality and groups are SQL's but for some values: NaN, zeros with a sign, decimals, and whatever is of
//! several types that are equal to each other. So the deployment tells besides which types it has met. Where any of those could
//! matter, its answer is not used, and the documents are read.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_flow::{AggregateFunction, Datum, Node, NodeId, key};
use millstream_value::{Doc, DocBuf, Value};

use crate::Expr;
use crate::error::Result;
use crate::expr::Context;
use crate::plan::Plan;
use crate::plan::aggregation::{NULLS, array, condition, document, field, is_one_of, kind_of, operator, text};
use crate::plan::filter::Path;
use crate::plan::lower::Lowering;
use crate::plan::rel::{Aggregate, ColumnId, Rel};

/// An aggregate over one collection, as a pipeline.
#[derive(Debug)]
pub struct Pushed {
    /// The place of its source.
    pub source: usize,
    /// The stages.
    pub pipeline: Vec<DocBuf>,
    columns: Vec<ColumnId>,
    groups: usize,
    calls: Vec<Call>,
}

/// One aggregate function.
#[derive(Clone, Debug)]
enum Call {
    /// `COUNT(*)`.
    Rows,
    /// `COUNT(x)`.
    Count(Path),
    /// `MAX(x)`.
    Greatest(Path),
    /// `MIN(x)`.
    Least(Path),
}

/// What a deployment has answered for an aggregate.
#[derive(Debug)]
pub struct Answered {
    source: usize,
    columns: Vec<ColumnId>,
    groups: usize,
    rows: Vec<Vec<Expr>>,
}

/// The types among whose values equality is identity, and order the same for MongoDB and SQL; doubles but for NaN and zeros.
// Sorted.
const ALIKE: [&str; 7] = ["bool", "date", "double", "int", "long", "objectId", "string"];

impl Plan {
    /// The aggregates of a query that is answered once which the deployment can compute.
    #[must_use]
    pub fn pushed(&self, context: &Context) -> Vec<Pushed> {
        let mut found = Vec::new();
        if !self.changes {
            self.find(&self.rel, context, &mut found);
        }
        found
    }

    fn find(&self, rel: &Rel, context: &Context, found: &mut Vec<Pushed>) {
        match self.pushed_of(rel, context) {
            Some(pushed) => found.push(pushed),
            None => rel.inputs().into_iter().for_each(|input| self.find(input, context, found)),
        }
    }

    fn pushed_of(&self, rel: &Rel, context: &Context) -> Option<Pushed> {
        let Rel::Aggregate { input, group, sets: None, calls, bucket: None } = rel else { return None };
        let at = filtered(input)?;
        let (source, scan) = (self.sources.get(at)?, self.scans.get(at)?);
        if source.driven.is_some() || scans(&self.rel, at) != 1 || conditions(input) != source.conditions.len() {
            return None;
        }
        let place = |expr: &Expr| {
            let mut expr = expr.clone();
            expr.rewrite(&mut |part| match part {
                Expr::Column(id) => scan.columns.iter().position(|(_, known)| known == id).map(Expr::Column),
                _ => None,
            });
            source.path(&expr)
        };
        let filter = source.exact_filter(context)?;
        let keys = group.iter().map(|(_, expr)| place(expr)).collect::<Option<Vec<_>>>()?;
        let made = calls.iter().map(|(_, call)| self::call(call, &place)).collect::<Option<Vec<_>>>()?;
        let mut pipeline = Vec::new();
        if !filter.as_doc().is_empty() {
            pipeline.push(stage("$match", &filter));
        }
        pipeline.push(stage("$group", &grouped(&keys, &made)));
        let columns = group.iter().map(|(id, _)| *id).chain(calls.iter().map(|(id, _)| *id)).collect();
        Some(Pushed { source: at, pipeline, columns, groups: keys.len(), calls: made })
    }

    /// The circuit of a plan some of whose aggregates are answered: they are not computed, and their sources not read.
    ///
    /// # Errors
    /// As of [`Plan::circuit`].
    pub fn circuit_over(&self, context: &Arc<Context>, answered: Vec<Answered>) -> Result<(Vec<Node>, NodeId)> {
        if answered.is_empty() {
            return self.circuit(context);
        }
        let mut rel = self.rel.clone();
        for answered in answered {
            put(&mut rel, answered);
        }
        let mut lowering = Lowering::new(&self.scans, context, self.lateness);
        let output = lowering.output(&rel, &self.output)?;
        Ok((lowering.nodes, output))
    }
}

/// Puts the rows of an answer in the place of their aggregate.
fn put(rel: &mut Rel, answered: Answered) -> Option<Answered> {
    let is_it = matches!(rel, Rel::Aggregate { input, .. } if filtered(input) == Some(answered.source));
    if is_it {
        let Answered { columns, groups, rows, .. } = answered;
        let key = columns.iter().take(groups).map(|id| Expr::Column(*id)).collect();
        *rel = Rel::Rekey { input: Box::new(Rel::Values { rows, columns }), key };
        return None;
    }
    rel.inputs_mut().into_iter().try_fold(answered, |answered, input| put(input, answered))
}

/// The scan under nothing but filters.
fn filtered(rel: &Rel) -> Option<usize> {
    match rel {
        Rel::Scan(at) => Some(*at),
        Rel::Filter { input, .. } => filtered(input),
        _ => None,
    }
}

/// How many conditions the filters have.
fn conditions(rel: &Rel) -> usize {
    match rel {
        Rel::Filter { input, conditions } => conditions.len() + self::conditions(input),
        _ => 0,
    }
}

/// How often a scan is used.
fn scans(rel: &Rel, at: usize) -> usize {
    match rel {
        Rel::Scan(scan) => usize::from(*scan == at),
        other => other.inputs().into_iter().map(|input| scans(input, at)).sum(),
    }
}

fn call(call: &Aggregate, place: &impl Fn(&Expr) -> Option<Path>) -> Option<Call> {
    if call.distinct || !call.order.is_empty() || call.filter.is_some() {
        return None;
    }
    match (call.function, call.arguments.as_slice()) {
        (AggregateFunction::Count, []) => Some(Call::Rows),
        (AggregateFunction::Count, [Expr::Constant(value)]) if !value.is_null() => Some(Call::Rows),
        (AggregateFunction::Count, [value]) => place(value).map(Call::Count),
        (AggregateFunction::Max, [value]) => place(value).map(Call::Greatest),
        (AggregateFunction::Min, [value]) => place(value).map(Call::Least),
        _ => None,
    }
}

/// What `$group` is given. `n` counts rows; `s0` and `t0` are the least and the greatest name of the types of the first key. Of the
/// path of call 0 `c0` counts the values that are not NULL, `l0` and `h0` are the least and the greatest of them, `f0` and `g0` the
/// least and the greatest name of their types.
fn grouped(keys: &[Path], calls: &[Call]) -> DocBuf {
    let mut out = DocBuf::new();
    if keys.is_empty() {
        out.push("_id", Value::Null);
    } else {
        let values = keys.iter().enumerate().map(|(at, path)| (format!("k{at}"), value(path)));
        out.push("_id", document(values));
    }
    out.push("n", operator("$sum", Value::Int32(1)));
    for (at, path) in keys.iter().enumerate() {
        out.push(&format!("s{at}"), operator("$min", kind(path)));
        out.push(&format!("t{at}"), operator("$max", kind(path)));
    }
    for call in calls {
        match call {
            Call::Rows => {}
            Call::Count(path) => {
                let counted = condition(is_null(path), Value::Int32(0), Value::Int32(1));
                put_once(&mut out, &named("c", path, calls), operator("$sum", counted));
            }
            Call::Greatest(path) | Call::Least(path) => {
                let kind = condition(is_null(path), Value::Null, kind(path));
                put_once(&mut out, &named("l", path, calls), operator("$min", value(path)));
                put_once(&mut out, &named("h", path, calls), operator("$max", value(path)));
                put_once(&mut out, &named("f", path, calls), operator("$min", kind.clone()));
                put_once(&mut out, &named("g", path, calls), operator("$max", kind));
            }
        }
    }
    out
}

impl Call {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Rows => None,
            Self::Count(path) | Self::Greatest(path) | Self::Least(path) => Some(path),
        }
    }
}

/// The name of what is told of a path, by the first call that has it.
fn named(what: &str, path: &Path, calls: &[Call]) -> String {
    let first = calls.iter().position(|call| call.path() == Some(path));
    format!("{what}{}", first.unwrap_or(calls.len()))
}

fn put_once(out: &mut DocBuf, name: &str, value: Value<'static>) {
    if !out.as_doc().has(name) {
        out.push(name, value);
    }
}

fn is_null(path: &Path) -> Value<'static> {
    is_one_of(kind(path), &NULLS)
}

/// The value at a path, and null where there is none; arrays on the way are not looked into.
fn value(path: &Path) -> Value<'static> {
    let there = operator("$ifNull", array([field(path), Value::Null]));
    through_documents(path, there, Value::Null)
}

/// The name of its type.
fn kind(path: &Path) -> Value<'static> {
    let there = kind_of(field(path));
    through_documents(path, there, text("missing".to_owned()))
}

fn through_documents(path: &Path, there: Value<'static>, otherwise: Value<'static>) -> Value<'static> {
    let is_document =
        |prefix: String| operator("$eq", array([kind_of(text(format!("${prefix}"))), text("object".to_owned())]));
    let documents: Vec<Value<'static>> = path.prefixes().map(is_document).collect();
    if documents.is_empty() { there } else { condition(operator("$and", array(documents)), there, otherwise) }
}

fn stage(name: &str, argument: &DocBuf) -> DocBuf {
    let mut out = DocBuf::new();
    out.push(name, Value::Document(argument.as_bytes().into()));
    out
}

impl Pushed {
    /// What the pipeline has answered; `None`: it may be another answer than SQL's.
    #[must_use]
    pub fn answered<'a>(&self, groups: impl IntoIterator<Item = Doc<'a>>) -> Option<Answered> {
        let mut rows = Vec::new();
        let mut seen = BTreeSet::new();
        for group in groups {
            let values = self.row(group)?;
            let mut id = Vec::new();
            values.iter().take(self.groups).for_each(|value| key::append(value, &mut id));
            if !seen.insert(id) {
                return None;
            }
            rows.push(values.into_iter().map(Expr::Constant).collect());
        }
        if rows.is_empty() && self.groups == 0 {
            let nothing = |call: &Call| match call {
                Call::Rows | Call::Count(_) => Datum::Long(0),
                Call::Greatest(_) | Call::Least(_) => Datum::Null,
            };
            rows.push(self.calls.iter().map(nothing).map(Expr::Constant).collect());
        }
        Some(Answered { source: self.source, columns: self.columns.clone(), groups: self.groups, rows })
    }

    fn row(&self, group: Doc<'_>) -> Option<Vec<Datum>> {
        let mut values = Vec::with_capacity(self.columns.len());
        let mut absent = 0;
        let id = group.get("_id")?;
        for at in 0..self.groups {
            let names = (group.get(&format!("s{at}"))?, group.get(&format!("t{at}"))?);
            let value = id.as_doc()?.get(&format!("k{at}"))?;
            values.push(match (names.0.as_str()?, names.1.as_str()?) {
                ("missing", "missing") => Datum::Missing,
                ("null", "null") => Datum::Null,
                ("missing", "null") => {
                    absent += 1;
                    Datum::Missing
                }
                (least, greatest) if least == greatest && ALIKE.contains(&least) => certain(&value)?,
                _ => return None,
            });
        }
        // Of rows that lack several it matters which lacks which.
        if absent > 1 {
            return None;
        }
        for call in &self.calls {
            values.push(match call {
                Call::Rows => count(&group.get("n")?)?,
                Call::Count(path) => count(&group.get(&named("c", path, &self.calls))?)?,
                Call::Greatest(path) => extreme("h", path, &self.calls, group)?,
                Call::Least(path) => extreme("l", path, &self.calls, group)?,
            });
        }
        Some(values)
    }
}

/// The least or the greatest value, if all are of one type. NaN is the least for MongoDB.
fn extreme(which: &str, path: &Path, calls: &[Call], group: Doc<'_>) -> Option<Datum> {
    let kinds = (group.get(&named("f", path, calls))?, group.get(&named("g", path, calls))?);
    match (kinds.0.as_str(), kinds.1.as_str()) {
        (None, None) => return Some(Datum::Null),
        (Some(least), Some(greatest)) if least == greatest && ALIKE.contains(&least) => {}
        _ => return None,
    }
    let least = Datum::from_value(&group.get(&named("l", path, calls))?);
    if matches!(least, Datum::Double(number) if number.is_nan()) {
        return None;
    }
    certain(&group.get(&named(which, path, calls))?)
}

/// A value that no other is equal to.
fn certain(value: &Value<'_>) -> Option<Datum> {
    match Datum::from_value(value) {
        Datum::Double(number) if number.is_nan() || number == 0.0 => None,
        value => Some(value),
    }
}

fn count(value: &Value<'_>) -> Option<Datum> {
    match value {
        Value::Int32(count) => Some(Datum::Long(i64::from(*count))),
        Value::Int64(count) => Some(Datum::Long(*count)),
        _ => None,
    }
}
