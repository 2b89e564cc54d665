//! Millstream for programs: what the binary is made of, as far as others build on it.
//!
//! - [`watch`]: change streams of any MongoDB, delivered: callbacks, queues, groups, effects that happen exactly once.

pub use millstream_watch as watch;
