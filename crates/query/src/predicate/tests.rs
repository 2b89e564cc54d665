//! What a predicate lets through, by example.

use super::*;
use crate::expression::Scope;
use millstream_value::shell;
use std::ops::Bound;

fn doc(value: bson::Document) -> DocBuf {
    millstream_value::from_bson_document(&value)
}

fn parse(filter: bson::Document) -> Predicate {
    Predicate::parse(doc(filter).as_doc(), &Scope::default()).unwrap()
}

fn matches(filter: bson::Document, document: bson::Document) -> bool {
    parse(filter).matches(doc(document).as_doc()).unwrap()
}
