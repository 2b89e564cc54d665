//! `$unwind`: one document for every element of an array.
//!
//! Shape:  `{ $unwind: <path> | { path, includeArrayIndex, preserveNullAndEmptyArrays } }`
//! Absent: a missing, null or empty array gives no document, or the document itself if those are preserved. A value
//!         that is no array counts as its only element, with a null index.
//! Errors: 15981, 28808 to 28812, 28818, 28822 for the shape.
//! Source: MongoDB manual 8.0, "$unwind (aggregation)".

use std::sync::Arc;

use millstream_value::{Doc, DocBuf, Element, Value};

use super::{Documents, Parsing, Row, Stream, field};
use crate::{Error, Result};

pub(super) const UNWIND: Row = Row::new("$unwind", parse);

#[derive(Default)]
struct Unwind {
    path: Vec<String>,
    index: Option<Vec<String>>,
    preserve: bool,
}

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let mut unwind = Unwind::default();
    match spec.value() {
        Value::String(path) => unwind.path = array_path(&path)?,
        Value::Document(options) => {
            for option in Doc::new(&options).elements() {
                unwind.option(option)?;
            }
        }
        other => {
            let found = other.type_name();
            let message =
                format!("expected either a string or an object as specification for $unwind stage, got {found}");
            return Err(Error::location(15981, message));
        }
    }
    if unwind.path.is_empty() {
        return Err(Error::location(28812, "no path specified to $unwind stage"));
    }
    parsing.stream(unwind);
    Ok(())
}

impl Unwind {
    fn option(&mut self, option: Element<'_>) -> Result<()> {
        let value = option.value();
        let found = value.type_name();
        match (option.key(), &value) {
            ("path", Value::String(path)) => self.path = array_path(path)?,
            ("path", _) => {
                let message = format!("expected a string as the path for $unwind stage, got {found}");
                return Err(Error::location(28808, message));
            }
            ("preserveNullAndEmptyArrays", Value::Bool(preserve)) => self.preserve = *preserve,
            ("preserveNullAndEmptyArrays", _) => {
                let message = format!(
                    "expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage, got {found}"
                );
                return Err(Error::location(28809, message));
            }
            ("includeArrayIndex", Value::String(name)) if !name.is_empty() => {
                if name.starts_with('$') {
                    let message =
                        format!("includeArrayIndex option to $unwind stage should not be prefixed with a '$': {name}");
                    return Err(Error::location(28822, message));
                }
                self.index = Some(names(name)?);
            }
            ("includeArrayIndex", _) => {
                let message = format!(
                    "expected a non-empty string for the includeArrayIndex option to $unwind stage, got {found}"
                );
                return Err(Error::location(28810, message));
            }
            (other, _) => {
                return Err(Error::location(28811, format!("unrecognized option to $unwind stage: {other}")));
            }
        }
        Ok(())
    }

    fn one(&self, doc: Doc<'_>) -> Vec<DocBuf> {
        let value = field::get(doc, &self.path);
        match &value {
            Some(Value::Array(bytes)) if !Doc::new(bytes).is_empty() => Doc::new(bytes)
                .values()
                .zip(0_i64..)
                .map(|(element, index)| {
                    let unwound = field::with(doc, &self.path, Some(&element));
                    self.with_index(unwound, Value::Int64(index))
                })
                .collect(),
            // An empty array that is preserved leaves no field behind.
            Some(Value::Array(_)) if self.preserve => {
                vec![self.with_index(field::with(doc, &self.path, None), Value::Null)]
            }
            None | Some(Value::Null | Value::Undefined) if self.preserve => {
                vec![self.with_index(doc.to_buf(), Value::Null)]
            }
            None | Some(Value::Null | Value::Undefined | Value::Array(_)) => Vec::new(),
            Some(_) => vec![self.with_index(doc.to_buf(), Value::Null)],
        }
    }

    fn with_index(&self, doc: DocBuf, index: Value<'_>) -> DocBuf {
        match &self.index {
            None => doc,
            Some(path) => field::with(doc.as_doc(), path, Some(&index)),
        }
    }
}

impl Stream for Unwind {
    fn run<'a>(self: Arc<Self>, input: Documents<'a>) -> Documents<'a> {
        Box::new(input.flat_map(move |doc| match doc {
            Ok(doc) => self.one(doc.as_doc()).into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        }))
    }
}

fn array_path(path: &str) -> Result<Vec<String>> {
    match path.strip_prefix('$') {
        Some(path) => names(path),
        None => {
            let message = format!("path option to $unwind stage should be prefixed with a '$': {path}");
            Err(Error::location(28818, message))
        }
    }
}

/// The names of a path, bounded in number so that writing it cannot nest too deeply.
fn names(path: &str) -> Result<Vec<String>> {
    crate::path::check(path)?;
    Ok(path.split('.').map(str::to_owned).collect())
}
