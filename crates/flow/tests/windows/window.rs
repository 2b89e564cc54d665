//! Windows over relations.

use millstream_flow::{
    AggregateFunction, Bound, Datum, Exclude, Frame, FrameUnit, Interval, Node, Offset, Row, WindowFunction,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::naive::{Argument, By, Call, Spec};
use super::support::{Null, Relation, circuit, col, history, minus, plus, row, states, strict_col, time};

fn node(spec: &Spec) -> Node {
    Node::Window { input: 0, partition: spec.partition(), order: spec.order(), calls: spec.calls() }
}

pub(crate) fn frame(unit: FrameUnit, start: Bound, end: Bound) -> Frame {
    Frame { unit, start, end, exclude: Exclude::NoOthers }
}

pub(crate) fn call(function: WindowFunction, arguments: Vec<Argument>, frame: Frame) -> Call {
    Call { function, arguments, filter: None, ignore_nulls: false, frame }
}

pub(crate) fn whole() -> Frame {
    frame(FrameUnit::Range, Bound::UnboundedPreceding, Bound::CurrentRow)
}

/// Columns: partition, order, value, flag, steps.
pub(crate) fn random_row(rng: &mut StdRng, id: i32) -> Row {
    let partition = if rng.random_bool(0.1) { Datum::Null } else { Datum::Int(rng.random_range(0..2)) };
    let order = match rng.random_range(0..10) {
        0 => Datum::Null,
        1 => Datum::text("n/a"),
        2 => Datum::Double(f64::from(rng.random_range(0..12)) / 2.0),
        _ => Datum::Int(rng.random_range(0..8)),
    };
    let value = if rng.random_bool(0.2) { Datum::Null } else { Datum::Int(rng.random_range(0..20)) };
    let flag = if rng.random_bool(0.1) { Datum::Null } else { Datum::Bool(rng.random_bool(0.5)) };
    row![id; partition, order, value, flag, rng.random_range(-1..4)]
}

pub(crate) fn random_call(rng: &mut StdRng, by_time: bool) -> Call {
    let value = Argument::Column(2);
    let small = |rng: &mut StdRng| Argument::Constant(Datum::Int(rng.random_range(1..4)));
    let (function, arguments) = match rng.random_range(0..17) {
        0 => (WindowFunction::RowNumber, vec![]),
        1 => (WindowFunction::Rank, vec![]),
        2 => (WindowFunction::DenseRank, vec![]),
        3 => (WindowFunction::PercentRank, vec![]),
        4 => (WindowFunction::CumeDist, vec![]),
        5 => (WindowFunction::Ntile, vec![small(rng)]),
        6 => (WindowFunction::Lag, vec![value]),
        7 => (WindowFunction::Lead, vec![value, Argument::Column(4), Argument::Constant(Datum::Int(-1))]),
        8 => (WindowFunction::Lag, vec![value, small(rng)]),
        9 => (WindowFunction::FirstValue, vec![value]),
        10 => (WindowFunction::LastValue, vec![value]),
        11 => (WindowFunction::NthValue, vec![value, small(rng)]),
        12 => (WindowFunction::Aggregate(AggregateFunction::Count), vec![]),
        13 => (WindowFunction::Aggregate(AggregateFunction::BoolAnd), vec![Argument::Column(3)]),
        14 => (WindowFunction::Aggregate(AggregateFunction::ArrayAgg), vec![value]),
        15 => {
            let extreme = *[AggregateFunction::Min, AggregateFunction::Max].choose(rng).unwrap();
            (WindowFunction::Aggregate(extreme), vec![value])
        }
        _ => (WindowFunction::Aggregate(AggregateFunction::Sum), vec![value]),
    };
    let takes_nulls = matches!(
        function,
        WindowFunction::Lag
            | WindowFunction::Lead
            | WindowFunction::FirstValue
            | WindowFunction::LastValue
            | WindowFunction::NthValue
    );
    let is_aggregate = matches!(function, WindowFunction::Aggregate(_));
    Call {
        function,
        arguments,
        filter: (is_aggregate && rng.random_bool(0.3)).then_some(3),
        ignore_nulls: takes_nulls && rng.random_bool(0.4),
        frame: random_frame(rng, by_time),
    }
}

fn random_frame(rng: &mut StdRng, by_time: bool) -> Frame {
    let unit = *[FrameUnit::Rows, FrameUnit::Range, FrameUnit::Groups].choose(rng).unwrap();
    let mut offset = |rng: &mut StdRng| match unit {
        FrameUnit::Range if by_time => {
            Offset::Interval(Interval { micros: rng.random_range(0..4) * 60_000_000, ..Interval::default() })
        }
        FrameUnit::Range if rng.random_bool(0.3) => Offset::Number(Datum::Double(1.5)),
        FrameUnit::Range => Offset::Number(Datum::Int(rng.random_range(0..3))),
        _ => Offset::Count(rng.random_range(0..3)),
    };
    let bound = |rng: &mut StdRng, side: u32, offset: &mut dyn FnMut(&mut StdRng) -> Offset| match rng
        .random_range(0..4)
        + side
    {
        0 => Bound::UnboundedPreceding,
        1 => Bound::Preceding(offset(rng)),
        2 => Bound::CurrentRow,
        3 => Bound::Following(offset(rng)),
        _ => Bound::UnboundedFollowing,
    };
    let start = bound(rng, 0, &mut offset);
    let mut end = bound(rng, 1, &mut offset);
    // What PostgreSQL refuses: an end that is always before the start.
    if matches!(
        (&start, &end),
        (Bound::CurrentRow | Bound::Following(_), Bound::Preceding(_)) | (Bound::Following(_), Bound::CurrentRow)
    ) {
        end = Bound::UnboundedFollowing;
    }
    let exclude = *[Exclude::NoOthers, Exclude::NoOthers, Exclude::CurrentRow, Exclude::Group, Exclude::Ties]
        .choose(rng)
        .unwrap();
    Frame { unit, start, end, exclude }
}

/// SQL-8.1 to SQL-8.4, SQL-1.2: whatever comes and goes, the rows are those of the definition.
#[test]
fn windows_are_maintained() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let spec = Spec {
            partition: if rng.random_bool(0.7) { vec![0] } else { vec![] },
            order: vec![By { column: 1, descending: rng.random_bool(0.4), nulls_first: rng.random_bool(0.4) }],
            calls: (0..rng.random_range(1..4)).map(|_| random_call(&mut rng, false)).collect(),
        };
        let spec = &spec;
        history(
            seed,
            (12, 5, 14),
            circuit(1, node(spec)),
            random_row,
            |rows| spec.evaluate(rows),
            || format!("{spec:?}"),
        );
    }
}

/// SQL-8.4: several keys, and none at all.
#[test]
fn windows_over_several_keys_or_none_are_maintained() {
    for seed in 0..25 {
        let mut rng = StdRng::seed_from_u64(1000 + seed);
        let by = |column, rng: &mut StdRng| By {
            column,
            descending: rng.random_bool(0.5),
            nulls_first: rng.random_bool(0.5),
        };
        let order = if rng.random_bool(0.3) { vec![] } else { vec![by(3, &mut rng), by(1, &mut rng)] };
        let mut calls: Vec<Call> = (0..3).map(|_| random_call(&mut rng, false)).collect();
        for call in &mut calls {
            let is_distance = |bound: &Bound| {
                matches!(bound, Bound::Preceding(Offset::Number(_)) | Bound::Following(Offset::Number(_)))
            };
            if is_distance(&call.frame.start) || is_distance(&call.frame.end) {
                call.frame = whole();
            }
        }
        let spec = &Spec { partition: vec![0], order, calls };
        history(
            seed,
            (12, 5, 14),
            circuit(1, node(spec)),
            random_row,
            |rows| spec.evaluate(rows),
            || format!("{spec:?}"),
        );
    }
}

/// SQL-19.4: partitions of many blocks.
#[test]
fn large_partitions_are_maintained() {
    for seed in 0..2 {
        let mut rng = StdRng::seed_from_u64(2000 + seed);
        let mut calls: Vec<Call> = (0..4).map(|_| random_call(&mut rng, false)).collect();
        let far = |n| frame(FrameUnit::Rows, Bound::Preceding(Offset::Count(n)), Bound::Following(Offset::Count(40)));
        calls.push(call(WindowFunction::Aggregate(AggregateFunction::Sum), vec![Argument::Column(2)], far(50)));
        calls.push(call(WindowFunction::Aggregate(AggregateFunction::Max), vec![Argument::Column(2)], whole()));
        calls.push(call(WindowFunction::DenseRank, vec![], whole()));
        let spec =
            &Spec { partition: vec![], order: vec![By { column: 1, descending: false, nulls_first: false }], calls };
        let wide = |rng: &mut StdRng, id| {
            let row = random_row(rng, id);
            let order = if rng.random_bool(0.05) { row.value(1).clone() } else { Datum::Int(rng.random_range(0..400)) };
            row![id; row.value(0).clone(), order, row.value(2).clone(), row.value(3).clone(), row.value(4).clone()]
        };
        history(seed, (5, 300, 600), circuit(1, node(spec)), wide, |rows| spec.evaluate(rows), || format!("{spec:?}"));
    }
}

/// SQL-8.2: distances between times.
#[test]
fn windows_by_time_are_maintained() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(3000 + seed);
        let spec = &Spec {
            partition: vec![0],
            order: vec![By { column: 1, descending: rng.random_bool(0.4), nulls_first: rng.random_bool(0.4) }],
            calls: (0..2).map(|_| random_call(&mut rng, true)).collect(),
        };
        let timed = |rng: &mut StdRng, id| {
            let row = random_row(rng, id);
            let order = if rng.random_bool(0.1) { row.value(1).clone() } else { time(10, rng.random_range(0..8), 0) };
            row![id; row.value(0).clone(), order, row.value(2).clone(), row.value(3).clone(), row.value(4).clone()]
        };
        history(seed, (12, 5, 14), circuit(1, node(spec)), timed, |rows| spec.evaluate(rows), || format!("{spec:?}"));
    }
}

/// SQL-8, E-10
#[test]
fn revisions() {
    let rows = |n| frame(FrameUnit::Rows, Bound::Preceding(Offset::Count(n)), Bound::CurrentRow);
    let spec = Spec {
        partition: vec![0],
        order: vec![By { column: 1, descending: false, nulls_first: false }],
        calls: vec![
            call(WindowFunction::Aggregate(AggregateFunction::Sum), vec![Argument::Column(2)], rows(1)),
            call(WindowFunction::Lag, vec![Argument::Column(2)], rows(1)),
            call(WindowFunction::RowNumber, vec![], rows(1)),
        ],
    };
    let long = Datum::Long;
    let reading = |id, sensor, minute, v| row![id; sensor, time(10, minute, 0), v];
    let shown = |id, sensor, minute, v: i32, s2, prev: Datum, rn| row![id; sensor, time(10, minute, 0), v, long(s2), prev, long(rn)];
    let int = Datum::Int;
    let mut circuit = circuit(1, node(&spec));
    let mut view = Relation::default();
    let mut step = |delta| {
        let output = circuit.step(vec![(0, delta)], 0).unwrap();
        view.apply(&output.rows);
        (output.rows.len(), view.rows())
    };
    let (_, rows) = step(vec![plus(reading(1, "a", 0, 1)), plus(reading(2, "a", 10, 2)), plus(reading(4, "a", 30, 4))]);
    assert_eq!(
        rows,
        [
            shown(1, "a", 0, 1, 1, Datum::Null, 1),
            shown(2, "a", 10, 2, 3, int(1), 2),
            shown(4, "a", 30, 4, 6, int(2), 3)
        ]
    );
    let (changes, rows) = step(vec![plus(reading(3, "a", 20, 3))]);
    assert_eq!(changes, 3);
    assert_eq!(rows[2..], [shown(3, "a", 20, 3, 5, int(2), 3), shown(4, "a", 30, 4, 7, int(3), 4)]);
    let (changes, rows) = step(vec![minus(reading(1, "a", 0, 1))]);
    assert_eq!(changes, 7);
    assert_eq!(
        rows,
        [
            shown(2, "a", 10, 2, 2, Datum::Null, 1),
            shown(3, "a", 20, 3, 5, int(2), 2),
            shown(4, "a", 30, 4, 7, int(3), 3)
        ]
    );
    let (_, rows) = step(vec![minus(reading(2, "a", 10, 2)), plus(reading(2, "b", 10, 2))]);
    assert_eq!(
        rows,
        [
            shown(2, "b", 10, 2, 2, Datum::Null, 1),
            shown(3, "a", 20, 3, 3, Datum::Null, 1),
            shown(4, "a", 30, 4, 7, int(3), 2)
        ]
    );
    let (changes, rows) = step(vec![plus(reading(5, "a", 30, 5))]);
    assert_eq!(changes, 1);
    assert_eq!(rows[3], shown(5, "a", 30, 5, 9, int(4), 3));
}

/// SQL-8, E-16: the values over 10, 20, 20, 30.
#[test]
fn functions_over_four_values() {
    let x = || vec![Argument::Column(0)];
    let sum = |frame| call(WindowFunction::Aggregate(AggregateFunction::Sum), x(), frame);
    let one = || Bound::Preceding(Offset::Count(1));
    let int = |n| Argument::Constant(Datum::Int(n));
    let mut rest = frame(FrameUnit::Rows, Bound::CurrentRow, Bound::UnboundedFollowing);
    rest.exclude = Exclude::CurrentRow;
    let ten = Bound::Preceding(Offset::Number(Datum::Int(10)));
    let spec = Spec {
        partition: vec![],
        order: vec![By { column: 0, descending: false, nulls_first: false }],
        calls: vec![
            call(WindowFunction::Rank, vec![], whole()),
            call(WindowFunction::DenseRank, vec![], whole()),
            call(WindowFunction::Ntile, vec![int(3)], whole()),
            call(WindowFunction::CumeDist, vec![], whole()),
            call(WindowFunction::LastValue, x(), whole()),
            call(WindowFunction::Lag, vec![Argument::Column(0), int(2), int(-1)], whole()),
            sum(frame(FrameUnit::Rows, one(), Bound::CurrentRow)),
            sum(frame(FrameUnit::Range, ten, Bound::CurrentRow)),
            sum(frame(FrameUnit::Groups, one(), Bound::CurrentRow)),
            sum(whole()),
            sum(rest),
        ],
    };
    let mut circuit = circuit(1, node(&spec));
    let mut view = Relation::default();
    for (id, x) in [(3, 20), (1, 10), (4, 30), (2, 20)] {
        view.apply(&circuit.step(vec![(0, vec![plus(row![id; x])])], 0).unwrap().rows);
    }
    let long = Datum::Long;
    let column = |at: usize| view.rows().iter().map(|row| row.value(at).clone()).collect::<Vec<_>>();
    assert_eq!(column(1), [1, 2, 2, 4].map(long));
    assert_eq!(column(2), [1, 2, 2, 3].map(long));
    assert_eq!(column(3), [1, 1, 2, 3].map(Datum::Int));
    assert_eq!(column(4), [0.25, 0.75, 0.75, 1.0].map(Datum::Double));
    assert_eq!(column(5), [10, 20, 20, 30].map(Datum::Int));
    assert_eq!(column(6), [-1, -1, 10, 20].map(Datum::Int));
    assert_eq!(column(7), [10, 30, 40, 50].map(long));
    assert_eq!(column(8), [10, 50, 50, 70].map(long));
    assert_eq!(column(9), [10, 50, 50, 70].map(long));
    assert_eq!(column(10), [10, 50, 50, 80].map(long));
    assert_eq!(column(11), [long(70), long(50), long(30), Datum::Null]);
}

/// SQL-19.6: a row whose argument fails is left out of the whole operator, and comes back when it is replaced.
#[test]
fn failing_rows_are_left_out() {
    let mut calls = Spec { partition: vec![], order: vec![], calls: vec![] }.calls();
    let count = |argument| millstream_flow::WindowCall {
        function: WindowFunction::Aggregate(AggregateFunction::Count),
        arguments: argument,
        filter: None,
        ignore_nulls: false,
        frame: frame(FrameUnit::Rows, Bound::UnboundedPreceding, Bound::UnboundedFollowing),
    };
    calls.extend([count(vec![]), count(vec![strict_col(0)])]);
    let order = vec![millstream_flow::OrderKey { value: col(1), descending: false, nulls_first: false }];
    let mut circuit = circuit(1, Node::Window { input: 0, partition: vec![], order, calls });
    let mut view = Relation::default();
    let output = circuit
        .step(vec![(0, vec![plus(row![1; "x", 1]), plus(row![2; "bad", 2]), plus(row![3; Null, 3])])], 0)
        .unwrap();
    assert_eq!(states(&output), ["42804"]);
    view.apply(&output.rows);
    let long = Datum::Long;
    assert_eq!(view.rows(), [row![1; "x", 1, long(2), long(1)], row![3; Null, 3, long(2), long(1)]]);
    let output = circuit.step(vec![(0, vec![minus(row![2; "bad", 2]), plus(row![2; "y", 2])])], 0).unwrap();
    assert_eq!(output.failures.iter().map(|failure| failure.weight).collect::<Vec<_>>(), [-1]);
    view.apply(&output.rows);
    assert_eq!(view.get(2), Some(&row![2; "y", 2, long(3), long(2)]));
}
