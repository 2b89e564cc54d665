//! Requests as a client sends them: what tests and tools need to talk to a server.

use crate::{Compressor, Error, Flags, HEADER_BYTES, Header, OpCode, Result, compressor, op_msg};

/// An `OP_MSG` request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outgoing<'a> {
    /// The sender's number.
    pub request_id: i32,
    /// Flags; a checksum is added if they say so.
    pub flags: Flags,
    /// The command document.
    pub body: &'a [u8],
    /// Sequences by name.
    pub sequences: &'a [(&'a str, &'a [&'a [u8]])],
    /// Compress with this.
    pub compressor: Option<Compressor>,
}

impl Outgoing<'_> {
    /// The whole message.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut content = Vec::with_capacity(5 + self.body.len());
        content.extend(self.flags.bits().to_le_bytes());
        content.push(op_msg::KIND_BODY);
        content.extend(self.body);
        for (name, documents) in self.sequences {
            let documents_bytes: usize = documents.iter().map(|document| document.len()).sum();
            let length = 4 + name.len() + 1 + documents_bytes;
            content.push(op_msg::KIND_SEQUENCE);
            content.extend(i32::try_from(length).map_err(|_| Error::ReplyLength(length))?.to_le_bytes());
            content.extend(name.as_bytes());
            content.push(0);
            documents.iter().for_each(|document| content.extend(*document));
        }
        let checksum_bytes = if self.flags.checksum_present { 4 } else { 0 };
        let mut message = with_header(self.request_id, OpCode::Message, &content, checksum_bytes)?;
        if self.flags.checksum_present {
            message.extend(crc32c::crc32c(&message).to_le_bytes());
        }
        match self.compressor {
            Some(compressor) => compressor::wrap(&message, compressor),
            None => Ok(message),
        }
    }
}

/// An `OP_QUERY` request for one document, as the first message of a connection is.
pub fn encode_query(request_id: i32, namespace: &str, document: &[u8]) -> Result<Vec<u8>> {
    let mut content = vec![0; 4];
    content.extend(namespace.as_bytes());
    content.push(0);
    content.extend(0i32.to_le_bytes());
    content.extend((-1i32).to_le_bytes());
    content.extend(document);
    with_header(request_id, OpCode::Query, &content, 0)
}

fn with_header(request_id: i32, op_code: OpCode, content: &[u8], more: usize) -> Result<Vec<u8>> {
    let length = HEADER_BYTES + content.len() + more;
    let mut message = Vec::with_capacity(length);
    message.extend(Header { length, request_id, response_to: 0, op_code }.to_bytes()?);
    message.extend(content);
    Ok(message)
}
