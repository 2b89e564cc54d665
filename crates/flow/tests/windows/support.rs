//! Circuits of one operator, and relations as the sum of differences.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_flow::{Change, Circuit, Datum, Delta, Node, Output, Row, RowError, ScalarRef, Store, key};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A column.
pub(crate) fn col(at: usize) -> ScalarRef {
    Arc::new(move |row: &Row| Ok::<_, RowError>(row.value(at).clone()))
}

/// A constant.
pub(crate) fn constant(value: impl Into<Value>) -> ScalarRef {
    let Value(value) = value.into();
    Arc::new(move |_: &Row| Ok::<_, RowError>(value.clone()))
}

/// Fails for the text "bad", else a column.
pub(crate) fn strict_col(at: usize) -> ScalarRef {
    Arc::new(move |row: &Row| match row.value(at) {
        Datum::Text(text) if text.as_ref() == "bad" => Err(RowError::new("42804", "a bad text")),
        value => Ok(value.clone()),
    })
}

/// What tests write as values.
pub(crate) struct Value(pub Datum);

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self(Datum::Int(value))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self(Datum::Double(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self(Datum::Bool(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self(Datum::text(value))
    }
}

impl From<Datum> for Value {
    fn from(value: Datum) -> Self {
        Self(value)
    }
}

/// NULL.
pub(crate) struct Null;

impl Null {
    pub(crate) fn into_datum(self) -> Datum {
        Datum::Null
    }
}

impl From<Null> for Value {
    fn from(_: Null) -> Self {
        Self(Datum::Null)
    }
}

/// A row by its key and its columns.
macro_rules! row {
    ($key:expr; $($value:expr),* $(,)?) => {
        millstream_flow::Row::new(
            vec![$crate::support::Value::from($key).0],
            vec![$($crate::support::Value::from($value).0),*],
        )
    };
}
pub(crate) use row;

/// A time of 2025-09-05, in milliseconds.
pub(crate) fn at(hour: i64, minute: i64, second: i64) -> i64 {
    1_757_030_400_000 + ((hour * 60 + minute) * 60 + second) * 1000
}

pub(crate) fn time(hour: i64, minute: i64, second: i64) -> Datum {
    Datum::Instant(at(hour, minute, second))
}

/// A circuit of one operator over so many sources.
pub(crate) fn circuit(sources: usize, node: Node) -> Circuit {
    let mut nodes: Vec<Node> = (0..sources).map(|source| Node::Source { source }).collect();
    nodes.push(node);
    Circuit::new(nodes, sources, Store::memory()).unwrap()
}

pub(crate) fn plus(row: Row) -> Change {
    Change { row, weight: 1 }
}

pub(crate) fn minus(row: Row) -> Change {
    Change { row, weight: -1 }
}

/// The rows that a step over changes appends.
pub(crate) fn appended(output: &Output) -> Vec<Row> {
    assert!(output.rows.iter().all(|change| change.weight == 1), "changes are only appended: {output:?}");
    output.rows.iter().map(|change| change.row.clone()).collect()
}

/// The classes of errors of rows that were left out.
pub(crate) fn states(output: &Output) -> Vec<&'static str> {
    output.failures.iter().map(|failure| failure.error.state.0).collect()
}

/// A relation: the sum of differences.
#[derive(Default)]
pub(crate) struct Relation(BTreeMap<Vec<u8>, Row>);

impl Relation {
    /// Adds a difference, in which every row that goes must be there as it is, and none that comes.
    pub(crate) fn apply(&mut self, delta: &Delta) {
        for change in delta.iter().filter(|change| change.weight < 0) {
            assert_eq!(change.weight, -1);
            let gone = self.0.remove(&key::of_all(change.row.key.iter()));
            assert_eq!(gone.as_ref(), Some(&change.row), "a row goes that is not there");
        }
        for change in delta.iter().filter(|change| change.weight > 0) {
            assert_eq!(change.weight, 1);
            let old = self.0.insert(key::of_all(change.row.key.iter()), change.row.clone());
            assert_eq!(old, None, "a row comes that is there");
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.0.values().cloned().collect()
    }

    pub(crate) fn get(&self, key: i32) -> Option<&Row> {
        self.0.get(&key::of(&Datum::Int(key)))
    }
}

/// Random inserts, updates and deletes in batches; the output must always equal what `oracle` makes of the rows that are there.
pub(crate) fn history(
    seed: u64,
    (steps, batch, keys): (usize, usize, i32),
    mut circuit: Circuit,
    random: impl Fn(&mut StdRng, i32) -> Row,
    oracle: impl Fn(&[Row]) -> Vec<Row>,
    what: impl Fn() -> String,
) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut input = Relation::default();
    let mut output = Relation::default();
    for step in 0..steps {
        let mut delta = Delta::new();
        for _ in 0..rng.random_range(1..=batch) {
            let id = rng.random_range(0..keys);
            let old = input.get(id).cloned();
            let mut one = Delta::new();
            one.extend(old.clone().map(minus));
            if old.is_none() || rng.random_bool(0.6) {
                one.push(plus(random(&mut rng, id)));
            }
            input.apply(&one);
            delta.append(&mut one);
        }
        if rng.random_bool(0.5) {
            delta.reverse();
        }
        let stepped = circuit.step(vec![(0, delta)], 0).unwrap();
        output.apply(&stepped.rows);
        let mut expected = oracle(&input.rows());
        expected.sort_by_key(|row| key::of_all(row.key.iter()));
        let differing = output.rows().into_iter().zip(expected.clone()).find(|(is, should)| is != should);
        assert_eq!(differing, None, "seed {seed}, step {step}, {}", what());
        assert_eq!(output.rows().len(), expected.len());
    }
}
