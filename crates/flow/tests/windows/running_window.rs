//! Windows over changes.

use millstream_flow::{
    AggregateFunction, Bound, Circuit, Datum, Exclude, Frame, FrameUnit, Interval, LateOrder, Node, Offset, Row,
    WindowFunction, key,
};
use millstream_value::Decimal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::naive::{Argument, By, Call, Spec};
use super::support::{Null, appended, at, circuit, col, plus, row, states, time};
use super::window::{call, frame, random_call, whole};

fn node(spec: &Spec, lateness: Option<i64>) -> Node {
    let order = lateness.map(|lateness| LateOrder { key: col(1), lateness });
    Node::RunningWindow { input: 0, partition: spec.partition(), order, time: col(1), calls: spec.calls() }
}

fn preceding(n: u64) -> Bound {
    Bound::Preceding(Offset::Count(n))
}

fn hour() -> Bound {
    Bound::Preceding(Offset::Interval(Interval { micros: 3_600_000_000, ..Interval::default() }))
}

/// SQL-13.4, E-6: payments in the last hour, the average of the ten before, the address before.
#[test]
fn payments() {
    let spec = Spec {
        partition: vec![0],
        order: vec![],
        calls: vec![
            call(
                WindowFunction::Aggregate(AggregateFunction::Count),
                vec![],
                frame(FrameUnit::Range, hour(), Bound::CurrentRow),
            ),
            call(
                WindowFunction::Aggregate(AggregateFunction::Avg),
                vec![Argument::Column(2)],
                frame(FrameUnit::Rows, preceding(10), preceding(1)),
            ),
            call(WindowFunction::Lag, vec![Argument::Column(3)], whole()),
        ],
    };
    let mut circuit = circuit(1, node(&spec, None));
    let changes = [
        ((10, 0), 100, "A", 1, None, None),
        ((10, 10), 100, "A", 2, Some("100"), Some("A")),
        ((10, 20), 100, "B", 3, Some("100"), Some("A")),
        ((10, 30), 400, "B", 4, Some("100"), Some("B")),
        ((10, 40), 100, "B", 5, Some("175"), Some("B")),
        ((11, 0), 600, "A", 6, Some("160"), Some("B")),
        ((11, 35), 50, "A", 3, Some("233.3333333333333333"), Some("A")),
        ((11, 36), 5000, "C", 4, Some("207.1428571428571429"), Some("A")),
    ];
    for (n, ((hour, minute), amount, ip, count, average, previous)) in changes.into_iter().enumerate() {
        let row = row![format!("t{n}").as_str(); "c1", time(hour, minute, 0), amount, ip];
        let output = circuit.step(vec![(0, vec![plus(row)])], at(hour, minute, 0)).unwrap();
        let [row] = appended(&output).try_into().unwrap();
        assert_eq!(*row.value(4), Datum::Long(count));
        match average {
            Some(average) => {
                assert!(key::equal(row.value(5), &Datum::Decimal(Decimal::parse(average).unwrap())), "{row:?}")
            }
            None => assert!(row.value(5).is_null()),
        }
        assert_eq!(*row.value(6), previous.map_or(Datum::Null, Datum::text));
    }
}

/// SQL-13.5, E-4: late rows at their place, too late ones not at all.
#[test]
fn activities() {
    let spec = Spec {
        partition: vec![0],
        order: vec![],
        calls: vec![
            call(WindowFunction::Lag, vec![Argument::Column(1)], whole()),
            call(
                WindowFunction::Aggregate(AggregateFunction::Count),
                vec![],
                frame(FrameUnit::Rows, Bound::UnboundedPreceding, Bound::CurrentRow),
            ),
        ],
    };
    let mut circuit = circuit(1, node(&spec, Some(300_000)));
    let mut change = |session: &str, own: i64| {
        let row = row![own.to_string().as_str(); session, Datum::Instant(own)];
        let output = circuit.step(vec![(0, vec![plus(row)])], 0).unwrap();
        let shown = appended(&output).into_iter().next().map(|row| {
            let since = if let Datum::Instant(previous) = row.value(2) { Some(own - previous) } else { None };
            (since, row.value(3).clone())
        });
        (shown, states(&output))
    };
    let ok = |seconds: Option<i64>, count| (Some((seconds.map(|s| s * 1000), Datum::Long(count))), vec![]);
    assert_eq!(change("s1", at(10, 0, 0)), ok(None, 1));
    assert_eq!(change("s1", at(10, 1, 30)), ok(Some(90), 2));
    assert_eq!(change("s1", at(10, 1, 0)), ok(Some(60), 2));
    assert_eq!(change("s1", at(10, 2, 0)), ok(Some(30), 4));
    assert_eq!(change("s1", at(10, 10, 0)), ok(Some(480), 5));
    assert_eq!(change("s1", at(10, 5, 0) - 1), (None, vec!["MS003"]));
    assert_eq!(change("s1", at(10, 5, 0)), ok(Some(180), 5));
    assert_eq!(change("s2", at(9, 0, 0)), ok(None, 1));
    assert_eq!(change("s1", at(10, 11, 0)), ok(Some(60), 7));
    let output = circuit.step(vec![(0, vec![plus(row!["t"; "s1", Null])])], 0).unwrap();
    assert_eq!(states(&output), ["22004"]);
}

/// A call whose frame does not reach past the current row.
fn running_call(rng: &mut StdRng, by_time: bool) -> Call {
    loop {
        let call = random_call(rng, by_time);
        let reaches_on = |bound: &Bound| matches!(bound, Bound::Following(_) | Bound::UnboundedFollowing);
        let is_later = matches!(
            call.function,
            WindowFunction::Lead | WindowFunction::Ntile | WindowFunction::PercentRank | WindowFunction::CumeDist
        );
        if !is_later && !reaches_on(&call.frame.start) && !reaches_on(&call.frame.end) {
            return call;
        }
    }
}

/// Puts random rows in and compares each output with the definition over the rows so far.
fn run(seed: u64, lateness: Option<i64>, by_time: bool, mut circuit: impl FnMut(Node) -> Circuit) {
    let mut rng = StdRng::seed_from_u64(seed);
    let spec = Spec {
        partition: vec![0],
        order: vec![By { column: 1, descending: false, nulls_first: false }],
        calls: (0..3).map(|_| running_call(&mut rng, by_time)).collect(),
    };
    let mut circuit = circuit(node(&spec, lateness));
    let mut seen: Vec<Row> = Vec::new();
    let mut now = 0;
    for id in 0..120 {
        now += rng.random_range(0..3);
        let own = if lateness.is_some() { now - rng.random_range(0..6) } else { now };
        let own_datum = if by_time { Datum::Instant(i64::from(own) * 60_000) } else { Datum::Int(own) };
        let value = if rng.random_bool(0.2) { Datum::Null } else { Datum::Int(rng.random_range(0..20)) };
        let flag = if rng.random_bool(0.1) { Datum::Null } else { Datum::Bool(rng.random_bool(0.5)) };
        let row = row![id; rng.random_range(0..2), own_datum, value, flag, 1];
        let output = circuit.step(vec![(0, vec![plus(row.clone())])], 0).unwrap();
        let mine = seen.iter().filter(|other| other.value(0) == row.value(0));
        let number = |value: &Datum| match value {
            Datum::Int(v) => i64::from(*v),
            Datum::Instant(ms) => *ms,
            _ => unreachable!(),
        };
        let greatest = mine.map(|other| number(other.value(1))).max();
        if lateness.zip(greatest).is_some_and(|(lateness, greatest)| number(row.value(1)) < greatest - lateness) {
            assert_eq!((appended(&output), states(&output)), (vec![], vec!["MS003"]));
            continue;
        }
        seen.push(row);
        let expected = spec.evaluate(&seen).into_iter().find(|row| row.key[0] == Datum::Int(id));
        assert_eq!(appended(&output), expected.into_iter().collect::<Vec<_>>(), "seed {seed}, row {id}, {spec:?}");
    }
}

/// SQL-13.4, SQL-8.4
#[test]
fn windows_in_sequence() {
    for seed in 0..40 {
        run(seed, None, seed % 2 == 0, |node| circuit(1, node));
    }
}

/// SQL-13.5
#[test]
fn windows_with_late_rows() {
    for seed in 0..40 {
        let by_time = seed % 2 == 0;
        run(500 + seed, Some(if by_time { 180_000 } else { 3 }), by_time, |node| circuit(1, node));
    }
}

/// SQL-13.4: what looks ahead is refused row by row if a plan asks for it.
#[test]
fn nothing_looks_ahead() {
    let mut ahead = frame(FrameUnit::Rows, Bound::UnboundedPreceding, Bound::CurrentRow);
    ahead.exclude = Exclude::NoOthers;
    let spec = Spec {
        partition: vec![],
        order: vec![],
        calls: vec![call(WindowFunction::Lead, vec![Argument::Column(0)], ahead)],
    };
    let mut circuit = circuit(1, node(&spec, None));
    let output = circuit.step(vec![(0, vec![plus(row![1; 1, 1])])], 0).unwrap();
    assert_eq!(states(&output), ["0A000"]);
    let _: Frame = whole();
}
