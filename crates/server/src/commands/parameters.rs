//! `getParameter`, `setParameter`, `getCmdLineOpts`: how the server is set up.
//!
//! Shape:  `{ getParameter: 1, <name>: 1, ... }`, `{ getParameter: "*" }`,
//!         `{ getParameter: { allParameters: true } }`
//! Errors: `InvalidOptions` 72 for unknown names; nothing can be set while the server runs.

use millstream_value::{ArrayBuf, Code, DocBuf};

use super::handshake::SESSION_TIMEOUT_MINUTES;
use super::{Command, Database, Handler};
use crate::Options;
use crate::arguments::GENERIC_FIELDS;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::reply::Reply;

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
    help: "not supported: settings are given at the start",
    database: Database::Admin,
    handler: Handler::Inline(set_parameter),
    ..Command::DEFAULT
};

/// A setting that clients ask for.
struct Parameter {
    name: &'static str,
    push: fn(&Options, &mut DocBuf, &'static str),
}

/// In alphabetical order.
static PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "authenticationMechanisms",
        push: |_, out, name| {
            out.push(name, ArrayBuf::new());
        },
    },
    Parameter {
        name: "cursorTimeoutMillis",
        push: |_, out, name| {
            out.push(name, 600_000i64);
        },
    },
    Parameter {
        name: "enableTestCommands",
        push: |options, out, name| {
            out.push(name, options.test_commands);
        },
    },
    Parameter {
        name: "featureCompatibilityVersion",
        push: |_, out, name| {
            let mut version = DocBuf::new();
            version.push("version", "8.0");
            out.push(name, version);
        },
    },
    Parameter {
        name: "localLogicalSessionTimeoutMinutes",
        push: |_, out, name| {
            out.push(name, SESSION_TIMEOUT_MINUTES);
        },
    },
    Parameter {
        name: "transactionLifetimeLimitSeconds",
        push: |_, out, name| {
            out.push(name, 60);
        },
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
            (parameter.push)(&context.server.options, &mut document, parameter.name);
        }
    }
    if document.as_doc().is_empty() {
        return Err(Failure::new(Code::InvalidOptions, "no option found to get"));
    }
    Ok(document.into())
}

fn set_parameter(context: &Context<'_>) -> Result<Reply> {
    let mut names = context.body().elements().skip(1).map(|element| element.key());
    let name = names.find(|name| GENERIC_FIELDS.binary_search(name).is_err());
    Err(match name {
        None => Failure::new(Code::InvalidOptions, "no option found to set, use help:true to see options "),
        Some(name) if PARAMETERS.iter().any(|parameter| parameter.name == name) => {
            Failure::new(Code::IllegalOperation, format!("not allowed to change [{name}] at runtime"))
        }
        Some(name) => Failure::new(
            Code::InvalidOptions,
            format!("attempted to set unrecognized parameter [{name}], use help:true to see options "),
        ),
    })
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
