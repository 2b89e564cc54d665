//! `$bucket`: groups by ranges of a value.
//!
//! Shape:  `{ $bucket: { groupBy, boundaries: [ <value>, <value>, ... ], default, output: { <field>: {...} } } }`
//! Absent: a value outside of all ranges goes to `default`; without one it is an error (40066).
//! Result: `_id` is the range's lower bound; ordered by it. Without `output`, a `count`.
//! Errors: 40190 to 40202 for the shape.
//! Source: MongoDB manual 8.0, "$bucket (aggregation)".

use std::cmp::Ordering;
use std::sync::Arc;

use millstream_value::{Doc, DocBuf, Element, Value, canonical_type, compare_by};

use super::group::Group;
use super::{Parsing, Row, Stage};
use crate::expression::{Expression, Scope};
use crate::sort::Sort;
use crate::{Error, Result, collation};

pub(super) const BUCKET: Row = Row::new("$bucket", parse);

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(options) = spec.as_doc() else {
        let found = spec.value().type_name();
        let message = format!("Argument to $bucket stage must be an object, but found type: {found}.");
        return Err(Error::location(40201, message));
    };
    if let Some(other) =
        options.elements().find(|e| !matches!(e.key(), "groupBy" | "boundaries" | "default" | "output"))
    {
        return Err(Error::location(40197, format!("Unrecognized option to $bucket: {}.", other.key())));
    }
    let (Some(group_by), Some(boundaries)) = (options.element("groupBy"), options.get("boundaries")) else {
        let message = "$bucket requires 'groupBy' and 'boundaries' to be specified.";
        return Err(Error::location(40198, message));
    };
    check_group_by(group_by)?;
    let boundaries = parse_boundaries(&boundaries, parsing.scope)?;
    let default = options.get("default").map(|default| constant(&default, parsing.scope)).transpose()?;
    if let Some(default) = &default {
        check_default(default, &boundaries, parsing.scope)?;
    }
    let group = group(group_by, &boundaries, default.as_ref(), options)?;
    let group = Group::parse(group.as_doc(), parsing.scope)?;
    parsing.stream(group);
    let mut order = DocBuf::new();
    order.push("_id", 1);
    parsing.push(Stage::Sort(Arc::new(Sort::parse(order.as_doc(), parsing.scope)?)));
    Ok(())
}

/// The `$group` that does the work: its key is a `$switch` over the ranges.
fn group(
    group_by: Element<'_>,
    boundaries: &[Value<'static>],
    default: Option<&Value<'static>>,
    options: Doc<'_>,
) -> Result<DocBuf> {
    let mut out = DocBuf::new();
    out.nest("_id", |id| {
        id.nest("$switch", |switch| {
            switch.array("branches", |branches| {
                for (lower, upper) in boundaries.iter().zip(boundaries.iter().skip(1)) {
                    branches.push(branch(group_by, lower, upper));
                }
            });
            if let Some(default) = default {
                switch.push("default", literal(default));
            }
        });
    });
    match options.get("output") {
        None => {
            out.nest("count", |count| {
                count.push("$sum", 1);
            });
        }
        Some(Value::Document(fields)) => {
            out.extend(Doc::new(&fields));
        }
        Some(other) => {
            let found = other.type_name();
            let message = format!("The $bucket 'output' field must be an object, but found type: {found}.");
            return Err(Error::location(40196, message));
        }
    }
    Ok(out)
}

fn branch(group_by: Element<'_>, lower: &Value<'_>, upper: &Value<'_>) -> DocBuf {
    let compare = |operator: &str, bound: &Value<'_>| {
        let mut out = DocBuf::new();
        out.array(operator, |args| {
            args.push_element(group_by).push(literal(bound));
        });
        out
    };
    let mut out = DocBuf::new();
    out.nest("case", |case| {
        case.array("$and", |both| {
            both.push(compare("$gte", lower)).push(compare("$lt", upper));
        });
    });
    out.push("then", literal(lower));
    out
}

fn literal(value: &Value<'_>) -> DocBuf {
    let mut out = DocBuf::new();
    out.push("$literal", value.borrowed());
    out
}

fn check_group_by(group_by: Element<'_>) -> Result<()> {
    let is_path = group_by.as_str().is_some_and(|path| path.starts_with('$'));
    let is_expression =
        group_by.as_doc().is_some_and(|doc| doc.elements().next().is_some_and(|e| e.key().starts_with('$')));
    if is_path || is_expression {
        return Ok(());
    }
    let shown = super::shown(group_by);
    Err(Error::location(
        40202,
        format!(
            "The $bucket 'groupBy' field must be defined as a $-prefixed path or an expression, but found: {shown}."
        ),
    ))
}

fn parse_boundaries(spec: &Value<'_>, scope: &Scope) -> Result<Vec<Value<'static>>> {
    let Some(array) = spec.as_array() else {
        let found = spec.type_name();
        let message = format!("The $bucket 'boundaries' field must be an array, but found type: {found}.");
        return Err(Error::location(40200, message));
    };
    let bounds = array.values().map(|bound| constant(&bound, scope)).collect::<Result<Vec<_>>>()?;
    if bounds.len() < 2 {
        let message =
            format!("The $bucket 'boundaries' field must have at least 2 values, but found {} value(s).", bounds.len());
        return Err(Error::location(40192, message));
    }
    for (index, (a, b)) in bounds.iter().zip(bounds.iter().skip(1)).enumerate() {
        if canonical_type(a.kind()) != canonical_type(b.kind()) {
            let message = format!(
                "All values in the the 'boundaries' option to $bucket must have the same type. Found conflicting \
                 types {} and {}.",
                a.type_name(),
                b.type_name()
            );
            return Err(Error::location(40193, message));
        }
        if compare_by(a, b, collation::order(scope.collation.as_ref())) != Ordering::Less {
            let (a, b) = (millstream_value::shell::value(a), millstream_value::shell::value(b));
            let message = format!(
                "The 'boundaries' option to $bucket must be sorted, but elements {index} and {} are not in ascending \
                 order ({a} is not less than {b}).",
                index + 1
            );
            return Err(Error::location(40194, message));
        }
    }
    Ok(bounds)
}

fn check_default(default: &Value<'_>, boundaries: &[Value<'static>], scope: &Scope) -> Result<()> {
    let order = collation::order(scope.collation.as_ref());
    let (Some(lower), Some(upper)) = (boundaries.first(), boundaries.last()) else {
        return Ok(());
    };
    let is_inside = canonical_type(default.kind()) == canonical_type(lower.kind())
        && compare_by(default, lower, order) != Ordering::Less
        && compare_by(default, upper, order) == Ordering::Less;
    if is_inside {
        let message = "The $bucket 'default' field must be less than the lowest boundary or greater than or equal to \
                       the highest boundary.";
        return Err(Error::location(40199, message));
    }
    Ok(())
}

/// A value that does not depend on documents.
fn constant(value: &Value<'_>, scope: &Scope) -> Result<Value<'static>> {
    let expression = Expression::parse(value, scope)?;
    match expression.constant() {
        Some(constant) => Ok(constant.map_or(Value::Null, |value| value.clone())),
        None => {
            let shown = millstream_value::shell::value(value);
            let message = format!(
                "The $bucket 'boundaries' field must be an array of constant values, but found value: {shown}."
            );
            Err(Error::location(40191, message))
        }
    }
}
