//! One document a line, in relaxed Extended JSON.

use bson::{Bson, Document, RawDocument};

pub(super) fn line(row: &RawDocument) -> String {
    // What cannot be read as a document has come damaged; an empty line would hide that.
    let row = Document::try_from(row).map_or_else(|error| Bson::String(error.to_string()), Bson::Document);
    format!("{}\n", row.into_relaxed_extjson())
}
