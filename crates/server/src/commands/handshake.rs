//! `hello` and `isMaster`: who is here, and what it can do.
//!
//! Shape:  `{ hello: 1, [helloOk], [client], [compression], [topologyVersion, maxAwaitTimeMS] }`
//! Waits:  with `topologyVersion`, until that is outdated or `maxAwaitTimeMS` has passed; with
//!         `exhaustAllowed` again and again
//! Errors: 2, 31368, 31372, 31382, 51756; `ClientMetadataCannotBeMutated` 186
//! Source: CS-11.3.

use std::time::Duration;

use millstream_value::{ArrayBuf, Code, Doc, DocBuf, Value, kind};
use millstream_wire::{Compressor, MAX_MESSAGE_BYTES};

use super::{Command, Handler};
use crate::arguments::{Arguments, wrong_type};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::reply::{Repeat, Reply};
use crate::server::{TOPOLOGY_COUNTER, now_ms};

pub(super) const HELLO: Command = Command {
    name: "hello",
    help: "describes this server and its replica set",
    unauthenticated: true,
    legacy: true,
    uncompressed: true,
    waits: true,
    handler: Handler::Async(|context| Box::pin(hello(context))),
    ..Command::DEFAULT
};

pub(super) const IS_MASTER: Command =
    Command { name: "isMaster", aliases: &["ismaster"], help: "hello, as older drivers say it", ..HELLO };

/// Largest document a user may store: `maxBsonObjectSize`.
const USER_DOCUMENT_BYTES_MAX: i32 = 16 * 1024 * 1024;
const WRITE_BATCH_MAX: i32 = 100_000;
pub(super) const SESSION_TIMEOUT_MINUTES: i32 = 30;
/// 8.0's.
const MAX_WIRE_VERSION: i32 = 25;

async fn hello(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let wait = wait(context, &arguments)?;
    if let Some(metadata) = arguments.document("client")? {
        context.connection.set_metadata(metadata)?;
    }
    let repeat = match wait {
        Some(wait) => {
            tokio::time::sleep(wait).await;
            Repeat::IfAllowed
        }
        None => Repeat::No,
    };
    Ok(Reply { document: describe(context, &arguments)?, repeat, ..Reply::default() })
}

/// How long to wait for a change that never comes; none if the client does not know the present
/// state yet, or did not ask to wait.
fn wait(context: &Context<'_>, arguments: &Arguments<'_>) -> Result<Option<Duration>> {
    let fail = |code, message: &'static str| Err(Failure::new(code, message));
    let known = arguments.document("topologyVersion")?;
    let patience_ms = arguments.i64("maxAwaitTimeMS")?;
    let (known, patience_ms) = match (known, patience_ms) {
        (Some(known), Some(patience_ms)) => (known, patience_ms),
        (None, None) if context.request.flags.exhaust_allowed => {
            let message = "A hello request with 'exhaustAllowed' must specify 'maxAwaitTimeMS'";
            return fail(Code::Location(51756), message);
        }
        (None, None) => return Ok(None),
        (Some(_), None) => {
            let message = "A request with a 'topologyVersion' must include 'maxAwaitTimeMS'";
            return fail(Code::Location(31368), message);
        }
        (None, Some(_)) => {
            let message = "A request with 'maxAwaitTimeMS' must include a 'topologyVersion'";
            return fail(Code::Location(31368), message);
        }
    };
    let Ok(patience_ms) = u64::try_from(patience_ms) else {
        return fail(Code::BadValue, "maxAwaitTimeMS must be a non-negative integer");
    };
    let (process_id, counter) = topology_version(known)?;
    if counter < 0 {
        return fail(Code::Location(31372), "topologyVersion must have a non-negative counter");
    }
    if process_id != context.server.identity.process_id || counter < TOPOLOGY_COUNTER {
        return Ok(None);
    }
    if counter > TOPOLOGY_COUNTER {
        let message = format!(
            "Received a topology version with counter: {counter} which is greater than the server \
             topology version counter: {TOPOLOGY_COUNTER}"
        );
        return Err(Failure::new(Code::Location(31382), message));
    }
    Ok(Some(Duration::from_millis(patience_ms)))
}

fn topology_version(document: Doc<'_>) -> Result<([u8; 12], i64)> {
    let fields = Arguments::new("topologyVersion", document);
    let id = fields.required("processId", fields.element("processId"))?;
    let counter = fields.required("counter", fields.i64("counter")?)?;
    match <[u8; 12]>::try_from(id.bytes()) {
        Ok(bytes) if id.kind() == kind::OBJECT_ID => Ok((bytes, counter)),
        _ => Err(wrong_type("topologyVersion.processId", id.kind(), "objectId")),
    }
}

fn describe(context: &Context<'_>, arguments: &Arguments<'_>) -> Result<DocBuf> {
    let server = context.server;
    let me = context.connection.address.as_str();
    let primary = if context.command.name == "hello" { "isWritablePrimary" } else { "ismaster" };
    let mut document = DocBuf::new();
    if arguments.element("helloOk").is_some_and(|element| element.value().is_truthy()) {
        document.push("helloOk", true);
    }
    document
        .push("topologyVersion", server.identity.topology_version())
        .push("hosts", [me].into_iter().collect::<ArrayBuf>())
        .push("setName", &server.options.set_name)
        .push("setVersion", 1)
        .push(primary, true)
        .push("secondary", false)
        .push("primary", me)
        .push("me", me)
        .push("electionId", Value::ObjectId(server.identity.election_id))
        .push("lastWrite", last_write(context))
        .push("maxBsonObjectSize", USER_DOCUMENT_BYTES_MAX)
        .push("maxMessageSizeBytes", i32::try_from(MAX_MESSAGE_BYTES).unwrap_or(i32::MAX))
        .push("maxWriteBatchSize", WRITE_BATCH_MAX)
        .push("localTime", Value::Date(now_ms()))
        .push("logicalSessionTimeoutMinutes", SESSION_TIMEOUT_MINUTES)
        .push("connectionId", context.connection.id)
        .push("minWireVersion", 0)
        .push("maxWireVersion", MAX_WIRE_VERSION)
        .push("readOnly", false);
    let compressors = compressors(arguments)?;
    if !compressors.is_empty() {
        document.push("compression", compressors);
    }
    Ok(document)
}

fn last_write(context: &Context<'_>) -> DocBuf {
    let engine = &context.server.engine;
    let times = engine.log_times();
    let mut op_time = DocBuf::new();
    op_time.push("ts", times.committed).push("t", engine.term());
    let mut document = DocBuf::new();
    document
        .push("opTime", &op_time)
        .push("lastWriteDate", Value::Date(times.committed_wall_ms))
        .push("majorityOpTime", &op_time)
        .push("majorityWriteDate", Value::Date(times.committed_wall_ms));
    document
}

/// What both sides speak, in the order that the client prefers.
fn compressors(arguments: &Arguments<'_>) -> Result<ArrayBuf> {
    let mut common: Vec<&str> = Vec::with_capacity(Compressor::NEGOTIABLE.len());
    if let Some(offered) = arguments.array("compression")? {
        for compressor in offered.elements().filter_map(|e| Compressor::from_name(e.as_str()?)) {
            if !common.contains(&compressor.name()) {
                common.push(compressor.name());
            }
        }
    }
    Ok(common.into_iter().collect())
}
