//! One socket: read a message, dispatch it, write the reply, in order.

use std::sync::Arc;

use bytes::Buf;
use millstream_wire::{Envelope, Flags, Packing, Request};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tracing::{debug, error, warn};

use crate::context::Connection;
use crate::dispatch::{self, Interrupt, Outcome};
use crate::reader::{ReadError, Reader};
use crate::reply::Repeat;
use crate::server::Server;

/// Checking a message longer than this takes long enough (0.1 ms and up) to let other connections go first.
const HEAVY_BYTES: usize = 256 * 1024;

/// Serves one client until it leaves, breaks the protocol, or the server stops.
pub(crate) async fn serve(server: Arc<Server>, socket: TcpStream, connection: Connection) {
    let watched = Watched { connection };
    let connection = &watched.connection;
    debug!(connection = connection.id, peer = %connection.peer, "connection accepted");
    let mut line = Line { server: &server, connection, socket, reader: Reader::default() };
    // Declared after the socket, so that the count is right when the client sees the end.
    let _open = server.counters.connections_current.enter();
    match line.serve().await {
        Ok(()) => {}
        Err(LineError::Read(ReadError::Wire(error)) | LineError::Malformed(error)) => warn!(
            connection = connection.id,
            peer = %connection.peer,
            error = %with_source(&error),
            "malformed message: closing the connection"
        ),
        Err(LineError::Read(ReadError::Io(error)) | LineError::Write(error)) => {
            debug!(connection = connection.id, peer = %connection.peer, %error, "connection broke");
        }
        Err(LineError::Unsendable(error)) => error!(
            connection = connection.id,
            peer = %connection.peer,
            %error,
            "reply cannot be sent: closing the connection"
        ),
    }
    debug!(connection = connection.id, peer = %connection.peer, "connection closed");
}

/// Logs a panic where the address is still known. The task dies, and with it this connection only.
struct Watched {
    connection: Connection,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Connection { id, peer, .. } = &self.connection;
            error!(connection = id, %peer, "a command panicked: closing the connection");
        }
    }
}

#[derive(Debug)]
enum LineError {
    Read(ReadError),
    Malformed(millstream_wire::Error),
    Write(std::io::Error),
    Unsendable(millstream_wire::Error),
}

struct Line<'a> {
    server: &'a Arc<Server>,
    connection: &'a Connection,
    socket: TcpStream,
    reader: Reader,
}

impl Line<'_> {
    async fn serve(&mut self) -> Result<(), LineError> {
        loop {
            // A stop is noticed here between commands, and inside those that wait.
            let message = tokio::select! {
                biased;
                () = self.server.shutdown.started() => return Ok(()),
                message = self.reader.next(&mut self.socket) => message.map_err(LineError::Read)?,
            };
            let Some((header, body)) = message else { return Ok(()) };
            self.server.counters.requests.add(1);
            self.server.counters.bytes_in.add(u64::try_from(header.length).unwrap_or(0));
            let decode = || Request::decode(&header, body).map_err(LineError::Malformed);
            let request = if header.length > HEAVY_BYTES { dispatch::blocking(decode)? } else { decode()? };
            let _active = self.server.counters.connections_active.enter();
            if !self.answer(&request).await? {
                return Ok(());
            }
        }
    }

    /// Runs one request and sends what it is answered with. False: the client is gone.
    async fn answer(&mut self, request: &Request) -> Result<bool, LineError> {
        let mut response_to = request.id;
        loop {
            let interrupted = interrupted(self.server, &self.socket, self.reader.is_empty());
            let outcome = dispatch::run(self.server, self.connection, request, interrupted).await;
            let Some(outcome) = outcome else { return Ok(false) };
            if request.flags.more_to_come {
                return Ok(true);
            }
            let again = outcome.repeat == Repeat::IfAllowed && request.flags.exhaust_allowed;
            response_to = self.send(request, outcome, response_to, again).await?;
            if !again {
                return Ok(true);
            }
        }
    }

    /// Sends a reply, and returns its number.
    async fn send(
        &mut self,
        request: &Request,
        outcome: Outcome,
        response_to: i32,
        more_to_come: bool,
    ) -> Result<i32, LineError> {
        let request_id = self.server.next_message_id();
        let packing = match request.legacy {
            Some(_) => Packing::Legacy,
            None => Packing::Message(Flags {
                checksum_present: request.flags.checksum_present,
                more_to_come,
                exhaust_allowed: false,
            }),
        };
        let compressor = request.compressor.filter(|_| outcome.compressible);
        let envelope = Envelope { request_id, response_to, packing, compressor };
        let mut message = envelope.pack(outcome.document).map_err(LineError::Unsendable)?;
        let length = u64::try_from(message.remaining()).unwrap_or(0);
        self.socket.write_all_buf(&mut message).await.map_err(LineError::Write)?;
        outcome.afterwards.run();
        self.server.counters.bytes_out.add(length);
        Ok(request_id)
    }
}

/// Returns when there is no use in waiting any longer for the sake of this client.
async fn interrupted(server: &Server, socket: &TcpStream, nothing_pending: bool) -> Interrupt {
    let disconnected = async {
        // Requests that were sent ahead hide the end of the stream; then nobody looks for it.
        if !nothing_pending || !matches!(socket.peek(&mut [0]).await, Ok(0) | Err(_)) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = server.shutdown.started() => Interrupt::Shutdown,
        () = disconnected => Interrupt::Disconnected,
    }
}

/// An error and its cause on one line.
fn with_source(error: &millstream_wire::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Engine, Options};

    /// An idle connection is its task and nothing else: buffers come and go with messages.
    #[tokio::test]
    async fn a_connection_is_small() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, peer) = listener.accept().await.unwrap();
        let (place, clock) = (millstream_storage::Location::Memory, Arc::new(millstream_storage::SystemClock));
        let db = millstream_db::Db::open(place, clock, millstream_db::Options::default()).unwrap();
        let server = Arc::new(Server::new(Options::default(), Arc::new(Engine::new(db))));
        let serving = serve(server, socket, Connection::new(1, peer, peer.to_string()));
        let bytes = size_of_val(&serving);
        assert!(bytes < 4_096, "{bytes} bytes");
        drop(client);
        serving.await;
    }
}
