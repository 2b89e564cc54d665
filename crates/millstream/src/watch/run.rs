//! From the flags to the end: one watcher or several, and being asked to stop.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use millstream_watch::Backoff;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::exec::Children;
use super::session::Session;
use super::{Arguments, config};
use crate::exit;
use crate::health::{Board, Health};
use crate::signals::Signals;

/// A watcher that ran for so long before it failed begins again soon.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// Watches until asked to stop, the limit, or the end of the stream.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let Some(watches) = config::resolve(arguments)? else { return Ok(exit::Code::Done) };
    check(&watches)?;
    let mut signals = Signals::catch().context("could not listen for signals")?;
    let board = Board::default();
    let quiet = watches.iter().all(|arguments| arguments.show.quiet);
    if let Some(address) = watches.iter().find_map(|arguments| arguments.service.health) {
        let address = Health::new(board.clone())?.serve(address).await?;
        if !quiet {
            eprintln!("health at http://{address}/readyz");
        }
    }
    let children = Children::default();
    let (ask, asked) = watch::channel(false);
    let mut work = pin!(watch_all(watches, Surroundings { board, children: children.clone(), stop: Stop(asked) }));
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

/// What the types of the flags cannot say.
fn check(watches: &[Arguments]) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    for arguments in watches {
        arguments.check()?;
        let name = arguments.name(None);
        if !names.insert(name.clone()) {
            return Err(exit::misuse(format!("two watchers are called `{name}`: give each a name with `watcher`")));
        }
    }
    Ok(())
}

/// What watchers of one process share.
#[derive(Clone)]
struct Surroundings {
    board: Board,
    children: Children,
    stop: Stop,
}

async fn watch_all(watches: Vec<Arguments>, surroundings: Surroundings) -> anyhow::Result<exit::Code> {
    for arguments in &watches {
        surroundings.board.expect(&arguments.name(None), arguments.service.ready_lag_max);
    }
    let mut watches = watches;
    if watches.len() == 1
        && let Some(only) = watches.pop()
    {
        watch_one(only, surroundings).await?;
        return Ok(exit::Code::Done);
    }
    let mut tasks = JoinSet::new();
    for arguments in watches {
        tasks.spawn(keep_watching(arguments, surroundings.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a watcher broke down")?;
    }
    Ok(exit::Code::Done)
}

/// One watcher to its end.
async fn watch_one(arguments: Arguments, mut surroundings: Surroundings) -> anyhow::Result<()> {
    let name = arguments.name(None);
    let session = tokio::select! {
        session = Session::open(arguments, surroundings.children.clone()) => session?,
        () = surroundings.stop.asked() => return Ok(()),
    };
    surroundings.board.began(&name, session.control());
    session.run(surroundings.stop).await
}

/// One of several: its failure is its own, and it begins again after a while.
async fn keep_watching(arguments: Arguments, surroundings: Surroundings) {
    let name = arguments.name(None);
    let pauses = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60), ..Backoff::default() };
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let Err(error) = watch_one(arguments.clone(), surroundings.clone()).await else { return };
        failures = if began.elapsed() >= WELL_AFTER { 0 } else { failures + 1 };
        let pause = pauses.delay(failures, rand::random());
        eprintln!("{name}: {}; it begins again in {:.0} s", exit::sentence(&error), pause.as_secs_f64());
        let mut stop = surroundings.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.asked() => return,
        }
    }
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
