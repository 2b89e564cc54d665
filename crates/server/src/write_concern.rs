//! `writeConcern`: on one node, everything that can be satisfied means durable (CS-13.11).

use millstream_value::{Code, DocBuf, Value};

use crate::context::Context;
use crate::failure::{Failure, Result};

/// Checks a write concern. Gives the `writeConcernError` that the reply to a write has to carry.
///
/// `{w: 1, j: false}` waits for the disk all the same: a group is flushed before anything of it is acknowledged.
pub(crate) fn check(context: &Context<'_>) -> Result<Option<DocBuf>> {
    let Some(concern) = context.arguments().document("writeConcern")? else { return Ok(None) };
    let impossible = |code: Code, message: &str| {
        let mut error = DocBuf::new();
        error.push("code", code.number()).push("codeName", code.name()).push("errmsg", message);
        Some(error)
    };
    Ok(match concern.get("w") {
        None => None,
        Some(Value::String(mode)) if mode == "majority" => None,
        Some(Value::String(mode)) => impossible(
            Code::UnknownReplWriteConcern,
            &format!("No write concern mode named '{mode}' found in replica set configuration"),
        ),
        Some(w) => match w.as_integer() {
            Some(0 | 1) => None,
            Some(2..=50) => impossible(Code::UnsatisfiableWriteConcern, "Not enough data-bearing nodes"),
            _ => return Err(Failure::new(Code::FailedToParse, "w has to be a number between 0 and 50, or a string")),
        },
    })
}
