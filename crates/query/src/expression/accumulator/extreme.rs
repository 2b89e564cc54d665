//! `$min`, `$max`, `$minN`, `$maxN`: by the order of all values.
//!
//! Absent: null and missing do not count.
//! Result: the value, or null if there was none; an array of at most `n`, smallest (`$maxN`: largest) first.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use millstream_value::{Value, compare, key};

use super::{Fold, Row, parse, within_limit};
use crate::Result;
use crate::expression::limit;

pub(super) static MAX: Row = Row {
    name: "$max",
    parse: parse::unary,
    start: |_, _| Box::new(Extreme { wanted: Ordering::Greater, value: None }),
};
pub(super) static MAX_N: Row = Row {
    name: "$maxN",
    parse: parse::input_and_count,
    start: |name, count| {
        Box::new(Extremes { name, wanted: Ordering::Greater, count, values: BTreeMap::new(), arrived: 0, bytes: 0 })
    },
};
pub(super) static MIN: Row =
    Row { name: "$min", parse: parse::unary, start: |_, _| Box::new(Extreme { wanted: Ordering::Less, value: None }) };
pub(super) static MIN_N: Row = Row {
    name: "$minN",
    parse: parse::input_and_count,
    start: |name, count| {
        Box::new(Extremes { name, wanted: Ordering::Less, count, values: BTreeMap::new(), arrived: 0, bytes: 0 })
    },
};

struct Extreme {
    wanted: Ordering,
    value: Option<Value<'static>>,
}

impl Fold for Extreme {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        let Some(value) = value.filter(|value| !value.is_nullish()) else { return Ok(()) };
        if self.value.as_ref().is_none_or(|known| compare(&value, known) == self.wanted) {
            self.value = Some(value.into_owned());
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        Ok(self.value.unwrap_or(Value::Null))
    }

    fn bytes(&self) -> usize {
        64 + self.value.as_ref().map_or(0, limit::size_of)
    }
}

struct Extremes {
    name: &'static str,
    wanted: Ordering,
    count: usize,
    /// The best so far, best first, with their places of arrival.
    values: BTreeMap<(Vec<u8>, u64), Value<'static>>,
    arrived: u64,
    bytes: usize,
}

impl Fold for Extremes {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        let Some(value) = value.filter(|value| !value.is_nullish()) else { return Ok(()) };
        let mut rank = Vec::new();
        match self.wanted {
            Ordering::Greater => key::append_descending(&value, &mut rank),
            _ => key::append(&value, &mut rank),
        }
        if self.values.len() >= self.count && self.values.last_key_value().is_some_and(|(worst, _)| worst.0 <= rank) {
            return Ok(());
        }
        self.bytes += limit::size_of(&value) + rank.len() + 96;
        self.arrived += 1;
        self.values.insert((rank, self.arrived), value.into_owned());
        if self.values.len() > self.count
            && let Some(((rank, _), value)) = self.values.pop_last()
        {
            self.bytes -= limit::size_of(&value) + rank.len() + 96;
        }
        within_limit(self.name, self.bytes)
    }

    fn finish(self: Box<Self>) -> Result<Value<'static>> {
        limit::array(self.values.into_values().map(Some))
    }

    fn bytes(&self) -> usize {
        self.bytes + 64
    }
}
