//! `$cond`, `$ifNull`, `$switch` and `$literal`.
//!
//! Only the branch that is taken is computed; errors of constant parts of other branches still come when the
//! expression is compiled, as in MongoDB.
//! Source: MongoDB manual 8.0, "Conditional Expression Operators".

use millstream_value::Value;

use super::boolean::is_true;
use super::compile::Compiler;
use super::node::{Env, Node};
use super::operator::{Operator, is_nullish};
use crate::{Error, Result};

pub(super) static COND: Operator = Operator::own("$cond", parse_cond);
pub(super) static CONST: Operator = Operator::own("$const", parse_literal);
pub(super) static IF_NULL: Operator = Operator::own("$ifNull", parse_if_null);
pub(super) static LITERAL: Operator = Operator::own("$literal", parse_literal);
pub(super) static SWITCH: Operator = Operator::own("$switch", parse_switch);

fn parse_literal(_: &'static str, value: &Value<'_>, _: &mut Compiler<'_>) -> Result<Node> {
    Ok(Node::Literal(Some(value.clone().into_owned())))
}

/// `{if: a, then: b, else: c}` or `[a, b, c]`.
fn parse_cond(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let args = match value.as_doc() {
        Some(doc) => {
            if let Some(unknown) = doc.elements().find(|e| !matches!(e.key(), "if" | "then" | "else")) {
                return Err(Error::location(17083, format!("Unrecognized parameter to $cond: {}", unknown.key())));
            }
            let mut args = Vec::with_capacity(3);
            for (part, code) in [("if", 17080), ("then", 17081), ("else", 17082)] {
                let value = doc
                    .get(part)
                    .ok_or_else(|| Error::location(code, format!("Missing '{part}' parameter to $cond")))?;
                args.push(compiler.node(&value)?);
            }
            args
        }
        None => {
            let parts: Vec<Value<'_>> =
                value.as_array().map_or_else(|| vec![value.borrowed()], |a| a.values().collect());
            let args = parts.iter().map(|part| compiler.node(part)).collect::<Result<Vec<_>>>()?;
            if args.len() != 3 {
                return Err(Error::location(
                    16020,
                    format!("Expression $cond takes exactly 3 arguments. {} were passed in.", args.len()),
                ));
            }
            args
        }
    };
    let constant = args.iter().all(Node::is_literal);
    compiler.fold(Node::Lazy { name, run: cond, args }, constant)
}

fn cond<'v>(_: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    let [condition, then, otherwise] = nodes else { return Ok(None) };
    if is_true(condition.eval(env)?.as_ref()) { then.eval(env) } else { otherwise.eval(env) }
}

fn parse_if_null(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let parts: Vec<Value<'_>> = value.as_array().map_or_else(|| vec![value.borrowed()], |a| a.values().collect());
    let args = parts.iter().map(|part| compiler.node(part)).collect::<Result<Vec<_>>>()?;
    if args.len() < 2 {
        return Err(Error::location(1_257_300, format!("$ifNull needs at least two arguments, had: {}", args.len())));
    }
    let constant = args.iter().all(Node::is_literal);
    compiler.fold(Node::Lazy { name, run: if_null, args }, constant)
}

fn if_null<'v>(_: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    let mut last = None;
    for node in nodes {
        last = node.eval(env)?;
        if !is_nullish(last.as_ref()) {
            break;
        }
    }
    Ok(last)
}

/// `{branches: [{case: a, then: b}, …], default: c}`; nodes are case, then, case, then, …, and the default if any.
fn parse_switch(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let Some(doc) = value.as_doc() else {
        return Err(Error::location(
            40060,
            format!("$switch requires an object as an argument, found: {}", value.type_name()),
        ));
    };
    let (mut args, mut default) = (Vec::new(), None);
    for element in doc.elements() {
        match element.key() {
            "branches" => {
                let branches = element.as_array().ok_or_else(|| {
                    let found = element.value().type_name();
                    Error::location(40061, format!("$switch expected an array for 'branches', found: {found}"))
                })?;
                for branch in branches.values() {
                    args.extend(parse_branch(&branch, compiler)?);
                }
            }
            "default" => default = Some(compiler.node(&element.value())?),
            other => return Err(Error::location(40067, format!("$switch found an unknown argument: {other}"))),
        }
    }
    if args.is_empty() {
        return Err(Error::location(40068, "$switch requires at least one branch"));
    }
    args.extend(default);
    Ok(Node::Lazy { name, run: switch, args })
}

fn parse_branch(branch: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<[Node; 2]> {
    let Some(doc) = branch.as_doc() else {
        return Err(Error::location(
            40062,
            format!("$switch expected each branch to be an object, found: {}", branch.type_name()),
        ));
    };
    if let Some(other) = doc.elements().find(|e| !matches!(e.key(), "case" | "then")) {
        return Err(Error::location(40063, format!("$switch found an unknown argument to a branch: {}", other.key())));
    }
    let case = doc
        .get("case")
        .ok_or_else(|| Error::location(40064, "$switch requires each branch have a 'case' expression"))?;
    let then = doc
        .get("then")
        .ok_or_else(|| Error::location(40065, "$switch requires each branch have a 'then' expression."))?;
    Ok([compiler.node(&case)?, compiler.node(&then)?])
}

fn switch<'v>(_: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    for pair in nodes.chunks(2) {
        match pair {
            [default] => return default.eval(env),
            [case, then] if is_true(case.eval(env)?.as_ref()) => return then.eval(env),
            _ => {}
        }
    }
    Err(Error::location(40066, "$switch could not find a matching branch for an input, and no default was specified."))
}
