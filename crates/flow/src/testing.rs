//! What tests of operators share.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_value::Decimal;

use crate::{
    AggregateCall, AggregateFunction, Change, Circuit, Datum, Delta, Failure, Node, NodeId, OrderKey, Output, Row,
    RowError, ScalarRef, SourceId, Store,
};

/// A column of the row.
pub(crate) fn column(at: usize) -> ScalarRef {
    Arc::new(move |row: &Row| Ok(row.value(at).clone()))
}

/// A column of the row; an error if it is the text `bad`.
pub(crate) fn column_or_fail(at: usize) -> ScalarRef {
    Arc::new(move |row: &Row| match row.value(at) {
        Datum::Text(text) if text.as_ref() == "bad" => Err(RowError::new("42804", "bad")),
        value => Ok(value.clone()),
    })
}

/// A condition over two columns: the first is not greater; NULL if one of them is.
pub(crate) fn at_most(a: usize, b: usize) -> ScalarRef {
    Arc::new(move |row: &Row| {
        let (a, b) = (row.value(a), row.value(b));
        Ok(if a.is_null() || b.is_null() { Datum::Null } else { Datum::Bool(crate::key::compare(a, b).is_le()) })
    })
}

pub(crate) fn int(value: i32) -> Datum {
    Datum::Int(value)
}

pub(crate) fn long(value: i64) -> Datum {
    Datum::Long(value)
}

pub(crate) fn dec(text: &str) -> Datum {
    Datum::Decimal(Decimal::parse(text).unwrap())
}

pub(crate) fn text(text: &str) -> Datum {
    Datum::text(text)
}

pub(crate) fn call(function: AggregateFunction, arguments: Vec<ScalarRef>) -> AggregateCall {
    AggregateCall { function, arguments, distinct: false, order: vec![], filter: None }
}

pub(crate) fn ascending(value: ScalarRef) -> OrderKey {
    OrderKey { value, descending: false, nulls_first: false }
}

pub(crate) fn descending(value: ScalarRef) -> OrderKey {
    OrderKey { value, descending: true, nulls_first: true }
}

/// A row with a key of one number.
pub(crate) fn row(key: i32, values: &[Datum]) -> Row {
    Row::new(vec![int(key)], values.to_vec())
}

pub(crate) fn plus(key: i32, values: &[Datum]) -> Change {
    Change { row: row(key, values), weight: 1 }
}

pub(crate) fn minus(key: i32, values: &[Datum]) -> Change {
    Change { row: row(key, values), weight: -1 }
}

/// A circuit and the sum of all that it has put out.
pub(crate) struct View {
    pub(crate) circuit: Circuit,
    pub(crate) sum: Sum,
}

/// What is there, by its bytes, with its weight: rows and failures.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub(crate) rows: BTreeMap<Vec<u8>, (Row, i64)>,
    pub(crate) failures: BTreeMap<String, i64>,
}

impl View {
    pub(crate) fn new(nodes: Vec<Node>, output: NodeId) -> Self {
        Self { circuit: Circuit::new(nodes, output, Store::memory()).unwrap(), sum: Sum::default() }
    }

    /// Takes a step with differences of the sources from the first one on.
    pub(crate) fn step<const N: usize>(&mut self, inputs: [Delta; N]) -> Output {
        let inputs: Vec<(SourceId, Delta)> = inputs.into_iter().enumerate().collect();
        let output = self.circuit.step(inputs, 0).unwrap();
        self.sum.apply(&output);
        output
    }

    /// The columns of all rows.
    pub(crate) fn values(&self) -> Vec<Vec<Datum>> {
        self.sum.rows.values().map(|(row, _)| row.values.to_vec()).collect()
    }

    /// The classes of all failures that are there.
    pub(crate) fn failures(&self) -> Vec<&str> {
        self.sum.failures.keys().map(String::as_str).collect()
    }
}

impl Sum {
    /// What one has and the other has not.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let only = |a: &Self, b: &Self| -> String {
            let rows =
                a.rows.iter().filter(|(key, row)| b.rows.get(*key) != Some(row)).map(|(_, row)| format!("{row:?}"));
            let failed = a.failures.iter().filter(|(key, count)| b.failures.get(*key) != Some(count));
            rows.chain(failed.map(|failure| format!("{failure:?}"))).collect::<Vec<_>>().join("\n  ")
        };
        format!("\n  {}\ninstead of\n  {}", only(self, other), only(other, self))
    }

    pub(crate) fn apply(&mut self, output: &Output) {
        for Change { row, weight } in &output.rows {
            let place = crate::key::of_all(row.key.iter().chain(row.values.iter()));
            let bytes = [place, crate::codec::row_bytes(row)].concat();
            let (_, count) = self.rows.entry(bytes.clone()).or_insert((row.clone(), 0));
            *count += weight;
            if *count == 0 {
                self.rows.remove(&bytes);
            }
        }
        for Failure { key, error, weight } in &output.failures {
            let name = format!("{} {key:?}", error.state);
            let count = self.failures.entry(name.clone()).or_default();
            *count += weight;
            if *count == 0 {
                self.failures.remove(&name);
            }
        }
    }
}
