//! The rules that all operators share, and those that the recorded cases do not reach.

mod families;

use bson::{Bson, bson, doc};
use millstream_value::{Value, from_bson, from_bson_document, to_bson};

use super::accumulator::Accumulator;
use super::{Expression, Scope};
use crate::{Error, Result};

fn parse(expression: Bson) -> Result<Expression> {
    let scope = Scope { variables: vec![("given".to_owned(), 5.into())], now_ms: 1000, ..Scope::default() };
    Expression::parse(&from_bson(&expression), &scope)
}

fn eval(expression: Bson) -> Result<Option<Bson>> {
    let root = from_bson_document(&doc! {
        "a": 1, "n": null, "s": "text", "list": [3, 1, 2], "o": {"x": {"y": 2}},
        "docs": [{"k": 1}, {"k": 2}, {"z": [{"k": 9}]}, 5],
    });
    Ok(parse(expression)?.eval(root.as_doc())?.map(|value| to_bson(&value)))
}

fn value(expression: Bson) -> Bson {
    eval(expression).unwrap().expect("a value")
}

fn code(result: Result<impl Sized>) -> i32 {
    result.map(|_| ()).map_err(|error: Error| error.code.number()).unwrap_err()
}

#[test]
fn paths_go_through_arrays() {
    assert_eq!(value(bson!("$o.x.y")), bson!(2));
    assert_eq!(value(bson!("$docs.k")), bson!([1, 2]));
    assert_eq!(value(bson!("$docs.z.k")), bson!([[9]]));
    assert_eq!(eval(bson!("$s.x.y")).unwrap(), None);
}

#[test]
fn variables() {
    assert_eq!(value(bson!("$$given")), bson!(5));
    assert_eq!(value(bson!("$$NOW")), Bson::DateTime(bson::DateTime::from_millis(1000)));
    assert_eq!(value(bson!("$$ROOT.a")), bson!(1));
    assert_eq!(eval(bson!("$$REMOVE")).unwrap(), None);
    assert_eq!(value(bson!({"$let": {"vars": {"CURRENT": "$o"}, "in": "$x.y"}})), bson!(2));
    let nested = bson!({"$map": {"input": "$list", "as": "i", "in": {"$let": {"vars": {"j": {"$add": ["$$i", 1]}},
        "in": {"$multiply": ["$$i", "$$j"]}}}}});
    assert_eq!(value(nested), bson!([12, 2, 6]));
    assert_eq!(code(parse(bson!("$$unknown"))), 17276);
    assert_eq!(code(parse(bson!({"$let": {"vars": {"x": 1, "y": "$$x"}, "in": 1}}))), 17276);
}

#[test]
fn constants_are_computed_when_they_are_compiled() {
    assert_eq!(parse(bson!({"$add": [1, {"$multiply": [2, 3]}]})).unwrap().constant(), Some(Some(&Value::Int32(7))));
    assert_eq!(code(parse(bson!({"$divide": [1, 0]}))), 2);
    assert_eq!(code(parse(bson!({"$cond": ["$a", 1, {"$divide": [1, 0]}]}))), 2);
    assert_eq!(value(bson!({"$cond": ["$a", 1, {"$divide": ["$a", 0]}]})), bson!(1), "only the branch that is taken");
    assert!(parse(bson!({"$rand": {}})).unwrap().constant().is_none());
}

#[test]
fn integers_widen() {
    assert_eq!(value(bson!({"$multiply": [65536, 65536]})), bson!(4_294_967_296_i64));
    assert_eq!(value(bson!({"$subtract": [(i64::MIN), 1]})), bson!(-9_223_372_036_854_775_809.0));
    assert_eq!(value(bson!({"$abs": (i32::MIN)})), bson!(2_147_483_648_i64));
    assert_eq!(value(bson!({"$pow": [2, 31]})), bson!(2_147_483_648_i64));
    assert_eq!(value(bson!({"$sum": [(i32::MAX), 1]})), bson!(2_147_483_648_i64));
    assert_eq!(value(bson!({"$sum": [1e100, 1.0, -1e100]})), bson!(1.0));
    assert_eq!(value(bson!({"$trunc": [12.345, 1]})), bson!(12.3));
    assert_eq!(value(bson!({"$round": [25, -1]})), bson!(20));
}

#[test]
fn dates_and_numbers() {
    let date = |ms| Bson::DateTime(bson::DateTime::from_millis(ms));
    assert_eq!(value(bson!({"$add": [(date(1000)), 1.5]})), date(1002));
    assert_eq!(value(bson!({"$subtract": [(date(1000)), (date(400))]})), bson!(600_i64));
    assert_eq!(value(bson!({"$subtract": [(date(1000)), 400]})), date(600));
    assert_eq!(code(eval(bson!({"$subtract": [1, (date(1000))]}))), 14);
    let text = bson!({"$dateToString": {"date": (date(0)), "format": "%d %b %Y %z", "timezone": "Asia/Kolkata"}});
    assert_eq!(value(text), bson!("01 Jan 1970 +0530"));
    let end_of_month = bson!({"$dateAdd": {"startDate": {"$toDate": "2024-01-31"}, "unit": "month", "amount": 1}});
    assert_eq!(value(bson!({"$toString": end_of_month})), bson!("2024-02-29T00:00:00.000Z"));
}

#[test]
fn null_and_missing() {
    for operator in ["$add", "$subtract", "$concatArrays", "$arrayElemAt", "$split", "$divide", "$mod", "$pow"] {
        assert_eq!(value(bson!({operator: ["$missing", "$missing"]})), Bson::Null, "{operator}");
    }
    assert_eq!(value(bson!({"x": "$missing", "y": ["$missing"]})), bson!({"y": [null]}));
    assert_eq!(eval(bson!({"$arrayElemAt": ["$list", 9]})).unwrap(), None);
    assert_eq!(value(bson!({"$eq": ["$missing", null]})), bson!(false));
    assert_eq!(value(bson!({"$lt": ["$missing", null]})), bson!(true));
}

#[test]
fn what_is_refused() {
    assert_eq!(code(parse(bson!({"$nonsense": 1}))), 168);
    assert_eq!(code(parse(bson!({"$function": {"body": "", "args": [], "lang": "js"}}))), 31264);
    assert_eq!(code(parse(bson!({"$add": 1, "$or": 1}))), 15983);
    assert_eq!(code(parse(bson!({"a": 1, "b.c": 1}))), 16412);
    let double = bson!({"$reduce": {"input": {"$range": [0, 100]}, "initialValue": "xxxxxxxx",
        "in": {"$concat": ["$$value", "$$value"]}}});
    assert_eq!(code(eval(double)), 146);
    let deep = bson!({"$reduce": {"input": {"$range": [0, 100_000]}, "initialValue": 1, "in": {"a": "$$value"}}});
    assert_eq!(code(eval(deep)), 15);
    let mut nested = bson!(1);
    for _ in 0..300 {
        nested = bson!([nested]);
    }
    assert_eq!(code(parse(nested)), 15);
}

#[test]
fn deep_expressions_fit_the_stack() {
    let mut nested = bson!("$a");
    for _ in 0..190 {
        nested = bson!([nested]);
    }
    assert!(eval(nested).unwrap().is_some());
    let mut nested = bson!("$a");
    for _ in 0..95 {
        nested = bson!({"$add": [nested, 1]});
    }
    assert_eq!(value(nested), bson!(96));
}

#[test]
fn positions() {
    assert_eq!(value(bson!({"$indexOfBytes": ["aéb", "b", 2]})), bson!(3));
    assert_eq!(value(bson!({"$indexOfBytes": ["aéb", "é", 2]})), bson!(-1));
    assert_eq!(value(bson!({"$indexOfBytes": ["aéb", "é", 0, 2]})), bson!(-1));
    assert_eq!(value(bson!({"$indexOfCP": ["aéb", "b", 1, 3]})), bson!(2));
    assert_eq!(value(bson!({"$indexOfCP": ["abc", "", 1]})), bson!(1));
}

#[test]
fn sorting() {
    assert_eq!(value(bson!({"$sortArray": {"input": "$list", "sortBy": -1}})), bson!([3, 2, 1]));
    let by = bson!({"$sortArray": {"input": [{"k": 2}, {"k": 1}], "sortBy": {"k": 1}}});
    assert_eq!(value(by), bson!([{"k": 1}, {"k": 2}]));
}

fn accumulate(name: &str, argument: Bson) -> Result<Bson> {
    let accumulator = Accumulator::parse(name, &from_bson(&argument), &Scope::default())?;
    let mut state = accumulator.start(&Value::Null)?;
    for doc in [doc! {"v": 3, "w": "a"}, doc! {"v": 1, "w": "b"}, doc! {"v": 3.0, "w": "c"}, doc! {"w": "d"}] {
        accumulator.add(&mut state, from_bson_document(&doc).as_doc())?;
    }
    Ok(to_bson(&state.finish()?))
}

#[test]
fn accumulators() {
    let cases = [
        ("$sum", bson!("$v"), bson!(7.0)),
        ("$sum", bson!(1), bson!(4)),
        ("$avg", bson!("$v"), bson!(7.0 / 3.0)),
        ("$min", bson!("$v"), bson!(1)),
        ("$max", bson!("$v"), bson!(3)),
        ("$first", bson!("$w"), bson!("a")),
        ("$last", bson!("$v"), Bson::Null),
        ("$push", bson!("$v"), bson!([3, 1, 3.0])),
        ("$addToSet", bson!("$v"), bson!([3, 1])),
        ("$count", bson!({}), bson!(4)),
        ("$mergeObjects", bson!("$$ROOT"), bson!({"v": 3.0, "w": "d"})),
        ("$firstN", bson!({"input": "$w", "n": 2}), bson!(["a", "b"])),
        ("$lastN", bson!({"input": "$w", "n": 2}), bson!(["c", "d"])),
        ("$minN", bson!({"input": "$v", "n": 2}), bson!([1, 3])),
        ("$maxN", bson!({"input": "$w", "n": 2}), bson!(["d", "c"])),
        ("$top", bson!({"sortBy": {"v": -1}, "output": "$w"}), bson!("a")),
        ("$bottom", bson!({"sortBy": {"v": -1}, "output": "$w"}), bson!("d")),
        ("$topN", bson!({"n": 2, "sortBy": {"v": 1}, "output": "$w"}), bson!(["d", "b"])),
        ("$bottomN", bson!({"n": 2, "sortBy": {"v": 1}, "output": "$w"}), bson!(["a", "c"])),
        ("$stdDevPop", bson!("$s"), Bson::Null),
        ("$stdDevSamp", bson!("$v"), bson!((4.0_f64 / 3.0).sqrt())),
    ];
    for (name, argument, want) in cases {
        assert_eq!(accumulate(name, argument).unwrap(), want, "{name}");
    }
    assert_eq!(code(accumulate("$nonsense", bson!(1))), 15952);
    assert_eq!(code(accumulate("$sum", bson!([1, 2]))), 40237);
    assert_eq!(code(accumulate("$firstN", bson!({"input": 1, "n": 0}))), 5_787_908);
}

#[test]
fn the_accumulators_are_sorted() {
    assert!(super::accumulator::names().is_sorted());
}

#[test]
fn no_operator_panics() {
    let extremes = doc! {
        "a": i64::MIN, "b": i64::MAX, "c": i32::MIN, "d": -1, "e": 0, "f": f64::NAN, "g": f64::NEG_INFINITY, "h": 1e300,
        "i": null, "j": "é", "k": "", "l": [], "m": [1, "x", [2]], "n": {}, "o": {"k": "a", "v": 1}, "p": true,
        "q": bson::DateTime::from_millis(i64::MIN), "r": bson::DateTime::from_millis(i64::MAX),
        "s": "day", "t": "Europe/Oslo", "u": "%Y%z%j%", "v": [["k", 1]], "w": bson::oid::ObjectId::from_bytes([255; 12]),
        "x": bson::Timestamp { time: u32::MAX, increment: u32::MAX }, "y": 3, "z": "(a",
    };
    let root = from_bson_document(&extremes);
    let names: Vec<String> = extremes.keys().map(|key| format!("${key}")).collect();
    let run = |argument: Bson, name: &str| {
        if let Ok(expression) = parse(bson!({name: argument})) {
            let _ = expression.eval(root.as_doc());
        }
    };
    let shapes: &[&[&str]] = &[
        &["date", "timezone"],
        &["date", "unit", "binSize"],
        &["startDate", "unit", "amount", "timezone"],
        &["startDate", "endDate", "unit", "timezone"],
        &["dateString", "format", "timezone"],
        &["year", "month", "day", "timezone"],
        &["isoWeekYear", "isoWeek", "isoDayOfWeek"],
        &["input", "n"],
        &["input", "chars"],
        &["input", "regex", "options"],
        &["input", "find", "replacement"],
        &["input", "to"],
    ];
    for name in super::operator_names() {
        // Most operators refuse most shapes at once.
        let accepts = |shape: &&&[&str]| {
            let paths: bson::Document = shape.iter().map(|key| ((*key).to_owned(), bson!("$a"))).collect();
            parse(bson!({name: paths})).is_ok_and(|expression| expression.eval(root.as_doc()).is_err())
        };
        let shapes: Vec<_> = shapes.iter().filter(accepts).collect();
        for (at, first) in names.iter().enumerate() {
            run(bson!(first), name);
            for (other, second) in names.iter().enumerate() {
                run(bson!([first, second]), name);
                if (at + other) % 4 != 0 {
                    continue;
                }
                let third = &names[(at * 7 + other * 3) % names.len()];
                run(bson!([first, second, third]), name);
                run(bson!([first, second, third, first]), name);
                for shape in &shapes {
                    let pick = |n: usize| names[(at + other * n * n + n) % names.len()].clone();
                    let argument: bson::Document =
                        shape.iter().enumerate().map(|(n, key)| ((*key).to_owned(), Bson::String(pick(n)))).collect();
                    run(argument.into(), name);
                }
            }
        }
    }
}
