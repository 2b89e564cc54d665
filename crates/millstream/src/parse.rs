//! What people type: sizes, times, pipelines, and names that are nearly right.

mod moment;
mod near;
mod pipeline;
mod size;

pub(crate) use moment::moment;
pub(crate) use near::nearest;
pub(crate) use pipeline::pipeline;
pub(crate) use size::{show_size, size};
