//! Whole messages from a socket, with no buffer kept while idle.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use millstream_wire::{HEADER_BYTES, Header};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Read at once, on the stack: most requests whole, in one system call.
const CHUNK_BYTES: usize = 4096;

/// Bytes that were read past the end of the last message. Empty, and without an allocation, unless
/// the client sent several requests at once.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pending: BytesMut,
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("malformed message")]
    Wire(#[from] millstream_wire::Error),
}

impl Reader {
    /// The next message: its header and the bytes after it. None at a clean end.
    pub(crate) async fn next<S>(&mut self, socket: &mut S) -> Result<Option<(Header, Bytes)>, ReadError>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            if let Some(head) = self.pending.first_chunk::<HEADER_BYTES>() {
                let header = Header::parse(head)?;
                return self.rest(socket, header).await.map(|body| Some((header, body)));
            }
            if std::future::poll_fn(|task| self.poll_chunk(task, socket)).await? == 0 {
                return match self.pending.len() {
                    0 => Ok(None),
                    _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }

    /// Whether nothing of a next message has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    async fn rest<S>(&mut self, socket: &mut S, header: Header) -> Result<Bytes, ReadError>
    where
        S: AsyncRead + Unpin,
    {
        let mut message = std::mem::take(&mut self.pending);
        if message.len() >= header.length {
            self.pending = message.split_off(header.length);
            if self.pending.is_empty() {
                self.pending = BytesMut::new();
            }
        } else {
            // The one allocation of this message: its length is known and was capped.
            message.reserve(header.length - message.len());
            let mut limited = socket.take(u64::try_from(header.length - message.len()).unwrap_or(0));
            while message.len() < header.length {
                if limited.read_buf(&mut message).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
        Ok(message.split_off(HEADER_BYTES).freeze())
    }

    /// Reads through a buffer on the stack, so that a waiting connection owns none.
    fn poll_chunk<S>(&mut self, task: &mut Context<'_>, socket: &mut S) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        let mut chunk = [0; CHUNK_BYTES];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(socket).poll_read(task, &mut chunk))?;
        self.pending.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millstream_wire::Outgoing;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn message(text_bytes: usize) -> Vec<u8> {
        let mut body = millstream_value::DocBuf::new();
        body.push("text", "x".repeat(text_bytes).as_str());
        Outgoing { body: body.as_bytes(), ..Outgoing::default() }.encode().unwrap()
    }

    #[tokio::test]
    async fn messages_may_arrive_in_any_pieces() {
        let sizes = [0, 10, 4_000, 4_096, 5_000, 100_000, 3];
        let all: Vec<u8> = sizes.iter().flat_map(|&size| message(size)).collect();
        for piece in [1, 15, 16, 17, 1_000, 4_096, 1_000_000] {
            let (mut client, mut server) = tokio::io::duplex(70_000);
            let sent = all.clone();
            let writing = tokio::spawn(async move {
                for piece in sent.chunks(piece) {
                    client.write_all(piece).await.unwrap();
                }
            });
            let mut reader = Reader::default();
            for size in sizes {
                let (header, body) = reader.next(&mut server).await.unwrap().unwrap();
                assert_eq!(body, message(size)[HEADER_BYTES..]);
                assert_eq!(header.body_bytes(), body.len());
            }
            assert!(reader.next(&mut server).await.unwrap().is_none());
            assert_eq!(reader.pending.capacity(), 0, "an idle connection keeps no buffer");
            writing.await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_end_inside_a_message_is_an_error() {
        for cut in [1, 15, 16, 20] {
            let (mut client, mut server) = tokio::io::duplex(1_000);
            client.write_all(&message(10)[..cut]).await.unwrap();
            drop(client);
            let error = Reader::default().next(&mut server).await.unwrap_err();
            assert!(matches!(error, ReadError::Io(_)));
        }
    }

    #[tokio::test]
    async fn garbage_is_noticed_at_the_header() {
        let (mut client, mut server) = tokio::io::duplex(1_000);
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let next = async { Reader::default().next(&mut server).await };
        let error = tokio::time::timeout(Duration::from_secs(5), next).await.unwrap();
        assert!(matches!(error, Err(ReadError::Wire(_))));
    }
}
