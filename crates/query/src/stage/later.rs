//! Stages that MongoDB knows and this engine does not: named, so that the error says so.

use millstream_value::{Code, Element};

use super::{Parsing, Row};
use crate::{Error, Result};

/// The row of a stage that is not built.
pub(super) const fn stage(name: &'static str) -> Row {
    Row { built: false, ..Row::new(name, parse) }
}

fn parse(spec: Element<'_>, _: &mut Parsing<'_>) -> Result<()> {
    Err(Error::new(Code::NotImplemented, format!("the stage {} is not implemented", spec.key())))
}
