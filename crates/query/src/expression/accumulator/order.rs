//! `$first`, `$last`, `$firstN`, `$lastN`: by arrival.
//!
//! Absent: a missing value counts, as null.
//! Result: the value, or an array of at most `n` in order of arrival.

use std::collections::VecDeque;

use millstream_value::Value;

use super::{Fold, Row, parse, within_limit};
use crate::Result;
use crate::expression::limit;

pub(super) static FIRST: Row = Row { name: "$first", parse: parse::unary, start: |_, _, _| Box::new(First(None)) };
pub(super) static FIRST_N: Row = Row {
    name: "$firstN",
    parse: parse::input_and_count,
    start: |name, count, _| Box::new(Several { name, count, keep_last: false, values: VecDeque::new(), bytes: 0 }),
};
pub(super) static LAST: Row = Row { name: "$last", parse: parse::unary, start: |_, _, _| Box::new(Last(Value::Null)) };
pub(super) static LAST_N: Row = Row {
    name: "$lastN",
    parse: parse::input_and_count,
    start: |name, count, _| Box::new(Several { name, count, keep_last: true, values: VecDeque::new(), bytes: 0 }),
};

struct First(Option<Value<'static>>);

impl Fold for First {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        if self.0.is_none() {
            self.0 = Some(value.unwrap_or(Value::Null).into_owned());
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        Ok(self.0.unwrap_or(Value::Null))
    }

    fn bytes(&self) -> usize {
        64 + self.0.as_ref().map_or(0, limit::size_of)
    }
}

struct Last(Value<'static>);

impl Fold for Last {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        self.0 = value.unwrap_or(Value::Null).into_owned();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        Ok(self.0)
    }

    fn bytes(&self) -> usize {
        64 + limit::size_of(&self.0)
    }
}

struct Several {
    name: &'static str,
    count: usize,
    keep_last: bool,
    values: VecDeque<Value<'static>>,
    bytes: usize,
}

impl Fold for Several {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        if self.values.len() >= self.count {
            if !self.keep_last {
                return Ok(());
            }
            if let Some(old) = self.values.pop_front() {
                self.bytes -= limit::size_of(&old) + 32;
            }
        }
        let value = value.unwrap_or(Value::Null).into_owned();
        self.bytes += limit::size_of(&value) + 32;
        self.values.push_back(value);
        within_limit(self.name, self.bytes)
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        limit::array(self.values.into_iter().map(Some))
    }

    fn bytes(&self) -> usize {
        self.bytes + 64
    }
}
