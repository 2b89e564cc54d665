//! The user's stages after `$changeStream`, and what of them can run early (CS-6).

mod shared;

use millstream_query::expression::Scope as Variables;
use millstream_query::predicate::{Condition, Predicate, Test};
use millstream_query::stage::{Pipeline, Place};
use millstream_value::{ArrayBuf, Doc, DocBuf, Value};

pub(crate) use self::shared::{Pipelines, Results};
use crate::entry::{Change, Form};
use crate::options::{Before, FullDocument, Options};
use crate::{Error, Result};

/// The compiled stages of a stream.
pub(crate) struct Stages {
    /// The first stage, if it is a `$match`.
    leading: Option<Predicate>,
    /// The part of it that reads nothing that would have to be looked up (CS-6.6.3).
    early: Option<Predicate>,
    /// Whether `early` is not all of `leading`.
    leading_reads_images: bool,
    /// What it asks of the fields of `fullDocument`, as a filter on the document.
    of_document: Option<Predicate>,
    /// The stages after it.
    rest: Pipeline,
    /// Whether large events are cut.
    pub(crate) split: bool,
    /// What an event must have to pass: everything in one of these lists.
    pub(crate) ways: Vec<Vec<Required>>,
    /// Names them among those that are shared.
    number: Option<u64>,
}

/// A filter that can be passed in more ways than this is not split up for routing.
const WAYS_MAX: usize = 64;

/// An event passes only if it has one of these values at this path.
pub(crate) struct Required {
    pub(crate) path: String,
    pub(crate) values: Vec<Value<'static>>,
}

impl Stages {
    /// Compiles the stages after `$changeStream`.
    ///
    /// # Errors
    /// `NotFirst`, stages that may not follow (20), and whatever is wrong inside of a stage.
    pub(crate) fn parse(stages: &[Value<'_>], options: &Options, variables: &Variables) -> Result<Self> {
        if stages.iter().filter_map(Value::as_doc).any(|stage| stage.has("$changeStream")) {
            return Err(Error::NotFirst);
        }
        let pipeline = Pipeline::parse(stages, variables, Place::ChangeStream)?;
        let split = pipeline.splits_large_events();
        let Some(leading) = pipeline.leading_match().cloned() else {
            let (leading, early, ways) = (None, None, vec![Vec::new()]);
            let (leading_reads_images, of_document) = (false, None);
            return Ok(Self {
                leading,
                early,
                leading_reads_images,
                of_document,
                rest: pipeline,
                split,
                ways,
                number: None,
            });
        };
        let collated = leading.collation().is_some();
        let ways = leading.ways(WAYS_MAX).into_iter().map(|way| required(way, collated)).collect();
        let (early, leading_reads_images) = if reads_images(&leading, options) {
            (without_images(stages, options, variables)?, true)
        } else {
            (Some(leading.clone()), false)
        };
        let of_document = of_document(stages, variables)?;
        let (leading, rest) = (Some(leading), pipeline.without_first(1));
        Ok(Self { leading, early, leading_reads_images, of_document, rest, split, ways, number: None })
    }

    /// Whether an event of a type may pass.
    pub(crate) fn may_pass(&self, operation_type: &str) -> bool {
        self.ways.iter().any(|way| is_of_type(way, operation_type))
    }

    /// Whether the event of a type may pass that a change of a document makes: its namespace is the change's.
    pub(crate) fn may_pass_from(&self, change: Change<'_>, operation_type: &str) -> bool {
        let (db, coll) = change.names();
        self.ways
            .iter()
            .any(|way| is_of_type(way, operation_type) && is_at(way, "ns.db", db) && is_at(way, "ns.coll", coll))
    }

    /// Whether the event of a change may pass, by what the filter asks of its document alone: for most that do not pass, no
    /// event has to be made.
    pub(crate) fn may_pass_with(&self, change: Change<'_>, options: &Options) -> bool {
        let Some(filter) = &self.of_document else { return true };
        let document = match change.form() {
            _ if change.is_definition() => return true,
            Form::Insert | Form::Replace => change.o(),
            // Their events have none.
            Form::Delete => Doc::empty(),
            Form::Update if options.full_document == FullDocument::Default => Doc::empty(),
            Form::Update | Form::Command | Form::Noop | Form::Unknown => return true,
        };
        // What is wrong with it is told by the whole filter.
        filter.matches(document).unwrap_or(true)
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

    /// Whether there is a first `$match`.
    pub(crate) fn filters(&self) -> bool {
        self.leading.is_some()
    }

    /// Whether there is anything after the first `$match`.
    pub(crate) fn transforms(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The event after the stages that follow the first `$match`.
    pub(crate) fn apply(&self, event: Doc<'_>) -> Result<Option<DocBuf>> {
        Ok(self.rest.apply_one(event)?)
    }
}

/// Whether an event of a type may pass in this way.
pub(crate) fn is_of_type(way: &[Required], operation_type: &str) -> bool {
    let mut of_type = way.iter().filter(|required| required.path == "operationType");
    of_type.all(|required| required.values.iter().any(|value| value.as_str() == Some(operation_type)))
}

/// Whether an event with this name at a path may pass in this way.
fn is_at(way: &[Required], path: &str, name: &[u8]) -> bool {
    let mut at_path = way.iter().filter(|required| required.path == path);
    at_path
        .all(|required| required.values.iter().any(|value| value.as_str().is_some_and(|text| text.as_bytes() == name)))
}

/// The parts of the first `$match` that can be decided without images; `None` if there are none.
fn without_images(stages: &[Value<'_>], options: &Options, variables: &Variables) -> Result<Option<Predicate>> {
    let parts = leading_parts(stages);
    let mut kept = ArrayBuf::new();
    for part in &parts {
        if !reads_images(&Predicate::parse(part.as_doc(), variables)?, options) {
            kept.push_document(part.as_bytes());
        }
    }
    all_of(kept, variables)
}

/// What the first `$match` asks of fields of `fullDocument`, as a filter on that; `None`: nothing.
fn of_document(stages: &[Value<'_>], variables: &Variables) -> Result<Option<Predicate>> {
    let parts = leading_parts(stages);
    let mut kept = ArrayBuf::new();
    for element in parts.iter().filter_map(|part| part.as_doc().elements().next()) {
        let path = element.key().strip_prefix("fullDocument.");
        if let Some(path) = path.filter(|path| !path.starts_with('$')) {
            let mut part = DocBuf::new();
            part.push(path, element.value());
            kept.push_document(part.as_bytes());
        }
    }
    all_of(kept, variables)
}

/// A filter of parts that must all hold; `None`: there are none.
fn all_of(parts: ArrayBuf, variables: &Variables) -> Result<Option<Predicate>> {
    if parts.is_empty() {
        return Ok(None);
    }
    let mut filter = DocBuf::new();
    filter.push("$and", parts);
    Ok(Some(Predicate::parse(filter.as_doc(), variables)?))
}

/// The parts of the first `$match` that must all hold.
fn leading_parts(stages: &[Value<'_>]) -> Vec<DocBuf> {
    let mut parts = Vec::new();
    let filter = stages.first().and_then(Value::as_doc).and_then(|stage| stage.doc("$match"));
    conjunction(filter.unwrap_or(Doc::empty()), &mut parts);
    parts
}

/// Splits a filter into parts that must all hold.
fn conjunction(filter: Doc<'_>, parts: &mut Vec<DocBuf>) {
    for element in filter.elements() {
        match element.as_array() {
            Some(list) if element.key() == "$and" => {
                for part in list.elements().filter_map(|part| part.as_doc()) {
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

/// Whether a filter reads a field that is not known from the entry alone.
fn reads_images(filter: &Predicate, options: &Options) -> bool {
    let looks_up = options.full_document != FullDocument::Default;
    let looks_back = options.before != Before::Off;
    let is_in =
        |path: &str, field: &str| path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let reads = |path: &String| {
        (looks_up && is_in(path, "fullDocument")) || (looks_back && is_in(path, "fullDocumentBeforeChange"))
    };
    // Without paths it has an expression, which may read anything.
    (looks_up || looks_back) && filter.paths().is_none_or(|paths| paths.iter().any(reads))
}

/// The equalities that routing can use: plain values only, since null also means missing, and under a collation no
/// texts, since routing compares bytes (CS-4.9.3).
fn required(conditions: Vec<Condition>, collated: bool) -> Vec<Required> {
    let usable = |condition: &Condition| condition.plain && !(collated && condition.compares_texts());
    let conditions = conditions.into_iter().filter(usable);
    let values = conditions.filter_map(|condition| match condition.test {
        Test::Eq(value) => Some(Required { path: condition.path, values: vec![value] }),
        Test::In(values) => Some(Required { path: condition.path, values }),
        Test::Range { .. } | Test::Prefix(_) | Test::Exists => None,
    });
    values.collect()
}
