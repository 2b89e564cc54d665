//! `$mergeObjects`, `$getField`, `$setField`, `$unsetField`.
//!
//! Source: MongoDB manual 8.0, "Object Expression Operators".

use std::collections::HashMap;

use millstream_value::{Doc, DocBuf, Value};

use super::compile::Compiler;
use super::limit;
use super::node::{Env, Node};
use super::operator::{Args, Operator, Unknown, is_nullish, optional, required, shown, type_name};
use crate::{Error, Result};

pub(super) static GET_FIELD: Operator = Operator::own("$getField", parse_get_field);
pub(super) static MERGE_OBJECTS: Operator = Operator::any("$mergeObjects", merge_objects);
pub(super) static SET_FIELD: Operator = Operator::own("$setField", parse_set_field);
pub(super) static UNSET_FIELD: Operator = Operator::own("$unsetField", parse_unset_field);

fn merge_objects<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let mut merged = Merged::default();
    for value in args.all() {
        let Some(value) = value.as_ref().filter(|value| !value.is_nullish()) else { continue };
        let Some(doc) = value.as_doc() else {
            return args.fail(
                40400,
                format_args!(
                    "requires object inputs, but input {} is of type {}",
                    shown(Some(value)),
                    value.type_name()
                ),
            );
        };
        limit::size(merged.bytes().saturating_add(doc.as_bytes().len()))?;
        merged.add(doc);
    }
    Ok(Some(merged.finish().into()))
}

/// Documents laid over each other: a field keeps its first place and its last value.
#[derive(Debug, Default)]
pub(super) struct Merged {
    fields: Vec<(String, Value<'static>)>,
    places: HashMap<String, usize>,
    bytes: usize,
}

impl Merged {
    /// Lays a document over what there is.
    pub(super) fn add(&mut self, doc: Doc<'_>) {
        for element in doc.elements() {
            let value = element.value().into_owned();
            self.bytes += element.bytes().len() + element.key().len() + 48;
            match self.places.get(element.key()).and_then(|&at| self.fields.get_mut(at)) {
                Some((_, slot)) => {
                    self.bytes = self.bytes.saturating_sub(limit::size_of(slot));
                    *slot = value;
                }
                None => {
                    self.places.insert(element.key().to_owned(), self.fields.len());
                    self.fields.push((element.key().to_owned(), value));
                }
            }
        }
    }

    /// About how many bytes it holds.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The document.
    pub(super) fn finish(self) -> DocBuf {
        let mut doc = DocBuf::new();
        for (name, value) in self.fields {
            doc.push(&name, value);
        }
        doc
    }
}

/// `{field: a, input: b}`, or a field's name for `$$CURRENT`.
fn parse_get_field(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let current = Value::from("$$CURRENT");
    let args = match value.as_doc().filter(|doc| !doc.elements().next().is_some_and(|e| e.key().starts_with('$'))) {
        None => vec![compiler.node(value)?, compiler.node(&current)?],
        Some(_) => {
            let names = &[required("field", 3_041_702), required("input", 3_041_703)];
            compiler.named(name, names, &Unknown { unknown: 3_041_701, not_object: 3_041_701 }, value)?.0
        }
    };
    if let Some(Node::Literal(constant)) = args.first() {
        check_field(name, constant.as_ref(), 3_041_704)?;
    }
    Ok(Node::Lazy { name, run: get_field, args })
}

fn check_field(name: &str, field: Option<&Value<'_>>, code: i32) -> Result<()> {
    if field.is_some_and(|field| field.as_str().is_some()) {
        return Ok(());
    }
    Err(Error::location(
        code,
        format!("{name} requires 'field' to evaluate to type String, but got {}", type_name(field)),
    ))
}

fn get_field<'v>(name: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    let [field, input] = nodes else { return Ok(None) };
    let field = field.eval(env)?;
    check_field(name, field.as_ref(), 3_041_704)?;
    let input = input.eval(env)?;
    if input.as_ref().is_some_and(Value::is_nullish) {
        return Ok(Some(Value::Null));
    }
    let (Some(Value::String(field)), Some(input)) = (field, input) else { return Ok(None) };
    Ok(super::node::follow(&input, &[field.into_owned()]).filter(|_| input.as_doc().is_some()))
}

fn parse_set_field(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let names = &[required("field", 4_161_102), required("input", 4_161_109), required("value", 4_161_103)];
    let args = compiler.named(name, names, &Unknown { unknown: 4_161_101, not_object: 4_161_100 }, value)?.0;
    constant_field(name, &args)?;
    Ok(Node::Lazy { name, run: set_field, args })
}

fn parse_unset_field(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let names = &[required("field", 4_161_102), required("input", 4_161_109), optional("value")];
    let (mut args, given) =
        compiler.named(name, names, &Unknown { unknown: 4_161_101, not_object: 4_161_100 }, value)?;
    if given & 4 != 0 {
        return Err(Error::location(4_161_101, format!("Unknown argument to {name}: value")));
    }
    constant_field(name, &args)?;
    args.truncate(2);
    args.push(Node::Literal(None));
    Ok(Node::Lazy { name, run: set_field, args })
}

/// The field of `$setField` and `$unsetField` must be a constant string, and the constant may start with `$`.
fn constant_field(name: &str, args: &[Node]) -> Result<()> {
    match args.first() {
        Some(Node::Literal(constant)) => check_field(name, constant.as_ref(), 4_161_107),
        Some(Node::Path { .. }) => Err(Error::location(
            4_161_108,
            format!(
                "'field' argument to {name} must be a constant; to use a field path as a name, wrap it in $literal"
            ),
        )),
        _ => Err(Error::location(4_161_106, format!("{name} requires 'field' to evaluate to a constant"))),
    }
}

fn set_field<'v>(name: &'static str, nodes: &'v [Node], env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
    let [field, input, value] = nodes else { return Ok(None) };
    let (field, input, value) = (field.eval(env)?, input.eval(env)?, value.eval(env)?);
    if is_nullish(input.as_ref()) {
        return Ok(Some(Value::Null));
    }
    let (Some(doc), Some(field)) = (input.as_ref().and_then(Value::as_doc), field.as_ref().and_then(Value::as_str))
    else {
        return Err(Error::location(4_161_105, format!("{name} requires 'input' to evaluate to type Object")));
    };
    let mut result = DocBuf::with_capacity(doc.as_bytes().len() + 32);
    let mut value = value;
    for element in doc.elements() {
        if element.key() == field {
            result.push_some(field, value.take());
        } else {
            result.push_element(element);
        }
    }
    result.push_some(field, value);
    limit::size(result.size())?;
    Ok(Some(result.into()))
}
