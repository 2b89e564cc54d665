//! `$facet`: several pipelines over the same documents.
//!
//! Shape:  `{ $facet: { <field>: [ <stage>, ... ], ... } }`
//! Result: one document that holds each pipeline's documents as an array.
//! Errors: 40169 if there is none, 40170 if one is no array, 40600 for a stage that may not be inside; 292 for more
//!         than the memory limit.
//! Source: MongoDB manual 8.0, "$facet (aggregation)".

use std::sync::Arc;

use millstream_value::{ArrayBuf, DocBuf, Element, Value};

use super::{Documents, MEMORY_BYTES_MAX, Parsing, Pipeline, Place, Row, Stream, shown, too_much_memory};
use crate::{Error, Result};

pub(super) const FACET: Row = Row::new("$facet", parse).not_in_facets();

struct Facet(Vec<(String, Pipeline)>);

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(facets) = spec.as_doc().filter(|facets| !facets.is_empty()) else {
        let message = format!("the $facet specification must be a non-empty object, but found: {}", shown(spec));
        return Err(Error::location(40169, message));
    };
    let mut pipelines = Vec::new();
    for facet in facets.elements() {
        let name = facet.key();
        if name.is_empty() || name.contains('.') || name.starts_with('$') {
            let message = format!("The name '{name}' cannot be that of a facet");
            return Err(Error::location(if name.contains('.') { 16412 } else { 16410 }, message));
        }
        let Some(stages) = facet.as_array() else {
            let found = facet.value().type_name();
            return Err(Error::location(40170, format!("arguments to $facet must be arrays, {name} is type {found}")));
        };
        let stages: Vec<Value<'_>> = stages.values().collect();
        pipelines.push((name.to_owned(), Pipeline::parse(&stages, parsing.scope, Place::Facet)?));
    }
    parsing.stream(Facet(pipelines));
    Ok(())
}

impl Stream for Facet {
    fn run<'a>(self: Arc<Self>, input: Documents<'a>) -> Documents<'a> {
        super::group::lazily(move || self.collect(input))
    }
}

impl Facet {
    fn collect(&self, input: Documents<'_>) -> Result<Vec<DocBuf>> {
        let mut docs = Vec::new();
        let mut bytes = 0_usize;
        for doc in input {
            let doc = doc?;
            bytes += doc.size();
            if bytes > MEMORY_BYTES_MAX {
                return Err(too_much_memory("$facet"));
            }
            docs.push(doc);
        }
        let mut out = DocBuf::new();
        for (name, pipeline) in &self.0 {
            let mut results = ArrayBuf::new();
            for doc in pipeline.run(docs.iter().cloned().map(Ok)) {
                results.push(doc?);
                if results.size() > MEMORY_BYTES_MAX {
                    return Err(too_much_memory("$facet"));
                }
            }
            out.push(name, results);
        }
        Ok(vec![out])
    }
}
