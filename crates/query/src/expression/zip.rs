//! `$zip`: the transpose of several arrays.
//!
//! Shape:  `{inputs: [a, b, …], useLongestLength: <bool>, defaults: [x, y, …]}`
//! Absent: a null or missing input gives null.
//! Result: as many arrays as the shortest input has elements; the longest, with defaults or null, where asked for.
//! Source: MongoDB manual 8.0, "$zip".

use millstream_value::{ArrayBuf, Value};

use super::array::items;
use super::compile::Compiler;
use super::limit;
use super::node::{Env, Node};
use super::operator::{Operator, is_nullish, shown};
use crate::{Error, Result};

pub(super) static ZIP: Operator = Operator::own("$zip", parse);

/// Nodes: whether to use the longest length, the array of defaults, then the inputs.
fn parse(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let Some(doc) = value.as_doc() else {
        return Err(Error::location(
            34460,
            format!("$zip only supports an object as an argument, found {}", value.type_name()),
        ));
    };
    let (mut inputs, mut defaults, mut longest) = (Vec::new(), Vec::new(), false);
    for element in doc.elements() {
        let value = element.value();
        match element.key() {
            "inputs" => inputs = list(&value, 34461, "inputs", compiler)?,
            "defaults" => defaults = list(&value, 34462, "defaults", compiler)?,
            "useLongestLength" => {
                let Value::Bool(wanted) = value else {
                    return Err(Error::location(
                        34463,
                        format!("useLongestLength must be a bool, found {}", value.type_name()),
                    ));
                };
                longest = wanted;
            }
            other => return Err(Error::location(34464, format!("$zip found an unknown argument: {other}"))),
        }
    }
    if inputs.is_empty() {
        return Err(Error::location(34465, "$zip requires at least one input array"));
    }
    if !defaults.is_empty() && !longest {
        return Err(Error::location(34466, "cannot specify defaults unless useLongestLength is true"));
    }
    if !defaults.is_empty() && defaults.len() != inputs.len() {
        return Err(Error::location(34467, "defaults and inputs must have the same length"));
    }
    let mut args = vec![Node::Literal(Some(longest.into())), Node::Array(defaults)];
    args.extend(inputs);
    Ok(Node::Lazy { name, run: zip, args })
}

fn list(value: &Value<'_>, code: i32, what: &str, compiler: &mut Compiler<'_>) -> Result<Vec<Node>> {
    let Some(array) = value.as_array() else {
        return Err(Error::location(
            code,
            format!("{what} must be an array of expressions, found {}", value.type_name()),
        ));
    };
    array.values().map(|item| compiler.node(&item)).collect()
}

fn zip<'v>(_: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    let [longest, defaults, inputs @ ..] = nodes else { return Ok(None) };
    let longest = longest.eval(env)?.is_some_and(|value| value.is_truthy());
    let defaults = defaults.eval(env)?.as_ref().and_then(items).unwrap_or_default();
    let mut columns = Vec::with_capacity(inputs.len());
    for input in inputs {
        let value = input.eval(env)?;
        if is_nullish(value.as_ref()) {
            return Ok(Some(Value::Null));
        }
        columns.push(value.as_ref().and_then(items).ok_or_else(|| {
            Error::location(34468, format!("$zip found a non-array expression in input: {}", shown(value.as_ref())))
        })?);
    }
    let lengths = columns.iter().map(Vec::len);
    let rows = if longest { lengths.max() } else { lengths.min() }.unwrap_or(0);
    let mut zipped = ArrayBuf::new();
    for at in 0..rows {
        let mut row = ArrayBuf::new();
        for (column, values) in columns.iter().enumerate() {
            let value = values.get(at).or_else(|| defaults.get(column));
            limit::push(&mut row, value.map_or(Value::Null, Value::borrowed))?;
        }
        limit::push(&mut zipped, row.into())?;
    }
    Ok(Some(zipped.into()))
}
