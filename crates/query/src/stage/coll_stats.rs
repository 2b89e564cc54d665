//! `$collStats`: what is known about a collection instead of its documents.
//!
//! Shape:  `{ $collStats: { [storageStats: {[scale]}], [count: {}], [latencyStats: {..}] } }`, first.
//! Result: nothing runs here: the options are handed on to who knows the collection.
//! Errors: 5447000 if the argument is no document.
//! Source: MongoDB manual 8.0, "$collStats (aggregation)".

use millstream_value::Element;

use super::{Parsing, Row};
use crate::{Error, Result};

pub(super) const COLL_STATS: Row = Row::new("$collStats", parse).first_only();

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(options) = spec.as_doc() else {
        let message = format!("$collStats must take a nested object but found: {}", super::shown(spec));
        return Err(Error::location(5_447_000, message));
    };
    parsing.pipeline.coll_stats = Some(options.to_buf());
    Ok(())
}
