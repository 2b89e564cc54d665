//! Small commands about the server, the machine and the connection.
//!
//! Source: CS-13.25.

use millstream_value::{ArrayBuf, Code, DocBuf, Value, kind, type_name};

use super::{Command, Database, Fields, Handler};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::reply::Reply;
use crate::server::{Server, now_ms};

pub(super) const BUILD_INFO: Command = Command {
    name: "buildInfo",
    aliases: &["buildinfo"],
    help: "names the version",
    unauthenticated: true,
    handler: Handler::Inline(build_info),
    ..Command::DEFAULT
};

pub(super) const CONNECTION_STATUS: Command = Command {
    name: "connectionStatus",
    help: "names the users of this connection",
    fields: Fields::Only(&["showPrivileges"]),
    unauthenticated: true,
    handler: Handler::Inline(connection_status),
    ..Command::DEFAULT
};

pub(super) const FEATURES: Command = Command {
    name: "features",
    help: "names optional features",
    handler: Handler::Inline(features),
    ..Command::DEFAULT
};

pub(super) const GET_LOG: Command = Command {
    name: "getLog",
    help: "shows the warnings of the start",
    database: Database::Admin,
    handler: Handler::Inline(get_log),
    ..Command::DEFAULT
};

pub(super) const HOST_INFO: Command = Command {
    name: "hostInfo",
    help: "describes the machine",
    handler: Handler::Blocking(host_info),
    ..Command::DEFAULT
};

pub(super) const LOGOUT: Command =
    Command { name: "logout", help: "forgets the users of this connection", unauthenticated: true, ..Command::DEFAULT };

pub(super) const PING: Command = Command { name: "ping", help: "answers", unauthenticated: true, ..Command::DEFAULT };

pub(super) const TOP: Command = Command {
    name: "top",
    help: "shows how much time collections took; it is not measured",
    database: Database::Admin,
    handler: Handler::Inline(top),
    ..Command::DEFAULT
};

pub(super) const WHATS_MY_URI: Command = Command {
    name: "whatsmyuri",
    help: "names the client's address",
    unauthenticated: true,
    handler: Handler::Inline(whats_my_uri),
    ..Command::DEFAULT
};

/// The MongoDB version that we behave like; drivers and tools decide by it.
pub(super) const COMPATIBLE_VERSION: &str = "8.0.10";

fn build_info(_: &Context<'_>) -> Result<Reply> {
    let mut openssl = DocBuf::new();
    openssl.push("running", "none").push("compiled", "none");
    let mut environment = DocBuf::new();
    environment.push("target_arch", std::env::consts::ARCH).push("target_os", std::env::consts::OS);
    let engines: ArrayBuf = ["millstream"].into_iter().collect();
    let mut document = DocBuf::new();
    document
        .push("version", COMPATIBLE_VERSION)
        .push("millstreamVersion", env!("CARGO_PKG_VERSION"))
        .push("gitVersion", "none")
        .push("modules", ArrayBuf::new())
        .push("allocator", "system")
        .push("javascriptEngine", "none")
        .push("sysInfo", "deprecated")
        .push("versionArray", [8, 0, 10, 0].into_iter().collect::<ArrayBuf>())
        .push("openssl", openssl)
        .push("buildEnvironment", environment)
        .push("bits", 64)
        .push("debug", cfg!(debug_assertions))
        .push("maxBsonObjectSize", 16 * 1024 * 1024)
        .push("storageEngines", engines);
    Ok(document.into())
}

fn connection_status(context: &Context<'_>) -> Result<Reply> {
    let mut auth = DocBuf::new();
    auth.push("authenticatedUsers", ArrayBuf::new()).push("authenticatedUserRoles", ArrayBuf::new());
    if context.arguments().bool("showPrivileges")? == Some(true) {
        auth.push("authenticatedUserPrivileges", ArrayBuf::new());
    }
    let mut document = DocBuf::new();
    document.push("authInfo", auth);
    Ok(document.into())
}

fn features(_: &Context<'_>) -> Result<Reply> {
    let mut document = DocBuf::new();
    document.push("js", DocBuf::new());
    Ok(document.into())
}

/// Warnings are lines of JSON, as MongoDB's log has them: `mongosh` parses each.
fn get_log(context: &Context<'_>) -> Result<Reply> {
    let asked = context.body().elements().next();
    let Some(asked_name) = asked.and_then(|element| element.as_str()) else {
        let found = type_name(asked.map_or(kind::NULL, |element| element.kind()));
        let message = format!("Argument to getLog must be of type String; found {found}");
        return Err(Failure::new(Code::TypeMismatch, message));
    };
    let mut document = DocBuf::new();
    match asked_name {
        "*" => {
            document.push("names", ["global", "startupWarnings"].into_iter().collect::<ArrayBuf>());
        }
        "global" | "startupWarnings" => {
            let warnings = match asked_name {
                "startupWarnings" => &context.server.options.startup_warnings[..],
                _ => &[],
            };
            let lines: ArrayBuf = warnings.iter().map(|warning| log_line(context.server, warning)).collect();
            document.push("totalLinesWritten", i32::try_from(lines.len()).unwrap_or(i32::MAX)).push("log", lines);
        }
        other => {
            let message = format!("No log named '{other}'");
            return Err(Failure::new(Code::OperationFailed, message));
        }
    }
    Ok(document.into())
}

fn log_line(server: &Server, warning: &str) -> String {
    let text: String = warning
        .chars()
        .map(|c| match c {
            '"' => '\'',
            '\\' => '/',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    let time = bson::DateTime::from_millis(server.started_ms).try_to_rfc3339_string().unwrap_or_default();
    format!(r#"{{"t":{{"$date":"{time}"}},"s":"W","c":"CONTROL","id":0,"ctx":"main","msg":"{text}"}}"#)
}

fn host_info(_: &Context<'_>) -> Result<Reply> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory_mb = kilobytes(&read("/proc/meminfo"), "MemTotal:") / 1024;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let release = read("/etc/os-release");
    let release_field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let mut system = DocBuf::new();
    system
        .push("currentTime", Value::Date(now_ms()))
        .push("hostname", host_name())
        .push("cpuAddrSize", 64)
        .push("memSizeMB", memory_mb)
        .push("memLimitMB", memory_mb)
        .push("numCores", i32::try_from(cores).unwrap_or(i32::MAX))
        .push("cpuArch", std::env::consts::ARCH)
        .push("numaEnabled", false);
    let mut os = DocBuf::new();
    os.push("type", if cfg!(target_os = "linux") { "Linux" } else { std::env::consts::OS })
        .push("name", release_field("NAME"))
        .push("version", release_field("VERSION_ID"));
    let mut extra = DocBuf::new();
    extra.push("kernelVersion", read("/proc/sys/kernel/osrelease").trim());
    let mut document = DocBuf::new();
    document.push("system", system).push("os", os).push("extra", extra);
    Ok(document.into())
}

/// The machine's name, as the system has it.
pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The number behind `name` in a file like `/proc/meminfo`, in kilobytes.
pub(super) fn kilobytes(text: &str, name: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn top(_: &Context<'_>) -> Result<Reply> {
    let mut totals = DocBuf::new();
    totals.push("note", "all times in microseconds");
    let mut document = DocBuf::new();
    document.push("totals", totals);
    Ok(document.into())
}

fn whats_my_uri(context: &Context<'_>) -> Result<Reply> {
    let mut document = DocBuf::new();
    document.push("you", context.connection.peer.to_string());
    Ok(document.into())
}
