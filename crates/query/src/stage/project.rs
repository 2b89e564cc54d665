//! `$project`: keeps, drops and computes fields.
//!
//! Shape:  `{ $project: { <path>: 1 | 0 | <expression>, ... } }`
//! Absent: a path that is not there is not there.
//! Errors: 15969 if the argument is no document; those of projections.
//! Source: MongoDB manual 8.0, "$project (aggregation)".

use millstream_value::{Doc, DocBuf, Element};

use super::{Each, Parsing, Row, invalid};
use crate::projection::{Kind, Projection};
use crate::{Error, Result};

pub(super) const PROJECT: Row = Row::new("$project", parse).in_change_streams().in_updates();

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(fields) = spec.as_doc() else {
        return Err(Error::location(15969, "$project specification must be an object"));
    };
    let projection = Projection::parse(fields, parsing.scope, Kind::Aggregate);
    parsing.each(projection.map_err(|error| invalid(spec.key(), error))?);
    Ok(())
}

impl Each for Projection {
    fn apply(&self, doc: DocBuf) -> Result<Option<DocBuf>> {
        self.apply_to(doc.as_doc())
    }

    fn apply_to(&self, doc: Doc<'_>) -> Result<Option<DocBuf>> {
        Self::apply(self, doc).map(Some)
    }
}
