//! Changes joined with a relation as it is.

use std::sync::Arc;

use millstream_flow::{Datum, JoinKind, Node, Row, RowError, ScalarRef};

use super::support::{Null, appended, circuit, col, minus, plus, row, states};

fn node(kind: JoinKind, residual: Option<ScalarRef>) -> Node {
    Node::Lookup {
        left: 0,
        right: 1,
        kind,
        left_keys: vec![col(0)],
        right_keys: vec![col(0)],
        residual,
        right_width: (2, 1),
    }
}

/// `left.1 < right.1`, which is column 3 of the pair.
fn less() -> ScalarRef {
    Arc::new(|row: &Row| {
        Ok(match (row.value(1), row.value(3)) {
            (Datum::Int(a), Datum::Int(b)) => Datum::Bool(a < b),
            (Datum::Text(_), _) => return Err(RowError::new("42804", "not a number")),
            _ => Datum::Null,
        })
    })
}

fn pair(left: (&str, &str, i32), right: Option<(i32, &str, &str)>) -> Row {
    let (key, columns) = match right {
        Some((key, a, b)) => (Datum::Int(key), [Datum::text(a), Datum::text(b)]),
        None => (Datum::Null, [Datum::Null, Datum::Null]),
    };
    let mut values = vec![Datum::text(left.1), Datum::Int(left.2)];
    values.extend(columns);
    Row::new(vec![Datum::text(left.0), key], values)
}

/// SQL-13.6, SQL-13.11: each change meets the relation as it is then, in row-key order; later differences put nothing out.
#[test]
fn changes_see_the_relation_as_it_is() {
    let mut circuit = circuit(2, node(JoinKind::Left, None));
    let mut step = |changes: Vec<_>, relation: Vec<_>| {
        let output = circuit.step(vec![(0, changes), (1, relation)], 0).unwrap();
        appended(&output)
    };
    assert_eq!(step(vec![plus(row!["t1"; "p1", 1])], vec![]), [pair(("t1", "p1", 1), None)]);
    assert_eq!(step(vec![], vec![plus(row![2; "p1", "Lamp"]), plus(row![1; "p1", "Desk"])]), []);
    let left = ("t2", "p1", 2);
    assert_eq!(
        step(vec![plus(row!["t2"; "p1", 2])], vec![]),
        [pair(left, Some((1, "p1", "Desk"))), pair(left, Some((2, "p1", "Lamp")))]
    );
    assert_eq!(step(vec![], vec![minus(row![2; "p1", "Lamp"]), plus(row![2; "p2", "Lamp"])]), []);
    assert_eq!(step(vec![plus(row!["t3"; "p1", 3])], vec![]), [pair(("t3", "p1", 3), Some((1, "p1", "Desk")))]);
    // NULL matches nothing.
    let output = step(vec![plus(row!["t4"; Null, 4])], vec![plus(row![3; Null, "None"])]);
    assert_eq!(
        output,
        [Row::new(vec![Datum::text("t4"), Datum::Null], vec![Datum::Null, Datum::Int(4), Datum::Null, Datum::Null])]
    );
}

/// SQL-13.6: subqueries over tables likewise.
#[test]
fn every_kind_of_lookup() {
    let relation = || vec![plus(row![1; "a", 10]), plus(row![2; "a", 20]), plus(row![3; "b", Null])];
    let run = |kind, residual, change: Row| {
        let mut circuit = circuit(2, node(kind, residual));
        circuit.step(vec![(1, relation())], 0).unwrap();
        circuit.step(vec![(0, vec![plus(change)])], 0).unwrap()
    };
    let (many, some, none) = (row!["t"; "a", 5], row!["t"; "a", 15], row!["t"; "a", 25]);
    assert_eq!(appended(&run(JoinKind::Inner, Some(less()), many.clone())).len(), 2);
    assert_eq!(appended(&run(JoinKind::Inner, Some(less()), none.clone())), []);
    assert_eq!(appended(&run(JoinKind::Semi, Some(less()), many.clone())), std::slice::from_ref(&many));
    assert_eq!(appended(&run(JoinKind::Semi, Some(less()), none.clone())), []);
    assert_eq!(appended(&run(JoinKind::Anti, Some(less()), many.clone())), []);
    assert_eq!(appended(&run(JoinKind::Anti, Some(less()), none.clone())), std::slice::from_ref(&none));
    assert_eq!(appended(&run(JoinKind::Mark, Some(less()), some.clone())), [row!["t"; "a", 15, true]]);
    assert_eq!(appended(&run(JoinKind::Mark, Some(less()), none.clone())), [row!["t"; "a", 25, false]]);
    assert_eq!(appended(&run(JoinKind::Mark, Some(less()), row!["t"; "b", 1])), [row!["t"; "b", 1, Null]]);
    assert_eq!(appended(&run(JoinKind::Mark, Some(less()), row!["t"; "c", 1])), [row!["t"; "c", 1, false]]);
    assert_eq!(appended(&run(JoinKind::Single, Some(less()), some)), [row!["t"; "a", 15, "a", 20]]);
    assert_eq!(appended(&run(JoinKind::Single, Some(less()), none)), [row!["t"; "a", 25, Null, Null]]);
    assert_eq!(states(&run(JoinKind::Single, Some(less()), many)), ["21000"]);
    let output = run(JoinKind::Left, Some(less()), row!["t"; "a", "x"]);
    assert_eq!((appended(&output).len(), states(&output)), (0, vec!["42804"]));
}
