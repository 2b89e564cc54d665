//! `$changeStreamSplitLargeEvent`: cuts events that are too large into fragments.
//!
//! Shape:  `{ $changeStreamSplitLargeEvent: {} }`, last in a change stream.
//! Result: nothing runs here: whoever sends events asks [`super::Pipeline::splits_large_events`].
//! Errors: `IllegalOperation` outside of change streams, 7182802 if it is not last, 7182800 for an argument.
//! Source: MongoDB manual 8.0, "$changeStreamSplitLargeEvent (aggregation)".

use millstream_value::{Code, Element};

use super::{Parsing, Place, Row};
use crate::{Error, Result};

pub(super) const CHANGE_STREAM_SPLIT_LARGE_EVENT: Row =
    Row::new("$changeStreamSplitLargeEvent", parse).in_change_streams().not_in_facets();

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    if !spec.as_doc().is_some_and(|options| options.is_empty()) {
        let message = "$changeStreamSplitLargeEvent spec should be an empty object";
        return Err(Error::location(7_182_800, message));
    }
    if parsing.place != Place::ChangeStream {
        let message = "$changeStreamSplitLargeEvent can only be used in a $changeStream pipeline";
        return Err(Error::new(Code::IllegalOperation, message));
    }
    if !parsing.is_last {
        let message = "$changeStreamSplitLargeEvent must be the last stage in the pipeline";
        return Err(Error::location(7_182_802, message));
    }
    parsing.pipeline.splits_large_events = true;
    Ok(())
}
