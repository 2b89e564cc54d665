//! What can be read off a filter without running it.

use std::collections::BTreeMap;
use std::ops::Bound;

use millstream_value::{Code, Value};

use super::node::{Check, Node};
use super::operand::Comparison;
use crate::{Error, Result, collation};

/// Something that every matching document satisfies: a value at `path` passes `test`.
///
/// "A value at the path" is meant as filters mean it: with an array on the way or at the end, one element is enough,
/// and two conditions on one path may be satisfied by different elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The dotted path.
    pub path: String,
    /// What a value there has to be.
    pub test: Test,
    /// Whether `test` means the stored value and nothing else. False if null is involved (a missing field passes
    /// too), an array (which passes as a whole or as an element) or a regex.
    pub plain: bool,
}

impl Condition {
    /// Whether it means something else under another collation.
    #[must_use]
    pub fn compares_texts(&self) -> bool {
        match &self.test {
            Test::Eq(value) => collation::applies_to(value),
            Test::In(values) => values.iter().any(collation::applies_to),
            Test::Range { lower, upper } => [lower, upper].into_iter().any(|bound| match bound {
                Bound::Included(value) | Bound::Excluded(value) => collation::applies_to(value),
                Bound::Unbounded => false,
            }),
            // A regular expression looks at bytes, whatever the collation.
            Test::Prefix(_) | Test::Exists => false,
        }
    }
}

/// What a value has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Equal to this.
    Eq(Value<'static>),
    /// Equal to one of these; never empty.
    In(Vec<Value<'static>>),
    /// Between these. A side without a bound ends where the type of the other side's bound ends.
    Range {
        /// The smaller end.
        lower: Bound<Value<'static>>,
        /// The larger end.
        upper: Bound<Value<'static>>,
    },
    /// A text that starts with this, from a regex such as `/^abc/`; the regex asks for more.
    Prefix(String),
    /// Anything but missing.
    Exists,
}

/// The conditions of the conjunction at the top.
pub(super) fn of(root: &Node) -> Vec<Condition> {
    let mut found = Vec::new();
    collect(root, &mut found);
    found
}

fn collect(node: &Node, found: &mut Vec<Condition>) {
    match node {
        Node::And(parts) => parts.iter().for_each(|part| collect(part, found)),
        Node::Field { path, check } => {
            if let Some((test, plain)) = test(check) {
                found.push(Condition { path: path.as_str().to_owned(), test, plain });
            }
        }
        // One of several equalities on one path is a list.
        Node::Or(parts) => found.extend(alternatives(parts)),
        Node::Always(_) | Node::Not(_) | Node::Expression(_) | Node::Sample { .. } => {}
    }
}

/// The ways to match: every matching document satisfies all conditions of at least one of these lists. At most `max` of
/// them; where there would be more, the conditions of the conjunction at the top are the only list.
pub(super) fn ways(root: &Node, max: usize) -> Vec<Vec<Condition>> {
    ways_of(root, max).unwrap_or_else(|| vec![of(root)])
}

fn ways_of(node: &Node, max: usize) -> Option<Vec<Vec<Condition>>> {
    let ways = match node {
        Node::And(parts) => {
            let mut ways = vec![Vec::new()];
            for part in parts {
                // A part with too many ways of its own still has what they share.
                let more = ways_of(part, max).filter(|more| ways.len() * more.len() <= max);
                let more = more.unwrap_or_else(|| vec![of(part)]);
                let joined = |way: &Vec<Condition>| more.iter().map(|rest| [way.as_slice(), rest].concat()).collect();
                ways = ways.iter().flat_map(|way| -> Vec<_> { joined(way) }).collect();
            }
            ways
        }
        Node::Or(parts) => match alternatives(parts) {
            Some(condition) => vec![vec![condition]],
            None => parts.iter().map(|part| ways_of(part, max)).collect::<Option<Vec<_>>>()?.concat(),
        },
        _ => vec![of(node)],
    };
    (ways.len() <= max).then_some(ways)
}

fn alternatives(parts: &[Node]) -> Option<Condition> {
    let mut all: Option<Condition> = None;
    let mut listed = Vec::new();
    for part in parts {
        let Node::Field { path, check } = part else {
            return None;
        };
        let (test, plain) = test(check)?;
        match test {
            Test::Eq(value) => listed.push(value),
            Test::In(values) => listed.extend(values),
            Test::Range { .. } | Test::Prefix(_) | Test::Exists => return None,
        }
        let all =
            all.get_or_insert_with(|| Condition { path: path.as_str().to_owned(), test: Test::Exists, plain: true });
        if all.path != path.as_str() {
            return None;
        }
        all.plain &= plain;
    }
    all.map(|all| Condition { test: Test::In(listed), ..all })
}

fn test(check: &Check) -> Option<(Test, bool)> {
    Some(match check {
        Check::Compare(comparison, operand) => {
            let value = operand.value().clone();
            let plain = is_plain(&value);
            let test = match comparison {
                Comparison::Equal => Test::Eq(value),
                Comparison::Less => Test::Range { lower: Bound::Unbounded, upper: Bound::Excluded(value) },
                Comparison::LessOrEqual => Test::Range { lower: Bound::Unbounded, upper: Bound::Included(value) },
                Comparison::Greater => Test::Range { lower: Bound::Excluded(value), upper: Bound::Unbounded },
                Comparison::GreaterOrEqual => Test::Range { lower: Bound::Included(value), upper: Bound::Unbounded },
            };
            // The smallest and the largest key bound every type, so such a range is no range of one type.
            (test, plain)
        }
        Check::In(operands) if operands.patterns().is_empty() => {
            let values: Vec<_> = operands.values().cloned().collect();
            let plain = values.iter().all(is_plain);
            (Test::In(values), plain)
        }
        Check::Regex(pattern) => (Test::Prefix(pattern.prefix()?.to_owned()), false),
        Check::Exists
        | Check::Type(_)
        | Check::Size(_)
        | Check::Modulo(_)
        | Check::Bits(_)
        | Check::AnyDocument(_)
        | Check::AnyElement(_) => (Test::Exists, true),
        Check::In(_) => return None,
    })
}

fn is_plain(value: &Value<'_>) -> bool {
    !matches!(
        value,
        Value::Null | Value::Undefined | Value::Array(_) | Value::Regex(..) | Value::MinKey | Value::MaxKey
    )
}

/// The fields that an upsert starts with.
pub(super) fn equalities(root: &Node) -> Result<Vec<(String, Value<'static>)>> {
    let mut found = BTreeMap::new();
    collect_equalities(root, &mut found)?;
    for path in found.keys() {
        // Only a path that is a part of another can stand in its way.
        for (dot, _) in path.match_indices('.') {
            if let Some(part) = path.get(..dot).filter(|part| found.contains_key(*part)) {
                return Err(Error::new(
                    Code::NotSingleValueField,
                    format!("cannot infer query fields to set, both paths '{path}' and '{part}' are matched"),
                ));
            }
        }
    }
    Ok(found.into_iter().collect())
}

fn collect_equalities(node: &Node, found: &mut BTreeMap<String, Value<'static>>) -> Result<()> {
    match node {
        Node::And(parts) => parts.iter().try_for_each(|part| collect_equalities(part, found))?,
        Node::Field { path, check: Check::Compare(Comparison::Equal, operand) } => {
            let twice = found.insert(path.as_str().to_owned(), operand.value().clone()).is_some();
            return if twice { Err(matched_twice(path.as_str())) } else { Ok(()) };
        }
        other if has_expression(other) => {
            return Err(Error::new(
                Code::QueryFeatureNotAllowed,
                "$expr is not allowed in the query predicate for an upsert",
            ));
        }
        _ => {}
    }
    Ok(())
}

fn matched_twice(path: &str) -> Error {
    Error::new(Code::NotSingleValueField, format!("cannot infer query fields to set, path '{path}' is matched twice"))
}

fn has_expression(node: &Node) -> bool {
    match node {
        Node::Expression(_) => true,
        Node::And(parts) | Node::Or(parts) => parts.iter().any(has_expression),
        Node::Not(part) => has_expression(part),
        Node::Always(_) | Node::Field { .. } | Node::Sample { .. } => false,
    }
}

/// The paths that are read, each once; `None` if they cannot be told.
pub(super) fn paths(root: &Node) -> Option<Vec<String>> {
    let mut found = Vec::new();
    collect_paths(root, &mut found).then(|| {
        found.sort_unstable();
        found.dedup();
        found
    })
}

fn collect_paths(node: &Node, found: &mut Vec<String>) -> bool {
    match node {
        Node::Always(_) => true,
        Node::And(parts) | Node::Or(parts) => parts.iter().all(|part| collect_paths(part, found)),
        Node::Not(part) => collect_paths(part, found),
        Node::Field { path, .. } => {
            found.push(path.as_str().to_owned());
            true
        }
        Node::Expression(_) | Node::Sample { .. } => false,
    }
}
