//! Asks the server, and says what it said.

use millstream_watch::{Connection, Error, FileCheckpoint, Standing, Token};

use super::Arguments;
use super::arguments::Format;
use super::report::{self, Position};
use crate::watch::uri_or_default;
use crate::{exit, terminal};

/// Shows the log, and where a position stands in it.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let connection = Connection::new(&uri_or_default(arguments.uri.as_deref())).await?;
    let token = match (&arguments.checkpoint, &arguments.resume_after) {
        (Some(file), _) => Some(FileCheckpoint::peek(file, &connection)?),
        (None, token) => token.clone(),
    };
    let time = token.as_ref().map(time_of).transpose()?;
    let window = connection.log_window().await?;
    let position = time.map(|time| Position { time, standing: window.standing(time) });
    terminal::say(&match arguments.format {
        Format::Table => report::table(&window, position.as_ref()),
        Format::Json => report::json(&window, position.as_ref()),
    });
    Ok(match position.map(|position| position.standing) {
        None | Some(Standing::Inside(_)) => exit::Code::Done,
        Some(Standing::Lost | Standing::Ahead) => exit::Code::PositionLost,
    })
}

fn time_of(token: &Token) -> Result<bson::Timestamp, Error> {
    token.time().ok_or_else(|| Error::BadToken { reason: "it does not begin with a time".to_owned() })
}
