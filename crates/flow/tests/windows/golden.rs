//! Windows as PostgreSQL computes them.

use std::collections::BTreeMap;

use millstream_flow::{
    AggregateFunction, Bound, Datum, Exclude, Frame, FrameUnit, Interval, Node, Offset, Row, WindowFunction, key,
};
use millstream_value::Decimal;

use super::naive::{Argument, By, Call, Spec};
use super::support::{Relation, circuit, minus, plus};

const GOLDEN: &str = include_str!("postgres.txt");

/// SQL-8, SQL-9.4: one row after the other, in an order of their own, with some that come and go again.
#[test]
fn windows_are_those_of_postgres() {
    let rows: Vec<Row> = GOLDEN.lines().filter_map(|line| line.strip_prefix("row ")).map(read_row).collect();
    let cases = GOLDEN.lines().filter_map(|line| line.strip_prefix("case "));
    let mut count = 0;
    for case in cases {
        let [call, order, frame, values] = case.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let expected: BTreeMap<i32, &str> = (1..).zip(values.split(' ')).collect();
        let spec = read_spec(call, order, frame);
        let mut circuit = circuit(
            1,
            Node::Window { input: 0, partition: spec.partition(), order: spec.order(), calls: spec.calls() },
        );
        let mut view = Relation::default();
        let mut step = |delta| view.apply(&circuit.step(vec![(0, delta)], 0).unwrap().rows);
        for at in 0..rows.len() {
            let row = &rows[at * 7 % rows.len()];
            let guest = Row::new(vec![Datum::Int(100)], row.values.clone());
            step(vec![plus(guest.clone())]);
            step(vec![plus(row.clone())]);
            step(vec![minus(guest)]);
        }
        for row in view.rows() {
            let Datum::Int(id) = row.key[0] else { unreachable!() };
            let (is, should) = (row.value(5), expected[&id]);
            let is_right = match is {
                Datum::Null => should == "-",
                Datum::Double(value) => should.parse() == Ok(*value),
                value => Decimal::parse(should).is_some_and(|should| key::equal(value, &Datum::Decimal(should))),
            };
            assert!(is_right, "{case}, row {id}: {is:?}, not {should}");
        }
        count += 1;
    }
    assert!(count > 100);
}

/// Columns: p, o, u, t, v.
fn read_row(line: &str) -> Row {
    let [id, p, o, u, t, v] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let int = |text: &str| text.parse().map_or(Datum::Null, Datum::Int);
    Row::new(vec![int(id)], vec![int(p), int(o), int(u), read_day(t), int(v)])
}

/// Midnight of a day of the winter of 2024.
fn read_day(text: &str) -> Datum {
    let Some((month, day)) = text.rsplit_once('-').filter(|(month, _)| !month.is_empty()) else { return Datum::Null };
    let before = match month {
        "2024-12" => 20_058,
        "2025-01" => 20_089,
        "2025-02" => 20_120,
        "2025-03" => 20_148,
        other => unimplemented!("{other}"),
    };
    Datum::Instant((before + day.parse::<i64>().unwrap() - 1) * 86_400_000)
}

fn read_spec(call: &str, order: &str, frame: &str) -> Spec {
    let mut words = call.split(' ');
    let aggregate = WindowFunction::Aggregate;
    let function = match words.next().unwrap() {
        "AVG" => aggregate(AggregateFunction::Avg),
        "COUNT" => aggregate(AggregateFunction::Count),
        "CUME_DIST" => WindowFunction::CumeDist,
        "DENSE_RANK" => WindowFunction::DenseRank,
        "FIRST_VALUE" => WindowFunction::FirstValue,
        "LAG" => WindowFunction::Lag,
        "LAST_VALUE" => WindowFunction::LastValue,
        "LEAD" => WindowFunction::Lead,
        "MAX" => aggregate(AggregateFunction::Max),
        "MIN" => aggregate(AggregateFunction::Min),
        "NTH_VALUE" => WindowFunction::NthValue,
        "NTILE" => WindowFunction::Ntile,
        "PERCENT_RANK" => WindowFunction::PercentRank,
        "RANK" => WindowFunction::Rank,
        "ROW_NUMBER" => WindowFunction::RowNumber,
        "SUM" => aggregate(AggregateFunction::Sum),
        other => unimplemented!("{other}"),
    };
    let argument = |word: &str| match word {
        "v" => Argument::Column(4),
        number => Argument::Constant(Datum::Int(number.parse().unwrap())),
    };
    let arguments = words.filter(|word| *word != "-").map(argument).collect();
    let [column, direction, nulls] = order.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let column = ["p", "o", "u", "t"].iter().position(|name| *name == column).unwrap();
    let by = By { column, descending: direction == "desc", nulls_first: nulls == "first" };
    let [unit, start, end, exclude] = frame.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let unit = match unit {
        "ROWS" => FrameUnit::Rows,
        "RANGE" => FrameUnit::Range,
        _ => FrameUnit::Groups,
    };
    let exclude = match exclude {
        "ROW" => Exclude::CurrentRow,
        "GROUP" => Exclude::Group,
        "TIES" => Exclude::Ties,
        _ => Exclude::NoOthers,
    };
    let frame = Frame { unit, start: read_bound(start, unit), end: read_bound(end, unit), exclude };
    let call = Call { function, arguments, filter: None, ignore_nulls: false, frame };
    Spec { partition: vec![0], order: vec![by], calls: vec![call] }
}

fn read_bound(text: &str, unit: FrameUnit) -> Bound {
    let offset = |text: &str| {
        let months = text.strip_suffix("mon").map(|n| Interval { months: n.parse().unwrap(), ..Interval::default() });
        let days = text.strip_suffix("day").map(|n| Interval { days: n.parse().unwrap(), ..Interval::default() });
        match (months.or(days), unit) {
            (Some(interval), _) => Offset::Interval(interval),
            (None, FrameUnit::Range) => Offset::Number(Datum::Int(text.parse().unwrap())),
            (None, _) => Offset::Count(text.parse().unwrap()),
        }
    };
    match text {
        "UP" => Bound::UnboundedPreceding,
        "C" => Bound::CurrentRow,
        "UF" => Bound::UnboundedFollowing,
        _ => match text.split_at(1) {
            ("P", distance) => Bound::Preceding(offset(distance)),
            (_, distance) => Bound::Following(offset(distance)),
        },
    }
}
