//! `$addFields` and `$set`: adds or replaces fields.
//!
//! Shape:  `{ $set: { <path>: <expression>, ... } }`
//! Absent: a missing value leaves the field as it is; `$$REMOVE` removes it.
//! Errors: 40272 if the argument is no document.
//! Source: MongoDB manual 8.0, "$addFields (aggregation)".

use millstream_value::{DocBuf, Element};

use super::{Each, Parsing, Row, invalid};
use crate::projection::AddFields;
use crate::{Error, Result};

pub(super) const ADD_FIELDS: Row = Row::new("$addFields", parse).in_change_streams().in_updates();
pub(super) const SET: Row = Row::new("$set", parse).in_change_streams().in_updates();

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(fields) = spec.as_doc() else {
        let (name, found) = (spec.key(), spec.value().type_name());
        return Err(Error::location(40272, format!("{name} specification stage must be an object, got {found}")));
    };
    let fields = AddFields::parse(fields, parsing.scope).map_err(|error| invalid(spec.key(), error))?;
    parsing.each(fields);
    Ok(())
}

impl Each for AddFields {
    fn apply(&self, doc: DocBuf) -> Result<Option<DocBuf>> {
        Self::apply(self, doc.as_doc()).map(Some)
    }
}
