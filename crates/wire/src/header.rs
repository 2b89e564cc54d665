//! The sixteen bytes in front of every message.

use crate::{Error, MAX_MESSAGE_BYTES, Result};

/// Length of a [`Header`] on the wire, in bytes.
pub const HEADER_BYTES: usize = 16;

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpCode {
    /// A legacy reply, 1.
    Reply,
    /// A legacy query, 2004: still the first message of many connections.
    Query,
    /// Another message, compressed, 2012.
    Compressed,
    /// Every modern request and reply, 2013.
    Message,
}

impl OpCode {
    /// The code for this number.
    pub fn from_number(number: i32) -> Result<Self> {
        match number {
            1 => Ok(Self::Reply),
            2004 => Ok(Self::Query),
            2012 => Ok(Self::Compressed),
            2013 => Ok(Self::Message),
            other => Err(Error::OpCode(other)),
        }
    }

    /// The number on the wire.
    pub const fn number(self) -> i32 {
        match self {
            Self::Reply => 1,
            Self::Query => 2004,
            Self::Compressed => 2012,
            Self::Message => 2013,
        }
    }
}

/// Length, identity and kind of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole message in bytes, this header included.
    pub length: usize,
    /// The sender's number for this message.
    pub request_id: i32,
    /// The `request_id` that this message answers, 0 for a request.
    pub response_to: i32,
    /// What follows.
    pub op_code: OpCode,
}

impl Header {
    /// Reads a header. Fails if the length is impossible or the kind unknown, before anything is
    /// allocated for the rest.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        let [l0, l1, l2, l3, i0, i1, i2, i3, r0, r1, r2, r3, o0, o1, o2, o3] = *bytes;
        let stated = i32::from_le_bytes([l0, l1, l2, l3]);
        let length = usize::try_from(stated)
            .ok()
            .filter(|length| (HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(length))
            .ok_or(Error::MessageLength(stated))?;
        Ok(Self {
            length,
            request_id: i32::from_le_bytes([i0, i1, i2, i3]),
            response_to: i32::from_le_bytes([r0, r1, r2, r3]),
            op_code: OpCode::from_number(i32::from_le_bytes([o0, o1, o2, o3]))?,
        })
    }

    /// How many bytes follow this header.
    pub const fn body_bytes(&self) -> usize {
        self.length.saturating_sub(HEADER_BYTES)
    }

    /// The header as it stands on the wire. Fails if `length` is more than a message may be.
    pub fn to_bytes(&self) -> Result<[u8; HEADER_BYTES]> {
        if self.length > MAX_MESSAGE_BYTES {
            return Err(Error::ReplyLength(self.length));
        }
        let length = i32::try_from(self.length).map_err(|_| Error::ReplyLength(self.length))?;
        let [l0, l1, l2, l3] = length.to_le_bytes();
        let [i0, i1, i2, i3] = self.request_id.to_le_bytes();
        let [r0, r1, r2, r3] = self.response_to.to_le_bytes();
        let [o0, o1, o2, o3] = self.op_code.number().to_le_bytes();
        Ok([l0, l1, l2, l3, i0, i1, i2, i3, r0, r1, r2, r3, o0, o1, o2, o3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(length: i32, op_code: i32) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..8].copy_from_slice(&7i32.to_le_bytes());
        bytes[12..].copy_from_slice(&op_code.to_le_bytes());
        bytes
    }

    #[test]
    fn a_header_survives_the_round_trip() {
        let header = Header::parse(&raw(26, 2013)).unwrap();
        assert_eq!((header.length, header.request_id, header.body_bytes()), (26, 7, 10));
        assert_eq!(header.to_bytes().unwrap(), raw(26, 2013));
    }

    #[test]
    fn impossible_lengths_are_refused_before_allocating() {
        for length in [i32::MIN, -1, 0, 15, 48_000_001, i32::MAX] {
            assert!(matches!(Header::parse(&raw(length, 2013)), Err(Error::MessageLength(l)) if l == length));
        }
        assert!(Header::parse(&raw(48_000_000, 2013)).is_ok());
    }

    #[test]
    fn unknown_kinds_are_refused() {
        // The legacy writes 2001, 2002, 2005-2007 are gone since 5.1.
        for op_code in [0, 2001, 2002, 2005, 2006, 2007, 2010, 2011, 2014] {
            assert!(matches!(Header::parse(&raw(16, op_code)), Err(Error::OpCode(_))));
        }
        // "GET / HTTP/1.1\r\n", as a browser would begin.
        assert!(Header::parse(b"GET / HTTP/1.1\r\n").is_err());
    }
}
