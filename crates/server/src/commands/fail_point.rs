//! `configureFailPoint`: makes commands fail, for tests.
//!
//! Shape:  `{ configureFailPoint: "failCommand", mode: "alwaysOn" | "off" | {times: n} | {skip: n},
//!            data: { failCommands: [..], [errorCode], [errorLabels], [closeConnection],
//!                    [blockConnection, blockTimeMS], [appName] } }`
//! Errors: `CommandNotFound` 59 unless the server was started for tests; `BadValue` 2, `FailedToParse` 9
//! Source: CS-13.27.

use std::time::Duration;

use millstream_value::{Code, Doc, DocBuf};

use super::{Command, Database, Handler};
use crate::arguments::Arguments;
use crate::context::Context;
use crate::fail_point::{FailCommand, Mode};
use crate::failure::{Failure, Result};
use crate::reply::Reply;

pub(super) const CONFIGURE_FAIL_POINT: Command = Command {
    name: "configureFailPoint",
    help: "makes commands fail, on a server that was started with `--test-commands`",
    database: Database::Admin,
    handler: Handler::Inline(configure),
    ..Command::DEFAULT
};

fn configure(context: &Context<'_>) -> Result<Reply> {
    if !context.server.options.test_commands {
        return Err(Failure::new(Code::CommandNotFound, "no such command: 'configureFailPoint'"));
    }
    let arguments = context.arguments();
    match arguments.str("configureFailPoint")? {
        Some("failCommand") => {}
        Some("skipTransactionConflictChecks") => {
            let db = context.server.engine.db();
            db.set_conflict_checks(mode(&arguments)? == Mode::Off);
            return Ok(Reply::empty());
        }
        other => {
            let message = format!("fail point not found: {}", other.unwrap_or_default());
            return Err(Failure::new(Code::Location(4_070_000), message));
        }
    }
    let mode = mode(&arguments)?;
    let data = Arguments::new("data", arguments.document("data")?.unwrap_or(Doc::empty()));
    let count = context.server.fail_point.set(mode, fail_command(&data)?);
    let mut document = DocBuf::new();
    document.push("count", count);
    Ok(document.into())
}

fn mode(arguments: &Arguments<'_>) -> Result<Mode> {
    let mode = arguments.required("mode", arguments.element("mode"))?;
    let counted = mode.as_doc().map(|mode| Arguments::new("mode", mode));
    let number = |name| counted.map_or(Ok(None), |mode| mode.i64(name));
    let count = |number: i64| {
        u64::try_from(number).map_err(|_| Failure::new(Code::BadValue, "the fail point's count must not be negative"))
    };
    match (mode.as_str(), number("times")?, number("skip")?) {
        (Some("alwaysOn"), ..) => Ok(Mode::AlwaysOn),
        (Some("off"), ..) => Ok(Mode::Off),
        (_, Some(0), _) => Ok(Mode::Off),
        (_, Some(times), _) => Ok(Mode::Times(count(times)?)),
        (_, None, Some(skip)) => Ok(Mode::Skip(count(skip)?)),
        (_, None, None) => Err(Failure::new(Code::BadValue, "unknown fail point mode")),
    }
}

fn fail_command(data: &Arguments<'_>) -> Result<FailCommand> {
    data.only(&[
        "appName",
        "blockConnection",
        "blockTimeMS",
        "closeConnection",
        "errorCode",
        "errorLabels",
        "failCommands",
    ])?;
    let texts = |name| -> Result<Option<Vec<String>>> {
        let texts = data.array(name)?.map(Doc::values);
        Ok(texts.map(|values| values.filter_map(|value| value.as_str().map(str::to_owned)).collect()))
    };
    let block = if data.flag("blockConnection")?.unwrap_or(false) { data.i64("blockTimeMS")? } else { None };
    let code = data.i64("errorCode")?.and_then(|code| i32::try_from(code).ok());
    Ok(FailCommand {
        commands: texts("failCommands")?.unwrap_or_default(),
        app_name: data.str("appName")?.map(str::to_owned),
        code: code.map(Code::from_number),
        labels: texts("errorLabels")?,
        close: data.flag("closeConnection")?.unwrap_or(false),
        block: Duration::from_millis(block.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)),
    })
}
