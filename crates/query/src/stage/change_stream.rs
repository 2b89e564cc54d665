//! `$changeStream`: events instead of documents.
//!
//! Shape:  `{ $changeStream: { <option>, ... } }`, first.
//! Result: nothing runs here: the options are handed on, and the rest of the pipeline is that of a change stream.
//! Errors: `FailedToParse` if the argument is no document.
//! Source: MongoDB manual 8.0, "$changeStream (aggregation)".

use millstream_value::Element;

use super::{Parsing, Place, Row};
use crate::{Error, Result};

pub(super) const CHANGE_STREAM: Row = Row::new("$changeStream", parse).first_only();

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(options) = spec.as_doc() else {
        let shown = super::shown(spec);
        let message = format!("the $changeStream stage specification must be an object, but found: {shown}");
        return Err(Error::location(6_188_500, message));
    };
    parsing.pipeline.change_stream = Some(options.to_buf());
    parsing.place = Place::ChangeStream;
    Ok(())
}
