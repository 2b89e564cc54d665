//! The functions of SQL-6, as tables: one file a family.

use std::fmt;

use millstream_flow::{Datum, RowError};

use super::Context;
use crate::Type;

/// One function of SQL-6, a row of its family's table.
pub struct Function {
    /// Its name in upper case.
    pub name: &'static str,
    /// The least and the greatest number of arguments.
    pub arguments: (usize, usize),
    /// What it takes, the last one for all further arguments too. An untyped literal becomes a value of that type.
    pub takes: &'static [Takes],
    /// Whether equal arguments may give unequal results (SQL-6.1).
    pub volatile: bool,
    /// Whether it wants to see NULLs; else one NULL gives NULL.
    pub nulls: bool,
    /// What it answers, where that is always the same type.
    pub result: Option<Type>,
    /// Its value.
    pub eval: fn(&[Datum], &Context) -> Result<Datum, RowError>,
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Takes {
    Any,
    Array,
    Document,
    Integer,
    Interval,
    Number,
    Text,
    /// A time: `timestamptz`, `timestamp`, `date`.
    Time,
    /// A time, an interval or a time of day.
    TimeOrSpan,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The families' tables.
static FAMILIES: &[&[Function]] = &[];

/// Names with a syntax of their own, for hints.
static SPECIAL: &[&str] = &["COALESCE"];

/// The function of a name, in any case.
#[must_use]
pub fn function(name: &str) -> Option<&'static Function> {
    let upper = name.to_ascii_uppercase();
    FAMILIES.iter().find_map(|family| {
        let at = family.binary_search_by(|function| function.name.cmp(&upper)).ok()?;
        family.get(at)
    })
}

/// The name of a function that somebody may have meant, if one is near enough.
#[must_use]
pub fn nearest_function(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    let names = FAMILIES.iter().copied().flatten().map(|function| function.name).chain(SPECIAL.iter().copied());
    let limit = (upper.len() / 3).min(3);
    names.map(|name| (distance(&upper, name), name)).filter(|(away, _)| *away <= limit).min().map(|(_, name)| name)
}

/// How many letters must be changed, put in or left out to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, left) in a.bytes().enumerate() {
        let mut diagonal = at;
        let mut before = at + 1;
        let mut next = vec![before];
        for (above, right) in row.iter().skip(1).zip(b.bytes()) {
            before = (diagonal + usize::from(left != right)).min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
