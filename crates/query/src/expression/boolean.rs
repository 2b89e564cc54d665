//! `$and`, `$or`, `$not`.
//!
//! Shape:  a list of any length; `$not` takes one.
//! Truth:  everything but false, 0, null, undefined and missing.
//! Result: bool. `$and` of nothing is true, `$or` of nothing false. What follows the deciding argument is not computed.
//! Source: MongoDB manual 8.0, "Boolean Expression Operators".

use millstream_value::Value;

use super::node::{Env, Node};
use super::operator::{Args, Operator};
use crate::Result;

pub(super) static AND: Operator = Operator::lazy("$and", 0, usize::MAX, and);
pub(super) static NOT: Operator = Operator::exactly("$not", 1, not);
pub(super) static OR: Operator = Operator::lazy("$or", 0, usize::MAX, or);

fn and<'v>(_: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    for node in nodes {
        if !is_true(node.eval(env)?.as_ref()) {
            return Ok(Some(false.into()));
        }
    }
    Ok(Some(true.into()))
}

fn or<'v>(_: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    for node in nodes {
        if is_true(node.eval(env)?.as_ref()) {
            return Ok(Some(true.into()));
        }
    }
    Ok(Some(false.into()))
}

fn not<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    Ok(Some((!is_true(args.get(0))).into()))
}

/// The truth of a value; missing is false.
pub(super) fn is_true(value: Option<&Value<'_>>) -> bool {
    value.is_some_and(Value::is_truthy)
}
