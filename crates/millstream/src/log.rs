//! `millstream log`: how far back the log of a MongoDB reaches, and how long that will last.

mod arguments;
mod report;
mod run;

pub(crate) use arguments::{Arguments, EXAMPLES};
pub(crate) use run::run;
