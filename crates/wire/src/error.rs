//! What can be wrong with a message.

use millstream_value::InvalidBson;

/// A message that cannot be understood. The stream cannot be trusted after any of these: close the
/// connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The message says it is shorter than its header or longer than
    /// [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES).
    #[error("message length {0} is out of range")]
    MessageLength(i32),
    /// An operation code that is not spoken here.
    #[error("operation code {0} is not supported")]
    OpCode(i32),
    /// The message ends before the named part does.
    #[error("message ends inside {0}")]
    Truncated(&'static str),
    /// Bytes are left over after the last part of the message.
    #[error("{0} unexpected bytes at the end of the message")]
    Trailing(usize),
    /// Bits 0-15 of the `OP_MSG` flags must all be understood.
    #[error("unknown required flag bits {0:#06x}")]
    Flags(u32),
    /// The CRC-32C at the end does not match the bytes in front of it.
    #[error("checksum is {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// As sent.
        found: u32,
        /// As computed.
        expected: u32,
    },
    /// A section kind other than 0 and 1.
    #[error("unknown section kind {0}")]
    SectionKind(u8),
    /// More sections than [`MAX_SECTIONS`](crate::MAX_SECTIONS).
    #[error("too many sections")]
    Sections,
    /// Not exactly one kind 0 section.
    #[error("message has {0} body sections, expected one")]
    Bodies(usize),
    /// A sequence length that is negative or longer than the message.
    #[error("section length {0} is out of range")]
    SectionLength(i32),
    /// A sequence name, namespace or the like that is too long, unterminated or not UTF-8.
    #[error("invalid {0}")]
    Name(&'static str),
    /// Two sequences of one name, or one with the name of a field of the body.
    #[error("duplicate document sequence '{0}'")]
    DuplicateSequence(String),
    /// A document length that is impossible or above
    /// [`MAX_DOCUMENT_BYTES`](crate::MAX_DOCUMENT_BYTES).
    #[error("document length {0} is out of range")]
    DocumentLength(i32),
    /// A document that is not well-formed BSON.
    #[error("malformed document")]
    Document(#[from] InvalidBson),
    /// A compressor id that is not known.
    #[error("unknown compressor {0}")]
    Compressor(u8),
    /// A compressed message inside a compressed message, or one of an unknown kind.
    #[error("operation code {0} cannot be compressed")]
    CompressedOpCode(i32),
    /// The uncompressed size that the message states is impossible.
    #[error("uncompressed size {0} is out of range")]
    UncompressedLength(i32),
    /// The compressed bytes are not what the compressor makes, or not of the stated size.
    #[error("malformed {0} data")]
    Compressed(&'static str),
    /// What we would send is longer than a message may be.
    #[error("reply of {0} bytes is longer than a message may be")]
    ReplyLength(usize),
}

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
