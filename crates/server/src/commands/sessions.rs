//! Logical sessions: names that clients give to their work.
//!
//! Shape:  `{ startSession: 1 }`, `{ endSessions: [ { id: <uuid> }, ... ] }`, likewise
//!         `refreshSessions` and `killSessions` (an empty list is all of them)
//! Source: CS-8.5, CS-13.5.

use millstream_value::{DocBuf, Value, new_uuid};

use super::handshake::SESSION_TIMEOUT_MINUTES;
use super::{Command, Fields, Handler};
use crate::arguments::wrong_type;
use crate::context::Context;
use crate::dispatch::session_id;
use crate::engine::SessionId;
use crate::failure::Result;
use crate::reply::Reply;

pub(super) const END_SESSIONS: Command = Command {
    name: "endSessions",
    help: "says that sessions are no longer needed",
    fields: Fields::Only(&[]),
    unauthenticated: true,
    handler: Handler::Blocking(|context| {
        context.server.engine.end_sessions(&sessions(context)?);
        Ok(Reply::empty())
    }),
    ..Command::DEFAULT
};

pub(super) const KILL_ALL_SESSIONS: Command = Command {
    name: "killAllSessions",
    help: "ends all sessions and closes their cursors",
    fields: Fields::Only(&[]),
    handler: Handler::Blocking(|context| {
        context.server.engine.kill_sessions(&[]);
        Ok(Reply::empty())
    }),
    ..Command::DEFAULT
};

pub(super) const KILL_SESSIONS: Command = Command {
    name: "killSessions",
    help: "ends sessions and closes their cursors",
    fields: Fields::Only(&[]),
    handler: Handler::Blocking(|context| {
        context.server.engine.kill_sessions(&sessions(context)?);
        Ok(Reply::empty())
    }),
    ..Command::DEFAULT
};

pub(super) const REFRESH_SESSIONS: Command = Command {
    name: "refreshSessions",
    help: "keeps sessions alive",
    fields: Fields::Only(&[]),
    handler: Handler::Inline(|context| {
        for session in sessions(context)? {
            context.server.engine.session_used(session);
        }
        Ok(Reply::empty())
    }),
    ..Command::DEFAULT
};

pub(super) const START_SESSION: Command = Command {
    name: "startSession",
    help: "makes a session",
    fields: Fields::Only(&[]),
    handler: Handler::Inline(start_session),
    ..Command::DEFAULT
};

fn start_session(context: &Context<'_>) -> Result<Reply> {
    let uuid = new_uuid();
    context.server.engine.session_used(SessionId(uuid));
    let mut id = DocBuf::new();
    id.push("id", Value::Binary(4, (&uuid[..]).into()));
    let mut document = DocBuf::new();
    document.push("id", id).push("timeoutMinutes", SESSION_TIMEOUT_MINUTES);
    Ok(document.into())
}

/// The sessions that a command lists as its own value.
fn sessions(context: &Context<'_>) -> Result<Vec<SessionId>> {
    let name = context.command.name;
    let arguments = context.arguments();
    let listed = arguments.required(name, arguments.array(name)?)?;
    listed
        .elements()
        .map(|element| {
            let path = format!("{name}.{name}.{}", element.key());
            let document = element.as_doc().ok_or_else(|| wrong_type(&path, element.kind(), "object"))?;
            session_id(&path, document)
        })
        .collect()
}
