//! What random tests of pushing down are made of: values, and conditions on them.

use bson::spec::BinarySubtype;
use bson::{Bson, DateTime, bson, oid::ObjectId};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{Lab, column};

/// One of several.
pub(super) fn one<'t>(random: &mut StdRng, of: &[&'t str]) -> &'t str {
    of.choose(random).unwrap()
}

/// The lines of the plan of a statement.
pub(super) async fn explained(lab: &mut Lab, statement: &str) -> Vec<String> {
    let lines = lab.rows(&format!("EXPLAIN {statement}")).await;
    column(&lines, "plan").iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

/// Values of every type, many of them equal or nearly so.
pub(super) fn odd() -> Vec<Bson> {
    let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
    let id: ObjectId = "507f1f77bcf86cd799439011".parse().unwrap();
    let binary = |subtype, bytes: &[u8]| Bson::Binary(bson::Binary { subtype, bytes: bytes.to_vec() });
    vec![
        Bson::Null,
        Bson::Undefined,
        Bson::Int32(1),
        Bson::Int64(1),
        Bson::Double(1.0),
        decimal("1"),
        decimal("1.0"),
        Bson::Int32(0),
        Bson::Double(0.0),
        Bson::Double(-0.0),
        Bson::Double(2.5),
        decimal("2.5"),
        decimal("2.50"),
        Bson::Double(0.1),
        decimal("0.1"),
        decimal("0.1000000000000000055511151231257827"),
        Bson::Double(f64::NAN),
        decimal("NaN"),
        Bson::Double(f64::INFINITY),
        Bson::Int64(9_007_199_254_740_993),
        Bson::Double(9_007_199_254_740_992.0),
        "a".into(),
        "A".into(),
        "ab".into(),
        "b".into(),
        "5".into(),
        "2.5".into(),
        "true".into(),
        Bson::Symbol("a".to_owned()),
        bson!([1]),
        bson!([]),
        bson!([Bson::Null, "a"]),
        bson!([{"e": 1}, {"e": "a"}]),
        bson!({"e": 1}),
        bson!({"e": Bson::Null}),
        bson!({"e": "a"}),
        bson!({"e": [1, Bson::Null]}),
        bson!({"e": {"f": 1}}),
        bson!({"x": 1}),
        Bson::Boolean(true),
        Bson::Boolean(false),
        DateTime::from_millis(1_735_689_600_000).into(),
        DateTime::from_millis(0).into(),
        id.into(),
        "507f1f77bcf86cd799439011".into(),
        binary(BinarySubtype::Generic, b"a"),
        binary(BinarySubtype::Uuid, &[7; 16]),
        bson::Timestamp { time: 1, increment: 1 }.into(),
        Bson::MinKey,
        Bson::MaxKey,
        Bson::RegularExpression(bson::Regex { pattern: "a".try_into().unwrap(), options: "".try_into().unwrap() }),
    ]
}

/// Values that are calculated with, mostly: numbers at which types, rounding and limits matter, and what is no number.
pub(super) fn calculable(random: &mut StdRng) -> Bson {
    let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
    let n = random.random_range(-3..7_i32);
    match random.random_range(0..20) {
        0..=3 => Bson::Int32(n),
        4 | 5 => Bson::Int64(n.into()),
        6..=8 => Bson::Double(f64::from(n) / 2.0),
        9 => Bson::Double(f64::from(n) / 10.0),
        10 => decimal(&format!("{}", f64::from(n) / 10.0)),
        11 => decimal(["1", "-2.50", "0.3333333333333333333333333333333333", "1E+3"].choose(random).unwrap()),
        12 | 13 => {
            let large = [
                Bson::Int32(i32::MAX),
                Bson::Int32(i32::MIN),
                Bson::Int64(i64::MAX),
                Bson::Int64(i64::MIN),
                Bson::Int64(999_999_937),
                Bson::Int64(-999_999_999_999_989),
                Bson::Double(1e9),
                Bson::Double(1e300),
                Bson::Double(-1e-300),
                Bson::Double(f64::NEG_INFINITY),
                decimal("1E+6000"),
                decimal("1E-6000"),
                decimal("Infinity"),
                decimal("999999999.9999999999999999999999999"),
            ];
            large.choose(random).unwrap().clone()
        }
        14 | 15 => {
            (*["a", "A", "ABC", "abc", "", "\u{e4}B", "\u{c4}b", "\u{212a}", "$a", "5"].choose(random).unwrap()).into()
        }
        16 => {
            let times =
                [0, -1, -86_400_000_001, 1_735_689_600_000, 951_782_400_000, -62_135_596_800_001, 253_402_300_800_000];
            DateTime::from_millis(*times.choose(random).unwrap()).into()
        }
        _ => odd().choose(random).unwrap().clone(),
    }
}

/// A number that is calculated of paths.
fn number(random: &mut StdRng, paths: &[&str], depth: usize) -> String {
    let path = one(random, paths);
    if depth == 0 {
        return if random.random_range(0..3) == 0 { literal(random) } else { path.to_owned() };
    }
    let (kind, other) = (random.random_range(0..14), one(random, paths));
    let mut inner = || number(random, paths, depth - 1);
    match kind {
        0 | 1 => inner(),
        2 => format!("({} + {})", inner(), inner()),
        3 => format!("({} - {})", inner(), inner()),
        4 => format!("({} * {})", inner(), inner()),
        5 => format!("({} / {other})", inner()),
        6 => format!("({} % {other})", inner()),
        7 => format!("({} {} {})", inner(), one(random, &["/", "%"]), one(random, &["2", "3", "-2", "0.5", "0"])),
        8 => format!("(- {})", inner()),
        9 => format!("ABS({})", inner()),
        10 => format!("{}({path})", one(random, &["FLOOR", "CEIL"])),
        11 => format!("COALESCE({path}, {other}, {})", literal(random)),
        12 => format!("{}({path})", one(random, &["LENGTH", "OCTET_LENGTH"])),
        _ => {
            let units = ["year", "month", "day", "hour", "minute", "week", "isoyear", "isodow", "doy"];
            format!("EXTRACT({} FROM {path})", one(random, &units))
        }
    }
}

fn literal(random: &mut StdRng) -> String {
    one(random, &["0", "1", "2", "-1", "3", "0.5", "0.1", "2.5::float8", "1000000", "9007199254740993"]).to_owned()
}

/// A condition that compares what is calculated of paths.
pub(super) fn calculation(random: &mut StdRng, paths: &[&str], depth: usize) -> String {
    let operator = one(random, &["=", "<>", "<", "<=", ">", ">="]);
    match random.random_range(0..if depth == 0 { 9 } else { 12 }) {
        0..=4 => format!("{} {operator} {}", number(random, paths, 2), number(random, paths, 1)),
        5 => {
            let (value, low, high) = (number(random, paths, 1), literal(random), number(random, paths, 1));
            format!("{value} {} {low} AND {high}", one(random, &["BETWEEN", "NOT BETWEEN"]))
        }
        6 => {
            let (value, one_of, other) = (number(random, paths, 2), literal(random), literal(random));
            format!("{value} {} ({one_of}, {other})", one(random, &["IN", "NOT IN"]))
        }
        7 => {
            let text = one(random, &["'a'", "'abc'", "'ABC'", "'\u{e4}b'", "'k'", "'$a'", "''"]);
            format!("{}({}) {operator} {text}", one(random, &["LOWER", "UPPER"]), one(random, paths))
        }
        8 => {
            let operator = one(random, &[operator, "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]);
            format!("{} {operator} {}", one(random, paths), one(random, paths))
        }
        9 => format!("NOT ({})", calculation(random, paths, depth - 1)),
        kind => {
            let (a, b) = (calculation(random, paths, depth - 1), calculation(random, paths, depth - 1));
            format!("({a}) {} ({b})", if kind == 10 { "AND" } else { "OR" })
        }
    }
}
