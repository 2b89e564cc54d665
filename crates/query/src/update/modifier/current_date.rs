//! `$currentDate`: writes the time of the update.
//!
//! Shape:  `{ $currentDate: { <path>: true | false | { $type: "date" | "timestamp" }, ... } }`
//! Absent: the field is created.
//! Result: a date unless a timestamp is asked for.
//! Errors: `BadValue` for any other operand.
//! Source: MongoDB manual 8.0, "$currentDate".

use millstream_value::{ClusterTime, Doc, Element, Value};

use super::{Change, Modifier};
use crate::expression::Scope;
use crate::{Error, Result};

pub(super) const CURRENT_DATE: Modifier = Modifier { name: "$currentDate", parse };

fn parse(operand: Element<'_>, scope: &Scope) -> Result<Change> {
    let now = match operand.value() {
        Value::Bool(_) => Value::Date(scope.now_ms),
        Value::Document(spec) => now_of_type(Doc::new(&spec), scope)?,
        other => {
            return Err(Error::bad_value(format!(
                "{} is not valid type for $currentDate. Please use a boolean ('true') or a $type expression ({{$type: \
                 'timestamp/date'}}).",
                other.type_name()
            )));
        }
    };
    Ok(Box::new(move |target| target.set(&now)))
}

fn now_of_type(spec: Doc<'_>, scope: &Scope) -> Result<Value<'static>> {
    if let Some(other) = spec.elements().find(|e| e.key() != "$type") {
        return Err(Error::bad_value(format!("Unrecognized $currentDate option: {}", other.key())));
    }
    match spec.str("$type") {
        Some("date") => Ok(Value::Date(scope.now_ms)),
        Some("timestamp") => Ok(Value::Timestamp(scope.cluster_time.unwrap_or_else(|| {
            let seconds = u32::try_from(scope.now_ms.div_euclid(1000)).unwrap_or_default();
            ClusterTime::new(seconds, 1)
        }))),
        _ => Err(Error::bad_value(
            "The '$type' string field is required to be 'date' or 'timestamp': {$currentDate: {field : {$type: \
             'date'}}}",
        )),
    }
}
