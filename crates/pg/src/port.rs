//! The port: accepting, limits, stopping.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::limits::{CONNECTIONS_MAX, STOP_WAIT};
use crate::registry::Registry;
use crate::startup;

/// After a failed accept (no descriptors left, mostly): time for some to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An open port. Clients can connect, and wait until somebody serves it.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Opens the port; 0 picks a free one.
    ///
    /// # Errors
    /// It is taken, or not ours to take.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens, with the port that was picked.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the deployment of a URI until `stop` is done; then tells the clients, and waits a little for statements to end.
    pub async fn serve(self, uri: String, stop: impl Future<Output = ()>) {
        let (say_stop, stopping) = watch::channel(false);
        let registry = Arc::new(Registry::new(uri, stopping));
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                // Ended tasks are collected, or they would pile up.
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        if let Err(error) = socket.set_nodelay(true) {
                            warn!(%peer, %error, "could not set TCP_NODELAY");
                        }
                        let full = connections.len() >= CONNECTIONS_MAX;
                        connections.spawn(startup::serve(socket, Arc::clone(&registry), full));
                    }
                    Err(error) => {
                        warn!(%error, "could not accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        info!(connections = connections.len(), "stopping: the PostgreSQL port");
        let _ = say_stop.send(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WAIT, ended).await.is_err() {
            connections.shutdown().await;
        }
    }
}
