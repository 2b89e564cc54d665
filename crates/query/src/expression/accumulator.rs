//! Accumulators: one value computed from many documents, as in `$group`.
//!
//! An accumulator is compiled once; every group starts a [`State`] of its own. Each is a row of [`names`]'s table.
//! Source: MongoDB manual 8.0, "Accumulators ($group)".

mod collect;
mod extreme;
mod order;
mod parse;
pub(super) mod summary;
mod top;

use millstream_value::{Doc, Value};

use super::{Expression, Scope};
use crate::sort::Sort;
use crate::{Collation, Error, Result};

/// A compiled accumulator.
#[derive(Clone, Debug)]
pub struct Accumulator {
    row: &'static Row,
    input: Expression,
    count: Option<Expression>,
    sort: Option<Sort>,
    collation: Option<Collation>,
}

/// What one group has seen so far.
pub struct State {
    fold: Box<dyn Fold>,
}

impl Accumulator {
    /// Compiles `{<name>: <argument>}`.
    ///
    /// # Errors
    /// 15952 for an unknown name, 40237 for a list, and what is wrong with the argument.
    pub fn parse(name: &str, argument: &Value<'_>, scope: &Scope) -> Result<Self> {
        let Some(row) = find(name) else {
            if name == "$accumulator" {
                return Err(super::no_javascript(name));
            }
            return Err(Error::location(15952, format!("unknown group operator '{name}'")));
        };
        (row.parse)(row, argument, scope)
    }

    /// Whether there is an accumulator of this name (with its `$`).
    #[must_use]
    pub fn is_known(name: &str) -> bool {
        find(name).is_some() || name == "$accumulator"
    }

    /// The state of a new group whose `_id` is `key`: `n` may depend on its fields.
    ///
    /// # Errors
    /// If `n` is not a positive integer.
    pub fn start(&self, key: &Value<'_>) -> Result<State> {
        let count = match &self.count {
            None => 1,
            Some(count) => {
                let value = match key.as_doc() {
                    Some(key) => count.eval(key)?,
                    None => count.eval(Doc::empty())?,
                };
                positive(value.as_ref())?
            }
        };
        Ok(State { fold: (self.row.start)(self.row.name, count, self.collation.as_ref()) })
    }

    /// Adds a document to a group that [`Accumulator::start`] began.
    ///
    /// # Errors
    /// What the argument's expression runs into, and what the accumulator does not accept.
    pub fn add(&self, state: &mut State, doc: Doc<'_>) -> Result<()> {
        let value = self.input.eval(doc)?;
        let key = self.sort.as_ref().map(|sort| sort.key(doc)).transpose()?.unwrap_or_default();
        state.fold.add(value, key)
    }
}

impl State {
    /// The group's value.
    ///
    /// # Errors
    /// If it is too large.
    pub fn finish(self) -> Result<Value<'static>> {
        self.fold.finish()
    }

    /// About how many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fold.bytes()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("bytes", &self.bytes()).finish()
    }
}

/// The names of all accumulators, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    ACCUMULATORS.iter().map(|row| row.name)
}

/// The most bytes that the state of one accumulator of one group may take.
const STATE_BYTES_MAX: usize = 100 << 20;

/// A value that grows with every document.
pub(super) trait Fold: Send {
    /// Takes one more value, with its sort key where the accumulator sorts.
    fn add(&mut self, value: Option<Value<'_>>, key: Vec<u8>) -> Result<()>;
    /// The result.
    fn finish(self: Box<Self>) -> Result<Value<'static>>;
    /// About how many bytes it holds.
    fn bytes(&self) -> usize {
        64
    }
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Row {
    name: &'static str,
    parse: fn(&'static Row, &Value<'_>, &Scope) -> Result<Accumulator>,
    start: fn(&'static str, usize, Option<&Collation>) -> Box<dyn Fold>,
}

/// Every accumulator, by the name that is written.
// tidy: sorted by name
static ACCUMULATORS: &[&Row] = &[
    &collect::ADD_TO_SET,
    &summary::AVG,
    &top::BOTTOM,
    &top::BOTTOM_N,
    &collect::COUNT,
    &order::FIRST,
    &order::FIRST_N,
    &order::LAST,
    &order::LAST_N,
    &extreme::MAX,
    &extreme::MAX_N,
    &collect::MERGE_OBJECTS,
    &extreme::MIN,
    &extreme::MIN_N,
    &collect::PUSH,
    &summary::STD_DEV_POP,
    &summary::STD_DEV_SAMP,
    &summary::SUM,
    &top::TOP,
    &top::TOP_N,
];

fn find(name: &str) -> Option<&'static Row> {
    ACCUMULATORS.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|at| ACCUMULATORS.get(at)).copied()
}

/// `n` as a count.
pub(super) fn positive(value: Option<&Value<'_>>) -> Result<usize> {
    let shown = || super::operator::shown(value);
    let Some(number) = value.filter(|value| value.is_number()) else {
        return Err(Error::location(
            5_787_902,
            format!("Value for 'n' must be of integral type, but found {}", shown()),
        ));
    };
    let Some(count) = number.as_integer() else {
        return Err(Error::location(
            5_787_903,
            format!("Value for 'n' must be of integral type, but found {}", shown()),
        ));
    };
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Error::location(5_787_908, format!("'n' must be greater than 0, found {count}"))),
    }
}

/// Holds a state to its limit.
fn within_limit(name: &str, bytes: usize) -> Result<()> {
    if bytes > STATE_BYTES_MAX {
        return Err(Error::new(
            millstream_value::Code::ExceededMemoryLimit,
            format!("{name} used too much memory and cannot spill to disk. Memory limit: {STATE_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}
