//! `GROUP BY`, as rows come and go.

use crate::AggregateFunction as Function;
use crate::testing::{
    View, ascending, call, column, column_or_fail, dec, descending, int, long, minus, plus, row, text,
};
use crate::{AggregateCall, Datum, Node, ScalarRef};

fn view(group: Vec<ScalarRef>, sets: Option<Vec<Vec<usize>>>, calls: Vec<AggregateCall>) -> View {
    View::new(vec![Node::Source { source: 0 }, Node::Aggregate { input: 0, group, sets, calls }], 1)
}

fn distinct(function: Function, arguments: Vec<ScalarRef>) -> AggregateCall {
    AggregateCall { distinct: true, ..call(function, arguments) }
}

/// SQL-7.1, E-9: MIN and MAX under deletes, and groups that vanish.
#[test]
fn extremes_follow_what_is_there() {
    let calls =
        vec![call(Function::Min, vec![column(1)]), call(Function::Max, vec![column(1)]), call(Function::Count, vec![])];
    let mut view = view(vec![column(0)], None, calls);
    let bid = |item: &str, amount: i32| [text(item), int(amount)];
    let (x, y) = (text("x"), text("y"));
    view.step([vec![plus(1, &bid("x", 5)), plus(2, &bid("x", 9)), plus(3, &bid("x", 9)), plus(4, &bid("y", 1))]]);
    let y_row = vec![y, int(1), int(1), long(1)];
    assert_eq!(view.values(), [vec![x.clone(), int(5), int(9), long(3)], y_row.clone()]);
    let output = view.step([vec![minus(2, &bid("x", 9))]]);
    assert_eq!(output.rows.len(), 2, "one row goes, one comes");
    assert_eq!(view.values(), [vec![x.clone(), int(5), int(9), long(2)], y_row.clone()]);
    view.step([vec![minus(3, &bid("x", 9))]]);
    assert_eq!(view.values(), [vec![x.clone(), int(5), int(5), long(1)], y_row.clone()]);
    view.step([vec![minus(1, &bid("x", 5)), plus(1, &bid("x", 20))]]);
    assert_eq!(view.values(), [vec![x.clone(), int(20), int(20), long(1)], y_row.clone()]);
    view.step([vec![minus(1, &bid("x", 20)), plus(1, &[x.clone(), text("n/a")])]]);
    assert_eq!(view.values(), [vec![x.clone(), text("n/a"), text("n/a"), long(1)], y_row.clone()]);
    view.step([vec![plus(5, &bid("x", 3))]]);
    assert_eq!(view.values(), [vec![x, int(3), text("n/a"), long(2)], y_row]);
    view.step([vec![minus(4, &bid("y", 1))]]);
    assert_eq!(view.values().len(), 1);
}

/// SQL-7.1, SQL-14.3, E-17: without groups there is always one row.
#[test]
fn one_row_without_groups() {
    let calls = vec![call(Function::Count, vec![]), call(Function::Sum, vec![column(0)])];
    let mut view = view(vec![], None, calls);
    let empty = vec![long(0), Datum::Null];
    assert_eq!(view.step([vec![]]).rows.len(), 1);
    assert_eq!(view.values(), std::slice::from_ref(&empty));
    assert_eq!(view.step([vec![]]).rows, []);
    view.step([vec![plus(1, &[int(2)])]]);
    assert_eq!(view.values(), [vec![long(1), long(2)]]);
    view.step([vec![plus(2, &[Datum::Null])]]);
    assert_eq!(view.values(), [vec![long(2), long(2)]]);
    let output = view.step([vec![minus(1, &[int(2)]), minus(2, &[Datum::Null])]]);
    assert_eq!(output.rows.len(), 2);
    assert_eq!(view.values(), [empty]);
}

/// SQL-7.3, E-14: a retraction may change the type.
#[test]
fn sums_after_deletes() {
    let mut view = view(vec![], None, vec![call(Function::Sum, vec![column(0)])]);
    view.step([vec![
        plus(1, &[Datum::Double(1e20)]),
        plus(2, &[Datum::Double(1.0)]),
        plus(3, &[Datum::Double(-1e20)]),
    ]]);
    assert_eq!(view.values(), [[Datum::Double(1.0)]]);
    view.step([vec![minus(1, &[Datum::Double(1e20)])]]);
    assert_eq!(view.values(), [[Datum::Double(-1e20)]], "SQL-7.3: 1 is less than half a unit of the last place");
    view.step([vec![minus(3, &[Datum::Double(-1e20)])]]);
    assert_eq!(view.values(), [[Datum::Double(1.0)]]);
    view.step([vec![minus(2, &[Datum::Double(1.0)]), plus(4, &[dec("0.50")]), plus(5, &[int(1)])]]);
    assert_eq!(view.values(), [[dec("1.5")]]);
}

/// SQL-4.12, E-7: a group of equal keys shows the one whose type comes first.
#[test]
fn a_group_shows_what_is_there() {
    let mut view = view(vec![column(0)], None, vec![call(Function::Count, vec![])]);
    let rows = [int(5), Datum::Null, Datum::Missing, text("5"), Datum::Double(5.0), dec("5.00")];
    view.step([rows.iter().zip(1..).map(|(q, id)| plus(id, std::slice::from_ref(q))).collect()]);
    let fives = |view: &View| view.values().first().cloned().unwrap();
    assert_eq!(fives(&view), [int(5), long(3)]);
    assert_eq!(view.values().len(), 3);
    view.step([vec![minus(1, &[int(5)])]]);
    assert_eq!(fives(&view), [Datum::Double(5.0), long(2)]);
    view.step([vec![minus(5, &[Datum::Double(5.0)])]]);
    assert_eq!(fives(&view), [dec("5.00"), long(1)]);
}

/// SQL-7.1
#[test]
fn distinct_values_count_once() {
    let filtered = AggregateCall { filter: Some(column(1)), ..call(Function::Count, vec![]) };
    let calls = vec![
        distinct(Function::Count, vec![column(0)]),
        distinct(Function::Sum, vec![column(0)]),
        AggregateCall { order: vec![descending(column(0))], ..distinct(Function::ArrayAgg, vec![column(0)]) },
        filtered,
    ];
    let mut view = view(vec![], None, calls);
    let (yes, no) = (Datum::Bool(true), Datum::Bool(false));
    view.step([vec![
        plus(1, &[int(1), yes.clone()]),
        plus(2, &[Datum::Double(1.0), no.clone()]),
        plus(3, &[int(2), yes]),
        plus(4, &[Datum::Null, no.clone()]),
    ]]);
    let list = |values: &[Datum]| Datum::Array(values.to_vec().into());
    assert_eq!(view.values(), [[long(2), long(3), list(&[Datum::Null, int(2), int(1)]), long(2)]]);
    view.step([vec![minus(1, &[int(1), Datum::Bool(true)]), minus(4, &[Datum::Null, no])]]);
    assert_eq!(view.values(), [[long(2), Datum::Double(3.0), list(&[int(2), Datum::Double(1.0)]), long(1)]]);
}

/// SQL-7.2, SQL-14.3, E-24
#[test]
fn grouping_sets_have_their_bits() {
    let sets = Some(vec![vec![0, 1], vec![0], vec![]]);
    let mut view = view(vec![column(0), column(1)], sets, vec![call(Function::Sum, vec![column(2)])]);
    let none = Datum::Null;
    view.step([vec![]]);
    assert_eq!(view.values(), [[none.clone(), none.clone(), int(3), none.clone()]]);
    let sale = |region: &str, product: &str, amount: i32| [text(region), text(product), int(amount)];
    let sales = [sale("N", "x", 10), sale("N", "y", 30), sale("S", "x", 20), sale("S", "y", 5), sale("N", "x", 30)];
    let output = view.step([sales.iter().zip(1..).map(|(sale, id)| plus(id, sale)).collect()]);
    assert!(output.rows.iter().all(|change| change.row.key[..] == change.row.values[..3]));
    let got = |region: &Datum, product: &Datum, bits: i32, sum: i64| {
        vec![region.clone(), product.clone(), int(bits), long(sum)]
    };
    let [n, s, x, y] = ["N", "S", "x", "y"].map(text);
    let want = [
        got(&n, &x, 0, 40),
        got(&n, &y, 0, 30),
        got(&n, &none, 1, 70),
        got(&s, &x, 0, 20),
        got(&s, &y, 0, 5),
        got(&s, &none, 1, 25),
        got(&none, &none, 3, 95),
    ];
    assert_eq!(view.values(), want);
}

/// SQL-7.1, E-24: in the order of the call, ties by row key.
#[test]
fn lists_are_in_order() {
    let ordered = AggregateCall { order: vec![descending(column(2))], ..call(Function::ArrayAgg, vec![column(1)]) };
    let mode = AggregateCall { order: vec![ascending(column(2))], ..call(Function::Mode, vec![]) };
    let calls = vec![ordered, call(Function::ArrayAgg, vec![column(1)]), mode];
    let mut view = view(vec![column(0)], None, calls);
    let sale = |region: &str, product: &str, amount: i32| [text(region), text(product), int(amount)];
    view.step([vec![
        plus(5, &sale("N", "x", 30)),
        plus(3, &sale("S", "x", 20)),
        plus(2, &sale("N", "y", 30)),
        plus(1, &sale("N", "x", 10)),
        plus(4, &sale("S", "y", 5)),
    ]]);
    let list = |values: &[&str]| Datum::Array(values.iter().map(|value| text(value)).collect());
    let n = |view: &View| view.values()[0][1..].to_vec();
    assert_eq!(n(&view), [list(&["y", "x", "x"]), list(&["x", "y", "x"]), int(30)]);
    view.step([vec![minus(2, &sale("N", "y", 30)), plus(2, &sale("N", "y", 1))]]);
    assert_eq!(n(&view), [list(&["x", "x", "y"]), list(&["x", "y", "x"]), int(1)]);
    assert_eq!(view.values()[1][1..], [list(&["x", "y"]), list(&["x", "y"]), int(5)]);
}

/// SQL-19.6: a row that fails in an argument counts nowhere; a group that fails is left out.
#[test]
fn failures_leave_out_the_row_or_the_group() {
    let calls = vec![call(Function::Count, vec![]), call(Function::Sum, vec![column_or_fail(1)])];
    let mut view = view(vec![column_or_fail(0)], None, calls);
    view.step([vec![
        plus(1, &[text("a"), int(1)]),
        plus(2, &[text("a"), text("bad")]),
        plus(3, &[text("a"), text("no number")]),
        plus(4, &[text("bad"), int(1)]),
    ]]);
    assert_eq!(view.values(), [[text("a"), long(1), long(1)]]);
    assert_eq!(view.failures(), ["42804 [Int(2)]", "42804 [Int(3)]", "42804 [Int(4)]"]);
    view.step([vec![minus(2, &[text("a"), text("bad")]), plus(2, &[text("a"), Datum::Double(f64::MAX)])]]);
    view.step([vec![plus(5, &[text("a"), Datum::Double(f64::MAX)])]]);
    assert_eq!(view.values(), Vec::<Vec<Datum>>::new());
    assert_eq!(view.failures()[0], "22003 [Text(\"a\")]");
    view.step([vec![minus(5, &[text("a"), Datum::Double(f64::MAX)])]]);
    assert_eq!(view.values(), [[text("a"), long(2), Datum::Double(f64::MAX)]]);
    assert_eq!(view.failures(), ["42804 [Int(3)]", "42804 [Int(4)]"]);
}

#[test]
fn a_group_without_a_difference_puts_nothing_out() {
    let mut view = view(vec![column(0)], None, vec![call(Function::Count, vec![])]);
    view.step([vec![plus(1, &[int(1), int(1)])]]);
    let output = view.step([vec![minus(1, &[int(1), int(1)]), plus(1, &[int(1), int(2)])]]);
    assert_eq!(output.rows, []);
    let output = view.step([vec![minus(1, &[int(1), int(2)]), plus(1, &[int(2), int(2)])]]);
    let rows: Vec<_> = output.rows.iter().map(|change| (change.row.values[0].clone(), change.weight)).collect();
    assert_eq!(rows, [(int(1), -1), (int(2), 1)]);
    assert_eq!(row(1, &[]).key[..], [int(1)]);
}
