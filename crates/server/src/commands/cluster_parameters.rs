//! `getClusterParameter`, `setClusterParameter`: settings that clients change and that are kept with the data.
//!
//! Shape:  `{ setClusterParameter: { changeStreamOptions: { preAndPostImages: { expireAfterSeconds: "off" | <n> } } } }`
//!         `{ getClusterParameter: <name> | [<name>, ..] | "*" }`
//! Errors: `BadValue` 2 for a time that is none, `NoSuchKey` and `IllegalOperation` for unknown names (CS-9.5)

use millstream_db::ChangeStreamOptions;
use millstream_value::{ArrayBuf, Code, Doc, DocBuf, Element, Value, kind};

use super::{Command, Database, Handler};
use crate::arguments::{Arguments, wrong_type};
use crate::context::Context;
use crate::errors;
use crate::failure::{Failure, Result};
use crate::reply::Reply;

pub(super) const GET_CLUSTER_PARAMETER: Command = Command {
    name: "getClusterParameter",
    help: "shows settings that are kept with the data",
    database: Database::Admin,
    handler: Handler::Blocking(get),
    ..Command::DEFAULT
};

pub(super) const SET_CLUSTER_PARAMETER: Command = Command {
    name: "setClusterParameter",
    help: "changes a setting that is kept with the data",
    database: Database::Admin,
    handler: Handler::Blocking(set),
    ..Command::DEFAULT
};

/// The one parameter that there is.
const CHANGE_STREAM_OPTIONS: &str = "changeStreamOptions";

fn get(context: &Context<'_>) -> Result<Reply> {
    let asked = context.body().elements().next();
    let names: Vec<&str> = match asked.map(|asked| (asked.as_str(), asked.as_array())) {
        Some((Some("*"), _)) => vec![CHANGE_STREAM_OPTIONS],
        Some((Some(name), _)) => vec![name],
        Some((_, Some(list))) => {
            let name = |element: Element<'_>| wrong_type(&path(element.key()), element.kind(), "string");
            list.elements().map(|element| element.as_str().ok_or_else(|| name(element))).collect::<Result<_>>()?
        }
        _ => return Err(wrong_type(&path("getClusterParameter"), asked.map_or(0, Element::kind), "[string, array]")),
    };
    if names.is_empty() {
        return Err(Failure::new(Code::BadValue, "Must supply at least one cluster server parameter name"));
    }
    if let Some(unknown) = names.iter().find(|name| **name != CHANGE_STREAM_OPTIONS) {
        return Err(Failure::new(Code::NoSuchKey, format!("Unknown server parameter: {unknown}")));
    }
    let current = context.server.engine.db().change_stream_options();
    let mut document = DocBuf::new();
    document.push("clusterParameters", names.iter().map(|_| shown(current)).collect::<ArrayBuf>());
    Ok(document.into())
}

fn path(field: &str) -> String {
    format!("getClusterParameter.{field}")
}

fn shown(options: ChangeStreamOptions) -> DocBuf {
    let mut document = DocBuf::new();
    document.push("_id", CHANGE_STREAM_OPTIONS);
    if let Some(time) = options.set_at {
        document.push("clusterParameterTime", time);
    }
    document.nest("preAndPostImages", |images| {
        match options.expire_after_seconds {
            Some(seconds) => images.push("expireAfterSeconds", i64::try_from(seconds).unwrap_or(i64::MAX)),
            None => images.push("expireAfterSeconds", "off"),
        };
    });
    document
}

fn set(context: &Context<'_>) -> Result<Reply> {
    let arguments = context.arguments();
    let parameters = arguments.required(context.name, arguments.document(context.name)?)?;
    let mut given = parameters.elements();
    let parameter = match (given.next(), given.next()) {
        (Some(parameter), None) => parameter,
        (None, _) => return Err(bad("Cannot call setClusterParameter with no parameter")),
        (Some(_), Some(_)) => {
            let message = "setClusterParameter only supports setting exactly one parameter";
            return Err(Failure::new(Code::InvalidOptions, message));
        }
    };
    if parameter.key() != CHANGE_STREAM_OPTIONS {
        let message = format!("Unknown Cluster Parameter {}", parameter.key());
        return Err(Failure::new(Code::IllegalOperation, message));
    }
    let expire_after_seconds = expiry(parameters)?;
    context.server.engine.db().set_image_expiry(expire_after_seconds).map_err(errors::failure)?;
    tracing::info!(expire_after_seconds, "the life of pre-images was set");
    Ok(Reply::empty())
}

/// The seconds in `{changeStreamOptions: {preAndPostImages: {expireAfterSeconds: ..}}}`; none for "off" (CS-9.5.2).
fn expiry(parameters: Doc<'_>) -> Result<Option<u64>> {
    let outer = nested("setClusterParameter", parameters, CHANGE_STREAM_OPTIONS)?;
    let options = Arguments::new(CHANGE_STREAM_OPTIONS, outer);
    options.only(&["preAndPostImages"])?;
    if options.element("preAndPostImages").is_none() {
        return Err(bad("Expected at least one field in 'changeStreamOptions': 'preAndPostImages' is missing"));
    }
    let images = nested(CHANGE_STREAM_OPTIONS, outer, "preAndPostImages")?;
    Arguments::new("changeStreamOptions.preAndPostImages", images).only(&["expireAfterSeconds"])?;
    let Some(element) = images.element("expireAfterSeconds") else {
        return Err(bad("Expected 'preAndPostImages' to have the field 'expireAfterSeconds'"));
    };
    let message = "Expected a positive integer or 'off' for 'expireAfterSeconds'";
    match (element.kind(), element.value()) {
        (_, Value::String(text)) if text == "off" => Ok(None),
        (kind::STRING | kind::DOCUMENT, _) => Err(bad(message)),
        (kind::INT32 | kind::INT64 | kind::DOUBLE | kind::DECIMAL, value) => {
            let whole = value.as_integer().or_else(|| millstream_value::number::truncated_i64(value.as_f64()?));
            let seconds = whole.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
            seconds.map(Some).ok_or_else(|| bad(message))
        }
        (found, _) => {
            let path = "changeStreamOptions.preAndPostImages.expireAfterSeconds";
            Err(wrong_type(path, found, "[string, int, decimal, double, long]"))
        }
    }
}

fn nested<'a>(path: &'a str, document: Doc<'a>, field: &str) -> Result<Doc<'a>> {
    let arguments = Arguments::new(path, document);
    arguments.required(field, arguments.document(field)?)
}

fn bad(message: &'static str) -> Failure {
    Failure::new(Code::BadValue, message)
}
