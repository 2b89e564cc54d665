//! What people type: sizes, spans and points of time, tokens, pipelines, and names that are nearly right.

mod address;
mod batch;
mod duration;
mod moment;
mod near;
mod pipeline;
mod size;
mod token;

pub(crate) use address::listen_address;
pub(crate) use batch::batch;
pub(crate) use duration::{duration, show_duration};
pub(crate) use moment::moment;
pub(crate) use near::nearest;
pub(crate) use pipeline::pipeline;
pub(crate) use size::{show_size, size};
pub(crate) use token::token;
