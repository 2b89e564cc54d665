//! `serverStatus`: counts since the start. Only what is really measured is shown.
//!
//! Source: CS-15, MongoDB manual 8.0, "serverStatus".

use millstream_value::{ArrayBuf, DocBuf, Value};

use super::diagnostics::{COMPATIBLE_VERSION, host_name, kilobytes};
use super::{Command, Handler};
use crate::context::Context;
use crate::failure::Result;
use crate::reply::Reply;
use crate::server::now_ms;

pub(super) const SERVER_STATUS: Command = Command {
    name: "serverStatus",
    help: "counts and measures since the start",
    handler: Handler::Blocking(server_status),
    ..Command::DEFAULT
};

fn server_status(context: &Context<'_>) -> Result<Reply> {
    let server = context.server;
    let uptime = server.identity.uptime();
    let seconds = i64::try_from(uptime.as_secs()).unwrap_or(i64::MAX);
    let mut engine = DocBuf::new();
    engine
        .push("name", "millstream")
        .push("supportsCommittedReads", true)
        .push("persistent", server.engine.folder().is_some());
    let mut operations = DocBuf::new();
    for (operation, count) in server.counters.operations() {
        operations.push(operation.name(), count);
    }
    let mut document = DocBuf::new();
    document
        .push("host", host_name())
        .push("version", COMPATIBLE_VERSION)
        .push("millstreamVersion", env!("CARGO_PKG_VERSION"))
        .push("process", "millstream")
        .push("pid", i64::from(std::process::id()))
        .push("uptime", uptime.as_secs_f64().floor())
        .push("uptimeMillis", i64::try_from(uptime.as_millis()).unwrap_or(i64::MAX))
        .push("uptimeEstimate", seconds)
        .push("localTime", Value::Date(now_ms()))
        .push("connections", connections(context))
        .push("network", network(context))
        .push("opcounters", operations)
        .push("repl", repl(context))
        .push("storageEngine", engine)
        .push("transactions", transactions(context))
        .push("mem", memory())
        .push("metrics", metrics(context));
    Ok(document.into())
}

fn connections(context: &Context<'_>) -> DocBuf {
    let counters = &context.server.counters;
    let current = counters.connections_current.get();
    let most = i32::try_from(context.server.options.connections_max).unwrap_or(i32::MAX);
    let mut document = DocBuf::new();
    document
        .push("current", current)
        .push("available", most.saturating_sub(current).max(0))
        .push("totalCreated", counters.connections_created.get())
        .push("rejected", counters.connections_rejected.get())
        .push("active", counters.connections_active.get());
    document
}

fn network(context: &Context<'_>) -> DocBuf {
    let counters = &context.server.counters;
    let mut document = DocBuf::new();
    document
        .push("bytesIn", counters.bytes_in.get())
        .push("bytesOut", counters.bytes_out.get())
        .push("numRequests", counters.requests.get());
    document
}

fn repl(context: &Context<'_>) -> DocBuf {
    let me = context.connection.address.as_str();
    let identity = &context.server.identity;
    let mut document = DocBuf::new();
    document
        .push("topologyVersion", identity.topology_version())
        .push("hosts", [me].into_iter().collect::<ArrayBuf>())
        .push("setName", &context.server.options.set_name)
        .push("setVersion", 1)
        .push("isWritablePrimary", true)
        .push("secondary", false)
        .push("primary", me)
        .push("me", me)
        .push("electionId", Value::ObjectId(identity.election_id));
    document
}

fn transactions(context: &Context<'_>) -> DocBuf {
    let counts = context.server.engine.db().transaction_counts();
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let total = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let mut document = DocBuf::new();
    document
        .push("currentActive", number(counts.active))
        .push("currentInactive", number(counts.open.saturating_sub(counts.active)))
        .push("currentOpen", number(counts.open))
        .push("totalAborted", total(counts.aborted))
        .push("totalCommitted", total(counts.committed))
        .push("totalStarted", total(counts.started));
    document
}

fn memory() -> DocBuf {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let megabytes = |name| i32::try_from(kilobytes(&status, name) / 1024).unwrap_or(i32::MAX);
    let mut document = DocBuf::new();
    document
        .push("bits", 64)
        .push("resident", megabytes("VmRSS:"))
        .push("virtual", megabytes("VmSize:"))
        .push("supported", !status.is_empty());
    document
}

fn metrics(context: &Context<'_>) -> DocBuf {
    let mut commands = DocBuf::new();
    for (name, total, failed) in context.server.counters.commands() {
        let mut row = DocBuf::new();
        row.push("failed", failed).push("total", total);
        commands.push(name, row);
    }
    let counters = &context.server.counters;
    let mut document = context.server.engine.metrics();
    document.nest("aggStageCounters", |stages| {
        stages.push("$changeStream", counters.change_streams.get());
    });
    document.nest("changeStreams", |streams| {
        context.server.engine.push_streams(streams);
        let split = i64::try_from(millstream_change::large_events_split()).unwrap_or(i64::MAX);
        streams.push("largeEventsSplit", split).push("largeEventsFailed", counters.large_events_failed.get());
        streams.push("showExpandedEvents", counters.expanded_streams.get());
    });
    document.push("commands", commands);
    document
}
