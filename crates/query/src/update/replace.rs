//! Whole documents: replacements, what a pipeline leaves, and what an upsert starts from.

use millstream_value::{Code, Doc, DocBuf, Value, equal};

use super::target::dollar_name;
use super::tree::Document;
use crate::predicate::Predicate;
use crate::{Error, Result};

/// Checks a replacement document: no top-level name starts with `$`.
pub(super) fn check(replacement: Doc<'_>) -> Result<()> {
    match replacement.elements().find(|e| e.key().starts_with('$')) {
        Some(element) => Err(dollar_name(element.key(), element.key())),
        None => Ok(()),
    }
}

/// `after` with its own `_id` or that of `before`, first.
pub(super) fn with_id_of(after: Doc<'_>, before: Doc<'_>) -> Result<DocBuf> {
    let mut out = DocBuf::with_capacity(after.as_bytes().len() + 32);
    match (after.element("_id"), before.element("_id")) {
        (Some(new), Some(old)) if !equal(&new.value(), &old.value()) => return Err(super::altered_id(&new.value())),
        (None, None) => {}
        (Some(id), _) | (None, Some(id)) => {
            out.push_element(id);
        }
    }
    for element in after.elements().filter(|e| e.key() != "_id") {
        out.push_element(element);
    }
    Ok(out)
}

/// The same document with `_id` first.
pub(super) fn with_id_first(document: DocBuf) -> DocBuf {
    let doc = document.as_doc();
    let is_first = doc.elements().next().is_none_or(|e| e.key() == "_id");
    let Some(id) = doc.element("_id").filter(|_| !is_first) else {
        return document;
    };
    let mut out = DocBuf::with_capacity(document.size());
    out.push_element(id);
    for element in doc.elements().filter(|e| e.key() != "_id") {
        out.push_element(element);
    }
    out
}

/// What an upsert's document starts from: the fields that the query requires to equal one value; for a replacement
/// only `_id`.
pub(super) fn start(predicate: &Predicate, only_id: bool) -> Result<DocBuf> {
    let equalities = predicate.equalities()?;
    let mut document = Document::new(Doc::empty());
    let mut paths: Vec<&str> = Vec::new();
    for (path, value) in &equalities {
        if only_id && path != "_id" {
            continue;
        }
        contradiction(&paths, path)?;
        paths.push(path);
        let names: Vec<String> = path.split('.').map(str::to_owned).collect();
        document.set(&names, value)?;
    }
    Ok(with_id_first(document.finish().0))
}

fn contradiction(known: &[&str], path: &str) -> Result<()> {
    let inside = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('.'));
    for other in known {
        let message = if *other == path {
            format!("cannot infer query fields to set, path '{path}' is matched twice")
        } else if inside(path, other) || inside(other, path) {
            format!("cannot infer query fields to set, both paths '{path}' and '{other}' are matched")
        } else {
            continue;
        };
        return Err(Error::new(Code::NotSingleValueField, message));
    }
    Ok(())
}

/// Checks that the `_id` of a new document can be one.
pub(super) fn check_id(document: Doc<'_>) -> Result<()> {
    match document.get("_id") {
        Some(id @ (Value::Array(_) | Value::Regex(..) | Value::Undefined)) => {
            let message = format!("The '_id' value cannot be of type {}", id.type_name());
            Err(Error::new(Code::InvalidIdField, message))
        }
        _ => Ok(()),
    }
}
