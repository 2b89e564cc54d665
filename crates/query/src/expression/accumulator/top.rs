//! `$top`, `$bottom`, `$topN`, `$bottomN`: by a sort order of the documents.
//!
//! Absent: a missing output counts, as null.
//! Result: the output for the first (`$bottom`: last) document of the order; an array of at most `n` in that order.

use std::collections::BTreeMap;

use millstream_value::Value;

use super::{Fold, Row, parse, within_limit};
use crate::Result;
use crate::expression::limit;

pub(super) static BOTTOM: Row =
    Row { name: "$bottom", parse: parse::sorted, start: |name, count, _| Ranked::start(name, count, true, true) };
pub(super) static BOTTOM_N: Row = Row {
    name: "$bottomN",
    parse: parse::sorted_count,
    start: |name, count, _| Ranked::start(name, count, true, false),
};
pub(super) static TOP: Row =
    Row { name: "$top", parse: parse::sorted, start: |name, count, _| Ranked::start(name, count, false, true) };
pub(super) static TOP_N: Row =
    Row { name: "$topN", parse: parse::sorted_count, start: |name, count, _| Ranked::start(name, count, false, false) };

struct Ranked {
    name: &'static str,
    count: usize,
    bottom: bool,
    single: bool,
    /// By sort key; documents that sort alike keep their order of arrival.
    values: BTreeMap<(Vec<u8>, u64), Value<'static>>,
    arrived: u64,
    bytes: usize,
}

impl Ranked {
    fn start(name: &'static str, count: usize, bottom: bool, single: bool) -> Box<dyn Fold> {
        Box::new(Self { name, count, bottom, single, values: BTreeMap::new(), arrived: 0, bytes: 0 })
    }
}

impl Fold for Ranked {
    fn add(&mut self, value: Option<Value<'_>>, key: Vec<u8>) -> Result<()> {
        let value = value.unwrap_or(Value::Null).into_owned();
        self.bytes += limit::size_of(&value) + key.len() + 96;
        self.arrived += 1;
        self.values.insert((key, self.arrived), value);
        if self.values.len() > self.count {
            let worst = if self.bottom { self.values.pop_first() } else { self.values.pop_last() };
            if let Some(((key, _), value)) = worst {
                self.bytes -= limit::size_of(&value) + key.len() + 96;
            }
        }
        within_limit(self.name, self.bytes)
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        let mut values = self.values.into_values();
        if self.single {
            return Ok(values.next().unwrap_or(Value::Null));
        }
        limit::array(values.map(Some))
    }

    fn bytes(&self) -> usize {
        self.bytes + 64
    }
}
