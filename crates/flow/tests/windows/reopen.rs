//! Dropping everything and opening it again, at any moment, changes nothing.

use millstream_flow::{
    AggregateCall, AggregateFunction, Bound, Change, Circuit, Datum, FrameUnit, Interval, JoinKind, LateOrder,
    Lateness, Node, Offset, OrderKey, Row, Store, StoreOptions, Stores, WindowFunction,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::naive::{Argument, By, Call, Spec};
use super::support::{Relation, at, col, minus, plus, row};
use super::window::{call, frame, random_row, whole};

fn spec() -> Spec {
    let minutes = Bound::Preceding(Offset::Interval(Interval { micros: 240_000_000, ..Interval::default() }));
    let rows = frame(FrameUnit::Rows, Bound::Preceding(Offset::Count(3)), Bound::CurrentRow);
    let value = || vec![Argument::Column(2)];
    let lag = Call { ignore_nulls: true, ..call(WindowFunction::Lag, value(), whole()) };
    Spec {
        partition: vec![0],
        order: vec![By { column: 1, descending: false, nulls_first: false }],
        calls: vec![
            call(
                WindowFunction::Aggregate(AggregateFunction::Sum),
                value(),
                frame(FrameUnit::Range, minutes, Bound::CurrentRow),
            ),
            call(WindowFunction::Aggregate(AggregateFunction::Max), value(), rows.clone()),
            call(WindowFunction::DenseRank, vec![], whole()),
            call(WindowFunction::LastValue, value(), rows),
            lag,
        ],
    }
}

/// Runs one history over a circuit that stays and over one that is dropped and opened again every few steps.
fn compare(
    sources: usize,
    node: impl Fn() -> Node,
    mut step: impl FnMut(&mut StdRng, i64) -> Vec<(usize, Vec<Change>)>,
) {
    let nodes = || {
        let mut nodes: Vec<Node> = (0..sources).map(|source| Node::Source { source }).collect();
        nodes.push(node());
        nodes
    };
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::open(folder.path(), 1 << 20).unwrap();
    let open = || {
        let options = StoreOptions { flush: false, ..StoreOptions::default() };
        Circuit::new(nodes(), sources, stores.store("circuit", options).unwrap()).unwrap()
    };
    let mut stays = Circuit::new(nodes(), sources, Store::memory()).unwrap();
    let mut comes_back = open();
    let mut rng = StdRng::seed_from_u64(7);
    let mut clock = at(10, 0, 0);
    for n in 0_u32..150 {
        clock += rng.random_range(0..3) * 20_000;
        let inputs = step(&mut rng, clock);
        let expected = stays.step(inputs.clone(), clock).unwrap();
        let output = comes_back.step(inputs, clock).unwrap();
        assert_eq!(output.rows, expected.rows, "step {n}");
        assert_eq!(output.failures, expected.failures, "step {n}");
        assert_eq!(output.due_ms, expected.due_ms, "step {n}");
        if n % 4 == 3 {
            comes_back.commit(&n.to_be_bytes()).unwrap();
        }
        if n % 12 == 11 {
            drop(comes_back);
            comes_back = open();
        }
    }
}

/// Inserts, updates and deletes of timed rows.
fn relation(input: &mut Relation, rng: &mut StdRng, clock: i64) -> Vec<(usize, Vec<Change>)> {
    let id = rng.random_range(0..40);
    let mut delta: Vec<Change> = input.get(id).cloned().map(minus).into_iter().collect();
    if delta.is_empty() || rng.random_bool(0.7) {
        let row = random_row(rng, id);
        let time = Datum::Instant(clock + rng.random_range(-5..5) * 60_000);
        delta.push(plus(row![id; row.value(0).clone(), time, row.value(2).clone(), row.value(3).clone()]));
    }
    input.apply(&delta);
    vec![(0, delta)]
}

/// One change with its time.
fn change(n: &mut i32, rng: &mut StdRng, time: i64) -> Change {
    *n += 1;
    let value = if rng.random_bool(0.2) { Datum::Null } else { Datum::Int(rng.random_range(0..20)) };
    plus(row![*n; rng.random_range(0..2), Datum::Instant(time), value])
}

/// SQL-19.1
#[test]
fn windows_come_back() {
    let node =
        || Node::Window { input: 0, partition: spec().partition(), order: spec().order(), calls: spec().calls() };
    let mut input = Relation::default();
    compare(1, node, |rng, clock| relation(&mut input, rng, clock));
}

/// SQL-19.1
#[test]
fn tops_come_back() {
    let order = || vec![OrderKey { value: col(2), descending: true, nulls_first: true }];
    let node =
        || Node::TopK { input: 0, partition: vec![col(0)], order: order(), offset: 1, limit: Some(4), with_ties: true };
    let mut input = Relation::default();
    compare(1, node, |rng, clock| relation(&mut input, rng, clock));
}

/// SQL-19.1
#[test]
fn temporal_filters_come_back() {
    let condition = || -> millstream_flow::ScalarRef {
        std::sync::Arc::new(|row: &Row| {
            Ok::<_, millstream_flow::RowError>(Datum::Bool(
                millstream_flow::key::compare(row.value(1), row.value(4)).is_gt(),
            ))
        })
    };
    let node = || Node::Temporal { input: 0, condition: condition(), instants: vec![col(1)] };
    let mut input = Relation::default();
    compare(1, node, |rng, clock| relation(&mut input, rng, clock));
}

/// SQL-19.1
#[test]
fn running_windows_come_back() {
    for lateness in [None, Some(120_000)] {
        let order = || lateness.map(|lateness| LateOrder { key: col(1), lateness });
        let node = || Node::RunningWindow {
            input: 0,
            partition: spec().partition(),
            order: order(),
            time: col(1),
            calls: spec().calls(),
        };
        let mut n = 0;
        compare(1, node, |rng, clock| {
            let late = if lateness.is_some() { rng.random_range(0..4) * 60_000 } else { 0 };
            vec![(0, vec![change(&mut n, rng, clock - late)])]
        });
    }
}

/// SQL-19.1
#[test]
fn bands_come_back() {
    for lateness in [None, Some(Lateness { lateness: 60_000, idle_timeout_ms: 60_000 })] {
        let node = || Node::Band {
            left: 0,
            right: 1,
            kind: JoinKind::Full,
            left_keys: vec![col(0)],
            right_keys: vec![col(0)],
            residual: None,
            left_time: col(1),
            right_time: col(1),
            from_ms: -60_000,
            from_inclusive: true,
            to_ms: 30_000,
            to_inclusive: false,
            lateness,
            left_width: (3, 1),
            right_width: (3, 1),
        };
        let mut n = 0;
        compare(2, node, |rng, clock| {
            let side = rng.random_range(0..2);
            let late = if lateness.is_some() { rng.random_range(0..4) * 30_000 } else { 0 };
            vec![(side, vec![change(&mut n, rng, clock - late)])]
        });
    }
}

/// SQL-19.1
#[test]
fn buckets_come_back() {
    let aggregate =
        |function, arguments| AggregateCall { function, arguments, distinct: false, order: vec![], filter: None };
    let end = || -> millstream_flow::ScalarRef {
        std::sync::Arc::new(|row: &Row| {
            let Datum::Instant(ms) = row.value(1) else { return Ok(Datum::Null) };
            Ok::<_, millstream_flow::RowError>(Datum::Instant(ms.div_euclid(60_000) * 60_000 + 60_000))
        })
    };
    let node = || Node::Bucket {
        input: 0,
        group: vec![end(), col(0)],
        end: end(),
        calls: vec![
            aggregate(AggregateFunction::Sum, vec![col(2)]),
            aggregate(AggregateFunction::Max, vec![col(2)]),
            aggregate(AggregateFunction::ArrayAgg, vec![col(2)]),
        ],
        lateness: Some(Lateness { lateness: 60_000, idle_timeout_ms: 60_000 }),
        time: col(1),
    };
    let mut n = 0;
    compare(1, node, |rng, clock| {
        let late = rng.random_range(0..4) * 30_000;
        vec![(0, vec![change(&mut n, rng, clock - late)])]
    });
}
