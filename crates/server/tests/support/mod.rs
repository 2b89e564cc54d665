//! A server on an empty database in memory, and a client that speaks raw messages to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::Document;
use bytes::Bytes;
use millstream_db::Db;
use millstream_server::{Engine, Listening, Options, Shutdown};
use millstream_storage::{Clock, Location};
use millstream_wire::{Compressor, Flags, HEADER_BYTES, Header, Outgoing, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Longer than anything should take; a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that stands still, and fails when a test wants a command to panic.
#[derive(Debug, Default)]
pub(crate) struct StillClock {
    pub(crate) panics: AtomicBool,
}

impl Clock for StillClock {
    fn now_ms(&self) -> u64 {
        assert!(!self.panics.load(Ordering::Relaxed), "as the test wants it");
        1_755_427_520_412
    }
}

pub(crate) fn options() -> Options {
    Options {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        startup_warnings: vec!["anyone can connect".to_owned()],
        ..Options::default()
    }
}

/// A server that stops with the test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) uri: String,
    pub(crate) clock: Arc<StillClock>,
    pub(crate) shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let clock = Arc::new(StillClock::default());
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let db = Db::open(Location::Memory, time, millstream_db::Options::default()).unwrap();
        let listening = Listening::bind(options, Arc::new(Engine::new(db))).await.unwrap();
        let (address, uri, shutdown) = (listening.address(), listening.uri(), listening.shutdown());
        let task = tokio::spawn(listening.run());
        Self { address, uri, clock, shutdown, task }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), sent: 0 }
    }

    pub(crate) async fn stopped(&mut self) {
        (&mut self.task).await.unwrap();
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    sent: i32,
}

/// A reply, unpacked.
pub(crate) struct Received {
    pub(crate) id: i32,
    pub(crate) response_to: i32,
    pub(crate) flags: Flags,
    pub(crate) compressor: Option<Compressor>,
    pub(crate) document: Document,
}

impl Client {
    /// One command and its reply.
    pub(crate) async fn run(&mut self, command: Document) -> Document {
        let id = self.send(command, Flags::default(), None).await;
        let reply = self.receive().await.expect("a reply");
        assert_eq!(reply.response_to, id);
        reply.document
    }

    /// Sends a command; returns its number.
    pub(crate) async fn send(&mut self, command: Document, flags: Flags, compressor: Option<Compressor>) -> i32 {
        self.sent += 1;
        let body = command.to_vec().unwrap();
        let request_id = self.sent;
        let outgoing = Outgoing { request_id, flags, body: &body, sequences: &[], compressor };
        self.write(&outgoing.encode().unwrap()).await;
        self.sent
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // A server that has hung up already is what some tests want.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next `OP_MSG`; none if the connection was closed.
    pub(crate) async fn receive(&mut self) -> Option<Received> {
        let (header, body) = self.read_raw().await?;
        // A reply is a request by another name.
        let reply = Request::decode(&header, body).unwrap();
        let document = Document::from_reader(&reply.body[..]).unwrap();
        Some(Received {
            id: reply.id,
            response_to: header.response_to,
            flags: reply.flags,
            compressor: reply.compressor,
            document,
        })
    }

    /// The next message; none if the connection was closed.
    pub(crate) async fn read_raw(&mut self) -> Option<(Header, Bytes)> {
        let reading = async {
            let mut head = [0; HEADER_BYTES];
            self.stream.read_exact(&mut head).await.ok()?;
            let header = Header::parse(&head).unwrap();
            let mut body = vec![0; header.body_bytes()];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((header, Bytes::from(body)))
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("an answer or an end")
    }
}

/// The names of a document's fields, in order.
pub(crate) fn keys(document: &Document) -> Vec<&str> {
    document.keys().map(String::as_str).collect()
}
