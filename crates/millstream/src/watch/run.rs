//! From the flags to the end: opening, and being asked to stop.

use std::pin::pin;

use anyhow::{Context as _, anyhow};
use tokio::sync::watch;

use super::Arguments;
use super::exec::Children;
use super::session::Session;
use crate::exit;
use crate::signals::Signals;

/// Watches until asked to stop, the limit, or the end of the stream.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    arguments.check()?;
    let mut signals = Signals::catch().context("could not listen for signals")?;
    let children = Children::default();
    let (ask, asked) = watch::channel(false);
    let mut work = pin!(watch_one(arguments, children.clone(), Stop(asked)));
    tokio::select! {
        ended = &mut work => return ended,
        _ = signals.next() => drop(ask.send_replace(true)),
    }
    tokio::select! {
        ended = work => ended,
        again = signals.next() => {
            children.kill_all();
            Err(anyhow!("stopped at once: {again} came a second time"))
        }
    }
}

async fn watch_one(arguments: Arguments, children: Children, mut stop: Stop) -> anyhow::Result<exit::Code> {
    let session = tokio::select! {
        session = Session::open(arguments, children) => session?,
        () = stop.asked() => return Ok(exit::Code::Done),
    };
    session.run(stop).await?;
    Ok(exit::Code::Done)
}

/// Whether the program was asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Ends when it is asked to stop; never, if nobody can ask any more.
    pub(crate) async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
