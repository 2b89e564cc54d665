//! Operators that are known and not offered, each with the error it gives.
//!
//! `$where` runs JavaScript; `$text` and the geographic operators need indexes of kinds that do not exist here.

use millstream_value::{Code, Element, Value};

use super::node::Node;
use super::operators::{Clause, Context, Operator, TopOperator};
use crate::{Error, Result};

pub(super) const GEO_INTERSECTS: Operator = Operator { name: "$geoIntersects", parse: geographic };
pub(super) const GEO_WITHIN: Operator = Operator { name: "$geoWithin", parse: geographic };
pub(super) const JSON_SCHEMA: TopOperator = TopOperator { name: "$jsonSchema", parse: json_schema };
pub(super) const NEAR: Operator = Operator { name: "$near", parse: near };
pub(super) const NEAR_SPHERE: Operator = Operator { name: "$nearSphere", parse: near };
pub(super) const TEXT: TopOperator = TopOperator { name: "$text", parse: text };
pub(super) const WHERE: TopOperator = TopOperator { name: "$where", parse: javascript };
pub(super) const WITHIN: Operator = Operator { name: "$within", parse: geographic };

fn geographic(clause: &Clause<'_>) -> Result<Node> {
    Err(Error::bad_value(format!("{} is not supported", clause.argument.key())))
}

fn near(_: &Clause<'_>) -> Result<Node> {
    Err(Error::new(Code::NoQueryExecutionPlans, "unable to find index for $geoNear query"))
}

fn text(argument: Element<'_>, _: Context<'_>) -> Result<Node> {
    if argument.as_doc().is_none() {
        return Err(Error::bad_value("$text expects an object"));
    }
    Err(Error::new(Code::IndexNotFound, "text index required for $text query"))
}

fn javascript(argument: Element<'_>, context: Context<'_>) -> Result<Node> {
    if context.nested {
        return Err(Error::bad_value("$where can only be applied to the top-level document"));
    }
    match argument.value() {
        Value::String(_) | Value::Code(_) | Value::CodeWithScope(..) => {
            Err(Error::bad_value("no globalScriptEngine in $where parsing"))
        }
        _ => Err(Error::bad_value("$where got bad type")),
    }
}

/// The keywords that MongoDB's dialect of JSON Schema (draft 4) knows.
const KEYWORDS: &[&str] = &[
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "bsonType",
    "dependencies",
    "description",
    "encrypt",
    "encryptMetadata",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "required",
    "title",
    "type",
    "uniqueItems",
];

fn json_schema(argument: Element<'_>, _: Context<'_>) -> Result<Node> {
    let schema = argument.as_doc().ok_or_else(|| Error::type_mismatch("$jsonSchema must be an object"))?;
    for keyword in schema.elements().map(Element::key) {
        if matches!(keyword, "$ref" | "$schema" | "default" | "definitions" | "format" | "id") {
            return Err(Error::failed_to_parse(format!("$jsonSchema keyword '{keyword}' is not currently supported")));
        }
        if !KEYWORDS.contains(&keyword) {
            return Err(Error::failed_to_parse(format!("Unknown $jsonSchema keyword: {keyword}")));
        }
    }
    if schema.is_empty() {
        return Ok(Node::Always(true));
    }
    Err(Error::bad_value("$jsonSchema is not supported"))
}
