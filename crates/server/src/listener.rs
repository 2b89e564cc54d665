//! The port: accepting, limits, stopping.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use millstream_db::Upkeep;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tracing::{info, warn};

use crate::context::Connection;
use crate::server::Server;
use crate::{Engine, Options, Shutdown, connection};

/// After a failed accept (no descriptors left, mostly): time for some to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The port is taken, or not ours to take.
    #[error("could not listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// An open port. Clients can connect, and wait until somebody serves it.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Opens the port; 0 picks a free one. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`ServeError::Bind`] if the port is taken, or not ours to take.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let refused = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address })
    }
}

/// A server whose port is open: clients can connect, and are served once [`run`](Self::run) is
/// polled.
pub struct Listening {
    server: Arc<Server>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Serves an engine on a port. The address in the options gives way to the port's.
    #[must_use]
    pub fn on(port: Port, options: Options, engine: Arc<Engine>) -> Self {
        let Port { listener, address } = port;
        let options = Options { address, ..options };
        Self { server: Arc::new(Server::new(options, engine)), listener, address }
    }

    /// Opens the port of the options. Call within a tokio runtime, best a multi-threaded one.
    ///
    /// # Errors
    /// As [`Port::bind`].
    pub async fn bind(options: Options, engine: Arc<Engine>) -> Result<Self, ServeError> {
        let port = Port::bind(options.address).await?;
        Ok(Self::on(port, options, engine))
    }

    /// Where it listens, with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URI for a client on this machine.
    pub fn uri(&self) -> String {
        let mut reachable = self.address;
        if reachable.ip().is_unspecified() {
            reachable.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let host = self.server.address_for(reachable);
        format!("mongodb://{host}/?replicaSet={}", self.server.options.set_name)
    }

    /// The switch that ends [`run`](Self::run).
    pub fn shutdown(&self) -> Shutdown {
        self.server.shutdown.clone()
    }

    /// Serves until the shutdown starts and the running commands are done, or have used up the
    /// grace that the options give them.
    pub async fn run(self) {
        let Self { server, listener, .. } = self;
        let mut connections = JoinSet::new();
        let mut full = false;
        let mut late = every(Upkeep::LATE_MS);
        let mut noop = every(Upkeep::NOOP_MS);
        let mut sweep = every(Upkeep::SWEEP_MS);
        let mut expiry = every(Upkeep::EXPIRY_MS);
        loop {
            tokio::select! {
                biased;
                () = server.shutdown.started() => break,
                // Ended tasks are collected, or they would pile up. A panic was logged already.
                Some(_) = connections.join_next() => {}
                _ = late.tick() => server.engine.db().warn_of_late_streams(),
                _ = noop.tick() => server.engine.db().periodic_noop(),
                _ = sweep.tick() => server.engine.sweep(),
                _ = expiry.tick() => server.engine.db().abort_expired(),
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        let over = connections.len() >= server.options.connections_max;
                        if over {
                            refuse(&server, peer, full);
                        } else {
                            welcome(&server, &mut connections, socket, peer);
                        }
                        full = over;
                    }
                    Err(error) => {
                        warn!(%error, "could not accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let open = connections.len();
        info!(connections = open, "stopping");
        // Writes that wait for the end of a transaction need not wait any longer.
        server.engine.db().end_transactions();
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(server.options.shutdown_grace, finished).await.is_err() {
            warn!(connections = connections.len(), "commands still running: cutting them off");
            connections.shutdown().await;
        }
    }
}

/// Ticks from one period on from now; missed ticks are not made up for.
fn every(milliseconds: u64) -> Interval {
    let period = Duration::from_millis(milliseconds);
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn welcome(server: &Arc<Server>, connections: &mut JoinSet<()>, socket: TcpStream, peer: SocketAddr) {
    // Replies are whole writes: waiting to fill a packet would only delay them.
    if let Err(error) = socket.set_nodelay(true) {
        warn!(%peer, %error, "could not set TCP_NODELAY");
    }
    let local = socket.local_addr().unwrap_or(server.options.address);
    let address = server.address_for(local);
    let connection = Connection::new(server.next_connection_id(), peer, address);
    server.counters.connections_created.add(1);
    connections.spawn(connection::serve(Arc::clone(server), socket, connection));
}

/// Closes a connection that is one too many. Said once until there is room again.
fn refuse(server: &Server, peer: SocketAddr, said: bool) {
    server.counters.connections_rejected.add(1);
    if !said {
        let limit = server.options.connections_max;
        warn!(%peer, limit, "connection limit reached: refusing connections until some close");
    }
}
