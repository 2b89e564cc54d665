//! Arrays as sets: order and repetition do not count, and `1` equals `1.0`.
//!
//! Result: `$setUnion` and `$setIntersection` are in the order of all values, `$setDifference` in that of its first
//!         argument; none repeats a value.
//! Source: MongoDB manual 8.0, "Set Expression Operators".

use std::collections::{BTreeMap, BTreeSet, HashSet};

use millstream_value::{ArrayBuf, Doc, TextOrder, Value, key};

use super::limit;
use super::operator::{Args, Operator};
use crate::expression::compile::Compiler;
use crate::expression::node::Node;
use crate::{Error, Result};

pub(super) static ALL_ELEMENTS_TRUE: Operator = Operator::exactly("$allElementsTrue", 1, |args| {
    let array = one_array(args, 17040)?;
    Ok(Some(array.values().all(|item| item.is_truthy()).into()))
});
pub(super) static ANY_ELEMENT_TRUE: Operator = Operator::exactly("$anyElementTrue", 1, |args| {
    let array = one_array(args, 17041)?;
    Ok(Some(array.values().any(|item| item.is_truthy()).into()))
});
pub(super) static SET_DIFFERENCE: Operator = Operator::exactly("$setDifference", 2, difference);
pub(super) static SET_EQUALS: Operator = Operator::own("$setEquals", parse_equals);
pub(super) static SET_INTERSECTION: Operator = Operator::any("$setIntersection", intersection);
pub(super) static SET_IS_SUBSET: Operator = Operator::exactly("$setIsSubset", 2, is_subset);
pub(super) static SET_UNION: Operator = Operator::any("$setUnion", union);

fn one_array<'s>(args: &'s Args<'_, '_>, code: i32) -> Result<Doc<'s>> {
    args.get(0).and_then(Value::as_array).ok_or_else(|| {
        Error::location(code, format!("{}'s argument must be an array, but is {}", args.name, args.type_name(0)))
    })
}

/// One of the operands as an array; `which` names it in the message.
fn operand<'s>(args: &'s Args<'_, '_>, at: usize, code: i32, which: &str) -> Result<Doc<'s>> {
    args.get(at).and_then(Value::as_array).ok_or_else(|| {
        let all = if which == "One" { "All" } else { "both" };
        Error::location(
            code,
            format!(
                "{all} operands of {} must be arrays. {which} argument is of type: {}",
                args.name,
                args.type_name(at)
            ),
        )
    })
}

fn keys(array: Doc<'_>, order: Option<&dyn TextOrder>) -> HashSet<Vec<u8>> {
    array.values().map(|item| key::of_by(&item, order)).collect()
}

fn difference<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) || args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let (left, right) = (operand(args, 0, 17048, "First")?, operand(args, 1, 17049, "Second")?);
    let order = args.order();
    let mut seen = keys(right, order);
    let mut rest = ArrayBuf::new();
    for element in left.elements() {
        if seen.insert(key::of_by(&element.value(), order)) {
            rest.push_element(element);
        }
    }
    Ok(Some(rest.into()))
}

fn is_subset<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let (left, right) = (operand(args, 0, 17046, "First")?, operand(args, 1, 17042, "Second")?);
    let order = args.order();
    let right = keys(right, order);
    Ok(Some(left.values().all(|item| right.contains(&key::of_by(&item, order))).into()))
}

fn parse_equals(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let args = match value.as_array() {
        Some(items) => items.values().map(|item| compiler.node(&item)).collect::<Result<Vec<_>>>()?,
        None => vec![compiler.node(value)?],
    };
    if args.len() < 2 {
        return Err(Error::location(17045, format!("$setEquals needs at least two arguments had: {}", args.len())));
    }
    let constant = args.iter().all(Node::is_literal);
    compiler.fold(Node::Eager { name, run: equals, args, given: u32::MAX }, constant)
}

fn equals<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let (mut first, order) = (None, args.order());
    let mut all_equal = true;
    for at in 0..args.len() {
        let keys: BTreeSet<Vec<u8>> =
            operand(args, at, 17044, "One")?.values().map(|item| key::of_by(&item, order)).collect();
        match &first {
            None => first = Some(keys),
            Some(first) => all_equal &= *first == keys,
        }
    }
    Ok(Some(all_equal.into()))
}

fn intersection<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let order = args.order();
    let mut common: Option<BTreeMap<Vec<u8>, Value<'_>>> = None;
    for at in 0..args.len() {
        if args.nullish(at) {
            return Ok(Some(Value::Null));
        }
        let array = operand(args, at, 17047, "One")?;
        match &mut common {
            None => common = Some(array.values().map(|item| (key::of_by(&item, order), item)).collect()),
            Some(common) => {
                let keys = keys(array, order);
                common.retain(|key, _| keys.contains(key));
            }
        }
    }
    limit::array(common.unwrap_or_default().into_values().map(Some)).map(Some)
}

fn union<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let order = args.order();
    let mut all: BTreeMap<Vec<u8>, Value<'_>> = BTreeMap::new();
    for at in 0..args.len() {
        if args.nullish(at) {
            return Ok(Some(Value::Null));
        }
        for item in operand(args, at, 17043, "One")?.values() {
            all.entry(key::of_by(&item, order)).or_insert(item);
        }
    }
    limit::array(all.into_values().map(Some)).map(Some)
}
