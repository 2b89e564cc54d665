//! Aggregates over rows, and after rows are gone again.

use millstream_value::Decimal;

use super::{Accumulator, Function, check, fold};
use crate::{Datum, Interval};

fn dec(text: &str) -> Datum {
    Datum::Decimal(Decimal::parse(text).unwrap())
}

fn of(function: Function, values: &[Datum]) -> Datum {
    let rows: Vec<[Datum; 1]> = values.iter().map(|value| [value.clone()]).collect();
    fold(function, rows.iter().map(<[Datum; 1]>::as_slice)).unwrap()
}

fn of_pairs(function: Function, values: &[(Datum, Datum)]) -> Datum {
    let rows: Vec<[Datum; 2]> = values.iter().map(|(a, b)| [a.clone(), b.clone()]).collect();
    fold(function, rows.iter().map(<[Datum; 2]>::as_slice)).unwrap()
}

fn doubles(values: &[f64]) -> Vec<Datum> {
    values.iter().map(|value| Datum::Double(*value)).collect()
}

/// SQL-7.3, E-14
#[test]
fn sums_are_exact_and_of_the_type_of_what_is_there() {
    assert_eq!(of(Function::Sum, &doubles(&[1e20, 1.0, -1e20])), Datum::Double(1.0));
    assert_eq!(of(Function::Sum, &doubles(&[0.1; 10])), Datum::Double(1.0));
    assert_eq!(of(Function::Sum, &[Datum::Int(i32::MAX), Datum::Int(1)]), Datum::Long(2_147_483_648));
    let mut sum = Accumulator::new(Function::Sum).unwrap();
    sum.add(&[Datum::Long(i64::MAX)]);
    sum.add(&[Datum::Long(1)]);
    assert_eq!(sum.value().unwrap(), dec("9223372036854775808"));
    sum.remove(&[Datum::Long(1)]);
    assert_eq!(sum.value().unwrap(), Datum::Long(i64::MAX));
    assert_eq!(of(Function::Sum, &[Datum::Int(1), dec("0.5")]), dec("1.5"));
    sum.add(&[dec("0.5")]);
    sum.remove(&[dec("0.5")]);
    assert_eq!(sum.value().unwrap(), Datum::Long(i64::MAX));
    assert_eq!(of(Function::Sum, &[Datum::Int(1), dec("0.5"), Datum::Double(0.25)]), Datum::Double(1.75));
    assert_eq!(of(Function::Sum, &[]), Datum::Null);
    assert_eq!(of(Function::Sum, &[Datum::Null, Datum::Missing]), Datum::Null);
}

/// SQL-7.3: NaN and infinities.
#[test]
fn what_is_endless_goes_through_and_leaves_again() {
    let mut sum = Accumulator::new(Function::Sum).unwrap();
    sum.add(&[Datum::Double(1.5)]);
    sum.add(&[Datum::Double(f64::INFINITY)]);
    assert_eq!(sum.value().unwrap(), Datum::Double(f64::INFINITY));
    sum.add(&[dec("-Infinity")]);
    assert!(matches!(sum.value().unwrap(), Datum::Double(v) if v.is_nan()));
    sum.remove(&[Datum::Double(f64::INFINITY)]);
    sum.remove(&[dec("-Infinity")]);
    assert_eq!(sum.value().unwrap(), Datum::Double(1.5));
    assert_eq!(of(Function::Avg, &[dec("NaN"), Datum::Int(1)]), dec("NaN"));
    let error = fold(Function::Sum, [&doubles(&[f64::MAX])[..], &doubles(&[f64::MAX])[..]]).unwrap_err();
    assert_eq!(error.state.0, "22003");
}

/// SQL-7.3, E-14
#[test]
fn averages_divide_as_numerics_do() {
    assert_eq!(of(Function::Avg, &[Datum::Int(100), Datum::Int(200), Datum::Int(250)]), dec("183.3333333333333333"));
    assert_eq!(of(Function::Avg, &[Datum::Int(1), Datum::Int(2), Datum::Null]), dec("1.5"));
    assert_eq!(of(Function::Avg, &[Datum::Int(40)]), dec("40"));
    assert_eq!(of(Function::Avg, &[Datum::Int(1), Datum::Double(2.0)]), Datum::Double(1.5));
    assert_eq!(of(Function::Avg, &doubles(&[f64::MAX, f64::MAX])), Datum::Double(f64::MAX));
}

#[test]
fn sums_are_the_same_in_any_order_and_in_parts() {
    let values =
        [Datum::Double(1e300), dec("0.1"), Datum::Double(-1e300), Datum::Int(7), Datum::Double(5e-324), dec("1E+30")];
    let whole = of(Function::Sum, &values);
    for turn in 0..values.len() {
        let mut turned = values.clone();
        turned.rotate_left(turn);
        assert_eq!(of(Function::Sum, &turned), whole);
        let [mut first, mut second] = [(); 2].map(|()| Accumulator::new(Function::Sum).unwrap());
        turned.iter().take(turn).for_each(|value| first.add(std::slice::from_ref(value)));
        turned.iter().skip(turn).for_each(|value| second.add(std::slice::from_ref(value)));
        let mut bytes = Vec::new();
        second.write(&mut bytes);
        let mut read = Accumulator::new(Function::Sum).unwrap();
        read.read(&mut crate::codec::Reader::new(&bytes)).unwrap();
        first.merge(&read);
        assert_eq!(first.value().unwrap(), whole);
    }
}

/// SQL-7.1: correctly rounded from exact sums.
#[test]
fn variances_do_not_lose_digits() {
    let shifted = doubles(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
    assert_eq!(of(Function::VarSamp, &shifted), Datum::Double(30.0));
    assert_eq!(of(Function::VarPop, &shifted), Datum::Double(22.5));
    assert_eq!(of(Function::StddevPop, &shifted), Datum::Double(22.5_f64.sqrt()));
    assert_eq!(of(Function::VarSamp, &[Datum::Int(1)]), Datum::Null);
    assert_eq!(of(Function::VarPop, &[Datum::Int(1)]), Datum::Double(0.0));
    assert_eq!(of(Function::VarPop, &[Datum::Int(1), dec("2.5"), Datum::Double(4.0)]), Datum::Double(1.5));
    assert!(matches!(of(Function::VarPop, &doubles(&[f64::INFINITY, 1.0])), Datum::Double(v) if v.is_nan()));
    let pairs = [(1, 2), (2, 4), (3, 7)].map(|(y, x)| (Datum::Int(y), Datum::Int(x)));
    assert_eq!(of_pairs(Function::CovarPop, &pairs), Datum::Double(5.0 / 3.0));
    assert_eq!(of_pairs(Function::CovarSamp, &pairs), Datum::Double(2.5));
    // PostgreSQL: 0.9933992677987828
    assert_eq!(of_pairs(Function::Corr, &pairs), Datum::Double(0.993_399_267_798_782_8));
    assert_eq!(of_pairs(Function::Corr, &pairs[..1]), Datum::Null);
    assert_eq!(of_pairs(Function::CovarPop, &[(Datum::Null, Datum::Int(1))]), Datum::Null);
}

/// SQL-7.1
#[test]
fn booleans_and_counts() {
    let (yes, no) = (Datum::Bool(true), Datum::Bool(false));
    assert_eq!(of(Function::BoolAnd, &[yes.clone(), no.clone()]), no);
    assert_eq!(of(Function::BoolOr, &[yes.clone(), no, Datum::Null]), yes);
    assert_eq!(of(Function::BoolAnd, &[Datum::Null]), Datum::Null);
    assert_eq!(of(Function::Count, &[yes, Datum::Null, Datum::Missing]), Datum::Long(1));
    assert_eq!(fold(Function::Count, [[].as_slice(), &[]]).unwrap(), Datum::Long(2));
}

/// SQL-7.1, SQL-4.4, SQL-4.12
#[test]
fn the_least_and_the_greatest_are_those_of_the_total_order() {
    let mixed = [Datum::text("5"), Datum::Double(5.0), Datum::Int(5), dec("5.00"), Datum::Null, Datum::Bool(false)];
    assert_eq!(of(Function::Min, &mixed), Datum::Int(5));
    assert_eq!(of(Function::AnyValue, &mixed), Datum::Int(5));
    assert_eq!(of(Function::Max, &mixed), Datum::Bool(false));
    assert_eq!(of(Function::Max, &[dec("2.50"), dec("2.5")]), dec("2.5"));
    assert_eq!(of(Function::Max, &[Datum::Null]), Datum::Null);
}

/// SQL-7.1
#[test]
fn lists_keep_their_order() {
    let texts = [("a", "-"), ("b", ", "), ("c", "; ")].map(|(a, b)| (Datum::text(a), Datum::text(b)));
    assert_eq!(of_pairs(Function::StringAgg, &texts), Datum::text("a, b; c"));
    assert_eq!(of_pairs(Function::StringAgg, &[(Datum::Null, Datum::text(","))]), Datum::Null);
    let values = [Datum::Int(2), Datum::Missing, Datum::Int(1)];
    let array = Datum::Array(std::sync::Arc::from([Datum::Int(2), Datum::Null, Datum::Int(1)]));
    assert_eq!(of(Function::ArrayAgg, &values), array);
    let fields = [("a", 1), ("b", 2), ("a", 3)].map(|(name, value)| (Datum::text(name), Datum::Int(value)));
    let Datum::Document(document) = of_pairs(Function::JsonbObjectAgg, &fields) else { panic!("no document") };
    assert_eq!(format!("{:?}", millstream_value::Doc::new(&document)), "{ a: 3, b: 2 }");
}

/// SQL-7.1, E-16
#[test]
fn ordered_sets() {
    let values = [1, 2, 4, 10].map(|value| (Datum::Double(0.5), Datum::Int(value)));
    assert_eq!(of_pairs(Function::PercentileCont, &values), Datum::Double(3.0));
    assert_eq!(of_pairs(Function::PercentileDisc, &values), Datum::Int(2));
    let both = Datum::Array(std::sync::Arc::from([Datum::Int(0), Datum::Int(1), Datum::Null]));
    let values = [1, 2, 4, 10].map(|value| (both.clone(), Datum::Int(value)));
    let ends = Datum::Array(std::sync::Arc::from([Datum::Int(1), Datum::Int(10), Datum::Null]));
    assert_eq!(of_pairs(Function::PercentileDisc, &values), ends);
    let days = |days| (Datum::Double(0.25), Datum::Interval(Interval { months: 0, days, micros: 0 }));
    let quarter = Datum::Interval(Interval { months: 0, days: 1, micros: 43_200_000_000 });
    assert_eq!(of_pairs(Function::PercentileCont, &[days(1), days(3)]), quarter);
    let modes = [Datum::Int(1), Datum::Double(2.0), Datum::Int(2), Datum::Int(3), Datum::Int(3), Datum::Null];
    assert_eq!(of(Function::Mode, &modes), Datum::Int(2), "the smallest of the most frequent");
    assert_eq!(of(Function::Mode, &[]), Datum::Null);
}

/// SQL-7.2
#[test]
fn what_cannot_be_taken_in_is_told_before() {
    let state = |function, arguments: &[Datum]| check(function, arguments).unwrap_err().state.0;
    assert_eq!(state(Function::Sum, &[Datum::text("5")]), "42804");
    assert_eq!(state(Function::Avg, &[Datum::Array(std::sync::Arc::from([]))]), "42804");
    assert_eq!(state(Function::VarPop, &[Datum::Bool(true)]), "42804");
    assert_eq!(state(Function::BoolAnd, &[Datum::Int(1)]), "42804");
    assert_eq!(state(Function::StringAgg, &[Datum::Int(1), Datum::text(",")]), "42804");
    assert_eq!(state(Function::JsonbObjectAgg, &[Datum::Null, Datum::Int(1)]), "22004");
    assert_eq!(state(Function::PercentileCont, &[Datum::Double(1.5), Datum::Int(1)]), "22003");
    assert!(check(Function::Sum, &[Datum::Null]).is_ok());
    assert!(check(Function::Min, &[Datum::text("x")]).is_ok());
    let both = [[Datum::Int(1)], [Datum::Interval(Interval::default())]];
    let error = fold(Function::Sum, both.iter().map(<[Datum; 1]>::as_slice)).unwrap_err();
    assert_eq!(error.state.0, "42804");
}
