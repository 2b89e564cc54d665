//! JSON text read as documents, arrays and values (SQL-4.11).

use std::sync::Arc;

use millstream_flow::{Datum, RowError};
use millstream_value::Value;

/// Any JSON value: whole numbers become integers, others doubles.
pub(crate) fn parse(text: &str) -> Result<Datum, RowError> {
    let wrong = |why: String| RowError::new("22P02", format!("not JSON: {why}"));
    let tree: Tree = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if text.contains("\\u0000") && has_zero(&tree.0) {
        return Err(RowError::new("22P05", "\\u0000 can not be in a name"));
    }
    Ok(Datum::from_value(&millstream_value::from_bson(&tree.0)))
}

/// Extended JSON, canonical or relaxed.
pub(crate) fn parse_extended(text: &str) -> Result<Datum, RowError> {
    let wrong = |why: String| RowError::new("22P02", format!("not Extended JSON: {why}"));
    let tree: serde_json::Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let value = bson::Bson::try_from(tree).map_err(|error| wrong(error.to_string()))?;
    Ok(Datum::from_value(&millstream_value::from_bson(&value)))
}

/// Extended JSON of a value.
pub(crate) fn print_extended(value: &Value<'_>, canonical: bool) -> String {
    let tree = millstream_value::to_bson(value);
    let tree = if canonical { tree.into_canonical_extjson() } else { tree.into_relaxed_extjson() };
    let mut out = String::new();
    super::print::tree_json(&tree, &mut out);
    out
}

/// A field's name ends at the first zero byte in BSON.
fn has_zero(value: &bson::Bson) -> bool {
    match value {
        bson::Bson::Document(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_zero(value)),
        bson::Bson::Array(values) => values.iter().any(has_zero),
        _ => false,
    }
}

/// A JSON value in the order of the text: of repeated names the last one counts.
struct Tree(bson::Bson);

impl<'de> serde::Deserialize<'de> for Tree {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> serde::de::Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree(bson::Bson::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree(bson::Bson::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree(i32::try_from(value).map_or(bson::Bson::Int64(value), bson::Bson::Int32)))
    }

    #[expect(clippy::cast_precision_loss, reason = "past 64 bits a number is a double")]
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Tree, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Ok(Tree(bson::Bson::Double(value as f64))),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree(bson::Bson::Double(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree(bson::Bson::String(value.to_owned())))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
        let mut values = Vec::new();
        while let Some(Tree(value)) = from.next_element()? {
            values.push(value);
        }
        Ok(Tree(bson::Bson::Array(values)))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
        let mut fields = bson::Document::new();
        while let Some((name, Tree(value))) = from.next_entry::<String, Tree>()? {
            fields.insert(name, value);
        }
        Ok(Tree(bson::Bson::Document(fields)))
    }
}

/// `{a,b,1}`: an array as PostgreSQL writes it, of texts.
pub(crate) fn parse_braces(text: &str) -> Result<Vec<Datum>, RowError> {
    let wrong = || RowError::new("22P02", format!("\"{text}\" is no array"));
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(wrong)?;
    let mut values = Vec::new();
    let mut chars = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Ok(values);
    }
    loop {
        let mut value = String::new();
        let mut was_quoted = false;
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next_if_eq(&'"').is_some() {
            was_quoted = true;
            loop {
                match chars.next().ok_or_else(wrong)? {
                    '"' => break,
                    '\\' => value.push(chars.next().ok_or_else(wrong)?),
                    c => value.push(c),
                }
            }
        }
        while let Some(c) = chars.next_if(|c| *c != ',') {
            match c {
                '{' | '}' | '"' => return Err(wrong()),
                '\\' => value.push(chars.next().ok_or_else(wrong)?),
                c if was_quoted && !c.is_whitespace() => return Err(wrong()),
                _ if was_quoted => {}
                c => value.push(c),
            }
        }
        if !was_quoted {
            value.truncate(value.trim_end().len());
            if value.is_empty() {
                return Err(wrong());
            }
        }
        let null = !was_quoted && value.eq_ignore_ascii_case("null");
        values.push(if null { Datum::Null } else { Datum::Text(Arc::from(value)) });
        if chars.next().is_none() {
            return Ok(values);
        }
    }
}
