//! How many changes a circuit takes in a second: `cargo run --release -p millstream-flow --example speed -- group disk`.
//!
//! `group`: COUNT, SUM and AVG by one of 1,000 groups (`groups`: by one of 100,000). `join`: two tables on a key that is
//! unique in both. The tables have a million rows (a second argument of their number may follow), which come first; then each
//! step takes 1,000 changes of random rows and is committed.

#![expect(clippy::indexing_slicing, reason = "a program for developers")]

use std::sync::Arc;
use std::time::Instant;

use millstream_flow::{
    AggregateCall, AggregateFunction, Change, Circuit, Datum, JoinKind, Node, Row, ScalarRef, Store, StoreOptions,
    Stores,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Changes a step.
const STEP: usize = 1_000;

fn column(at: usize) -> ScalarRef {
    Arc::new(move |row: &Row| Ok(row.value(at).clone()))
}

fn call(function: AggregateFunction, arguments: Vec<ScalarRef>) -> AggregateCall {
    AggregateCall { function, arguments, distinct: false, order: vec![], filter: None }
}

fn nodes(case: &str) -> (Vec<Node>, usize) {
    let calls = || {
        vec![
            call(AggregateFunction::Count, vec![]),
            call(AggregateFunction::Sum, vec![column(1)]),
            call(AggregateFunction::Avg, vec![column(1)]),
        ]
    };
    if case.starts_with("group") {
        let group = vec![column(0)];
        let nodes = vec![Node::Source { source: 0 }, Node::Aggregate { input: 0, group, sets: None, calls: calls() }];
        return (nodes, 1);
    }
    let join = Node::Join {
        left: 0,
        right: 1,
        kind: if case == "outer" { JoinKind::Left } else { JoinKind::Inner },
        left_keys: vec![column(0)],
        right_keys: vec![column(0)],
        residual: None,
        left_width: (2, 1),
        right_width: (2, 1),
    };
    (vec![Node::Source { source: 0 }, Node::Source { source: 1 }, join], 2)
}

/// One table: for each row its second column.
struct Table {
    amounts: Vec<i32>,
    groups: i32,
}

impl Table {
    fn row(&self, id: usize) -> Row {
        let number = i32::try_from(id).unwrap_or(i32::MAX);
        let amount = f64::from(self.amounts[id]) / 100.0;
        Row::new(vec![Datum::Int(number)], vec![Datum::Int(number % self.groups), Datum::Double(amount)])
    }

    fn change(&mut self, id: usize, amount: i32, delta: &mut Vec<Change>) {
        delta.push(Change { row: self.row(id), weight: -1 });
        self.amounts[id] = amount;
        delta.push(Change { row: self.row(id), weight: 1 });
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().unwrap_or_else(|| "group".to_owned());
    let place = arguments.next().unwrap_or_else(|| "disk".to_owned());
    let rows: usize = arguments.next().map_or(Ok(1_000_000), |rows| rows.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |seconds| seconds.parse())?;
    let folder = tempfile::TempDir::new()?;
    let store = if place == "memory" {
        Store::memory()
    } else {
        Stores::open(folder.path(), 64 << 20)?.store("speed", StoreOptions::default())?
    };
    let (nodes, output) = nodes(&case);
    let sources = nodes.iter().filter(|node| matches!(node, Node::Source { .. })).count();
    let mut circuit = Circuit::new(nodes, output, store)?;
    let mut random = StdRng::seed_from_u64(1);
    let groups = match case.as_str() {
        "group" => 1_000,
        "groups" => 100_000,
        _ => i32::MAX,
    };
    let mut tables: Vec<Table> = (0..sources).map(|_| Table { amounts: vec![100; rows], groups }).collect();
    let start = Instant::now();
    for first in (0..rows).step_by(STEP) {
        let inputs = tables.iter().map(|table| {
            (first..(first + STEP).min(rows)).map(|id| Change { row: table.row(id), weight: 1 }).collect::<Vec<_>>()
        });
        circuit.step(inputs.enumerate().collect(), 0)?;
        circuit.commit(b"place")?;
    }
    let filled = start.elapsed();
    println!("{case} {place}: {} rows/s come first", ((rows * sources) as f64 / filled.as_secs_f64()).round());
    let (mut changes, mut busy, start) = (0, std::time::Duration::ZERO, Instant::now());
    while start.elapsed().as_secs() < seconds {
        let mut inputs: Vec<(usize, Vec<Change>)> = (0..sources).map(|source| (source, Vec::new())).collect();
        for _ in 0..STEP {
            let source = random.random_range(0..sources);
            let (id, amount) = (random.random_range(0..rows), random.random_range(0..1_000_000));
            tables[source].change(id, amount, &mut inputs[source].1);
        }
        let before = Instant::now();
        circuit.step(inputs, 0)?;
        circuit.commit(b"place")?;
        busy += before.elapsed();
        changes += STEP;
    }
    println!("{case} {place}: {} changes/s", (changes as f64 / busy.as_secs_f64()).round());
    for (node, stats) in circuit.stats().iter().enumerate().filter(|(_, stats)| stats.rows > 0) {
        println!("  node {node}: {} rows, {} bytes", stats.rows, stats.bytes);
    }
    Ok(())
}
