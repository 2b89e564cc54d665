//! `replSetGetStatus`, `replSetGetConfig`, `replSetInitiate`: a healthy set of one.
//!
//! Errors: `AlreadyInitialized` 23 for every `replSetInitiate`: tools take that text as success.
//! Source: CS-11.4.

use millstream_value::{ArrayBuf, ClusterTime, Code, DocBuf, Value};

use super::{Command, Database, Handler};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::reply::Reply;
use crate::server::now_ms;

pub(super) const REPL_SET_GET_CONFIG: Command = Command {
    name: "replSetGetConfig",
    help: "shows the replica set's configuration",
    database: Database::Admin,
    handler: Handler::Inline(config),
    ..Command::DEFAULT
};

pub(super) const REPL_SET_GET_STATUS: Command = Command {
    name: "replSetGetStatus",
    help: "shows how the replica set is doing",
    database: Database::Admin,
    handler: Handler::Inline(status),
    ..Command::DEFAULT
};

pub(super) const REPL_SET_INITIATE: Command = Command {
    name: "replSetInitiate",
    help: "is not needed: the replica set exists from the start",
    database: Database::Admin,
    handler: Handler::Inline(|_| Err(Failure::new(Code::AlreadyInitialized, "already initialized"))),
    ..Command::DEFAULT
};

fn config(context: &Context<'_>) -> Result<Reply> {
    let mut member = DocBuf::new();
    member
        .push("_id", 0)
        .push("host", &context.connection.address)
        .push("arbiterOnly", false)
        .push("buildIndexes", true)
        .push("hidden", false)
        .push("priority", 1)
        .push("tags", DocBuf::new())
        .push("secondaryDelaySecs", 0i64)
        .push("votes", 1);
    let mut defaults = DocBuf::new();
    defaults.push("w", 1).push("wtimeout", 0);
    let mut settings = DocBuf::new();
    settings
        .push("chainingAllowed", true)
        .push("heartbeatIntervalMillis", 2_000)
        .push("heartbeatTimeoutSecs", 10)
        .push("electionTimeoutMillis", 10_000)
        .push("catchUpTimeoutMillis", -1)
        .push("catchUpTakeoverDelayMillis", 30_000)
        .push("getLastErrorModes", DocBuf::new())
        .push("getLastErrorDefaults", defaults)
        .push("replicaSetId", Value::ObjectId(context.server.engine.set_id()));
    let mut config = DocBuf::new();
    config
        .push("_id", &context.server.options.set_name)
        .push("version", 1)
        .push("term", context.server.engine.term())
        .push("members", [member].into_iter().collect::<ArrayBuf>())
        .push("protocolVersion", 1i64)
        .push("writeConcernMajorityJournalDefault", true)
        .push("settings", settings);
    let mut document = DocBuf::new();
    document.push("config", config);
    Ok(document.into())
}

fn status(context: &Context<'_>) -> Result<Reply> {
    let engine = &context.server.engine;
    let times = engine.log_times();
    let term = engine.term();
    let applied = op_time(times.committed, term);
    let applied_date = || Value::Date(times.committed_wall_ms);
    let mut op_times = DocBuf::new();
    op_times
        .push("lastCommittedOpTime", &applied)
        .push("lastCommittedWallTime", applied_date())
        .push("readConcernMajorityOpTime", &applied)
        .push("appliedOpTime", &applied)
        .push("durableOpTime", &applied)
        .push("lastAppliedWallTime", applied_date())
        .push("lastDurableWallTime", applied_date());
    let mut document = DocBuf::new();
    document
        .push("set", &context.server.options.set_name)
        .push("date", Value::Date(now_ms()))
        .push("myState", 1)
        .push("term", term)
        .push("syncSourceHost", "")
        .push("syncSourceId", -1)
        .push("heartbeatIntervalMillis", 2_000i64)
        .push("majorityVoteCount", 1)
        .push("writeMajorityCount", 1)
        .push("votingMembersCount", 1)
        .push("writableVotingMembersCount", 1)
        .push("optimes", op_times)
        .push("lastStableRecoveryTimestamp", times.committed)
        .push("electionCandidateMetrics", election(context))
        .push("members", [member(context)].into_iter().collect::<ArrayBuf>());
    Ok(document.into())
}

fn member(context: &Context<'_>) -> DocBuf {
    let engine = &context.server.engine;
    let times = engine.log_times();
    let uptime = context.server.identity.uptime().as_secs();
    let mut member = DocBuf::new();
    member
        .push("_id", 0)
        .push("name", &context.connection.address)
        .push("health", 1.0)
        .push("state", 1)
        .push("stateStr", "PRIMARY")
        .push("uptime", i32::try_from(uptime).unwrap_or(i32::MAX))
        .push("optime", op_time(times.committed, engine.term()))
        .push("optimeDate", Value::Date(times.committed_wall_ms))
        .push("lastAppliedWallTime", Value::Date(times.committed_wall_ms))
        .push("lastDurableWallTime", Value::Date(times.committed_wall_ms))
        .push("syncSourceHost", "")
        .push("syncSourceId", -1)
        .push("infoMessage", "")
        .push("electionTime", times.opened)
        .push("electionDate", Value::Date(times.opened_wall_ms))
        .push("configVersion", 1)
        .push("configTerm", i32::try_from(engine.term()).unwrap_or(i32::MAX))
        .push("self", true)
        .push("lastHeartbeatMessage", "");
    member
}

fn election(context: &Context<'_>) -> DocBuf {
    let engine = &context.server.engine;
    let times = engine.log_times();
    let mut document = DocBuf::new();
    document
        .push("lastElectionReason", "electionTimeout")
        .push("lastElectionDate", Value::Date(times.opened_wall_ms))
        .push("electionTerm", engine.term())
        .push("lastCommittedOpTimeAtElection", op_time(times.opened, engine.term()))
        .push("lastSeenOpTimeAtElection", op_time(times.opened, engine.term()))
        .push("numVotesNeeded", 1)
        .push("priorityAtElection", 1.0)
        .push("electionTimeoutMillis", 10_000i64)
        .push("newTermStartDate", Value::Date(times.opened_wall_ms))
        .push("wMajorityWriteAvailabilityDate", Value::Date(times.opened_wall_ms));
    document
}

fn op_time(time: ClusterTime, term: i64) -> DocBuf {
    let mut document = DocBuf::new();
    document.push("ts", time).push("t", term);
    document
}
