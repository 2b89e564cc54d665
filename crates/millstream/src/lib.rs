//! Millstream for programs: what the binary is made of, as far as others build on it.
//!
//! - [`watch`]: change streams of any MongoDB, delivered: callbacks, queues, groups, effects that happen exactly once.
//! - [`mill`]: SQL over changes: sessions, and the mill that runs views and triggers, with native routines of the program.

pub use millstream_mill as mill;
pub use millstream_watch as watch;
