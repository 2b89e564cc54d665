//! `millstream tokens`: the positions that named watchers keep in a collection.

mod arguments;
mod report;
mod run;

pub(crate) use arguments::{Arguments, EXAMPLES};
pub(crate) use run::run;
