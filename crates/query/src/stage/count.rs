//! `$count`: one document that holds how many there were.
//!
//! Shape:  `{ $count: <field name> }`
//! Absent: no documents give no document.
//! Result: an int, or a long if it has to be.
//! Errors: 40156 to 40160 and 9039800 for a name that cannot be one.
//! Source: MongoDB manual 8.0, "$count (aggregation)".

use std::sync::Arc;

use millstream_value::{DocBuf, Element, Value};

use super::{Documents, Parsing, Row, Stream};
use crate::{Error, Result};

pub(super) const COUNT: Row = Row::new("$count", parse);

struct Count(String);

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(name) = spec.as_str() else {
        return Err(Error::location(40156, "the count field must be a non-empty string"));
    };
    let (code, problem) = match name {
        "" => (40157, "the count field must be a non-empty string"),
        name if name.starts_with('$') => (40158, "the count field cannot be a $-prefixed path"),
        name if name.contains('\0') => (40159, "the count field cannot contain a null byte"),
        name if name.contains('.') => (40160, "the count field cannot contain '.'"),
        "_id" => (9_039_800, "the count field cannot be '_id'"),
        name => {
            parsing.stream(Count(name.to_owned()));
            return Ok(());
        }
    };
    Err(Error::location(code, problem))
}

impl Stream for Count {
    fn run<'a>(self: Arc<Self>, mut input: Documents<'a>) -> Documents<'a> {
        super::group::lazily(move || {
            let count = input.try_fold(0_i64, |count, doc| doc.map(|_| count + 1))?;
            if count == 0 {
                return Ok(Vec::new());
            }
            let mut out = DocBuf::new();
            out.push(&self.0, i32::try_from(count).map_or(Value::Int64(count), Value::Int32));
            Ok(vec![out])
        })
    }
}
