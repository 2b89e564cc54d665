//! How many changes a second a window over the last hour of each of 100,000 customers takes: count and sum, ten rows in a
//! frame or so, from rows in memory to rows in memory.
//!
//! `cargo run --release -p millstream-flow --example window_rate [changes a step]`

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use millstream_flow::{
    AggregateFunction, Bound, Change, Circuit, Datum, Exclude, Frame, FrameUnit, Interval, LateOrder, Node, Offset,
    OrderKey, Row, RowError, ScalarRef, Store, StoreOptions, Stores, WindowCall, WindowFunction,
};

const CUSTOMERS: i64 = 100_000;
const CHANGES: i64 = 500_000;
/// A million changes an hour.
const MS_BETWEEN: f64 = 3.6;
const COMMIT: i64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let step = std::env::args().nth(1).map_or(Ok(100), |step| step.parse())?;
    for (name, node) in [("relation", relation()), ("sequence", sequence()), ("by a field", late())] {
        run(&format!("{name}, in memory"), node, Store::memory(), step)?;
    }
    for (name, node) in [("relation", relation()), ("sequence", sequence()), ("by a field", late())] {
        let folder = tempfile::tempdir()?;
        let stores = Stores::open(folder.path(), 64 << 20)?;
        run(&format!("{name}, on disk"), node, stores.store("window", StoreOptions::default())?, step)?;
    }
    Ok(())
}

fn run(name: &str, node: Node, store: Store, step: i64) -> Result<(), Box<dyn Error>> {
    let mut circuit = Circuit::new(vec![Node::Source { source: 0 }, node], 1, store)?;
    let started = Instant::now();
    let mut random = 1_u64;
    let mut since = 0;
    for first in (0..CHANGES).step_by(usize::try_from(step)?) {
        let delta = (first..first + step).map(|id| change(id, &mut random)).collect();
        circuit.step(vec![(0, delta)], 0)?;
        since += step;
        if since >= COMMIT {
            circuit.commit(&first.to_be_bytes())?;
            since = 0;
        }
    }
    let took = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "it is no more than millions")]
    let rate = CHANGES as f64 / took;
    println!("{name}: {rate:.0} changes/s");
    Ok(())
}

/// Columns: customer, time, amount.
fn change(id: i64, random: &mut u64) -> Change {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let number = (*random >> 33).cast_signed();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "it is no more than millions")]
    let time = (id as f64 * MS_BETWEEN) as i64;
    let key: Arc<[Datum]> = Arc::from([Datum::Long(id)]);
    let values = [Datum::Long(number % CUSTOMERS), Datum::Instant(time), Datum::Long(number % 1000)];
    Change { row: Row { key, values: Arc::from(values) }, weight: 1 }
}

fn column(at: usize) -> ScalarRef {
    Arc::new(move |row: &Row| Ok::<_, RowError>(row.value(at).clone()))
}

fn calls() -> Vec<WindowCall> {
    let call = |function, arguments| WindowCall {
        function: WindowFunction::Aggregate(function),
        arguments,
        filter: None,
        ignore_nulls: false,
        frame: Frame {
            unit: FrameUnit::Range,
            start: Bound::Preceding(Offset::Interval(Interval { micros: 3_600_000_000, ..Interval::default() })),
            end: Bound::CurrentRow,
            exclude: Exclude::NoOthers,
        },
    };
    vec![call(AggregateFunction::Count, vec![]), call(AggregateFunction::Sum, vec![column(2)])]
}

fn relation() -> Node {
    let order = vec![OrderKey { value: column(1), descending: false, nulls_first: false }];
    Node::Window { input: 0, partition: vec![column(0)], order, calls: calls() }
}

fn sequence() -> Node {
    Node::RunningWindow { input: 0, partition: vec![column(0)], order: None, time: column(1), calls: calls() }
}

fn late() -> Node {
    let order = Some(LateOrder { key: column(1), lateness: 300_000 });
    Node::RunningWindow { input: 0, partition: vec![column(0)], order, time: column(1), calls: calls() }
}
