//! One look after the other.

use millstream_watch::{Connection, Scope};

use super::arguments::{Arguments, Format};
use super::checks::{self, Server};
use super::report::{Finding, Level};
use super::round_trip;
use crate::watch::uri_or_default;
use crate::{exit, terminal};

/// The database if neither the flag nor the URI names one.
const DEFAULT_DATABASE: &str = "test";

/// Looks, and says what it found.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let connection = Connection::new(&uri_or_default(arguments.uri.as_deref())).await?;
    let database = arguments.db.as_deref().or(connection.default_database()).unwrap_or(DEFAULT_DATABASE).to_owned();
    let scope = if arguments.all { Scope::Cluster } else { Scope::Database(database.clone()) };
    let mut worst = Level::Ok;
    let mut tell = |finding: Finding| {
        worst = worst.max(finding.level);
        terminal::say(&match arguments.format {
            Format::Table => finding.table(terminal::colour_on_stdout()),
            Format::Json => finding.json(),
        });
    };
    let server = Server::reach(&connection).await?;
    tell(server.reached());
    tell(server.version());
    tell(server.topology());
    tell(server.clock());
    let may_watch = checks::rights(&connection, scope).await;
    let watchable = may_watch.level == Level::Ok;
    tell(may_watch);
    if server.has_own_log() {
        checks::log(&connection).await.into_iter().for_each(&mut tell);
    }
    if !arguments.all {
        tell(checks::images(&connection, &database).await);
    }
    if arguments.round_trip && watchable {
        tell(round_trip::time(&connection, &database).await);
    }
    Ok(if worst == Level::Fail { exit::Code::Failed } else { exit::Code::Done })
}
