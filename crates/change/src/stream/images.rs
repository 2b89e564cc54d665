//! What an event shows beyond its entry: the current document, and the document before and after (CS-4.4, CS-9).

use bytes::Bytes;
use millstream_query::update::delta;
use millstream_value::{Doc, shell};

use super::snapshot::Contents;
use super::source::Source;
use crate::entry::{Change, Form};
use crate::event::{Draft, EventType, Image, Images, MadeBy};
use crate::options::{Before, FullDocument, Options};
use crate::{Error, Result};

/// Finds documents as they are now.
pub trait Lookup: Send + Sync {
    /// All documents as they are now.
    ///
    /// # Errors
    /// [`Error::Lookup`] or [`Error::Storage`] if it cannot be read what there is.
    fn contents(&self) -> Result<Box<dyn Contents>>;

    /// The document of a collection with this key, `None` if there is none. With `uuid` only if the collection of that
    /// name is still the one with it (CS-4.4.6). Uses the collection's own collation (CS-4.4.3).
    ///
    /// # Errors
    /// [`Error::Lookup`] if the collection cannot be read.
    fn find(&self, db: &str, coll: &str, uuid: Option<[u8; 16]>, document_key: Doc<'_>) -> Result<Option<Vec<u8>>>;
}

/// What has to be looked up for an event.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    full_document: FullDocument,
    before: Before,
    match_uuid: bool,
}

impl Wanted {
    pub(super) fn any(self) -> bool {
        self.full_document != FullDocument::Default || self.before != Before::Off
    }
}

/// What an event of a type needs.
pub(super) fn wanted(event_type: &EventType, options: &Options) -> Wanted {
    let form = match event_type.made_by {
        MadeBy::Form(form) => form,
        MadeBy::Commands(_) | MadeBy::Definition(_) | MadeBy::Stream => Form::Noop,
    };
    let is_update = form == Form::Update;
    let has_before = matches!(form, Form::Update | Form::Replace | Form::Delete);
    Wanted {
        full_document: if is_update { options.full_document } else { FullDocument::Default },
        before: if has_before { options.before } else { Before::Off },
        match_uuid: options.match_collection_uuid,
    }
}

/// The images that were asked for. The outer `None` means not asked for, the inner one not found.
#[derive(Default)]
pub(super) struct Found {
    full_document: Option<Option<Bytes>>,
    before: Option<Option<Bytes>>,
}

impl Found {
    pub(super) fn as_ref(&self) -> Images<'_> {
        fn image(found: Option<&Option<Bytes>>) -> Image<'_> {
            found.map_or(Image::Absent, |found| Image::found(found.as_deref()))
        }
        Images { full_document: image(self.full_document.as_ref()), before: image(self.before.as_ref()) }
    }
}

/// Looks everything up; `plain` is the event without, for the text of errors.
pub(super) fn find(
    change: Change<'_>,
    draft: &Draft<'_>,
    wanted: Wanted,
    source: &Source,
    lookup: &dyn Lookup,
    plain: &[u8],
) -> Result<Found> {
    let from_image = matches!(wanted.full_document, FullDocument::WhenAvailable | FullDocument::Required);
    let mut found = Found::default();
    let before = match wanted.before {
        Before::Off if !from_image => None,
        _ => source.image(change)?,
    };
    if wanted.before == Before::Required && before.is_none() {
        return Err(Error::NoPreImage { event: shell::document(Doc::new(plain)) });
    }
    match wanted.full_document {
        FullDocument::Default => {}
        FullDocument::UpdateLookup => {
            let uuid = change.uuid().filter(|_| wanted.match_uuid);
            let key = draft.document_key().unwrap_or(Doc::empty());
            let document = lookup.find(change.db(), change.coll(), uuid, key)?;
            found.full_document = Some(document.map(Bytes::from));
        }
        FullDocument::WhenAvailable | FullDocument::Required => {
            let diff = change.o().doc("diff").unwrap_or(Doc::empty());
            let after = before.as_ref().map(|before| delta::apply_delta(Doc::new(before), diff).into_bytes());
            if wanted.full_document == FullDocument::Required && after.is_none() {
                return Err(Error::NoPostImage { event: shell::document(Doc::new(plain)) });
            }
            found.full_document = Some(after.map(Bytes::from));
        }
    }
    if wanted.before != Before::Off {
        found.before = Some(before);
    }
    Ok(found)
}
