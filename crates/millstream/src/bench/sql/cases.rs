//! One file a case.

pub(super) mod group;
pub(super) mod join;
pub(super) mod load;
pub(super) mod restart;
pub(super) mod trigger;
pub(super) mod update;
pub(super) mod window;
