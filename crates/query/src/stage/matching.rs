//! `$match`: lets documents pass that a predicate accepts.
//!
//! Shape:  `{ $match: <filter> }`
//! Errors: 15959 if the argument is no document; those of predicates.
//! Source: MongoDB manual 8.0, "$match (aggregation)".

use millstream_value::Element;

use super::{Documents, Parsing, Row, Stage};
use crate::predicate::Predicate;
use crate::{Error, Result};

pub(super) const MATCH: Row = Row::new("$match", parse).in_change_streams();

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(filter) = spec.as_doc() else {
        return Err(Error::location(15959, "the match filter must be an expression in an object"));
    };
    let predicate = Predicate::parse(filter, parsing.scope)?;
    parsing.push(Stage::Match(predicate));
    Ok(())
}

/// The documents of `input` that pass.
pub(super) fn run(predicate: Predicate, input: Documents<'_>) -> Documents<'_> {
    Box::new(input.filter_map(move |doc| {
        let passes = doc.and_then(|doc| Ok(predicate.matches(doc.as_doc())?.then_some(doc)));
        passes.transpose()
    }))
}
