//! What a client asked, whatever way it was packed.

use bytes::Bytes;

use crate::{Compressor, Error, Header, OpCode, Result, Sequence, compressor, op_msg, op_query};

/// A command: one document, maybe with sequences of further documents.
#[derive(Debug, Clone)]
pub struct Request {
    /// The sender's number, which the reply names in `responseTo`.
    pub id: i32,
    /// The command document (kind 0), checked.
    pub body: Bytes,
    /// The kind 1 sections, in the order sent.
    pub sequences: Vec<Sequence>,
    /// How the client wants to be answered.
    pub flags: Flags,
    /// The namespace (`admin.$cmd`) if this came as an `OP_QUERY`: such a request has no `$db` and
    /// wants an `OP_REPLY`.
    pub legacy: Option<String>,
    /// What the message was compressed with; the reply is to be compressed likewise.
    pub compressor: Option<Compressor>,
}

/// The flag bits of `OP_MSG` that mean something to the receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// A CRC-32C follows the last section.
    pub checksum_present: bool,
    /// Nobody waits for a reply.
    pub more_to_come: bool,
    /// The client can take several replies to this one request.
    pub exhaust_allowed: bool,
}

impl Request {
    /// Decodes the message whose header was read and whose other bytes are `body`.
    ///
    /// Documents are slices of `body`, or of the one buffer it was uncompressed into. Any error
    /// means that the connection cannot go on.
    pub fn decode(header: &Header, body: Bytes) -> Result<Self> {
        if body.len() != header.body_bytes() {
            return Err(Error::Truncated("the message"));
        }
        match header.op_code {
            OpCode::Compressed => {
                let (header, body, compressor) = compressor::open(header, body)?;
                let request = Self::decode_plain(&header, body)?;
                Ok(Self { compressor: Some(compressor), ..request })
            }
            _ => Self::decode_plain(header, body),
        }
    }

    /// The documents of the sequence with this name.
    pub fn sequence(&self, name: &str) -> Option<&Sequence> {
        self.sequences.iter().find(|sequence| sequence.name() == name)
    }

    fn decode_plain(header: &Header, body: Bytes) -> Result<Self> {
        match header.op_code {
            OpCode::Message => op_msg::decode(header, body),
            OpCode::Query => op_query::decode(header, body),
            OpCode::Reply | OpCode::Compressed => Err(Error::OpCode(header.op_code.number())),
        }
    }
}
