//! `readConcern`: which state a read sees.
//!
//! Shape:  `{ [level], [afterClusterTime], [atClusterTime] }`
//! Result: every level reads the latest durable state, which is the latest that anybody has seen; `snapshot` may ask
//!         for an older one
//! Errors: `FailedToParse` 9 for unknown levels, `InvalidOptions` 72 for combinations, `SnapshotTooOld` 239
//! Source: CS-8.5.2; MongoDB manual 8.0, "Read Concern".

use millstream_db::Reader;
use millstream_value::{ClusterTime, Code, Value, type_name};

use crate::arguments::wrong_type;
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};

/// How far ahead of the clock a time may be that a client says it has seen: clocks of one machine do not differ more.
const CLOCK_AHEAD_SECONDS_MAX: u64 = 1;

/// What a command may read, and whether its reply tells the time of it.
pub(crate) struct Reading {
    pub(crate) reader: Reader,
    /// `atClusterTime` of the reply: the command asked for a snapshot.
    pub(crate) at: Option<ClusterTime>,
}

/// The state that a command reads: that of its transaction, or the one its read concern asks for.
pub(crate) fn reading(context: &Context<'_>) -> Result<Reading> {
    if let Some(turn) = context.turn {
        let reader = turn.lock().reader().map_err(errors::failure)?;
        return Ok(Reading { reader, at: None });
    }
    let Concern { level, at } = Concern::of(context)?;
    let db = context.server.engine.db();
    if level != Some(Level::Snapshot) {
        return Ok(Reading { reader: db.now(), at: None });
    }
    if !context.command.snapshots {
        let message = format!("readConcern level snapshot is not supported for the command '{}'", context.command.name);
        return Err(Failure::new(Code::InvalidOptions, message));
    }
    let reader = at.map_or_else(|| Ok(db.at_present()), |at| past(context, at))?;
    let at = at.unwrap_or_else(|| reader.time());
    Ok(Reading { reader, at: Some(at) })
}

/// The state that a transaction begins with, and whether its client has asked for exactly that one.
pub(crate) fn beginning(context: &Context<'_>) -> Result<(Reader, bool)> {
    let Concern { level, at } = Concern::of(context)?;
    if matches!(level, Some(Level::Available | Level::Linearizable)) {
        let message = "The readConcern level must be either 'local' (default), 'majority' or 'snapshot' in order to run in a transaction";
        return Err(Failure::new(Code::InvalidOptions, message));
    }
    let db = context.server.engine.db();
    match at {
        None => Ok((db.now(), false)),
        Some(at) => Ok((past(context, at)?, true)),
    }
}

/// The database as it was; may read from disk.
fn past(context: &Context<'_>, at: ClusterTime) -> Result<Reader> {
    crate::dispatch::blocking(|| context.server.engine.db().at(at)).map_err(errors::failure)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Local,
    Available,
    Majority,
    Linearizable,
    Snapshot,
}

#[derive(Default)]
struct Concern {
    level: Option<Level>,
    at: Option<ClusterTime>,
}

impl Concern {
    /// Reads the command's read concern, and waits until what its client has seen is there.
    fn of(context: &Context<'_>) -> Result<Self> {
        let Some(concern) = context.arguments().document("readConcern")? else { return Ok(Self::default()) };
        let level = match concern.get("level") {
            None | Some(Value::Null | Value::Undefined) => None,
            Some(Value::String(level)) => Some(match &*level {
                "local" => Level::Local,
                "available" => Level::Available,
                "majority" => Level::Majority,
                "linearizable" => Level::Linearizable,
                "snapshot" => Level::Snapshot,
                _ => return Err(unknown_level()),
            }),
            Some(_) => return Err(unknown_level()),
        };
        let time = |name: &str| match concern.get(name) {
            None | Some(Value::Null | Value::Undefined) => Ok(None),
            Some(Value::Timestamp(time)) if time > ClusterTime::ZERO => Ok(Some(time)),
            Some(Value::Timestamp(_)) => {
                let message = format!("readConcern {name} cannot be a null timestamp");
                Err(Failure::new(Code::InvalidOptions, message))
            }
            Some(other) => Err(wrong_type(&format!("readConcern.{name}"), other.kind(), type_name(17))),
        };
        let (after, at) = (time("afterClusterTime")?, time("atClusterTime")?);
        if after.is_some() && at.is_some() {
            let message = "Specifying a timestamp for readConcern snapshot in a causally consistent session is not allowed: \
                           afterClusterTime and atClusterTime cannot both be given";
            return Err(Failure::new(Code::InvalidOptions, message));
        }
        if after.is_some() && matches!(level, Some(Level::Available | Level::Linearizable)) {
            let message = "afterClusterTime field can be set only if level is equal to majority, local, or snapshot";
            return Err(Failure::new(Code::InvalidOptions, message));
        }
        if at.is_some() && level != Some(Level::Snapshot) {
            let message = "atClusterTime field can be set only if readConcern level is snapshot";
            return Err(Failure::new(Code::InvalidOptions, message));
        }
        for (name, time) in [("afterClusterTime", after), ("atClusterTime", at)] {
            if let Some(time) = time {
                wait_for(context, name, time)?;
            }
        }
        Ok(Self { level, at })
    }
}

/// Fails on a read concern that is no such thing, for commands that read nothing of the data by it.
pub(crate) fn check(context: &Context<'_>) -> Result<()> {
    Concern::of(context).map(drop)
}

fn unknown_level() -> Failure {
    Failure::new(
        Code::FailedToParse,
        "readConcern.level must be either 'local', 'majority', 'linearizable', 'available', or 'snapshot'",
    )
}

/// Causally consistent sessions read what they have seen before: waits until that is there (CS-8.5.2).
fn wait_for(context: &Context<'_>, name: &str, time: ClusterTime) -> Result<()> {
    let db = context.server.engine.db();
    if time <= db.committed() {
        return Ok(());
    }
    if u64::from(time.seconds) > db.now_ms() / 1000 + CLOCK_AHEAD_SECONDS_MAX {
        let message = format!(
            "readConcern {name} value must not be greater than the current clusterTime. Requested clusterTime: {time}; \
             current clusterTime: {}",
            db.committed()
        );
        return Err(Failure::new(Code::InvalidOptions, message));
    }
    crate::dispatch::blocking(|| db.advance_to(time)).map_err(errors::failure)
}
