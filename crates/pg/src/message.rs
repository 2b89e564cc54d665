//! Messages of clients, read byte by byte with checks: what is not whole is refused, and nothing panics.

use std::io;

use bytes::Bytes;
use pgwire::messages::extendedquery::{Bind, Close, Describe, Execute, Parse};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::MESSAGE_BYTES_MAX;

/// What a client says once it is known.
#[derive(Debug)]
pub(crate) enum Message {
    Bind(Bind),
    Close(Close),
    Describe(Describe),
    Execute(Execute),
    Flush,
    /// What belongs to COPY, and is passed over outside of it.
    Ignored,
    Parse(Parse),
    Query(String),
    Sync,
    Terminate,
}

/// Reads one message. `None`: the client has gone.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Message>> {
    let kind = match from.read_u8().await {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = from.read_i32().await?;
    let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
    let length =
        length.filter(|length| *length <= MESSAGE_BYTES_MAX).ok_or_else(|| wrong("the length of a message"))?;
    let mut bytes = Vec::new();
    // What was announced is not reserved before it comes.
    from.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() != length {
        return Ok(None);
    }
    let mut body = Body(Bytes::from(bytes));
    let message = body.message(kind)?;
    if !matches!(message, Message::Ignored) && !body.0.is_empty() {
        return Err(wrong("the end of a message"));
    }
    Ok(Some(message))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is wrong"))
}

/// The bytes of a message that are left.
pub(crate) struct Body(pub(crate) Bytes);

impl Body {
    fn message(&mut self, kind: u8) -> io::Result<Message> {
        Ok(match kind {
            b'B' => Message::Bind(self.bind()?),
            b'C' => Message::Close(Close::new(self.target()?, self.name()?)),
            b'D' => Message::Describe(Describe::new(self.target()?, self.name()?)),
            b'E' => Message::Execute(Execute::new(self.name()?, self.i32()?)),
            b'H' => Message::Flush,
            b'P' => {
                let (name, query) = (self.name()?, self.text()?);
                let count = self.count(4)?;
                let types = (0..count).map(|_| self.i32().map(i32::cast_unsigned)).collect::<io::Result<_>>()?;
                Message::Parse(Parse::new(name, query, types))
            }
            b'Q' => Message::Query(self.text()?),
            b'S' => Message::Sync,
            b'X' => Message::Terminate,
            b'c' | b'd' | b'f' => Message::Ignored,
            _ => return Err(wrong("the kind of a message")),
        })
    }

    fn bind(&mut self) -> io::Result<Bind> {
        let (portal, statement) = (self.name()?, self.name()?);
        let formats = self.formats()?;
        let count = self.count(4)?;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let length = self.i32()?;
            values.push(match usize::try_from(length) {
                Ok(length) => Some(self.bytes(length)?),
                Err(_) if length == -1 => None,
                Err(_) => return Err(wrong("the length of a parameter")),
            });
        }
        Ok(Bind::new(portal, statement, formats, values, self.formats()?))
    }

    fn formats(&mut self) -> io::Result<Vec<i16>> {
        let count = self.count(2)?;
        (0..count).map(|_| self.i16()).collect()
    }

    /// A number of things that have so many bytes at least: more cannot be there.
    fn count(&mut self, size: usize) -> io::Result<usize> {
        let count = usize::from(self.i16()?.cast_unsigned());
        if count.saturating_mul(size) > self.0.len() { Err(wrong("a number")) } else { Ok(count) }
    }

    fn bytes(&mut self, length: usize) -> io::Result<Bytes> {
        if length > self.0.len() {
            return Err(wrong("the length of a message"));
        }
        Ok(self.0.split_to(length))
    }

    fn target(&mut self) -> io::Result<u8> {
        let byte = self.bytes(1)?;
        byte.first().copied().filter(|byte| matches!(byte, b'S' | b'P')).ok_or_else(|| wrong("a message"))
    }

    fn i16(&mut self) -> io::Result<i16> {
        let bytes = self.bytes(2)?;
        bytes.as_ref().try_into().map(i16::from_be_bytes).map_err(|_| wrong("a number"))
    }

    fn i32(&mut self) -> io::Result<i32> {
        let bytes = self.bytes(4)?;
        bytes.as_ref().try_into().map(i32::from_be_bytes).map_err(|_| wrong("a number"))
    }

    /// A text up to its zero byte.
    pub(crate) fn text(&mut self) -> io::Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(|| wrong("the end of a text"))?;
        let text = self.bytes(end)?;
        self.bytes(1)?;
        String::from_utf8(text.into()).map_err(|_| wrong("a text: it is no UTF-8, which"))
    }

    /// A name; the unnamed has none.
    fn name(&mut self) -> io::Result<Option<String>> {
        self.text().map(|name| (!name.is_empty()).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: &[u8]) -> Body {
        Body(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn messages_are_read() {
        let Message::Parse(parse) = body(b"s\0SELECT $1\0\0\x01\0\0\0\x17").message(b'P').unwrap() else { panic!() };
        assert_eq!((parse.name.as_deref(), parse.query.as_str(), parse.type_oids), (Some("s"), "SELECT $1", vec![23]));
        let Message::Bind(bind) =
            body(b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0").message(b'B').unwrap()
        else {
            panic!()
        };
        assert_eq!((bind.portal_name, bind.parameter_format_codes), (None, vec![1]));
        assert_eq!(bind.parameters, [Some(Bytes::from_static(b"x")), None]);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for (kind, bytes) in [
            (b'Q', b"SELECT 1".as_slice()),
            (b'Q', b"\xff\0"),
            (b'P', b"\0\0\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\0\0\0\x05abc"),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
            (b'D', b"Xs\0"),
            (b'E', b"\0\0\0"),
            (b'?', b""),
        ] {
            assert!(body(bytes).message(kind).is_err(), "{kind} {bytes:?}");
        }
    }

    #[tokio::test]
    async fn lengths_have_a_limit() {
        assert!(read(&mut b"Q\x7f\xff\xff\xff".as_slice()).await.is_err());
        assert!(read(&mut b"Q\0\0\0\x03".as_slice()).await.is_err());
        assert!(read(&mut b"S\0\0\0\x05x".as_slice()).await.is_err());
        assert!(read(&mut b"Q\0\0\0\xffSEL".as_slice()).await.unwrap().is_none());
        assert!(matches!(read(&mut b"S\0\0\0\x04".as_slice()).await.unwrap(), Some(Message::Sync)));
    }
}
