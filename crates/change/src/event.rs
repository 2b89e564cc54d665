//! Change events: what one operation of the log looks like to a watcher (CS-1).
//!
//! [`EVENT_TYPES`] is the table of everything that can be seen. A row tells which operations make it and how the fields
//! that differ from type to type are filled; the fields that all events share, and the order of all fields
//! (CS-1.2.1), are written here, once.

mod create;
mod create_indexes;
mod delete;
mod drop;
mod drop_database;
mod drop_indexes;
mod insert;
mod invalidate;
mod modify;
mod rename;
mod replace;
mod update;
mod view;

use std::borrow::Cow;

use bytes::Bytes;
use millstream_query::update::delta;
use millstream_value::{Doc, DocBuf};

use crate::entry::{Change, Form};
use crate::raw::Raw;
use crate::token::{Detail, EventName, Position};
use crate::{Error, Result};

/// Every event type, by the name in `operationType`.
// tidy: sorted by name
pub static EVENT_TYPES: &[&EventType] = &[
    &create::CREATE,
    &view::CREATE,
    &create_indexes::CREATE_INDEXES,
    &delete::DELETE,
    &drop::DROP,
    &view::DROP,
    &drop_database::DROP_DATABASE,
    &drop_indexes::DROP_INDEXES,
    &insert::INSERT,
    &invalidate::INVALIDATE,
    &modify::MODIFY,
    &view::MODIFY,
    &rename::RENAME,
    &replace::REPLACE,
    &update::UPDATE,
];

/// What documents of a snapshot come as.
pub(crate) const INSERT_NAME: &str = insert::INSERT.name;

/// A row of [`EVENT_TYPES`].
pub struct EventType {
    /// `operationType`.
    pub name: &'static str,
    /// Who sees it.
    pub class: Class,
    /// Which operations make it.
    pub made_by: MadeBy,
    /// The fields that only some types have.
    body: for<'a> fn(Change<'a>) -> Body<'a>,
}

/// Who sees an event (CS-1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Every stream.
    Classic,
    /// Streams with `showExpandedEvents`.
    Expanded,
}

/// Which operations make an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// Changes of documents.
    Form(Form),
    /// Commands, by the first field of the entry's `o`.
    Commands(&'static [&'static str]),
    /// Changes of the documents that define views (CS-1.7.2).
    Definition(Form),
    /// Another event of the same stream.
    Stream,
}

/// What differs from type to type. Absent fields stay out of the event (CS-1.1.1).
#[derive(Default)]
struct Body<'a> {
    to: Option<(&'a str, &'a str)>,
    full_document: Option<Doc<'a>>,
    ns: (&'a str, Option<&'a str>),
    document_key: Option<Cow<'a, [u8]>>,
    /// In the token always, in the event if it is expanded (CS-5.2).
    description: Option<DocBuf>,
    /// The `o` of an update.
    delta: Option<Doc<'a>>,
    state_before: Option<DocBuf>,
    ns_type: Option<&'static str>,
    /// A view has no UUID: the one in the entry is that of `system.views`.
    is_view: bool,
}

/// Which of the optional fields a stream wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `showExpandedEvents`.
    pub(crate) expanded: bool,
    /// `showRawUpdateDescription`.
    pub(crate) raw_update: bool,
}

/// A field that may hold a document, hold null, or be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Image<'a> {
    #[default]
    Absent,
    Missing,
    Document(Doc<'a>),
}

impl<'a> Image<'a> {
    /// An image that was looked for.
    pub(crate) fn found(bytes: Option<&'a [u8]>) -> Self {
        bytes.map_or(Self::Missing, |bytes| Self::Document(Doc::new(bytes)))
    }
}

/// What is not in the entry and has to be looked up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Images<'a> {
    /// `fullDocument` of an update.
    pub(crate) full_document: Image<'a>,
    /// `fullDocumentBeforeChange`.
    pub(crate) before: Image<'a>,
}

/// The type of the event that an operation makes, if it makes one.
///
/// # Errors
/// `UpdateForm` for an update entry of no known form.
pub(crate) fn of(change: Change<'_>) -> Result<Option<&'static EventType>> {
    if change.is_definition() {
        return Ok(view::of(change));
    }
    Ok(match change.form() {
        Form::Insert => Some(&insert::INSERT),
        Form::Update => Some(&update::UPDATE),
        Form::Replace => Some(&replace::REPLACE),
        Form::Delete => Some(&delete::DELETE),
        Form::Noop => None,
        Form::Unknown => return Err(Error::UpdateForm),
        Form::Command => {
            let command = change.command();
            let made_by =
                |row: &&&EventType| matches!(row.made_by, MadeBy::Commands(names) if names.contains(&command));
            EVENT_TYPES.iter().find(made_by).copied()
        }
    })
}

/// An event about to be written: an operation, its type and its fields.
pub(crate) struct Draft<'a> {
    change: Change<'a>,
    event_type: &'static EventType,
    body: Body<'a>,
    /// Of the token.
    version: u8,
    /// How far the snapshot is in which the event comes.
    place: Option<&'a Position>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(change: Change<'a>, event_type: &'static EventType, version: u8) -> Self {
        Self { change, event_type, body: (event_type.body)(change), version, place: None }
    }

    /// The same event in the middle of a snapshot.
    pub(crate) fn at(self, place: Option<&'a Position>) -> Self {
        Self { place, ..self }
    }

    /// What the event's token is made from.
    pub(crate) fn name(&self) -> EventName<'_> {
        if let Some(place) = self.place {
            return place.name(self.change.time(), self.change.index());
        }
        let detail = match (&self.body.document_key, &self.body.description) {
            (Some(key), _) => Detail::Key(Doc::new(key)),
            (None, Some(description)) => Detail::Description(description.as_doc()),
            (None, None) => Detail::None,
        };
        EventName {
            time: self.change.time(),
            version: self.version,
            index: self.change.index(),
            from_invalidate: false,
            uuid: self.uuid(),
            operation: self.event_type.name,
            detail,
            fragment: None,
        }
    }

    fn uuid(&self) -> Option<[u8; 16]> {
        if self.body.is_view { None } else { self.change.uuid() }
    }

    /// `documentKey`, of events that have one.
    pub(crate) fn document_key(&self) -> Option<Doc<'_>> {
        self.body.document_key.as_deref().map(Doc::new)
    }

    /// The event's bytes.
    pub(crate) fn assemble(&self, shape: Shape, images: Images<'_>) -> Vec<u8> {
        const FIXED_BYTES: usize = 256;
        let Self { change, body, .. } = self;
        let id = self.name().encode();
        let size = change.o().as_bytes().len() + change.ns().len() + image_bytes(images) + id.size_hint() + FIXED_BYTES;
        let mut out = Raw::with_capacity(size);
        let event = out.open();
        if let Some(to) = body.to {
            namespace(&mut out, "to", to.0, Some(to.1));
        } else if let Some((lsid, number)) = change.transaction() {
            out.long("txnNumber", number);
            out.doc("lsid", lsid);
        }
        id.write(&mut out);
        out.str("operationType", self.event_type.name);
        out.time("clusterTime", change.time());
        if let (true, Some(uuid)) = (shape.expanded, &self.uuid()) {
            out.uuid("collectionUUID", uuid);
        }
        out.date("wallTime", change.wall_ms());
        match body.full_document {
            Some(document) => out.doc("fullDocument", document),
            None => image(&mut out, "fullDocument", images.full_document),
        }
        namespace(&mut out, "ns", body.ns.0, body.ns.1);
        if let Some(key) = &body.document_key {
            out.doc("documentKey", Doc::new(key));
        }
        if let (true, Some(description)) = (shape.expanded, &body.description) {
            out.doc("operationDescription", description.as_doc());
        }
        match body.delta {
            Some(o) if shape.raw_update => out.doc("rawUpdateDescription", o),
            Some(o) => update_description(&mut out, o, shape),
            None => {}
        }
        if let (true, Some(before)) = (shape.expanded, &body.state_before) {
            out.doc("stateBeforeChange", before.as_doc());
        }
        if let (true, Some(ns_type)) = (shape.expanded, body.ns_type) {
            out.str("nsType", ns_type);
        }
        image(&mut out, "fullDocumentBeforeChange", images.before);
        out.close(event);
        out.into_bytes()
    }

    /// The `invalidate` event that follows this one (CS-1.3, CS-5.2.1).
    pub(crate) fn invalidation(&self) -> Vec<u8> {
        let id = EventName { from_invalidate: true, ..self.name() }.encode();
        let mut out = Raw::with_capacity(128 + id.size_hint());
        let event = out.open();
        id.write(&mut out);
        out.str("operationType", invalidate::INVALIDATE.name);
        out.time("clusterTime", self.change.time());
        out.date("wallTime", self.change.wall_ms());
        out.close(event);
        out.into_bytes()
    }
}

/// The event without images, made once per shape and shared by all who want it.
pub(crate) fn shared(change: Change<'_>, event_type: &'static EventType, shape: Shape) -> Bytes {
    let make = || Bytes::from(Draft::new(change, event_type, crate::token::VERSION).assemble(shape, Images::default()));
    if shape.raw_update && event_type.made_by == MadeBy::Form(Form::Update) {
        return make();
    }
    change.cached(shape.expanded).get_or_init(make).clone()
}

fn image_bytes(images: Images<'_>) -> usize {
    let size = |image: Image<'_>| match image {
        Image::Document(doc) => doc.as_bytes().len(),
        Image::Absent | Image::Missing => 0,
    };
    size(images.full_document) + size(images.before)
}

fn image(out: &mut Raw, name: &str, image: Image<'_>) {
    match image {
        Image::Absent => {}
        Image::Missing => out.null(name),
        Image::Document(doc) => out.doc(name, doc),
    }
}

fn namespace(out: &mut Raw, name: &str, db: &str, coll: Option<&str>) {
    let ns = out.open_doc(name);
    out.str("db", db);
    if let Some(coll) = coll {
        out.str("coll", coll);
    }
    out.close(ns);
}

/// CS-1.2.3.
fn update_description(out: &mut Raw, o: Doc<'_>, shape: Shape) {
    let found = delta::describe(o.doc("diff").unwrap_or(Doc::empty()));
    let open = out.open_doc("updateDescription");
    out.doc("updatedFields", found.updated_fields.as_doc());
    out.array("removedFields", found.removed_fields.as_doc());
    out.array("truncatedArrays", found.truncated_arrays.as_doc());
    if shape.expanded {
        out.doc("disambiguatedPaths", found.disambiguated_paths.as_doc());
    }
    out.close(open);
}

/// The `ns` of an operation on documents.
fn document_ns(change: Change<'_>) -> (&str, Option<&str>) {
    (change.db(), Some(change.coll()))
}

/// The `ns` of a command that names a collection in its first field.
fn command_ns(change: Change<'_>) -> (&str, Option<&str>) {
    (change.db(), change.named())
}

#[cfg(test)]
mod tests;
