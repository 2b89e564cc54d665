//! The options of `$changeStream`: shape, defaults, checks (CS-4.1, CS-4.2).

use millstream_value::{ClusterTime, Doc, Value};

use crate::event::Shape;
use crate::scope::Scope;
use crate::token::{Parts, Position, Token, TokenKind};
use crate::{Error, Result};

/// The value of `$changeStream`, its types checked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What `fullDocument` of an update holds.
    pub full_document: FullDocument,
    /// Whether events carry the document as it was.
    pub before: Before,
    /// The token after which to continue.
    pub resume_after: Option<Token>,
    /// The token after which to start anew.
    pub start_after: Option<Token>,
    /// The time of the first event. Clients may also send a date, which MongoDB refuses.
    pub start_at_operation_time: Option<ClusterTime>,
    /// Watch every database.
    pub all_changes_for_cluster: bool,
    /// Show the events of CS-1.4.2 and the fields of CS-1.5.
    pub show_expanded_events: bool,
    /// Show deltas as they are stored.
    pub show_raw_update_description: bool,
    /// Show some of the system collections.
    pub show_system_events: bool,
    /// Look documents up in the event's own collection only.
    pub match_collection_uuid: bool,
    /// Begin with the documents that are there (`millstream.snapshot`, beyond MongoDB).
    pub snapshot: bool,
    /// Internal: permit a stream on `config`.
    pub allow_to_run_on_config_db: bool,
    /// Internal: permit a stream on a `system.*` collection.
    pub allow_to_run_on_system_ns: bool,
}

/// `fullDocument` (CS-4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullDocument {
    /// Updates have none.
    #[default]
    Default,
    /// The document as it is when the event is read.
    UpdateLookup,
    /// The document as the update left it, or null.
    WhenAvailable,
    /// The document as the update left it; an error without it.
    Required,
}

/// `fullDocumentBeforeChange` (CS-9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Before {
    /// Events have none.
    #[default]
    Off,
    /// The document before the change, or null.
    WhenAvailable,
    /// The document before the change; an error without it.
    Required,
}

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After everything that was written so far (CS-4.8.1).
    Now,
    /// With the first event at or after a time (CS-4.6.1).
    At(ClusterTime),
    /// After a token.
    After(Token, Parts),
    /// With the documents that are there now.
    Snapshot,
    /// After a token from inside of a snapshot.
    Within(Token, Parts, Position),
}

impl Options {
    /// Reads the value of a `$changeStream` stage, with the outer shape of its tokens.
    ///
    /// # Errors
    /// CS-4.2.1 to CS-4.2.4, and 40647 and 40648 for tokens.
    pub fn parse(stage: &Value<'_>) -> Result<Self> {
        let doc = stage.as_doc().ok_or(Error::StageNotObject { found: stage.type_name() })?;
        let mut options = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for element in doc.elements() {
            let name = element.key();
            if seen.contains(&name) {
                return Err(Error::RepeatedOption(name.to_owned()));
            }
            seen.push(name);
            let row = OPTIONS.iter().find(|row| row.name == name);
            let row = row.ok_or_else(|| Error::UnknownOption(name.to_owned()))?;
            let value = element.value();
            if !(value.is_nullish() && row.null_is_absent()) {
                (row.read)(&mut options, row.name, &value)?;
            }
        }
        Ok(options)
    }

    /// Checks what the options say together, and the bytes of tokens; in the order of CS-4.2.10, after the namespace.
    ///
    /// # Errors
    /// CS-4.2.6 to CS-4.2.8 and CS-5.5.
    pub fn start(&self, scope: &Scope) -> Result<Start> {
        if self.resume_after.is_some() && self.start_after.is_some() {
            return Err(Error::ResumeAndStart);
        }
        let Some(token) = self.resume_after.as_ref().or(self.start_after.as_ref()) else {
            return match self.start_at_operation_time {
                Some(_) if self.snapshot => Err(Error::SnapshotAndTime),
                Some(time) => Ok(Start::At(time)),
                None if self.snapshot => Ok(Start::Snapshot),
                None => Ok(Start::Now),
            };
        };
        let parts = token.read()?;
        if self.start_at_operation_time.is_some() {
            return Err(Error::TimeAndToken);
        }
        if self.resume_after.is_some() && parts.from_invalidate {
            return Err(Error::ResumeAfterInvalidate);
        }
        if let Some(position) = parts.position.clone() {
            return Ok(Start::Within(token.clone(), parts, position));
        }
        let is_event = parts.kind == TokenKind::Event;
        if is_event && parts.uuid.is_none() && matches!(scope, Scope::Collection(_)) {
            return Err(Error::NoUuid);
        }
        Ok(Start::After(token.clone(), parts))
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape { expanded: self.show_expanded_events, raw_update: self.show_raw_update_description }
    }
}

type Read = fn(&mut Options, &'static str, &Value<'_>) -> Result<()>;

/// One option: its name, and how its value gets into [`Options`].
struct Row {
    name: &'static str,
    kind: Kind,
    read: Read,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// null is refused (CS-4.2.4).
    Flag,
    Other,
}

impl Row {
    const fn flag(name: &'static str, read: Read) -> Self {
        Self { name, kind: Kind::Flag, read }
    }

    const fn new(name: &'static str, read: Read) -> Self {
        Self { name, kind: Kind::Other, read }
    }

    fn null_is_absent(&self) -> bool {
        self.kind == Kind::Other
    }
}

/// Every option, by name.
// tidy: sorted by name
static OPTIONS: &[Row] = &[
    Row::flag("allChangesForCluster", |o, name, v| flag(name, v).map(|f| o.all_changes_for_cluster = f)),
    Row::flag("allowToRunOnConfigDB", |o, name, v| flag(name, v).map(|f| o.allow_to_run_on_config_db = f)),
    Row::flag("allowToRunOnSystemNS", |o, name, v| flag(name, v).map(|f| o.allow_to_run_on_system_ns = f)),
    Row::new("fullDocument", |o, name, v| {
        let modes = [
            ("default", FullDocument::Default),
            ("updateLookup", FullDocument::UpdateLookup),
            ("whenAvailable", FullDocument::WhenAvailable),
            ("required", FullDocument::Required),
        ];
        mode(name, v, &modes).map(|mode| o.full_document = mode)
    }),
    Row::new("fullDocumentBeforeChange", |o, name, v| {
        let modes = [("off", Before::Off), ("whenAvailable", Before::WhenAvailable), ("required", Before::Required)];
        mode(name, v, &modes).map(|mode| o.before = mode)
    }),
    Row::flag("matchCollectionUUIDForUpdateLookup", |o, name, v| flag(name, v).map(|f| o.match_collection_uuid = f)),
    Row::new("millstream", beyond),
    Row::new("resumeAfter", |o, name, v| token(name, v).map(|token| o.resume_after = Some(token))),
    Row::flag("showExpandedEvents", |o, name, v| flag(name, v).map(|f| o.show_expanded_events = f)),
    // Nothing is ever marked as a migration on one node (CS-3.4.7).
    Row::flag("showMigrationEvents", |_, name, v| flag(name, v).map(|_| ())),
    Row::flag("showRawUpdateDescription", |o, name, v| flag(name, v).map(|f| o.show_raw_update_description = f)),
    Row::flag("showSystemEvents", |o, name, v| flag(name, v).map(|f| o.show_system_events = f)),
    Row::new("startAfter", |o, name, v| token(name, v).map(|token| o.start_after = Some(token))),
    Row::new("startAtOperationTime", |o, name, v| {
        o.start_at_operation_time = Some(match v {
            Value::Timestamp(time) => *time,
            Value::Date(ms) => since(*ms),
            _ => return Err(wrong(name, v, "timestamp")),
        });
        Ok(())
    }),
];

/// The first time of the second that a date lies in. A cluster time has the seconds of the wall clock or later ones, so
/// that nothing that was written at the date or after it comes before this. Of the second itself there may be more.
fn since(unix_ms: i64) -> ClusterTime {
    let seconds = unix_ms.div_euclid(1000).max(0);
    ClusterTime::new(u32::try_from(seconds).unwrap_or(u32::MAX), 0)
}

/// What MongoDB does not have: `{snapshot: <bool>}`.
fn beyond(options: &mut Options, name: &'static str, value: &Value<'_>) -> Result<()> {
    let doc = value.as_doc().ok_or_else(|| wrong(name, value, "object"))?;
    for element in doc.elements() {
        match element.key() {
            "snapshot" => options.snapshot = flag("millstream.snapshot", &element.value())?,
            other => return Err(Error::UnknownOption(format!("{name}.{other}"))),
        }
    }
    Ok(())
}

fn flag(name: &'static str, value: &Value<'_>) -> Result<bool> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        _ => Err(wrong(name, value, "bool")),
    }
}

fn mode<M: Copy>(name: &'static str, value: &Value<'_>, modes: &[(&str, M)]) -> Result<M> {
    let text = value.as_str().ok_or_else(|| wrong(name, value, "string"))?;
    let row = modes.iter().find(|row| row.0 == text);
    row.map(|row| row.1).ok_or_else(|| Error::Enumeration { option: name, value: text.to_owned() })
}

fn token(name: &'static str, value: &Value<'_>) -> Result<Token> {
    let doc: Doc<'_> = value.as_doc().ok_or_else(|| wrong(name, value, "object"))?;
    Ok(Token::from_doc(doc)?)
}

fn wrong(option: &'static str, value: &Value<'_>, expected: &'static str) -> Error {
    Error::WrongType { option, found: value.type_name(), expected }
}

#[cfg(test)]
mod tests;
