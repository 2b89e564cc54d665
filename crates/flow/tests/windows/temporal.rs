//! Rows while a condition on them and the clock holds.

use std::sync::Arc;

use millstream_flow::{Circuit, Datum, Node, Row, RowError, ScalarRef, key};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::support::{Null, Relation, at, circuit, col, minus, plus, row, states, strict_col, time};

/// `starts <= clock AND clock < ends`, three-valued; columns: name, starts, ends, and the clock behind them.
fn live() -> Node {
    let condition: ScalarRef = Arc::new(|row: &Row| {
        let clock = row.value(3);
        let known = |value: &Datum, holds: bool| (!value.is_null()).then_some(holds);
        let started = known(row.value(1), key::compare(row.value(1), clock).is_le());
        let not_ended = known(row.value(2), key::compare(clock, row.value(2)).is_lt());
        Ok::<_, RowError>(match (started, not_ended) {
            (Some(false), _) | (_, Some(false)) => Datum::Bool(false),
            (Some(true), Some(true)) => Datum::Bool(true),
            _ => Datum::Null,
        })
    });
    Node::Temporal { input: 0, condition, instants: vec![col(1), strict_col(2)] }
}

/// SQL-11.2, SQL-11.3, E-11: rows enter and leave by the clock alone.
#[test]
fn rows_enter_and_leave_by_the_clock() {
    let mut circuit = circuit(1, live());
    let promos = vec![
        plus(row![1; "A", time(10, 0, 0), time(11, 0, 0)]),
        plus(row![2; "B", time(10, 30, 0), time(10, 45, 0)]),
        plus(row![3; "C", Null, time(12, 0, 0)]),
    ];
    let output = circuit.step(vec![(0, promos)], at(9, 0, 0)).unwrap();
    assert_eq!((output.rows.len(), output.due_ms), (0, Some(at(10, 0, 0))));
    assert_eq!(circuit.step(vec![], at(10, 0, 0) - 1).unwrap().rows, []);
    let output = circuit.step(vec![], at(10, 0, 0)).unwrap();
    assert_eq!(output.rows, [plus(row![1; "A", time(10, 0, 0), time(11, 0, 0)])]);
    assert_eq!(output.due_ms, Some(at(10, 30, 0)));
    let b = row![2; "B", time(10, 30, 0), time(10, 45, 0)];
    assert_eq!(circuit.step(vec![], at(10, 30, 0)).unwrap().rows, [plus(b.clone())]);
    assert_eq!(circuit.step(vec![], at(10, 45, 0) - 1).unwrap().rows, []);
    assert_eq!(circuit.step(vec![], at(10, 45, 0)).unwrap().rows, [minus(b.clone())]);
    let (old, new) = (row![1; "A", time(10, 0, 0), time(11, 0, 0)], row![1; "A", time(10, 0, 0), time(10, 50, 0)]);
    let output = circuit.step(vec![(0, vec![minus(old.clone()), plus(new.clone())])], at(10, 46, 0)).unwrap();
    assert_eq!((output.rows, output.due_ms), (vec![minus(old), plus(new.clone())], Some(at(10, 50, 0))));
    let output = circuit.step(vec![], at(10, 50, 0)).unwrap();
    assert_eq!((output.rows, output.due_ms), (vec![minus(new)], None));
    // A row that was dropped goes without a trace.
    assert_eq!(circuit.step(vec![(0, vec![minus(b)])], at(10, 51, 0)).unwrap().rows, []);
}

/// SQL-19.6: what fails is left out, until it goes.
#[test]
fn failing_rows_are_left_out() {
    let mut circuit = circuit(1, live());
    let bad = row![1; "A", time(10, 0, 0), "bad"];
    let output = circuit.step(vec![(0, vec![plus(bad.clone())])], at(9, 0, 0)).unwrap();
    assert_eq!((output.rows.len(), states(&output), output.due_ms), (0, vec!["42804"], None));
    let output = circuit.step(vec![(0, vec![minus(bad)])], at(12, 0, 0)).unwrap();
    assert_eq!(output.failures[0].weight, -1);
}

/// SQL-11.3, SQL-1.2: at every clock the rows are those of the definition, and nothing happens between the instants.
#[test]
fn random_clocks() {
    for seed in 0..50 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut circuit: Circuit = circuit(1, live());
        let (mut input, mut output) = (Relation::default(), Relation::default());
        let mut clock = at(9, 0, 0);
        let mut due = None;
        for _ in 0..40 {
            let before = clock;
            clock += rng.random_range(0..5) * 60_000;
            let mut delta = Vec::new();
            for _ in 0..rng.random_range(0..3) {
                let id = rng.random_range(0..8);
                let start = delta.len();
                delta.extend(input.get(id).cloned().map(minus));
                if rng.random_bool(0.7) {
                    let from = rng.random_range(0..120);
                    let starts = if rng.random_bool(0.1) { Datum::Null } else { time(9, from, 0) };
                    delta.push(plus(row![id; "x", starts, time(9, from + rng.random_range(-5..30), 0)]));
                }
                input.apply(&delta[start..].to_vec());
            }
            let is_idle = delta.is_empty();
            let stepped = circuit.step(vec![(0, delta)], clock).unwrap();
            if is_idle && due.is_none_or(|due| due > clock) {
                assert_eq!(stepped.rows, [], "seed {seed}: nothing was due between {before} and {clock}");
            }
            due = stepped.due_ms;
            assert!(due.is_none_or(|due| due > clock));
            output.apply(&stepped.rows);
            let is_live = |row: &Row| {
                key::compare(row.value(1), &Datum::Instant(clock)).is_le()
                    && key::compare(row.value(2), &Datum::Instant(clock)).is_gt()
            };
            let expected: Vec<Row> = input.rows().into_iter().filter(is_live).collect();
            assert_eq!(output.rows(), expected, "seed {seed}");
        }
    }
}
