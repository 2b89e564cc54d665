//! `$min`, `$max`, `$minN`, `$maxN`: by the order of all values.
//!
//! Absent: null and missing do not count.
//! Result: the value, or null if there was none; an array of at most `n`, smallest (`$maxN`: largest) first.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use millstream_value::{Value, compare_by, key};

use super::{Fold, Row, parse, within_limit};
use crate::expression::limit;
use crate::{Collation, Result, collation};

pub(super) static MAX: Row =
    Row { name: "$max", parse: parse::unary, start: |_, _, collation| Extreme::start(Ordering::Greater, collation) };
pub(super) static MAX_N: Row = Row {
    name: "$maxN",
    parse: parse::input_and_count,
    start: |name, count, collation| Extremes::start(name, Ordering::Greater, count, collation),
};
pub(super) static MIN: Row =
    Row { name: "$min", parse: parse::unary, start: |_, _, collation| Extreme::start(Ordering::Less, collation) };
pub(super) static MIN_N: Row = Row {
    name: "$minN",
    parse: parse::input_and_count,
    start: |name, count, collation| Extremes::start(name, Ordering::Less, count, collation),
};

struct Extreme {
    wanted: Ordering,
    value: Option<Value<'static>>,
    collation: Option<Collation>,
}

impl Extreme {
    fn start(wanted: Ordering, collation: Option<&Collation>) -> Box<dyn Fold> {
        Box::new(Self { wanted, value: None, collation: collation.cloned() })
    }
}

impl Fold for Extreme {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        let Some(value) = value.filter(|value| !value.is_nullish()) else { return Ok(()) };
        let order = collation::order(self.collation.as_ref());
        if self.value.as_ref().is_none_or(|known| compare_by(&value, known, order) == self.wanted) {
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
    collation: Option<Collation>,
}

impl Extremes {
    fn start(name: &'static str, wanted: Ordering, count: usize, collation: Option<&Collation>) -> Box<dyn Fold> {
        let (values, collation) = (BTreeMap::new(), collation.cloned());
        Box::new(Self { name, wanted, count, values, arrived: 0, bytes: 0, collation })
    }
}

impl Fold for Extremes {
    fn add(&mut self, value: Option<Value<'_>>, _: Vec<u8>) -> Result<()> {
        let Some(value) = value.filter(|value| !value.is_nullish()) else { return Ok(()) };
        let (mut rank, order) = (Vec::new(), collation::order(self.collation.as_ref()));
        match self.wanted {
            Ordering::Greater => key::append_descending_by(&value, order, &mut rank),
            _ => key::append_by(&value, order, &mut rank),
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
