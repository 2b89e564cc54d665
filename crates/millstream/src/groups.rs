//! `millstream groups`: processes that share one stream.

mod arguments;
mod report;
mod run;

pub(crate) use arguments::{Arguments, EXAMPLES};
pub(crate) use run::run;
