//! Stages that MongoDB knows and this engine does not: named, so that the error says so.

use millstream_value::{Code, Element};

use super::{Parsing, Row};
use crate::{Error, Result};

/// The row of a stage that is not built.
pub(super) const fn stage(name: &'static str) -> Row {
    Row { built: false, ..Row::new(name, parse) }
}

fn parse(spec: Element<'_>, _: &mut Parsing<'_>) -> Result<()> {
    check_nested(spec)?;
    Err(Error::new(Code::NotImplemented, format!("the stage {} is not implemented", spec.key())))
}

/// A change stream cannot be read inside of another stage, and its error says which (CS-3.2).
fn check_nested(spec: Element<'_>) -> Result<()> {
    let code = match spec.key() {
        "$lookup" => 51_047,
        "$unionWith" => 31_441,
        _ => return Ok(()),
    };
    let stages = spec.as_doc().and_then(|spec| spec.element("pipeline")).and_then(|stages| stages.as_array());
    let watches = |stage: &Element<'_>| stage.as_doc().is_some_and(|stage| stage.has("$changeStream"));
    if stages.is_some_and(|stages| stages.elements().any(|stage| watches(&stage))) {
        let message = format!("$changeStream is not allowed within the pipeline of {}", spec.key());
        return Err(Error::location(code, message));
    }
    Ok(())
}
