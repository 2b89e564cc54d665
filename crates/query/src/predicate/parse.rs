//! From a filter document to the tree.

use millstream_value::{DEPTH_MAX, Doc, Element, Value, kind};

use super::node::{Check, Node};
use super::operand::{Comparison, Operand};
use super::operators::{Clause, Context, find, find_top};
use super::pattern::Pattern;
use crate::expression::Scope;
use crate::path::Path;
use crate::{Error, Result};

/// Compiles a whole filter.
pub(super) fn filter(filter: Doc<'_>, scope: &Scope) -> Result<Node> {
    nested_filter(filter, Context { scope, nested: false, depth: 0 })
}

/// Compiles a filter inside another.
pub(super) fn nested_filter(filter: Doc<'_>, context: Context<'_>) -> Result<Node> {
    let context = deeper(context)?;
    let mut parts = Vec::new();
    for element in filter.elements() {
        let name = element.key();
        parts.push(if name.starts_with('$') {
            match find_top(name) {
                Some(row) => (row.parse)(element, context)?,
                // A reference to another document is data, although its names look like operators.
                None if matches!(name, "$ref" | "$id" | "$db") => field(element, context)?,
                None => return Err(unknown_top(name)),
            }
        } else {
            field(element, context)?
        });
    }
    Ok(Node::all(parts))
}

fn unknown_top(name: &str) -> Error {
    Error::bad_value(format!(
        "unknown top level operator: {name}. If you have a field name that starts with a '$' symbol, consider using \
         $getField or $setField."
    ))
}

fn field(element: Element<'_>, context: Context<'_>) -> Result<Node> {
    let path = Path::parse(element.key());
    if let Some(operators) = element.as_doc().filter(|doc| has_operators(*doc)) {
        return conditions(&path, operators, context);
    }
    if let Value::Regex(pattern, options) = element.value() {
        let check = Check::Regex(Pattern::new(&pattern, &options)?);
        return Ok(Node::Field { path, check });
    }
    equality(&path, element, context)
}

/// Compiles `{$gt: 1, $lt: 5}` under a path.
pub(super) fn conditions(path: &Path, operators: Doc<'_>, context: Context<'_>) -> Result<Node> {
    let context = deeper(context)?;
    let mut parts = Vec::new();
    for argument in operators.elements() {
        let row =
            find(argument.key()).ok_or_else(|| Error::bad_value(format!("unknown operator: {}", argument.key())))?;
        parts.push((row.parse)(&Clause { path, argument, siblings: operators, context })?);
    }
    Ok(Node::all(parts))
}

/// Compiles "equals this value".
pub(super) fn equality(path: &Path, operand: Element<'_>, context: Context<'_>) -> Result<Node> {
    if operand.kind() == kind::UNDEFINED {
        return Err(Error::bad_value("cannot compare to undefined"));
    }
    let operand = Operand::new(operand.value().into_owned(), context.collation());
    let check = Check::Compare(Comparison::Equal, operand);
    Ok(Node::Field { path: path.clone(), check })
}

/// Whether a document under a field's name holds operators rather than being a value: its first name has a dollar
/// sign and it is not a reference to another document.
pub(super) fn has_operators(doc: Doc<'_>) -> bool {
    doc.elements()
        .next()
        .is_some_and(|first| first.key().starts_with('$') && !matches!(first.key(), "$ref" | "$id" | "$db"))
}

fn deeper(context: Context<'_>) -> Result<Context<'_>> {
    if context.depth > DEPTH_MAX {
        return Err(Error::bad_value("exceeded maximum query tree depth"));
    }
    Ok(Context { depth: context.depth + 1, ..context })
}
