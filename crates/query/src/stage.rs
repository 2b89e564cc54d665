//! Stages and pipelines: what turns a stream of documents into another.
//!
//! A pipeline is compiled once. It runs over an iterator of documents ([`Pipeline::run`]) or, where every stage makes
//! at most one document of one, on single documents ([`Pipeline::apply_one`]): change streams and updates.

mod add_fields;
mod bucket;
mod change_stream;
mod coll_stats;
mod count;
mod facet;
mod field;
mod group;
mod later;
mod limit;
mod matching;
mod project;
mod redact;
mod replace_root;
mod sample;
mod skip;
mod sort;
mod sort_by_count;
mod split;
mod table;
mod unset;
mod unwind;

use std::sync::Arc;

use millstream_value::{Code, Doc, DocBuf, Element, Value};

use crate::expression::Scope;
use crate::predicate::Predicate;
use crate::sort::Sort;
use crate::{Error, Result};

pub use table::{Row, STAGES};

/// A stream of documents; after an error it is over.
pub type Documents<'a> = Box<dyn Iterator<Item = Result<DocBuf>> + Send + 'a>;

/// How many bytes `$sort`, `$group`, `$facet` and the like may hold, as in MongoDB.
pub const MEMORY_BYTES_MAX: usize = 100 << 20;

/// How many stages a pipeline may have, as in MongoDB.
const STAGES_MAX: usize = 1000;

/// Where a pipeline stands, which decides what is allowed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The `aggregate` command.
    Aggregate,
    /// After `$changeStream`.
    ChangeStream,
    /// An update.
    Update,
    /// Inside `$facet`.
    Facet,
}

/// A compiled pipeline. Cheap to clone.
#[derive(Clone)]
pub struct Pipeline {
    stages: Vec<Stage>,
    change_stream: Option<DocBuf>,
    coll_stats: Option<DocBuf>,
    splits_large_events: bool,
}

/// A compiled stage: those that planners look at by name, the others by how they work.
#[derive(Clone)]
pub(crate) enum Stage {
    Match(Predicate),
    Sort(Arc<Sort>),
    Limit(u64),
    Skip(u64),
    /// Makes at most one document of one.
    Each(Arc<dyn Each>),
    /// Needs to see the stream.
    Stream(Arc<dyn Stream>),
}

/// A stage that makes at most one document of one.
pub(crate) trait Each: Send + Sync {
    /// The document that comes of `doc`, if any.
    fn apply(&self, doc: DocBuf) -> Result<Option<DocBuf>>;

    /// The same of a document that stays.
    fn apply_to(&self, doc: Doc<'_>) -> Result<Option<DocBuf>> {
        self.apply(doc.to_buf())
    }
}

/// A stage that needs to see the stream.
pub(crate) trait Stream: Send + Sync {
    /// The documents that come of `input`.
    fn run<'a>(self: Arc<Self>, input: Documents<'a>) -> Documents<'a>;
}

/// The stages at the start of a pipeline that a query plan can take over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prefix<'p> {
    /// A `$match`.
    pub predicate: Option<&'p Predicate>,
    /// A `$sort` after it.
    pub sort: Option<&'p Sort>,
    /// A `$skip` after that.
    pub skip: Option<u64>,
    /// A `$limit` after that.
    pub limit: Option<u64>,
    /// How many stages these are, for [`Pipeline::without_first`].
    pub stages: usize,
}

impl Pipeline {
    /// Compiles the stages of a pipeline.
    ///
    /// # Errors
    /// `TypeMismatch` for a stage that is no document, 40323 for one without exactly one name, 40324 for an unknown
    /// name, `NotImplemented` for one that MongoDB knows and this engine does not, `InvalidOptions` or
    /// `IllegalOperation` for one that is not allowed in this place, and the stages' own.
    pub fn parse(stages: &[Value<'_>], scope: &Scope, place: Place) -> Result<Self> {
        if stages.len() > STAGES_MAX {
            let message = format!("Pipeline length must be no longer than {STAGES_MAX} stages");
            return Err(Error::location(7_749_501, message));
        }
        let mut parsing = Parsing { scope, place, pipeline: Self::empty(), is_first: true, is_last: false };
        for (index, stage) in stages.iter().enumerate() {
            parsing.is_first = index == 0;
            parsing.is_last = index + 1 == stages.len();
            let spec = single(stage)?;
            let row = table::find(spec.key())
                .ok_or_else(|| Error::location(40324, format!("Unrecognized pipeline stage name: '{}'", spec.key())))?;
            parsing.check(row)?;
            (row.parse)(spec, &mut parsing)?;
        }
        Ok(parsing.pipeline)
    }

    /// The pipeline that changes nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self { stages: Vec::new(), change_stream: None, coll_stats: None, splits_large_events: false }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// The options of a leading `$changeStream`; it is no stage that runs here.
    #[must_use]
    pub fn change_stream(&self) -> Option<Doc<'_>> {
        self.change_stream.as_ref().map(DocBuf::as_doc)
    }

    /// The options of a leading `$collStats`; it is no stage that runs here: its one document is the input of the rest.
    #[must_use]
    pub fn coll_stats(&self) -> Option<Doc<'_>> {
        self.coll_stats.as_ref().map(DocBuf::as_doc)
    }

    /// Whether it ends with `$changeStreamSplitLargeEvent`; that is no stage that runs here.
    #[must_use]
    pub const fn splits_large_events(&self) -> bool {
        self.splits_large_events
    }

    /// The predicate of a leading `$match`.
    #[must_use]
    pub fn leading_match(&self) -> Option<&Predicate> {
        match self.stages.first() {
            Some(Stage::Match(predicate)) => Some(predicate),
            _ => None,
        }
    }

    /// The leading `$match`, `$sort`, `$skip` and `$limit`, as far as they follow each other in that order.
    #[must_use]
    pub fn prefix(&self) -> Prefix<'_> {
        let mut prefix = Prefix::default();
        for stage in &self.stages {
            match stage {
                Stage::Match(predicate) if prefix.stages == 0 => prefix.predicate = Some(predicate),
                Stage::Sort(sort) if prefix.sort.is_none() && prefix.skip.is_none() && prefix.limit.is_none() => {
                    prefix.sort = Some(sort);
                }
                Stage::Skip(count) if prefix.skip.is_none() && prefix.limit.is_none() => prefix.skip = Some(*count),
                Stage::Limit(count) if prefix.limit.is_none() => prefix.limit = Some(*count),
                _ => break,
            }
            prefix.stages += 1;
        }
        prefix
    }

    /// The same pipeline without its first `count` stages.
    #[must_use]
    pub fn without_first(&self, count: usize) -> Self {
        let stages = self.stages.iter().skip(count).cloned().collect();
        Self {
            stages,
            change_stream: self.change_stream.clone(),
            coll_stats: self.coll_stats.clone(),
            splits_large_events: self.splits_large_events,
        }
    }

    /// Runs it over a stream of documents.
    pub fn run<'a>(&self, input: impl Iterator<Item = Result<DocBuf>> + Send + 'a) -> Documents<'a> {
        let mut documents: Documents<'a> = Box::new(input);
        let mut stages = self.stages.iter().peekable();
        while let Some(stage) = stages.next() {
            documents = match stage {
                Stage::Match(predicate) => matching::run(predicate.clone(), documents),
                Stage::Sort(order) => {
                    // Only the first few of the sorted documents are wanted: no more need to be kept.
                    let limit = match stages.peek() {
                        Some(Stage::Limit(count)) => usize::try_from(*count).ok(),
                        _ => None,
                    };
                    sort::run(Arc::clone(order), limit, documents)
                }
                Stage::Limit(count) => limit::run(*count, documents),
                Stage::Skip(count) => skip::run(*count, documents),
                Stage::Each(each) => {
                    let each = Arc::clone(each);
                    Box::new(documents.filter_map(move |doc| doc.and_then(|doc| each.apply(doc)).transpose()))
                }
                Stage::Stream(stream) => Arc::clone(stream).run(documents),
            };
        }
        documents
    }

    /// Runs it on one document that stands alone.
    ///
    /// # Errors
    /// Those of expressions; `IllegalOperation` if a stage needs to see a whole stream.
    pub fn apply_one(&self, doc: Doc<'_>) -> Result<Option<DocBuf>> {
        match self.stages.split_first() {
            Some((Stage::Each(each), rest)) => each.apply_to(doc)?.map_or(Ok(None), |doc| apply_all(rest, doc)),
            _ => apply_all(&self.stages, doc.to_buf()),
        }
    }
}

fn apply_all(stages: &[Stage], doc: DocBuf) -> Result<Option<DocBuf>> {
    let mut doc = doc;
    for stage in stages {
        let next = match stage {
            Stage::Match(predicate) => predicate.matches(doc.as_doc())?.then_some(doc),
            Stage::Each(each) => each.apply(doc)?,
            Stage::Sort(_) | Stage::Limit(_) | Stage::Skip(_) | Stage::Stream(_) => {
                return Err(Error::new(Code::IllegalOperation, "a stage that needs a stream of documents"));
            }
        };
        let Some(next) = next else {
            return Ok(None);
        };
        doc = next;
    }
    Ok(Some(doc))
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pipeline({} stages)", self.stages.len())
    }
}

/// What a stage sees while it is compiled, and where it goes.
pub(crate) struct Parsing<'s> {
    scope: &'s Scope,
    place: Place,
    pipeline: Pipeline,
    is_first: bool,
    is_last: bool,
}

impl Parsing<'_> {
    fn push(&mut self, stage: Stage) {
        self.pipeline.stages.push(stage);
    }

    fn each(&mut self, stage: impl Each + 'static) {
        self.push(Stage::Each(Arc::new(stage)));
    }

    fn stream(&mut self, stage: impl Stream + 'static) {
        self.push(Stage::Stream(Arc::new(stage)));
    }

    fn check(&self, row: &Row) -> Result<()> {
        let name = row.name;
        if self.place == Place::Facet && !row.in_facets {
            let message = format!("{name} is not allowed to be used within a $facet stage");
            return Err(Error::location(40600, message));
        }
        if row.first_only && !self.is_first {
            let message = format!("{name} is only valid as the first stage in a pipeline.");
            return Err(Error::location(40602, message));
        }
        match self.place {
            Place::Update if !row.in_updates => {
                Err(Error::new(Code::InvalidOptions, format!("{name} is not allowed to be used within an update")))
            }
            Place::ChangeStream if !row.in_change_streams => {
                Err(Error::new(Code::IllegalOperation, format!("{name} is not permitted in a $changeStream pipeline")))
            }
            _ => Ok(()),
        }
    }
}

/// The one field of a stage's document.
fn single<'v>(stage: &'v Value<'_>) -> Result<Element<'v>> {
    let Some(doc) = stage.as_doc() else {
        return Err(Error::type_mismatch("Each element of the 'pipeline' array must be an object"));
    };
    let mut elements = doc.elements();
    match (elements.next(), elements.next()) {
        (Some(spec), None) => Ok(spec),
        _ => {
            let message = "A pipeline stage specification object must contain exactly one field.";
            Err(Error::location(40323, message))
        }
    }
}

/// Adds the stage's name to an error in its specification.
fn invalid(name: &str, error: Error) -> Error {
    if error.message.starts_with("Invalid $") {
        return error;
    }
    Error::new(error.code, format!("Invalid {name} :: caused by :: {}", error.message))
}

/// The error of a stage that holds more than [`MEMORY_BYTES_MAX`].
fn too_much_memory(name: &str) -> Error {
    Error::new(
        Code::QueryExceededMemoryLimitNoDiskUseAllowed,
        format!("Exceeded memory limit for {name}: {MEMORY_BYTES_MAX} bytes. Stages do not spill to disk."),
    )
}

/// `name: value` as messages show it.
fn shown(spec: Element<'_>) -> String {
    format!("{}: {}", spec.key(), millstream_value::shell::value(&spec.value()))
}

#[cfg(test)]
mod tests;
