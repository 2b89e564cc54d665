//! What a client may ask for.

use std::time::Duration;

/// The longest message before a client is known, as PostgreSQL's.
pub(crate) const STARTUP_BYTES_MAX: usize = 10_000;
/// The longest message: a statement, or the parameters of one. Documents are 16 MiB at most.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Connections at a time.
pub(crate) const CONNECTIONS_MAX: usize = 500;
/// Prepared statements, and portals, of one connection.
pub(crate) const NAMES_MAX: usize = 10_000;
/// How long a client may take to say who it is.
pub(crate) const STARTUP_WAIT: Duration = Duration::from_secs(60);
/// How long connections may take to end when all is to end.
pub(crate) const STOP_WAIT: Duration = Duration::from_secs(5);
/// What is sent is written when it is so long, or when there is nothing more to send.
pub(crate) const OUTPUT_BYTES: usize = 64 << 10;
/// Messages of a client that wait for their turn; then it is not read further.
pub(crate) const INBOX_MAX: usize = 64;
