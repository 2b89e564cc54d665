//! One blocking connection that sends commands exactly as given.
//!
//! A driver adds sessions, retries and cluster times of its own. Recorded behaviour and protocol
//! rules are checked without them, with nothing between the test and the socket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bson::{Document, doc};

const OP_MSG: i32 = 2013;
const HEADER_BYTES: usize = 16;
/// The longest message that a server may send (48 MB and some room).
const MESSAGE_BYTES_MAX: usize = 49_000_000;

pub(crate) struct Connection {
    stream: TcpStream,
    last_request: i32,
}

impl Connection {
    /// Connects and says hello.
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut connection = Self { stream, last_request: 0 };
        connection.command("admin", doc! {"hello": 1})?;
        Ok(connection)
    }

    /// Sends one command and returns its reply, whether it succeeded or not.
    pub(crate) fn command(&mut self, db: &str, command: Document) -> io::Result<Document> {
        let mut body = command;
        if !body.contains_key("$db") {
            body.insert("$db", db);
        }
        self.last_request += 1;
        let document = body.to_vec().map_err(io::Error::other)?;
        let total = i32::try_from(HEADER_BYTES + 5 + document.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(HEADER_BYTES + 5 + document.len());
        for word in [total, self.last_request, 0, OP_MSG, 0] {
            message.extend_from_slice(&word.to_le_bytes());
        }
        message.push(0);
        message.extend_from_slice(&document);
        self.stream.write_all(&message)?;
        self.reply()
    }

    /// Reads the next reply.
    fn reply(&mut self) -> io::Result<Document> {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header)?;
        let word = |at: usize| i32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
        let total = usize::try_from(word(0)).unwrap_or(0);
        assert!((HEADER_BYTES + 10..=MESSAGE_BYTES_MAX).contains(&total), "a reply of {total} bytes");
        assert_eq!(word(12), OP_MSG, "the reply's operation code");
        assert_eq!(word(8), self.last_request, "the reply's responseTo");
        let mut rest = vec![0; total - HEADER_BYTES];
        self.stream.read_exact(&mut rest)?;
        assert_eq!(rest[4], 0, "a reply has one body section");
        Document::from_reader(&rest[5..]).map_err(io::Error::other)
    }
}
