//! Pairs of changes whose times are near each other.

use std::sync::Arc;

use millstream_flow::{Circuit, Datum, JoinKind, Lateness, Node, Row, RowError, ScalarRef};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::support::{appended, at, circuit, col, plus, row, states};

const MINUTE: i64 = 60_000;

/// Columns: time, key, value. Keys: tokens.
struct Band {
    kind: JoinKind,
    keyed: bool,
    from: (i64, bool),
    to: (i64, bool),
    lateness: Option<Lateness>,
    residual: Option<ScalarRef>,
}

impl Band {
    fn circuit(self) -> Circuit {
        let keys = || if self.keyed { vec![col(1)] } else { vec![] };
        circuit(
            2,
            Node::Band {
                left: 0,
                right: 1,
                kind: self.kind,
                left_keys: keys(),
                right_keys: keys(),
                residual: self.residual,
                left_time: col(0),
                right_time: col(0),
                from_ms: self.from.0,
                from_inclusive: self.from.1,
                to_ms: self.to.0,
                to_inclusive: self.to.1,
                lateness: self.lateness,
                left_width: (2, 1),
                right_width: (2, 1),
            },
        )
    }
}

/// The lineages of outputs (SQL-13.11).
fn lineages(rows: &[Row]) -> Vec<String> {
    let part = |value: &Datum| match value {
        Datum::Text(token) => token.to_string(),
        _ => String::new(),
    };
    rows.iter().map(|row| row.key.iter().map(part).collect::<Vec<_>>().join("|")).collect()
}

/// SQL-13.7, SQL-13.8, E-3: a full join without keys, a minute on either side.
#[test]
fn orders_and_inventory_within_a_minute() {
    let band = Band {
        kind: JoinKind::Full,
        keyed: false,
        from: (-MINUTE, true),
        to: (MINUTE, true),
        lateness: None,
        residual: None,
    };
    let mut circuit = band.circuit();
    let mut change = |token: &str, source, now: i64| {
        let output = circuit.step(vec![(source, vec![plus(row![token; Datum::Instant(now), token])])], now).unwrap();
        (lineages(&appended(&output)), output.due_ms)
    };
    assert_eq!(change("t1", 0, at(10, 0, 0)), (vec![], Some(at(10, 1, 0) + 1)));
    assert_eq!(change("t2", 1, at(10, 0, 30)).0, ["t1|t2"]);
    assert_eq!(change("t3", 1, at(10, 0, 59)), (vec!["t1|t3".into()], None));
    assert_eq!(change("t4", 0, at(10, 1, 0)).0, ["t4|t2", "t4|t3"]);
    assert_eq!(change("t6", 0, at(10, 3, 0)).0, [""; 0]);
    assert_eq!(change("t7", 1, at(10, 5, 0)).0, ["t6|"]);
    assert_eq!(change("t8", 0, at(10, 5, 30)).0, ["t8|t7"]);
    assert_eq!(change("t9", 1, at(10, 7, 0)), (vec![], Some(at(10, 8, 0) + 1)));
    assert_eq!(appended(&circuit.step(vec![], at(10, 8, 0)).unwrap()), []);
    let tick = circuit.step(vec![], at(10, 8, 0) + 1).unwrap();
    assert_eq!((lineages(&appended(&tick)), tick.due_ms), (vec!["|t9".into()], None));
}

/// SQL-13.7, SQL-13.8, E-13: keyed, the payment at most half an hour behind its order.
#[test]
fn payments_within_half_an_hour() {
    let band = Band {
        kind: JoinKind::Left,
        keyed: true,
        from: (-30 * MINUTE, true),
        to: (0, true),
        lateness: None,
        residual: None,
    };
    let mut circuit = band.circuit();
    let mut change = |token: &str, source, now: i64, order: &str| {
        let output = circuit.step(vec![(source, vec![plus(row![token; Datum::Instant(now), order])])], now).unwrap();
        lineages(&appended(&output))
    };
    assert_eq!(change("t1", 0, at(10, 0, 0), "a"), [""; 0]);
    assert_eq!(change("t2", 0, at(10, 5, 0), "b"), [""; 0]);
    assert_eq!(change("t3", 1, at(10, 10, 0), "a"), ["t1|t3"]);
    assert_eq!(change("t4", 1, at(10, 35, 0), "b"), ["t2|t4"]);
    assert_eq!(change("t5", 0, at(10, 40, 0), "c"), [""; 0]);
    assert_eq!(change("t6", 1, at(10, 41, 0), "z"), [""; 0]);
    assert_eq!(change("t7", 1, at(11, 10, 0) + 1, "c"), ["t5|"]);
    let tick = circuit.step(vec![], at(13, 0, 0)).unwrap();
    assert_eq!((appended(&tick), tick.due_ms), (vec![], None), "z is never put out");
}

/// SQL-13.8: exclusive ends close at their instant, and what closes together comes by that instant, then by token.
#[test]
fn exclusive_ends() {
    let band = Band {
        kind: JoinKind::Left,
        keyed: true,
        from: (-MINUTE, false),
        to: (0, true),
        lateness: None,
        residual: None,
    };
    let mut circuit = band.circuit();
    let left = |token: &str, now| plus(row![token; Datum::Instant(now), token]);
    circuit.step(vec![(0, vec![left("t2", at(10, 0, 0)), left("t1", at(10, 0, 0))])], at(10, 0, 0)).unwrap();
    circuit.step(vec![(0, vec![left("t0", at(10, 0, 1))])], at(10, 0, 1)).unwrap();
    assert_eq!(appended(&circuit.step(vec![], at(10, 1, 0) - 1).unwrap()), []);
    assert_eq!(lineages(&appended(&circuit.step(vec![], at(10, 5, 0)).unwrap())), ["t1|", "t2|", "t0|"]);
}

/// SQL-13.8: by times of their own; a side that is silent does not hold up the other one.
#[test]
fn bands_by_other_times() {
    let lateness = Lateness { lateness: 5 * MINUTE, idle_timeout_ms: MINUTE };
    let band = Band {
        kind: JoinKind::Left,
        keyed: true,
        from: (-MINUTE, true),
        to: (MINUTE, true),
        lateness: Some(lateness),
        residual: None,
    };
    let mut circuit = band.circuit();
    let mut change = |token: &str, source, now: i64, own: i64, key: &str| {
        let output = circuit.step(vec![(source, vec![plus(row![token; Datum::Instant(own), key])])], now).unwrap();
        (lineages(&appended(&output)), states(&output), output.due_ms)
    };
    let now = |second| at(20, 0, second);
    let none = || Vec::<String>::new();
    assert_eq!(change("t1", 0, now(0), at(10, 0, 0), "a").0, none());
    assert_eq!(change("t2", 1, now(1), at(10, 20, 0), "z").0, none());
    // The left side is at 9:55 still, so the right one may be late by its own measure only.
    assert_eq!(change("t3", 1, now(2), at(10, 14, 59), "a").1, ["MS003"]);
    assert_eq!(change("t4", 0, now(3), at(10, 1, 0), "b").0, none());
    // Both sides have passed 10:02.
    let (out, failed, _) = change("t5", 0, now(4), at(10, 7, 1), "c");
    assert_eq!((out, failed), (vec!["t1|".into(), "t4|".into()], vec![]));
    let (out, _, due) = change("t6", 1, now(5), at(10, 21, 0), "z");
    assert_eq!(out, none());
    // c closes behind 10:08:01: as soon as the left side, too, is idle.
    assert_eq!(due, Some(now(64)));
    assert_eq!(appended(&circuit.step(vec![], now(63)).unwrap()), []);
    let tick = circuit.step(vec![], now(64)).unwrap();
    assert_eq!(lineages(&appended(&tick)), ["t5|"]);
}

/// SQL-13.7, SQL-13.8, SQL-19.3: all pairs that are near, each once, and every preserved row without one, whatever the batches.
#[test]
fn random_bands() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let kind = [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full][rng.random_range(0..4)];
        let keyed = rng.random_bool(0.6);
        let from = (rng.random_range(-6..3), rng.random_bool(0.5));
        let to = (rng.random_range(from.0..6), rng.random_bool(0.5));
        let odd: ScalarRef = Arc::new(|row: &Row| {
            let sum = row.values.iter().map(|value| if let Datum::Int(v) = value { *v } else { 0 }).sum::<i32>();
            Ok::<_, RowError>(Datum::Bool(sum % 3 != 0))
        });
        let residual = rng.random_bool(0.5).then(|| odd.clone());
        let near = |left: &Row, right: &Row| {
            let (Datum::Instant(l), Datum::Instant(r)) = (left.value(0), right.value(0)) else { return false };
            let d = l - r;
            let both = Row::new(vec![], [left.values.as_ref(), right.values.as_ref()].concat());
            (d > from.0 || (from.1 && d == from.0))
                && (d < to.0 || (to.1 && d == to.0))
                && (!keyed || (left.value(1) == right.value(1) && !left.value(1).is_null()))
                && (residual.is_none() || odd.eval(&both) == Ok(Datum::Bool(true)))
        };
        let band = Band { kind, keyed, from, to, lateness: None, residual: residual.clone() };
        let mut circuit = band.circuit();
        let mut sides: [Vec<Row>; 2] = [vec![], vec![]];
        let mut out = Vec::new();
        let mut now = 1000;
        for change in 0..40 {
            now += rng.random_range(0..3);
            let side = rng.random_range(0..2);
            let key = if rng.random_bool(0.1) { Datum::Null } else { Datum::Int(rng.random_range(0..3)) };
            let row = row![format!("t{change:02}").as_str(); Datum::Instant(now), key];
            sides[side].push(row.clone());
            out.extend(appended(&circuit.step(vec![(side, vec![plus(row)])], now).unwrap()));
        }
        out.extend(appended(&circuit.step(vec![], now + 100).unwrap()));
        let mut expected = Vec::new();
        let [left, right] = &sides;
        for l in left {
            expected.extend(right.iter().filter(|r| near(l, r)).map(|r| format!("{:?}|{:?}", l.key[0], r.key[0])));
            if matches!(kind, JoinKind::Left | JoinKind::Full) && !right.iter().any(|r| near(l, r)) {
                expected.push(format!("{:?}|Null", l.key[0]));
            }
        }
        for r in right {
            if matches!(kind, JoinKind::Right | JoinKind::Full) && !left.iter().any(|l| near(l, r)) {
                expected.push(format!("Null|{:?}", r.key[0]));
            }
        }
        let mut got: Vec<String> = out.iter().map(|row| format!("{:?}|{:?}", row.key[0], row.key[1])).collect();
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "seed {seed} {kind:?} {from:?} {to:?}");
    }
}
