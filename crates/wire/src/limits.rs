//! Every cap on what a peer may send. Each is checked before anything is allocated.

/// Longest message, header included, in bytes: `maxMessageSizeBytes` of `hello`.
pub const MAX_MESSAGE_BYTES: usize = 48_000_000;

/// Longest document in a message, in bytes: a user's 16 MiB and the 16 KiB that a command around
/// it may need.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024 + 16 * 1024;

/// Most sections in one `OP_MSG`. The richest command (`bulkWrite`) has three.
pub const MAX_SECTIONS: usize = 16;

/// Longest name of a document sequence, in bytes. Command fields are far shorter.
pub const MAX_SEQUENCE_NAME_BYTES: usize = 255;
