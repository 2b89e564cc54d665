//! `millstream dead-letters`: events that could not be dealt with.

mod arguments;
mod letter;
mod run;

pub(crate) use arguments::{Arguments, EXAMPLES};
pub(crate) use run::run;
