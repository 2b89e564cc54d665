//! `$unset`: drops fields.
//!
//! Shape:  `{ $unset: <path> | [ <path>, ... ] }`
//! Absent: nothing to drop.
//! Errors: 31002, 31119, 31120 for another argument.
//! Source: MongoDB manual 8.0, "$unset (aggregation)".

use millstream_value::{DocBuf, Element};

use super::{Each, Parsing, Row, invalid};
use crate::Result;
use crate::projection::Unset;

pub(super) const UNSET: Row = Row::new("$unset", parse).in_change_streams().in_updates();

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    parsing.each(Unset::parse(&spec.value()).map_err(|error| invalid(spec.key(), error))?);
    Ok(())
}

impl Each for Unset {
    fn apply(&self, doc: DocBuf) -> Result<Option<DocBuf>> {
        Ok(Some(Self::apply(self, doc.as_doc())))
    }
}
