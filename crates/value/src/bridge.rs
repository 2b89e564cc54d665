//! To and from the `bson` crate's trees, for Extended JSON and tests. Not for hot paths.

use crate::{Doc, DocBuf, Value};

/// A document as a tree. Bytes that are not well formed give an empty tree.
#[must_use]
pub fn to_bson_document(doc: Doc<'_>) -> bson::Document {
    bson::Document::from_reader(doc.as_bytes()).unwrap_or_default()
}

/// A value as a tree.
#[must_use]
pub fn to_bson(value: &Value<'_>) -> bson::Bson {
    let mut doc = DocBuf::new();
    doc.push("v", value.borrowed());
    to_bson_document(doc.as_doc()).remove("v").unwrap_or(bson::Bson::Null)
}

/// A tree as bytes.
#[must_use]
pub fn from_bson_document(doc: &bson::Document) -> DocBuf {
    DocBuf::from_bytes(doc.to_vec().unwrap_or_else(|_| crate::document::EMPTY.to_vec()))
}

/// A tree as a value.
#[must_use]
pub fn from_bson(value: &bson::Bson) -> Value<'static> {
    let doc = from_bson_document(&bson::doc! {"v": value.clone()});
    doc.as_doc().get("v").map_or(Value::Null, Value::into_owned)
}
