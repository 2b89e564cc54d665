//! The MongoDB wire protocol: bytes to messages and back, without sockets.
//!
//! A caller reads [`HEADER_BYTES`] bytes and learns from [`Header::parse`] how many follow;
//! [`Request::decode`] turns those into a [`Request`] whose documents are checked slices of the
//! one buffer that was read. [`Envelope::pack`] puts the head of a message in front of a reply's
//! document without copying it.
//!
//! | file | idea |
//! |---|---|
//! | `header` | the sixteen bytes in front of every message |
//! | `request` | what a client asked, whatever way it was packed |
//! | `sequence` | a run of documents outside the command document |
//! | `op_msg` | `OP_MSG`: flags, sections, checksum |
//! | `op_query` | `OP_QUERY` and `OP_REPLY`, which only the handshake still uses |
//! | `compressor` | `OP_COMPRESSED`: snappy, zlib, zstd |
//! | `reply` | a reply: a document and the head in front of it |
//! | `outgoing` | requests as a client sends them, for tests and tools |
//! | `limits` | every cap, with its reason |
//!
//! Not here: sockets, what a command means, which compressors a connection agreed on.

mod compressor;
mod cursor;
mod error;
mod header;
mod limits;
mod op_msg;
mod op_query;
mod outgoing;
mod reply;
mod request;
mod sequence;

pub use compressor::Compressor;
pub use error::{Error, Result};
pub use header::{HEADER_BYTES, Header, OpCode};
pub use limits::{MAX_DOCUMENT_BYTES, MAX_MESSAGE_BYTES, MAX_SECTIONS, MAX_SEQUENCE_NAME_BYTES};
pub use outgoing::{Outgoing, encode_query};
pub use reply::{Envelope, Packing};
pub use request::{Flags, Request};
pub use sequence::Sequence;
