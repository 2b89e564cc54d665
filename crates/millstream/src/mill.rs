//! `millstream mill`: runs what SQL has defined on any MongoDB, until it is asked to stop.

use std::path::PathBuf;

use clap::Args;
use millstream_mill::{Mill, MillOptions};
use millstream_watch::Connection;

use crate::exit;
use crate::signals::Signals;
use crate::watch::uri_or_default;

/// The end of `mill --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  millstream mill                                   views and triggers of the local server
  millstream mill --uri \"$MONGO_URL\" --state /var/lib/millstream-mill
  millstream mill --name b --state mill-b           a second one beside it: they share the work

What it runs is defined with `millstream sql`, and stays defined while no mill is there: the next one goes on where the
last one ended. SIGTERM or Ctrl-C ends it when what is under way is done.";

/// The flags.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The server; else MONGO_URL, else CHANGE_STREAM_DB, else the local default
    #[arg(long, value_name = "URI")]
    uri: Option<String>,
    /// Where the state of views is kept; each mill needs a folder of its own
    #[arg(long, value_name = "FOLDER", default_value = "millstream-mill")]
    state: PathBuf,
    /// What it is called, if there are several on one server
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Runs until it is asked to stop.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let uri = uri_or_default(arguments.uri.as_deref());
    // What is wrong with a connection is said as other commands do.
    Connection::new(&uri).await?.ping().await?;
    let mut signals = Signals::catch()?;
    let mut options = MillOptions::new(&arguments.state);
    options.name = arguments.name;
    let mill = Mill::start(&uri, options).await?;
    eprintln!("the mill runs; its state is in {}", arguments.state.display());
    signals.next().await;
    tokio::select! {
        stopped = mill.stop() => stopped?,
        // A second signal means now: what was under way is done again by the next one.
        _ = signals.next() => {}
    }
    Ok(exit::Code::Done)
}
