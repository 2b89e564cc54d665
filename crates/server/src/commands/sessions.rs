//! Logical sessions: names that clients give to their work.
//!
//! Shape:  `{ startSession: 1 }`, `{ endSessions: [ { id: <uuid> }, ... ] }`, likewise
//!         `refreshSessions` and `killSessions` (an empty list is all of them);
//!         `{ killAllSessionsByPattern: [ { lsid: { id: <uuid>, .. } }, ... ] }`
//! Source: CS-8.5, CS-13.5.

use millstream_value::{DocBuf, Value, new_uuid};

use super::handshake::SESSION_TIMEOUT_MINUTES;
use super::{Command, Fields, Handler};
use crate::arguments::{Arguments, wrong_type};
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

pub(super) const KILL_ALL_SESSIONS_BY_PATTERN: Command = Command {
    name: "killAllSessionsByPattern",
    help: "ends the sessions that match one of several patterns and closes their cursors",
    fields: Fields::Only(&[]),
    handler: Handler::Blocking(|context| {
        if let Some(sessions) = by_pattern(context)? {
            context.server.engine.end_sessions(&sessions);
        } else {
            context.server.engine.kill_sessions(&[]);
        }
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

/// The sessions that patterns name; none: all of them, since there are no users to tell them apart.
fn by_pattern(context: &Context<'_>) -> Result<Option<Vec<SessionId>>> {
    let name = context.command.name;
    let arguments = context.arguments();
    let patterns = arguments.required(name, arguments.array(name)?)?;
    let mut sessions = Vec::new();
    for pattern in patterns.elements() {
        let path = format!("{name}.{name}.{}", pattern.key());
        let document = pattern.as_doc().ok_or_else(|| wrong_type(&path, pattern.kind(), "object"))?;
        match Arguments::new(&path, document).document("lsid")? {
            Some(lsid) => sessions.push(session_id(&format!("{path}.lsid"), lsid)?),
            None => return Ok(None),
        }
    }
    Ok((!sessions.is_empty()).then_some(sessions))
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
