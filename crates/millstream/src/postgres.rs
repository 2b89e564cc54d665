//! The PostgreSQL port of `serve` and `run`.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context as _, anyhow};
use millstream_pg::Port;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// An open port.
pub(crate) struct Open(Port);

/// A port that is served.
pub(crate) struct Served {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Opens the port.
pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Open> {
    let opened = Port::bind(address).await;
    opened.map(Open).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            anyhow!("{address} is in use: stop the program that listens there, or choose another --pg-listen")
        }
        ErrorKind::AddrNotAvailable => {
            anyhow!("{} is no address of this machine: choose another --pg-listen", address.ip())
        }
        ErrorKind::PermissionDenied => {
            anyhow!("no permission to listen on port {}: choose one from 1024 up with --pg-listen", address.port())
        }
        _ => anyhow::Error::from(error).context(format!("could not listen on {address}")),
    })
}

/// What has to be said of an address that others can reach.
pub(crate) fn warning(address: SocketAddr) -> Option<String> {
    (!address.ip().is_loopback()).then(|| {
        format!(
            "there is no authentication yet, and {} can be reached from other machines: everyone who reaches port {} can read and change everything with SQL",
            address.ip(),
            address.port()
        )
    })
}

impl Open {
    /// What a person is told.
    pub(crate) fn line(&self) -> String {
        format!("PostgreSQL's protocol on {}\n", self.0.address())
    }

    /// Serves a deployment in a task of its own.
    pub(crate) fn serve(self, uri: String) -> Served {
        let (stop, stopped) = oneshot::channel();
        let until = async {
            // A dropped sender asks for the same.
            let _ = stopped.await;
        };
        Served { stop, task: tokio::spawn(self.0.serve(uri, until)) }
    }
}

impl Served {
    /// Tells the clients, and waits until they are gone.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        self.task.await.context("the PostgreSQL port failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_warned_about() {
        assert_eq!(warning("127.0.0.1:5432".parse().unwrap()), None);
        assert!(warning("0.0.0.0:5432".parse().unwrap()).unwrap().contains("no authentication"));
    }
}
