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
        self.send(db, command)?;
        self.reply()
    }

    /// The same with a list of documents in a section of its own, before the command itself.
    pub(crate) fn command_with(
        &mut self,
        db: &str,
        command: Document,
        name: &str,
        documents: &[Document],
    ) -> io::Result<Document> {
        let mut list = Vec::new();
        for document in documents {
            list.extend(document.to_vec().map_err(io::Error::other)?);
        }
        let size = i32::try_from(4 + name.len() + 1 + list.len()).map_err(io::Error::other)?;
        let mut sections = vec![1];
        sections.extend_from_slice(&size.to_le_bytes());
        sections.extend_from_slice(name.as_bytes());
        sections.push(0);
        sections.extend(list);
        sections.push(0);
        sections.extend(body(db, command)?);
        self.send_sections(&sections)?;
        self.reply()
    }

    /// Sends one command without waiting for its reply.
    pub(crate) fn send(&mut self, db: &str, command: Document) -> io::Result<()> {
        let mut sections = vec![0];
        sections.extend(body(db, command)?);
        self.send_sections(&sections)
    }

    fn send_sections(&mut self, sections: &[u8]) -> io::Result<()> {
        self.last_request += 1;
        let total = i32::try_from(HEADER_BYTES + 4 + sections.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(HEADER_BYTES + 4 + sections.len());
        for word in [total, self.last_request, 0, OP_MSG, 0] {
            message.extend_from_slice(&word.to_le_bytes());
        }
        message.extend_from_slice(sections);
        self.stream.write_all(&message)
    }

    /// Reads the next reply.
    pub(crate) fn reply(&mut self) -> io::Result<Document> {
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

fn body(db: &str, mut command: Document) -> io::Result<Vec<u8>> {
    if !command.contains_key("$db") {
        command.insert("$db", db);
    }
    command.to_vec().map_err(io::Error::other)
}
