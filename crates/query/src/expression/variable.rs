//! Operators that bind variables: `$let`, `$map`, `$filter`, `$reduce`.
//!
//! Absent: a null or missing `input` gives null.
//! Source: MongoDB manual 8.0, "Variable Expression Operators", "Array Expression Operators".

use millstream_value::{ArrayBuf, Doc, Value};

use super::array::items;
use super::boolean::is_true;
use super::compile::{Compiler, check_bindable};
use super::limit;
use super::node::{Env, Node};
use super::operator::{Operator, is_nullish, type_name};
use crate::{Error, Result};

pub(super) static FILTER: Operator = Operator::own("$filter", parse_filter);
pub(super) static LET: Operator = Operator::own("$let", parse_let);
pub(super) static MAP: Operator = Operator::own("$map", parse_map);
pub(super) static REDUCE: Operator = Operator::own("$reduce", parse_reduce);

/// The argument as a document that has only `known` fields.
fn fields<'a>(name: &str, value: &'a Value<'_>, known: &[&str], not_object: i32, unknown: i32) -> Result<Doc<'a>> {
    let doc = value.as_doc().ok_or_else(|| {
        Error::location(
            not_object,
            format!("{name} only supports an object as its argument, not {}", value.type_name()),
        )
    })?;
    match doc.elements().find(|e| !known.contains(&e.key())) {
        Some(other) => Err(Error::location(unknown, format!("Unrecognized parameter to {name}: {}", other.key()))),
        None => Ok(doc),
    }
}

fn field<'a>(name: &str, doc: Doc<'a>, key: &str, code: i32) -> Result<Value<'a>> {
    doc.get(key).ok_or_else(|| Error::location(code, format!("Missing '{key}' parameter to {name}")))
}

/// The name of the variable that holds the element.
fn element_name(doc: Doc<'_>) -> Result<String> {
    match doc.get("as") {
        None => Ok("this".to_owned()),
        Some(value) => {
            let name = value.as_str().unwrap_or_default();
            check_bindable(name)?;
            Ok(name.to_owned())
        }
    }
}

/// `{vars: {name: a, …}, in: b}`; the variables do not see each other.
fn parse_let(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let Some(doc) = value.as_doc() else {
        return Err(Error::location(16874, "$let only supports an object as its argument"));
    };
    if let Some(other) = doc.elements().find(|e| !matches!(e.key(), "vars" | "in")) {
        return Err(Error::location(16875, format!("Unrecognized parameter to $let: {}", other.key())));
    }
    let vars = field(name, doc, "vars", 16876)?;
    let body = field(name, doc, "in", 16877)?;
    let Some(vars) = vars.as_doc() else {
        return Err(Error::location(10065, "invalid parameter: expected an object (vars)"));
    };
    let mut args = Vec::new();
    let mut names = Vec::new();
    for var in vars.elements() {
        check_bindable(var.key())?;
        args.push(compiler.node(&var.value())?);
        names.push(var.key());
    }
    args.push(compiler.node_with(&names, &body)?);
    Ok(Node::Lazy { name, run: run_let, args })
}

fn run_let<'v>(_: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    let Some((body, vars)) = nodes.split_last() else { return Ok(None) };
    let values = vars.iter().map(|var| var.eval(env)).collect::<Result<Vec<_>>>()?;
    for value in values {
        env.push(value);
    }
    let result = body.eval(env);
    env.pop(vars.len());
    result
}

/// `{input: a, as: name, in: b}`
fn parse_map(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let doc = fields(name, value, &["input", "as", "in"], 16878, 16879)?;
    let (input, body) = (field(name, doc, "input", 16880)?, field(name, doc, "in", 16882)?);
    let element = element_name(doc)?;
    let args = vec![compiler.node(&input)?, compiler.node_with(&[&element], &body)?];
    Ok(Node::Lazy { name, run: map, args })
}

fn map<'v>(name: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    let [input, body] = nodes else { return Ok(None) };
    let Some(items) = input_items(name, 16883, input.eval(env)?)? else { return Ok(Some(Value::Null)) };
    let mut mapped = ArrayBuf::new();
    for item in items {
        limit::push(&mut mapped, env.with(Some(item), body)?.unwrap_or(Value::Null))?;
    }
    Ok(Some(mapped.into()))
}

fn input_items<'v>(name: &str, code: i32, input: Option<Value<'v>>) -> Result<Option<Vec<Value<'v>>>> {
    if is_nullish(input.as_ref()) {
        return Ok(None);
    }
    match input.as_ref().and_then(items) {
        Some(items) => Ok(Some(items)),
        None => {
            Err(Error::location(code, format!("input to {name} must be an array not {}", type_name(input.as_ref()))))
        }
    }
}

/// `{input: a, as: name, cond: b, limit: c}`
fn parse_filter(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let doc = fields(name, value, &["input", "as", "cond", "limit"], 28646, 28647)?;
    let (input, cond) = (field(name, doc, "input", 28648)?, field(name, doc, "cond", 28650)?);
    let element = element_name(doc)?;
    let mut args = vec![compiler.node(&input)?, compiler.node_with(&[&element], &cond)?];
    if let Some(limit) = doc.get("limit") {
        args.push(compiler.node(&limit)?);
    }
    Ok(Node::Lazy { name, run: filter, args })
}

fn filter<'v>(name: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    let (input, cond, most) = match nodes {
        [input, cond] => (input, cond, None),
        [input, cond, most] => (input, cond, Some(most)),
        _ => return Ok(None),
    };
    let Some(items) = input_items(name, 28651, input.eval(env)?)? else { return Ok(Some(Value::Null)) };
    let most = match most {
        None => usize::MAX,
        Some(most) => limit_of(most.eval(env)?.as_ref())?,
    };
    let mut kept = ArrayBuf::new();
    for item in items {
        if is_true(env.with(Some(item.clone()), cond)?.as_ref()) {
            limit::push(&mut kept, item)?;
            if kept.len() >= most {
                break;
            }
        }
    }
    Ok(Some(kept.into()))
}

fn limit_of(value: Option<&Value<'_>>) -> Result<usize> {
    if is_nullish(value) {
        return Ok(usize::MAX);
    }
    let shown = super::operator::shown(value);
    let Some(limit) = value.and_then(super::string::integer) else {
        return Err(Error::location(
            327_391,
            format!("$filter: limit must be represented as a 32-bit integral value: {shown}"),
        ));
    };
    usize::try_from(limit)
        .ok()
        .filter(|&limit| limit > 0)
        .ok_or_else(|| Error::location(327_392, format!("$filter: limit must be greater than 0: {shown}")))
}

/// `{input: a, initialValue: b, in: c}`; `c` sees `$$value` and `$$this`.
fn parse_reduce(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let doc = fields(name, value, &["input", "initialValue", "in"], 40075, 40076)?;
    let input = field(name, doc, "input", 40077)?;
    let initial = field(name, doc, "initialValue", 40078)?;
    let body = field(name, doc, "in", 40079)?;
    let args = vec![compiler.node(&input)?, compiler.node(&initial)?, compiler.node_with(&["value", "this"], &body)?];
    Ok(Node::Lazy { name, run: reduce, args })
}

fn reduce<'v>(_: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    let [input, initial, body] = nodes else { return Ok(None) };
    let input = input.eval(env)?;
    if is_nullish(input.as_ref()) {
        return Ok(Some(Value::Null));
    }
    let Some(items) = input.as_ref().and_then(items) else {
        return Err(Error::location(
            40080,
            format!("$reduce requires that 'input' be an array, found: {}", super::operator::shown(input.as_ref())),
        ));
    };
    let mut value = initial.eval(env)?;
    for item in items {
        env.push(value);
        let next = env.with(Some(item), body);
        env.pop(1);
        value = next?;
        // A value that grows with every step must not outgrow the stack of whoever walks it.
        if let Some(value) = &value {
            limit::depth(value)?;
        }
    }
    Ok(value)
}
