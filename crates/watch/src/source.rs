//! What is watched, and from where on.

use std::fmt;
use std::time::Duration;

use bson::{Document, Timestamp, doc};

use crate::{Result, Token, split};

/// One kind of change that a stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its `operationType`.
    pub name: &'static str,
    /// Whether a server shows it only with `showExpandedEvents` (CS-1.4).
    pub expanded: bool,
}

/// Every kind of change, by name.
pub static OPERATIONS: &[Operation] = &[
    expanded("create"),
    expanded("createIndexes"),
    classic("delete"),
    classic("drop"),
    classic("dropDatabase"),
    expanded("dropIndexes"),
    classic("insert"),
    classic("invalidate"),
    expanded("modify"),
    expanded("refineCollectionShardKey"),
    classic("rename"),
    classic("replace"),
    expanded("reshardCollection"),
    expanded("shardCollection"),
    classic("update"),
];

/// How far a stream looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One collection.
    Collection {
        /// Its database.
        database: String,
        /// Its name.
        collection: String,
    },
    /// All collections of a database.
    Database(String),
    /// All databases but the server's own.
    Cluster,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collection { database, collection } => write!(f, "collection {database}.{collection}"),
            Self::Database(database) => write!(f, "database {database}"),
            Self::Cluster => f.write_str("the whole cluster"),
        }
    }
}

/// What an update shows of the document after it (the `fullDocument` option).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FullDocumentMode {
    /// Nothing.
    #[default]
    Default,
    /// The document as it is when the event is read.
    UpdateLookup,
    /// The document as it was just after the update, if images are kept, else null.
    WhenAvailable,
    /// The same, or the stream ends with an error.
    Required,
}

/// What an event shows of the document before it (the `fullDocumentBeforeChange` option).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BeforeMode {
    /// Nothing.
    #[default]
    Off,
    /// The document, if images are kept, else null.
    WhenAvailable,
    /// The document, or the stream ends with an error.
    Required,
}

/// Where a stream begins.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum StartAt {
    /// With the next change.
    #[default]
    Now,
    /// With the first event after the token; the token of an `invalidate` is refused.
    ResumeAfter(Token),
    /// With the first event after the token, also behind an `invalidate`.
    StartAfter(Token),
    /// With the first event at this cluster time or later.
    Time(Timestamp),
    /// With the documents that are there, each as an `insert` with `snapshot: true`, and then the changes from that
    /// very moment on. Millstream does that; with others a [`crate::Watch`] reads the documents after it has opened the
    /// stream, so that none is missed, and changes made meanwhile are seen twice.
    Snapshot,
}

/// How a stream is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What an update shows of the document after it.
    pub full_document: FullDocumentMode,
    /// What an event shows of the document before it.
    pub before: BeforeMode,
    /// Only these kinds of changes; all if empty.
    pub operations: Vec<String>,
    /// Also show creations, indexes and changed options. On by itself if `operations` names one.
    pub expanded_events: bool,
    /// Events in one reply, at most. Default: 1,000.
    pub batch_size: Option<u32>,
    /// How long the server waits before it answers that there is nothing. It decides how soon a
    /// quiet stream hears of a new position, not how soon it hears of an event.
    pub max_await: Duration,
    /// Events that are larger than a reply come in fragments (`$changeStreamSplitLargeEvent`, MongoDB 7.0), instead of ending
    /// the stream. A [`crate::Watch`] makes them whole again, a [`crate::Watcher`] does not.
    pub split_large: bool,
    /// Collections that are not looked at, as databases and names. A [`crate::Watch`] of more than one collection puts those
    /// here that it writes to itself, or it would go on seeing its own traces.
    pub leave_out: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            full_document: FullDocumentMode::default(),
            before: BeforeMode::default(),
            operations: Vec::new(),
            expanded_events: false,
            batch_size: None,
            max_await: Duration::from_secs(1),
            split_large: false,
            leave_out: Vec::new(),
        }
    }
}

/// A scope with a pipeline and options: all that decides which events come, and how they look.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// How far the stream looks.
    pub scope: Scope,
    /// Stages that the server applies to every event.
    pub pipeline: Vec<Document>,
    /// How the stream is read.
    pub options: Options,
}

impl Source {
    /// All changes in a scope.
    pub fn new(scope: Scope) -> Self {
        Self { scope, pipeline: Vec::new(), options: Options::default() }
    }

    /// The pipeline as it is sent: what is left out, the filter for the kinds of changes, the given stages, and what makes
    /// fragments of large events.
    pub(crate) fn sent_pipeline(&self) -> Vec<Document> {
        let split = self.options.split_large.then(split::stage);
        let own: Vec<_> = self.options.leave_out.iter().map(|(db, name)| doc! {"ns.db": db, "ns.coll": name}).collect();
        let own = (!own.is_empty()).then(|| doc! {"$match": {"$nor": own}});
        own.into_iter().chain(self.full_pipeline()).chain(split).collect()
    }

    /// Whether any of these kinds of changes is wanted.
    pub(crate) fn wants(&self, kinds: &[&str]) -> bool {
        let wanted = &self.options.operations;
        wanted.is_empty() || wanted.iter().any(|name| kinds.contains(&name.as_str()))
    }

    /// The pipeline to which a position belongs: the filter for the kinds of changes, then the given stages.
    pub fn full_pipeline(&self) -> Vec<Document> {
        let operations = &self.options.operations;
        let filter = (!operations.is_empty()).then(|| doc! {"$match": {"operationType": {"$in": operations}}});
        filter.into_iter().chain(self.pipeline.iter().cloned()).collect()
    }

    /// Whether expanded events have to be asked for.
    pub fn wants_expanded_events(&self) -> bool {
        let is_expanded = |name: &String| OPERATIONS.iter().any(|o| o.expanded && o.name == name);
        self.options.expanded_events || self.options.operations.iter().any(is_expanded)
    }

    /// The `$changeStream` stage.
    pub(crate) fn first_stage(&self, start: &StartAt) -> Result<Document> {
        let mut options = Document::new();
        let full_document = match self.options.full_document {
            FullDocumentMode::Default => None,
            FullDocumentMode::UpdateLookup => Some("updateLookup"),
            FullDocumentMode::WhenAvailable => Some("whenAvailable"),
            FullDocumentMode::Required => Some("required"),
        };
        let before = match self.options.before {
            BeforeMode::Off => None,
            BeforeMode::WhenAvailable => Some("whenAvailable"),
            BeforeMode::Required => Some("required"),
        };
        options.extend(full_document.map(|mode| ("fullDocument".to_owned(), mode.into())));
        options.extend(before.map(|mode| ("fullDocumentBeforeChange".to_owned(), mode.into())));
        // Servers before 6.0 do not know the option, so it is sent only when needed.
        if self.wants_expanded_events() {
            options.insert("showExpandedEvents", true);
        }
        if self.scope == Scope::Cluster {
            options.insert("allChangesForCluster", true);
        }
        match start {
            // A snapshot's beginning is a token by the time that the stream is opened.
            StartAt::Now | StartAt::Snapshot => {}
            StartAt::ResumeAfter(token) => drop(options.insert("resumeAfter", token.to_document()?)),
            StartAt::StartAfter(token) => drop(options.insert("startAfter", token.to_document()?)),
            StartAt::Time(time) => drop(options.insert("startAtOperationTime", *time)),
        }
        Ok(doc! {"$changeStream": options})
    }
}

const fn classic(name: &'static str) -> Operation {
    Operation { name, expanded: false }
}

const fn expanded(name: &'static str) -> Operation {
    Operation { name, expanded: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_operations(names: &[&str]) -> Source {
        let mut source = Source::new(Scope::Cluster);
        source.options.operations = names.iter().map(ToString::to_string).collect();
        source
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(OPERATIONS.is_sorted_by_key(|operation| operation.name));
    }

    #[test]
    fn the_operations_filter_comes_first() {
        let mut source = with_operations(&["insert", "update"]);
        source.pipeline = vec![doc! {"$project": {"ns": 1}}];
        let expected =
            vec![doc! {"$match": {"operationType": {"$in": ["insert", "update"]}}}, doc! {"$project": {"ns": 1}}];
        assert_eq!(source.full_pipeline(), expected);
        assert!(Source::new(Scope::Cluster).full_pipeline().is_empty());
        // A position stays good when large events are split from now on.
        let before = source.full_pipeline();
        source.options.split_large = true;
        assert_eq!(source.full_pipeline(), before);
        assert_eq!(source.sent_pipeline().last(), Some(&doc! {"$changeStreamSplitLargeEvent": {}}));
    }

    /// CS-1.4.2: some kinds have to be asked for.
    #[test]
    fn expanded_events_are_asked_for_only_when_needed() {
        let asked = |source: &Source| {
            let stage = source.first_stage(&StartAt::Now).unwrap();
            stage.get_document("$changeStream").unwrap().get_bool("showExpandedEvents").ok()
        };
        assert_eq!(asked(&with_operations(&["insert", "drop"])), None);
        assert_eq!(asked(&with_operations(&["insert", "create"])), Some(true));
    }

    /// CS-4.2.6: a server takes one start option, never two.
    #[test]
    fn exactly_one_start_option_is_set() {
        let token = Token::parse("8268A1B2C0").unwrap();
        let time = Timestamp { time: 5, increment: 1 };
        let set = |start: StartAt| {
            let stage = with_operations(&[]).first_stage(&start).unwrap();
            let options = stage.get_document("$changeStream").unwrap();
            let is_set = |name| options.contains_key(name);
            (is_set("resumeAfter"), is_set("startAfter"), is_set("startAtOperationTime"))
        };
        assert_eq!(set(StartAt::Now), (false, false, false));
        assert_eq!(set(StartAt::ResumeAfter(token.clone())), (true, false, false));
        assert_eq!(set(StartAt::StartAfter(token)), (false, true, false));
        assert_eq!(set(StartAt::Time(time)), (false, false, true));
    }
}
