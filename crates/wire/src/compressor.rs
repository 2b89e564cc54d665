//! `OP_COMPRESSED`: a message whose content is compressed.
//!
//! Shape:  original code i32, uncompressed size i32 (without header), compressor u8, content
//! Source: MongoDB specification "Wire Compression in Drivers".

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use crate::cursor::Cursor;
use crate::{Error, HEADER_BYTES, Header, MAX_MESSAGE_BYTES, OpCode, Result};

/// The ways to compress a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compressor {
    /// 0: content as it is. Never negotiated, used by tests.
    Noop,
    /// 1.
    Snappy,
    /// 2.
    Zlib,
    /// 3.
    Zstd,
}

/// zstd's own default: the point where more effort stops paying for replies.
const ZSTD_LEVEL: i32 = 3;

impl Compressor {
    /// What a server may offer in `hello`, in our order of preference.
    pub const NEGOTIABLE: [Self; 3] = [Self::Snappy, Self::Zstd, Self::Zlib];

    /// The compressor with this number.
    pub fn from_number(number: u8) -> Result<Self> {
        match number {
            0 => Ok(Self::Noop),
            1 => Ok(Self::Snappy),
            2 => Ok(Self::Zlib),
            3 => Ok(Self::Zstd),
            other => Err(Error::Compressor(other)),
        }
    }

    /// The compressor that `hello` calls by this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NEGOTIABLE.into_iter().find(|compressor| compressor.name() == name)
    }

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Noop => 0,
            Self::Snappy => 1,
            Self::Zlib => 2,
            Self::Zstd => 3,
        }
    }

    /// The name in `hello`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Snappy => "snappy",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }

    fn compress(self, content: &[u8]) -> Result<Vec<u8>> {
        let failed = || Error::Compressed(self.name());
        match self {
            Self::Noop => Ok(content.to_vec()),
            Self::Snappy => snap::raw::Encoder::new().compress_vec(content).map_err(|_| failed()),
            Self::Zlib => {
                use std::io::Write;
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(content).map_err(|_| failed())?;
                encoder.finish().map_err(|_| failed())
            }
            Self::Zstd => zstd::bulk::compress(content, ZSTD_LEVEL).map_err(|_| failed()),
        }
    }

    /// Uncompresses to exactly `size` bytes, never allocating more than about that.
    fn uncompress(self, content: Bytes, size: usize) -> Result<Bytes> {
        let failed = || Error::Compressed(self.name());
        let bytes = match self {
            Self::Noop => content,
            Self::Snappy => {
                if snap::raw::decompress_len(&content).map_err(|_| failed())? != size {
                    return Err(failed());
                }
                snap::raw::Decoder::new().decompress_vec(&content).map_err(|_| failed())?.into()
            }
            Self::Zlib => {
                let mut bytes = Vec::with_capacity(size);
                let status = Decompress::new(true)
                    .decompress_vec(&content, &mut bytes, FlushDecompress::Finish)
                    .map_err(|_| failed())?;
                if status != Status::StreamEnd {
                    return Err(failed());
                }
                bytes.into()
            }
            Self::Zstd => zstd::bulk::decompress(&content, size).map_err(|_| failed())?.into(),
        };
        if bytes.len() == size { Ok(bytes) } else { Err(failed()) }
    }
}

/// Opens what follows the header of an `OP_COMPRESSED`: the header and content of the message
/// inside.
pub(crate) fn open(header: &Header, body: Bytes) -> Result<(Header, Bytes, Compressor)> {
    let mut cursor = Cursor::new(body);
    let original = cursor.i32("the original code")?;
    let stated = cursor.i32("the uncompressed size")?;
    let compressor = Compressor::from_number(cursor.u8("the compressor")?)?;
    let op_code = match OpCode::from_number(original) {
        Ok(op_code @ (OpCode::Message | OpCode::Query)) => op_code,
        _ => return Err(Error::CompressedOpCode(original)),
    };
    let size = usize::try_from(stated)
        .ok()
        .filter(|&size| size <= MAX_MESSAGE_BYTES - HEADER_BYTES)
        .ok_or(Error::UncompressedLength(stated))?;
    let content = compressor.uncompress(cursor.into_rest(), size)?;
    Ok((Header { length: HEADER_BYTES + size, op_code, ..*header }, content, compressor))
}

/// Wraps a whole plain message into an `OP_COMPRESSED`.
pub(crate) fn wrap(message: &[u8], compressor: Compressor) -> Result<Vec<u8>> {
    let (header, content) = message.split_first_chunk::<HEADER_BYTES>().ok_or(Error::Truncated("the message"))?;
    let header = Header::parse(header)?;
    let compressed = compressor.compress(content)?;
    let uncompressed = i32::try_from(content.len()).map_err(|_| Error::ReplyLength(content.len()))?;
    let length = HEADER_BYTES + 9 + compressed.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(Header { length, op_code: OpCode::Compressed, ..header }.to_bytes()?);
    bytes.extend(header.op_code.number().to_le_bytes());
    bytes.extend(uncompressed.to_le_bytes());
    bytes.push(compressor.number());
    bytes.extend(compressed);
    Ok(bytes)
}
