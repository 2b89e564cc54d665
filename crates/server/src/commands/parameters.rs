//! `getParameter`, `setParameter`, `getCmdLineOpts`: how the server is set up.
//!
//! Shape:  `{ getParameter: 1, <name>: 1, ... }`, `{ getParameter: "*" }`,
//!         `{ getParameter: { allParameters: true } }`
//!         `{ setParameter: 1, <name>: <value> }`
//! Result: of `setParameter`, `{ was: <the value before> }`
//! Errors: `InvalidOptions` 72 for unknown names, `IllegalOperation` 20 for what is given at the start,
//!         `BadValue` 2

use millstream_value::number::truncated_i64;
use millstream_value::{ArrayBuf, Code, DocBuf, Element};

use super::handshake::SESSION_TIMEOUT_MINUTES;
use super::{Command, Database, Handler};
use crate::arguments::GENERIC_FIELDS;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::reply::Reply;
use crate::server::Server;

pub(super) const GET_CMD_LINE_OPTS: Command = Command {
    name: "getCmdLineOpts",
    help: "shows how the server was started",
    database: Database::Admin,
    handler: Handler::Inline(get_cmd_line_opts),
    ..Command::DEFAULT
};

pub(super) const GET_PARAMETER: Command = Command {
    name: "getParameter",
    help: "shows settings",
    database: Database::Admin,
    handler: Handler::Inline(get_parameter),
    ..Command::DEFAULT
};

pub(super) const SET_PARAMETER: Command = Command {
    name: "setParameter",
    help: "changes a setting that can be changed while the server runs",
    database: Database::Admin,
    handler: Handler::Inline(set_parameter),
    ..Command::DEFAULT
};

/// A setting that clients ask for.
struct Parameter {
    name: &'static str,
    push: fn(&Server, &mut DocBuf, &'static str),
    /// For those that can be changed while the server runs.
    set: Option<fn(&Server, Element<'_>) -> Result<()>>,
}

/// In alphabetical order.
static PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "authenticationMechanisms",
        push: |_, out, name| {
            out.push(name, ArrayBuf::new());
        },
        set: None,
    },
    Parameter {
        name: "cursorTimeoutMillis",
        push: |_, out, name| {
            out.push(name, 600_000i64);
        },
        set: None,
    },
    Parameter {
        name: "enableTestCommands",
        push: |server, out, name| {
            out.push(name, server.options.test_commands);
        },
        set: None,
    },
    Parameter {
        name: "featureCompatibilityVersion",
        push: |_, out, name| {
            let mut version = DocBuf::new();
            version.push("version", "8.0");
            out.push(name, version);
        },
        set: None,
    },
    Parameter {
        name: "localLogicalSessionTimeoutMinutes",
        push: |_, out, name| {
            out.push(name, SESSION_TIMEOUT_MINUTES);
        },
        set: None,
    },
    Parameter {
        name: "maxNumberOfTransactionOperationsInSingleOplogEntry",
        push: |server, out, name| {
            out.push(name, i32::try_from(server.engine.db().entry_operations_max()).unwrap_or(i32::MAX));
        },
        set: Some(|server, value| {
            let count = value.value().as_integer().or_else(|| value.value().as_f64().and_then(truncated_i64));
            let count = count.and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
            let Some(count) = count else {
                let message = "Invalid value for parameter maxNumberOfTransactionOperationsInSingleOplogEntry: it must be \
                               at least 1";
                return Err(Failure::new(Code::BadValue, message));
            };
            server.engine.db().set_entry_operations_max(count);
            Ok(())
        }),
    },
    Parameter {
        name: "transactionLifetimeLimitSeconds",
        push: |server, out, name| {
            let seconds = server.engine.db().transaction_life_ms() / 1000;
            out.push(name, i32::try_from(seconds).unwrap_or(i32::MAX));
        },
        set: Some(|server, value| {
            let seconds = value.value().as_integer().or_else(|| value.value().as_f64().and_then(truncated_i64));
            let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
            let Some(seconds) = seconds else {
                let message =
                    "Invalid value for parameter transactionLifetimeLimitSeconds: it must be at least 1 second";
                return Err(Failure::new(Code::BadValue, message));
            };
            server.engine.db().set_transaction_life_ms(u64::from(seconds) * 1000);
            Ok(())
        }),
    },
];

fn get_parameter(context: &Context<'_>) -> Result<Reply> {
    let asked = context.body();
    let first = asked.element(context.name);
    let all = first.is_some_and(|first| match first.as_doc() {
        Some(options) => options.get("allParameters").is_some_and(|all| all.is_truthy()),
        None => first.as_str() == Some("*"),
    });
    let mut document = DocBuf::new();
    for parameter in PARAMETERS {
        if all || asked.has(parameter.name) {
            (parameter.push)(context.server, &mut document, parameter.name);
        }
    }
    if document.as_doc().is_empty() {
        return Err(Failure::new(Code::InvalidOptions, "no option found to get"));
    }
    Ok(document.into())
}

fn set_parameter(context: &Context<'_>) -> Result<Reply> {
    let mut given = context.body().elements().skip(1);
    let Some(given) = given.find(|element| GENERIC_FIELDS.binary_search(&element.key()).is_err()) else {
        return Err(Failure::new(Code::InvalidOptions, "no option found to set, use help:true to see options "));
    };
    let name = given.key();
    let parameter = PARAMETERS.iter().find(|parameter| parameter.name == name).ok_or_else(|| {
        let message = format!("attempted to set unrecognized parameter [{name}], use help:true to see options ");
        Failure::new(Code::InvalidOptions, message)
    })?;
    let set = parameter
        .set
        .ok_or_else(|| Failure::new(Code::IllegalOperation, format!("not allowed to change [{name}] at runtime")))?;
    let mut document = DocBuf::new();
    (parameter.push)(context.server, &mut document, "was");
    set(context.server, given)?;
    Ok(document.into())
}

fn get_cmd_line_opts(context: &Context<'_>) -> Result<Reply> {
    let options = &context.server.options;
    let mut net = DocBuf::new();
    net.push("bindIp", options.address.ip().to_string()).push("port", i32::from(options.address.port()));
    let mut replication = DocBuf::new();
    replication.push("replSet", &options.set_name);
    let mut storage = DocBuf::new();
    if let Some(folder) = context.server.engine.folder() {
        storage.push("dbPath", &*folder.to_string_lossy());
    }
    let mut parsed = DocBuf::new();
    parsed.push("net", net).push("replication", replication).push("storage", storage);
    let mut document = DocBuf::new();
    document.push("argv", options.command_line.iter().collect::<ArrayBuf>()).push("parsed", parsed);
    Ok(document.into())
}
