//! Groups of changes by a bucket of time.

use std::sync::Arc;

use millstream_flow::{AggregateCall, AggregateFunction, Datum, Lateness, Node, OrderKey, Row, RowError, ScalarRef};

use super::support::{Null, appended, at, circuit, col, plus, row, states, time};

/// The minute of column 0, so much later.
fn minute(plus_ms: i64) -> ScalarRef {
    Arc::new(move |row: &Row| {
        Ok::<_, RowError>(match row.value(0) {
            Datum::Instant(ms) => Datum::Instant(ms.div_euclid(60_000) * 60_000 + plus_ms),
            other => other.clone(),
        })
    })
}

fn aggregate(function: AggregateFunction, arguments: Vec<ScalarRef>) -> AggregateCall {
    AggregateCall { function, arguments, distinct: false, order: vec![], filter: None }
}

fn node(calls: Vec<AggregateCall>, lateness: Option<Lateness>) -> Node {
    Node::Bucket { input: 0, group: vec![minute(0), col(1)], end: minute(60_000), calls, lateness, time: col(0) }
}

fn group(minute: Datum, op: &str, values: Vec<Datum>) -> Row {
    let key = vec![minute, Datum::text(op)];
    Row::new(key.clone(), [key, values].concat())
}

/// SQL-13.9, E-18
#[test]
fn each_group_is_put_out_once() {
    let mut circuit = circuit(1, node(vec![aggregate(AggregateFunction::Count, vec![])], None));
    let mut change = |token: &str, now: i64, op: &str| {
        let output = circuit.step(vec![(0, vec![plus(row![token; Datum::Instant(now), op])])], now).unwrap();
        (appended(&output), output.due_ms)
    };
    let long = |n| vec![Datum::Long(n)];
    assert_eq!(change("t1", at(10, 0, 10), "INSERT"), (vec![], Some(at(10, 1, 0))));
    assert_eq!(change("t2", at(10, 0, 50), "INSERT").0, []);
    assert_eq!(change("t3", at(10, 0, 59) + 999, "UPDATE").0, []);
    assert_eq!(
        change("t4", at(10, 1, 0), "INSERT"),
        (vec![group(time(10, 0, 0), "INSERT", long(2)), group(time(10, 0, 0), "UPDATE", long(1))], Some(at(10, 2, 0)))
    );
    let tick = circuit.step(vec![], at(10, 3, 20)).unwrap();
    assert_eq!((appended(&tick), tick.due_ms), (vec![group(time(10, 1, 0), "INSERT", long(1))], None));
}

/// SQL-7.1, SQL-13.9: aggregates that need all their rows.
#[test]
fn buckets_keep_what_their_aggregates_need() {
    let mut agg = aggregate(AggregateFunction::ArrayAgg, vec![col(2)]);
    agg.order = vec![OrderKey { value: col(2), descending: true, nulls_first: true }];
    let mut distinct = aggregate(AggregateFunction::Count, vec![col(2)]);
    distinct.distinct = true;
    let calls = vec![
        agg,
        aggregate(AggregateFunction::ArrayAgg, vec![col(2)]),
        distinct,
        aggregate(AggregateFunction::Sum, vec![col(2)]),
        aggregate(AggregateFunction::Max, vec![col(2)]),
    ];
    let mut circuit = circuit(1, node(calls, None));
    for (token, x) in [("t1", 2), ("t2", 5), ("t3", 2)] {
        circuit.step(vec![(0, vec![plus(row![token; time(10, 0, 1), "a", x])])], at(10, 0, 1)).unwrap();
    }
    let output = circuit.step(vec![(0, vec![plus(row!["t4"; time(10, 0, 1), "a", "x"])])], at(10, 0, 2)).unwrap();
    assert_eq!(states(&output), ["42804"], "SUM of a text: the row is left out of all of it");
    let output = circuit.step(vec![], at(10, 1, 0)).unwrap();
    let array = |values: [i32; 3]| Datum::Array(values.map(Datum::Int).into());
    let values = vec![array([5, 2, 2]), array([2, 5, 2]), Datum::Long(2), Datum::Long(9), Datum::Int(5)];
    assert_eq!(appended(&output), [group(time(10, 0, 0), "a", values)]);
}

/// SQL-13.8, SQL-13.9: by a time of the rows' own, what is late and what is too late.
#[test]
fn buckets_by_another_time() {
    let lateness = Lateness { lateness: 30_000, idle_timeout_ms: 60_000 };
    let mut circuit = circuit(1, node(vec![aggregate(AggregateFunction::Count, vec![])], Some(lateness)));
    let mut change = |token: &str, now: i64, own: Datum| {
        let output = circuit.step(vec![(0, vec![plus(row![token; own, "a"])])], now).unwrap();
        (appended(&output), states(&output))
    };
    assert_eq!(change("t1", at(12, 0, 0), time(10, 0, 10)), (vec![], vec![]));
    assert_eq!(change("t2", at(12, 0, 1), time(10, 1, 20)), (vec![], vec![]));
    assert_eq!(change("t3", at(12, 0, 2), time(10, 0, 50)), (vec![], vec![]), "late, but not too late");
    assert_eq!(change("t4", at(12, 0, 3), time(10, 0, 49)), (vec![], vec!["MS003"]));
    assert_eq!(change("t5", at(12, 0, 3), Null.into_datum()), (vec![], vec!["22004"]));
    assert_eq!(
        change("t6", at(12, 0, 4), time(10, 1, 30)),
        (vec![group(time(10, 0, 0), "a", vec![Datum::Long(2)])], vec![])
    );
    // Silence: from 12:01:04 on nothing before 12:00:34 is waited for.
    assert_eq!(appended(&circuit.step(vec![], at(12, 1, 3)).unwrap()), []);
    let output = circuit.step(vec![], at(12, 1, 4)).unwrap();
    assert_eq!(appended(&output), [group(time(10, 1, 0), "a", vec![Datum::Long(2)])]);
}
