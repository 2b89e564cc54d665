//! `$push`, `$addToSet`, `$mergeObjects` and `$count`.
//!
//! Absent: `$push` and `$addToSet` skip missing values and keep null; `$mergeObjects` skips both.
//! Result: an array in order of arrival (`$addToSet`: of first arrival); a document in which later fields win;
//!         `int`, or `long` where it does not fit.

use std::collections::HashSet;

use millstream_value::{ArrayBuf, Doc, Value, key};

use super::{Fold, Row, parse, within_limit};
use crate::expression::object::Merged;
use crate::{Collation, Error, Result, collation};

pub(super) static ADD_TO_SET: Row = Row {
    name: "$addToSet",
    parse: parse::unary,
    start: |name, _, collation| Box::new(Collected::new(name, Some(HashSet::new()), collation.cloned())),
};
pub(super) static COUNT: Row = Row { name: "$count", parse: parse::nothing, start: |_, _, _| Box::new(Counted(0)) };
pub(super) static MERGE_OBJECTS: Row = Row {
    name: "$mergeObjects",
    parse: parse::unary,
    start: |name, _, _| Box::new(Objects { name, merged: Merged::default() }),
};
pub(super) static PUSH: Row =
    Row { name: "$push", parse: parse::unary, start: |name, _, _| Box::new(Collected::new(name, None, None)) };

struct Collected {
    name: &'static str,
    values: ArrayBuf,
    seen: Option<HashSet<Vec<u8>>>,
    collation: Option<Collation>,
    bytes: usize,
}

impl Collected {
    fn new(name: &'static str, seen: Option<HashSet<Vec<u8>>>, collation: Option<Collation>) -> Self {
        Self { name, values: ArrayBuf::new(), seen, collation, bytes: 0 }
    }
}

impl Fold for Collected {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        if let Some(seen) = &mut self.seen {
            let key = key::of_by(&value, collation::order(self.collation.as_ref()));
            self.bytes += key.len() + 64;
            if !seen.insert(key) {
                return Ok(());
            }
        }
        self.values.push(value);
        within_limit(self.name, self.bytes())
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        Ok(self.values.into())
    }

    fn bytes(&self) -> usize {
        self.bytes + self.values.size() + 64
    }
}

struct Counted(i64);

impl Fold for Counted {
    fn add(&mut self, _: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        Ok(i32::try_from(self.0).map_or(Value::Int64(self.0), Value::Int32))
    }
}

struct Objects {
    name: &'static str,
    merged: Merged,
}

impl Fold for Objects {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        let Some(value) = value.filter(|value| !value.is_nullish()) else { return Ok(()) };
        let doc: Doc<'_> = value.as_doc().ok_or_else(|| {
            Error::location(
                40400,
                format!(
                    "{} requires object inputs, but input {} is of type {}",
                    self.name,
                    millstream_value::shell::value(&value),
                    value.type_name()
                ),
            )
        })?;
        self.merged.add(doc);
        within_limit(self.name, self.bytes())
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        Ok(self.merged.finish().into())
    }

    fn bytes(&self) -> usize {
        self.merged.bytes() + 64
    }
}
