//! The mill: what runs the views and triggers that SQL defines. Inside of `serve` for the engine's own data, and as `run` for
//! any MongoDB.

mod arguments;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use millstream_mill::{Mill, MillOptions};
use millstream_watch::Connection;
use tracing::{info, warn};

use crate::signals::Signals;
use crate::{exit, postgres, watch};

pub(crate) use arguments::{Arguments, EXAMPLES};

/// How often an engine without definitions is looked at: a look is a name in a map.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long it is left alone after it could not start.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs what is defined on a deployment until asked to stop.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let mut signals = Signals::catch().context("could not listen for signals")?;
    let uri = watch::uri_or_default(arguments.uri.as_deref());
    let postgres = match arguments.pg_listen {
        Some(address) => Some(postgres::open(address).await?),
        None => None,
    };
    // What is wrong with a connection is said as other commands do.
    Connection::new(&uri).await?.ping().await?;
    let mut options = MillOptions::new(&arguments.state);
    options.name = arguments.name;
    options.lease = Duration::from_secs(arguments.lease);
    let mill = Mill::start(&uri, options).await?;
    eprintln!("the mill runs; its state is in {}", arguments.state.display());
    if let Some(postgres) = &postgres {
        eprint!("{}", postgres.line());
    }
    if let Some(warning) = arguments.pg_listen.and_then(postgres::warning) {
        eprintln!("WARNING: {warning}");
    }
    let postgres = postgres.map(|port| port.serve(uri.clone()));
    let asked = signals.next().await;
    info!(signal = asked, "stopping: asked to");
    let stop = async {
        if let Some(postgres) = postgres {
            postgres.stop().await?;
        }
        mill.stop().await.map_err(anyhow::Error::from)
    };
    tokio::select! {
        result = stop => result?,
        again = signals.next() => return Err(anyhow!("stopped at once: {again} came a second time")),
    }
    Ok(exit::Code::Done)
}

/// The mill of an engine in this process: it starts when there is a first definition, and costs nothing before.
pub(crate) struct Keeper {
    /// A client's address for the engine.
    pub(crate) uri: String,
    /// Where the state of views is kept.
    pub(crate) state: State,
}

/// Where the state of views is kept.
pub(crate) enum State {
    /// In this folder.
    Folder(PathBuf),
    /// In a folder that goes with this process.
    Temporary,
}

impl Keeper {
    /// Keeps a mill running once `is_wanted` says so, until this is told to stop; then stops it well.
    pub(crate) async fn keep(self, is_wanted: impl Fn() -> bool, stop: tokio::sync::oneshot::Receiver<()>) {
        let running = async {
            while !is_wanted() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            loop {
                match self.start().await {
                    Ok(mill) => return mill,
                    Err(error) => warn!(%error, "the mill could not start; it is tried again"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::pin!(stop);
        let started = tokio::select! {
            started = running => started,
            _ = &mut stop => return,
        };
        info!("the mill runs what is defined");
        let _ = stop.await;
        if let Err(error) = started.mill.stop().await {
            warn!(%error, "the mill did not stop cleanly");
        }
    }

    async fn start(&self) -> anyhow::Result<Started> {
        let (folder, temporary) = match &self.state {
            State::Folder(folder) => (folder.clone(), None),
            State::Temporary => {
                let made = tempfile::Builder::new().prefix("millstream-mill-").tempdir();
                let made = made.context("could not create a temporary folder")?;
                (made.path().to_owned(), Some(made))
            }
        };
        let mill = Mill::start(&self.uri, MillOptions::new(folder)).await?;
        Ok(Started { mill, _temporary: temporary })
    }
}

struct Started {
    mill: Mill,
    /// Its folder goes after it.
    _temporary: Option<tempfile::TempDir>,
}

/// The mill's folder in the engine's.
pub(crate) fn folder_in(data: &Path) -> PathBuf {
    data.join("mill")
}
