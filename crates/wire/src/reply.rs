//! Replies: a document and what stands in front of it.

use bytes::{Buf, Bytes, buf::Chain};

use crate::{Compressor, Flags, HEADER_BYTES, Header, OpCode, Result, compressor, op_msg, op_query};

/// Whom a reply answers, and how it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Our number for this message.
    pub request_id: i32,
    /// The number of the message that is answered.
    pub response_to: i32,
    /// Which kind of message the client understands.
    pub packing: Packing,
    /// Compress with this.
    pub compressor: Option<Compressor>,
}

/// The two kinds of reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// `OP_MSG` with these flags.
    Message(Flags),
    /// `OP_REPLY`, for a request that came as `OP_QUERY`.
    Legacy,
}

impl Envelope {
    /// The whole message around `document`, in two pieces so that the document is not copied:
    /// write them with one vectored write.
    ///
    /// Fails if the message is longer than a message may be.
    pub fn pack(&self, document: Vec<u8>) -> Result<Chain<Bytes, Bytes>> {
        let (head, rest) = match self.packing {
            // Compressed messages carry no checksum: compressors have their own.
            Packing::Message(flags) if self.compressor.is_some() => {
                self.message(Flags { checksum_present: false, ..flags }, document)?
            }
            Packing::Message(flags) => self.message(flags, document)?,
            Packing::Legacy => self.legacy(document)?,
        };
        match self.compressor {
            None => Ok(Bytes::from(head).chain(Bytes::from(rest))),
            Some(compressor) => {
                let plain = [head, rest].concat();
                Ok(Bytes::new().chain(Bytes::from(compressor::wrap(&plain, compressor)?)))
            }
        }
    }

    fn message(&self, flags: Flags, mut document: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>)> {
        let flag_bytes = flags.bits().to_le_bytes();
        let checksum_bytes = if flags.checksum_present { 4 } else { 0 };
        let length = HEADER_BYTES + flag_bytes.len() + 1 + document.len() + checksum_bytes;
        let mut head = Vec::with_capacity(HEADER_BYTES + flag_bytes.len() + 1);
        head.extend(self.header(length, OpCode::Message)?);
        head.extend(flag_bytes);
        head.push(op_msg::KIND_BODY);
        if flags.checksum_present {
            let checksum = crc32c::crc32c_append(crc32c::crc32c(&head), &document);
            document.extend(checksum.to_le_bytes());
        }
        Ok((head, document))
    }

    fn legacy(&self, document: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>)> {
        let length = HEADER_BYTES + op_query::REPLY_PREFIX.len() + document.len();
        let mut head = Vec::with_capacity(HEADER_BYTES + op_query::REPLY_PREFIX.len());
        head.extend(self.header(length, OpCode::Reply)?);
        head.extend(op_query::REPLY_PREFIX);
        Ok((head, document))
    }

    fn header(&self, length: usize, op_code: OpCode) -> Result<[u8; HEADER_BYTES]> {
        let Self { request_id, response_to, .. } = *self;
        Header { length, request_id, response_to, op_code }.to_bytes()
    }
}
