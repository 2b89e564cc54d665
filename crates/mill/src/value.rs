//! SQL's values as those of documents.

use bson::{Bson, Document, RawDocument};
use millstream_flow::Datum;
use millstream_sql::expr;
use millstream_value::{Doc, DocBuf};

/// As it is written to a document (SQL-4.13).
pub(crate) fn to_bson(datum: &Datum) -> Bson {
    let mut holder = DocBuf::new();
    holder.push("v", expr::to_value(datum, &jiff::tz::TimeZone::UTC));
    document(holder.as_doc()).remove("v").unwrap_or(Bson::Null)
}

/// From a document's value.
pub(crate) fn from_bson(value: &Bson) -> Datum {
    let mut holder = Document::new();
    holder.insert("v", value.clone());
    let raw = bson::RawDocumentBuf::try_from(&holder).unwrap_or_default();
    Doc::new(raw.as_bytes()).get("v").map_or(Datum::Missing, |value| Datum::from_value(&value))
}

/// A document in the driver's form.
pub(crate) fn document(doc: Doc<'_>) -> Document {
    RawDocument::from_bytes(doc.as_bytes()).and_then(Document::try_from).unwrap_or_default()
}
