//! The user's stages after `$changeStream`: which are allowed, and what of them can run early (CS-6).

use millstream_query::expression::Scope as Variables;
use millstream_query::predicate::{Predicate, Test};
use millstream_query::stage::{Pipeline, Place};
use millstream_value::{ArrayBuf, Code, Doc, DocBuf, Value};

use crate::options::{Before, FullDocument, Options};
use crate::{Error, Result};

/// The stages that may follow (CS-6.1.1), beside [`SPLIT`].
// tidy: sorted
static ALLOWED: &[&str] =
    &["$addFields", "$match", "$project", "$redact", "$replaceRoot", "$replaceWith", "$set", "$unset"];

/// The stage that cuts large events into fragments; always the last.
const SPLIT: &str = "$changeStreamSplitLargeEvent";

/// The compiled stages of a stream.
pub(crate) struct Stages {
    /// The first stage, if it is a `$match`.
    leading: Option<Predicate>,
    /// The part of it that reads nothing that would have to be looked up (CS-6.6.3).
    early: Option<Predicate>,
    /// Whether `early` is not all of `leading`.
    leading_reads_images: bool,
    /// The stages after it.
    rest: Option<Pipeline>,
    /// Whether large events are cut.
    pub(crate) split: bool,
    /// Values that an event must have at a path to pass.
    pub(crate) required: Vec<Required>,
}

/// An event passes only if it has one of these values at this path.
pub(crate) struct Required {
    pub(crate) path: String,
    pub(crate) values: Vec<Value<'static>>,
}

impl Stages {
    /// Compiles the stages after `$changeStream`.
    ///
    /// # Errors
    /// `StageRefused` (20), `SplitNotLast`, `SplitArguments`, and whatever is wrong inside of a stage.
    pub(crate) fn parse(stages: &[Value<'_>], options: &Options, variables: &Variables) -> Result<Self> {
        let mut split = false;
        for (position, stage) in stages.iter().enumerate() {
            let (name, argument) = only_field(stage)?;
            match name {
                "$changeStream" => return Err(Error::NotFirst),
                SPLIT => {
                    if !argument.as_doc().is_some_and(Doc::is_empty) {
                        return Err(Error::SplitArguments);
                    }
                    if position + 1 < stages.len() {
                        return Err(Error::SplitNotLast);
                    }
                    split = true;
                }
                _ if ALLOWED.contains(&name) => {}
                _ => return Err(refused(name, stage, variables)),
            }
        }
        let stages = if split { stages.get(..stages.len() - 1).unwrap_or_default() } else { stages };
        let filter = stages.first().and_then(|first| first.as_doc()).and_then(|first| first.get("$match"));
        let filter = filter.as_ref().and_then(|filter| filter.as_doc());
        let leading = filter.map(|filter| Predicate::parse(filter, variables)).transpose()?;
        let after = if leading.is_some() { stages.get(1..).unwrap_or_default() } else { stages };
        let rest = match after {
            [] => None,
            after => Some(Pipeline::parse(after, variables, Place::ChangeStream)?),
        };
        let mut parts = Vec::new();
        if let Some(filter) = filter {
            conjunction(filter, &mut parts);
        }
        let mut kept = ArrayBuf::new();
        let mut leading_reads_images = false;
        for part in &parts {
            if reads_images(&Predicate::parse(part.as_doc(), variables)?, options) {
                leading_reads_images = true;
            } else {
                kept.push_document(part.as_bytes());
            }
        }
        let early = match (leading_reads_images, kept.is_empty()) {
            (false, _) => leading.clone(),
            (true, true) => None,
            (true, false) => {
                let mut filter = DocBuf::new();
                filter.push("$and", kept);
                Some(Predicate::parse(filter.as_doc(), variables)?)
            }
        };
        let required = leading.as_ref().map(required).unwrap_or_default();
        Ok(Self { leading, early, leading_reads_images, rest, split, required })
    }

    /// Whether an event of a type may pass.
    pub(crate) fn may_pass(&self, operation_type: &str) -> bool {
        let of_type = self.required.iter().filter(|required| required.path == "operationType");
        of_type.into_iter().all(|required| required.values.iter().any(|value| value.as_str() == Some(operation_type)))
    }

    /// Whether an event whose images are still `missing` may pass; if none are, whether it passes the first `$match`.
    pub(crate) fn passes_early(&self, event: Doc<'_>, missing: bool) -> Result<bool> {
        let filter = if missing { &self.early } else { &self.leading };
        Ok(filter.as_ref().map_or(Ok(true), |filter| filter.matches(event))?)
    }

    /// Whether an event that passed early, and has its images now, passes the first `$match`.
    pub(crate) fn passes_late(&self, event: Doc<'_>) -> Result<bool> {
        match &self.leading {
            Some(leading) if self.leading_reads_images => Ok(leading.matches(event)?),
            _ => Ok(true),
        }
    }

    /// Whether there is anything after the first `$match`.
    pub(crate) fn transforms(&self) -> bool {
        self.rest.is_some()
    }

    /// The event after the stages that follow the first `$match`.
    pub(crate) fn apply(&self, event: DocBuf) -> Result<Option<DocBuf>> {
        match &self.rest {
            None => Ok(Some(event)),
            Some(rest) => Ok(rest.apply_one(event)?),
        }
    }
}

fn only_field<'a>(stage: &'a Value<'_>) -> Result<(&'a str, Value<'a>)> {
    let doc = stage.as_doc().ok_or(Error::StageShape)?;
    let mut fields = doc.elements();
    match (fields.next(), fields.next()) {
        (Some(field), None) => Ok((field.key(), field.value())),
        _ => Err(Error::StageShape),
    }
}

/// A stage that may not follow, or that does not exist.
fn refused(name: &str, stage: &Value<'_>, variables: &Variables) -> Error {
    match Pipeline::parse(std::slice::from_ref(stage), variables, Place::ChangeStream) {
        Err(error) if error.code == Code::Location(40_324) => error.into(),
        _ => Error::StageRefused(name.to_owned()),
    }
}

/// Splits a filter into parts that must all hold.
fn conjunction(filter: Doc<'_>, parts: &mut Vec<DocBuf>) {
    for element in filter.elements() {
        match element.value() {
            Value::Array(list) if element.key() == "$and" => {
                for part in Doc::new(&list).elements().filter_map(|part| part.as_doc()) {
                    conjunction(part, parts);
                }
            }
            _ => {
                let mut part = DocBuf::new();
                part.push_element(element);
                parts.push(part);
            }
        }
    }
}

fn reads_images(filter: &Predicate, options: &Options) -> bool {
    let reads = |path: &str, field: &str| path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let looks_up = options.full_document != FullDocument::Default;
    let looks_back = options.before != Before::Off;
    if !looks_up && !looks_back {
        return false;
    }
    filter.paths().is_none_or(|paths| {
        paths.iter().any(|path| {
            (looks_up && reads(path, "fullDocument")) || (looks_back && reads(path, "fullDocumentBeforeChange"))
        })
    })
}

/// The equalities that routing can use: plain values only, since null also means missing.
fn required(filter: &Predicate) -> Vec<Required> {
    let conditions = filter.conditions().into_iter().filter(|condition| condition.plain);
    let values = conditions.filter_map(|condition| match condition.test {
        Test::Eq(value) => Some(Required { path: condition.path, values: vec![value] }),
        Test::In(values) => Some(Required { path: condition.path, values }),
        Test::Range { .. } | Test::Prefix(_) | Test::Exists => None,
    });
    values.collect()
}
