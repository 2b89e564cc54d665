//! `$skip`: everything but the first documents.
//!
//! Shape:  `{ $skip: <integer that is not negative> }`
//! Errors: 5107200 for anything else.
//! Source: MongoDB manual 8.0, "$skip (aggregation)".

use millstream_value::Element;

use super::{Documents, Parsing, Row, Stage, limit};
use crate::Result;

pub(super) const SKIP: Row = Row::new("$skip", parse);

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let count = limit::count(spec, 5_107_200)?;
    parsing.push(Stage::Skip(count));
    Ok(())
}

/// Everything after the first `count` documents; errors are never skipped.
pub(super) fn run(count: u64, input: Documents<'_>) -> Documents<'_> {
    let mut left = count;
    Box::new(input.filter(move |doc| {
        let passes = left == 0 || doc.is_err();
        left = left.saturating_sub(1);
        passes
    }))
}
