//! Joins, as rows of both sides come and go.

use crate::testing::{View, at_most, column, column_or_fail, dec, int, minus, plus, text};
use crate::{Change, Datum, JoinKind, Node, ScalarRef};

fn join(kind: JoinKind, left_keys: Vec<ScalarRef>, right_keys: Vec<ScalarRef>, residual: Option<ScalarRef>) -> View {
    let nodes = vec![
        Node::Source { source: 0 },
        Node::Source { source: 1 },
        Node::Join {
            left: 0,
            right: 1,
            kind,
            left_keys,
            right_keys,
            residual,
            left_width: (2, 1),
            right_width: (2, 1),
        },
    ];
    View::new(nodes, 2)
}

fn on_first(kind: JoinKind) -> View {
    join(kind, vec![column(0)], vec![column(0)], None)
}

fn pairs(view: &View) -> Vec<(Datum, Datum)> {
    view.sum.rows.values().map(|(row, _)| (row.key[0].clone(), row.key[1].clone())).collect()
}

/// SQL-9.8, SQL-14.3, E-8: deletes in an outer join.
#[test]
fn rows_without_a_match_are_padded() {
    let nodes = vec![
        Node::Source { source: 0 },
        Node::Source { source: 1 },
        Node::Join {
            left: 0,
            right: 1,
            kind: JoinKind::Left,
            left_keys: vec![column(0)],
            right_keys: vec![column(0)],
            residual: None,
            left_width: (2, 1),
            right_width: (2, 1),
        },
    ];
    let mut view = View::new(nodes, 2);
    let (ann, bob) = ([int(1), text("Ann")], [int(2), text("Bob")]);
    let order = |customer: i32, amount: i32| [int(customer), int(amount)];
    let none = Datum::Null;
    view.step([vec![plus(1, &ann), plus(2, &bob)], vec![plus(10, &order(1, 5)), plus(11, &order(1, 7))]]);
    assert_eq!(pairs(&view), [(int(1), int(10)), (int(1), int(11)), (int(2), none.clone())]);
    let last = view.sum.rows.values().last().unwrap().0.clone();
    assert_eq!(last.values[..], [int(2), text("Bob"), none.clone(), none.clone()]);
    assert_eq!(view.step([vec![], vec![minus(10, &order(1, 5))]]).rows.len(), 1);
    let output = view.step([vec![], vec![minus(11, &order(1, 7))]]);
    assert_eq!(output.rows.iter().map(|change| change.weight).collect::<Vec<_>>(), [-1, 1]);
    assert_eq!(pairs(&view), [(int(1), none.clone()), (int(2), none)]);
    view.step([vec![], vec![plus(12, &order(2, 9))]]);
    assert_eq!(pairs(&view)[1], (int(2), int(12)));
    assert_eq!(view.step([vec![minus(2, &bob)], vec![]]).rows.len(), 1);
    assert_eq!(view.step([vec![], vec![plus(13, &order(99, 1))]]).rows, []);
}

/// SQL-9.8: a NULL key matches nothing, and a preserved row with one is padded.
#[test]
fn null_keys_match_nothing() {
    let row = |key: Datum| [key, int(0)];
    for (kind, rows) in [(JoinKind::Inner, 0), (JoinKind::Left, 1), (JoinKind::Right, 1), (JoinKind::Full, 2)] {
        let mut view = on_first(kind);
        let (left, right) = (vec![plus(1, &row(Datum::Null))], vec![plus(2, &row(Datum::Missing))]);
        let undo = |delta: &[Change]| -> Vec<Change> {
            delta.iter().map(|change| Change { weight: -1, ..change.clone() }).collect()
        };
        view.step([left.clone(), right.clone()]);
        assert_eq!(view.values().len(), rows, "{kind:?}");
        view.step([undo(&left), undo(&right)]);
        assert_eq!(view.values().len(), 0, "{kind:?}");
    }
}

/// SQL-4.5: a numeric equals the double that it rounds to; otherwise numbers are exact.
#[test]
fn keys_are_equal_where_values_are() {
    let mut view = on_first(JoinKind::Inner);
    let row = |key: Datum| [key, int(0)];
    let numbers =
        [dec("19.99"), Datum::Double(19.99), dec("19.990000000000000001"), Datum::Long(i64::MAX), int(5), text("5")];
    let right = [dec("19.990"), Datum::Double(9.223_372_036_854_776e18), dec("5.0"), Datum::Long(i64::MAX)];
    view.step([
        numbers.iter().zip(1..).map(|(number, id)| plus(id, &row(number.clone()))).collect(),
        right.iter().zip(1..).map(|(number, id)| plus(id, &row(number.clone()))).collect(),
    ]);
    let want = [(1, 1), (2, 1), (4, 4), (5, 3)].map(|(left, right)| (int(left), int(right)));
    let mut got = pairs(&view);
    got.sort_by(|a, b| crate::key::compare(&a.0, &b.0));
    assert_eq!(got, want);
}

/// SQL-9.8: any condition; without keys every pair is looked at.
#[test]
fn any_condition_joins() {
    let mut view = join(JoinKind::Full, vec![], vec![], Some(at_most(0, 2)));
    let row = |value: Datum| [value, int(0)];
    view.step([
        vec![plus(1, &row(int(1))), plus(2, &row(int(5))), plus(3, &row(Datum::Null))],
        vec![plus(1, &row(int(3))), plus(2, &row(int(0)))],
    ]);
    let none = Datum::Null;
    let want = [(int(1), int(1)), (int(2), none.clone()), (int(3), none.clone()), (none.clone(), int(2))];
    let sorted = |view: &View| {
        let mut got = pairs(view);
        got.sort_by(|a, b| crate::key::compare(&a.0, &b.0).then_with(|| crate::key::compare(&a.1, &b.1)));
        got
    };
    assert_eq!(sorted(&view), want);
    view.step([vec![], vec![minus(1, &row(int(3))), plus(1, &row(int(9)))]]);
    assert_eq!(sorted(&view), [(int(1), int(1)), (int(2), int(1)), (int(3), none.clone()), (none, int(2))]);
}

/// SQL-9.9: EXISTS and NOT EXISTS, with changes on both sides at once.
#[test]
fn semi_and_anti() {
    let (mut semi, mut anti) = (on_first(JoinKind::Semi), on_first(JoinKind::Anti));
    let row = |key: i32| [int(key), int(0)];
    let mut both = |left: Vec<Change>, right: Vec<Change>| {
        semi.step([left.clone(), right.clone()]);
        anti.step([left, right]);
        let keys = |view: &View| -> Vec<Datum> { view.sum.rows.values().map(|(row, _)| row.key[0].clone()).collect() };
        (keys(&semi), keys(&anti))
    };
    assert_eq!(both(vec![plus(1, &row(1)), plus(2, &row(2))], vec![plus(7, &row(1))]), (vec![int(1)], vec![int(2)]));
    assert_eq!(both(vec![], vec![plus(8, &row(1)), minus(7, &row(1))]), (vec![int(1)], vec![int(2)]));
    let moved = both(vec![minus(1, &row(1)), plus(1, &row(3))], vec![minus(8, &row(1)), plus(8, &row(2))]);
    assert_eq!(moved, (vec![int(2)], vec![int(1)]));
    assert_eq!(both(vec![minus(2, &row(2))], vec![minus(8, &row(2))]), (vec![], vec![int(1)]));
}

/// SQL-5.2: `x IN (SELECT …)` is NULL where a candidate might be equal.
#[test]
fn marks_tell_whether_there_is_a_match() {
    // Left column 1 must not exceed right column 1.
    let mut view = join(JoinKind::Mark, vec![column(0)], vec![column(0)], Some(at_most(1, 3)));
    let row = |key: i32, value: Datum| [int(key), value];
    let marks = |view: &View| -> Vec<Datum> { view.values().iter().map(|values| values[2].clone()).collect() };
    view.step([vec![plus(1, &row(1, int(5))), plus(2, &row(2, int(5)))], vec![plus(9, &row(1, Datum::Null))]]);
    assert_eq!(marks(&view), [Datum::Null, Datum::Bool(false)]);
    view.step([vec![], vec![plus(8, &row(1, int(7)))]]);
    assert_eq!(marks(&view), [Datum::Bool(true), Datum::Bool(false)]);
    view.step([vec![], vec![minus(9, &row(1, Datum::Null)), minus(8, &row(1, int(7))), plus(8, &row(1, int(1)))]]);
    assert_eq!(marks(&view), [Datum::Bool(false), Datum::Bool(false)]);
}

/// SQL-9.9: a scalar subquery with more than one row is an error of the row, none is NULL.
#[test]
fn a_single_match_or_none() {
    let mut view = on_first(JoinKind::Single);
    let row = |key: i32, value: i32| [int(key), int(value)];
    let shown = |view: &View| -> Vec<Datum> { view.values().iter().map(|values| values[3].clone()).collect() };
    view.step([vec![plus(1, &row(1, 0)), plus(2, &row(2, 0))], vec![plus(7, &row(1, 70))]]);
    assert_eq!(shown(&view), [int(70), Datum::Null]);
    view.step([vec![], vec![plus(8, &row(1, 80))]]);
    assert_eq!((shown(&view), view.failures()), (vec![Datum::Null], vec!["21000 [Int(1)]"]));
    view.step([vec![minus(2, &row(2, 0)), plus(2, &row(1, 1))], vec![minus(7, &row(1, 70))]]);
    assert_eq!((shown(&view), view.failures()), (vec![int(80), int(80)], vec![]));
    view.step([vec![], vec![minus(8, &row(1, 80)), plus(8, &row(1, 81))]]);
    assert_eq!(shown(&view), [int(81), int(81)]);
}

/// SQL-19.6: a row whose key fails is left out; so is a pair whose condition fails.
#[test]
fn failures_leave_out_rows_and_pairs() {
    let mut view = join(JoinKind::Left, vec![column_or_fail(0)], vec![column_or_fail(0)], Some(column_or_fail(3)));
    let yes = Datum::Bool(true);
    view.step([
        vec![plus(1, &[text("bad"), int(0)]), plus(2, &[int(1), int(0)])],
        vec![plus(7, &[int(1), text("bad")]), plus(8, &[text("bad"), yes.clone()])],
    ]);
    assert_eq!(pairs(&view), [(int(2), Datum::Null)]);
    assert_eq!(view.failures(), ["42804 [Int(1)]", "42804 [Int(2), Int(7)]", "42804 [Int(8)]"]);
    view.step([
        vec![minus(1, &[text("bad"), int(0)])],
        vec![minus(7, &[int(1), text("bad")]), plus(7, &[int(1), yes.clone()]), minus(8, &[text("bad"), yes])],
    ]);
    assert_eq!(pairs(&view), [(int(2), int(7))]);
    assert_eq!(view.failures(), Vec::<&str>::new());
}

/// Many rows with one key are kept apart from each other, and come together again when they have gone.
#[test]
fn one_key_may_have_many_rows() {
    for kind in [JoinKind::Full, JoinKind::Single, JoinKind::Anti] {
        let mut view = on_first(kind);
        let row = |id: i32| [int(1), text(&format!("a row that takes some bytes: {id}"))];
        let many = |from: i32, to: i32| (from..to).map(|id| plus(id, &row(id))).collect::<Vec<_>>();
        let gone = |from: i32, to: i32| (from..to).map(|id| minus(id, &row(id))).collect::<Vec<_>>();
        view.step([many(0, 100), vec![]]);
        assert_eq!(view.values().len(), 100);
        view.step([many(100, 150), many(0, 1)]);
        assert_eq!(view.values().len(), if kind == JoinKind::Anti { 0 } else { 150 }, "{kind:?}");
        view.step([gone(0, 50), gone(0, 1)]);
        assert_eq!(view.values().len(), 100);
        view.step([gone(50, 150), many(0, 100)]);
        assert_eq!(view.values().len(), if kind == JoinKind::Full { 100 } else { 0 }, "{kind:?}");
        view.step([vec![], gone(0, 100)]);
        assert_eq!(view.values(), Vec::<Vec<Datum>>::new());
        assert_eq!(view.circuit.stats()[2].rows, 0, "{kind:?}");
    }
}
