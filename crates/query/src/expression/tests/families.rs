//! Operators of a family side by side, with values worked out by hand.

use super::*;

fn date(text: &str) -> Bson {
    Bson::DateTime(bson::DateTime::parse_rfc3339_str(text).unwrap())
}

#[test]
fn bits() {
    let cases = [
        (bson!({"$bitAnd": [6, 3]}), bson!(2)),
        (bson!({"$bitAnd": []}), bson!(-1)),
        (bson!({"$bitOr": [5, 2, 8]}), bson!(15)),
        (bson!({"$bitOr": []}), bson!(0)),
        (bson!({"$bitXor": [5, 3]}), bson!(6)),
        (bson!({"$bitXor": [5, 3_i64]}), bson!(6_i64)),
        (bson!({"$bitXor": [1, "$n"]}), Bson::Null),
        (bson!({"$bitNot": 5}), bson!(-6)),
        (bson!({"$bitNot": (i64::MAX)}), bson!(i64::MIN)),
        (bson!({"$bitNot": "$missing"}), Bson::Null),
    ];
    for (expression, want) in cases {
        assert_eq!(value(expression.clone()), want, "{expression}");
    }
    for operator in ["$bitAnd", "$bitNot", "$bitOr", "$bitXor"] {
        assert_eq!(code(eval(bson!({operator: [1.0]}))), 14, "{operator}");
    }
}

#[test]
fn angles() {
    let cases = [
        ("$acos", 0.5, std::f64::consts::FRAC_PI_3),
        ("$acosh", 2.0, 1.316_957_896_924_816_6),
        ("$asin", 0.5, std::f64::consts::FRAC_PI_6),
        ("$asinh", 1.0, 0.881_373_587_019_543),
        ("$atan", 1.0, std::f64::consts::FRAC_PI_4),
        ("$atanh", 0.5, 0.549_306_144_334_054_8),
        ("$cos", 1.0, 0.540_302_305_868_139_8),
        ("$cosh", 1.0, 1.543_080_634_815_243_7),
        ("$degreesToRadians", 180.0, std::f64::consts::PI),
        ("$radiansToDegrees", std::f64::consts::PI, 180.0),
        ("$sin", 1.0, 0.841_470_984_807_896_5),
        ("$sinh", 1.0, 1.175_201_193_643_801_4),
        ("$tan", 1.0, 1.557_407_724_654_902_3),
        ("$tanh", 1.0, 0.761_594_155_955_764_9),
    ];
    for (operator, angle, want) in cases {
        let found = value(bson!({operator: angle}));
        assert!(found.as_f64().is_some_and(|found| (found - want).abs() < 1e-12), "{operator}: {found}");
        let decimal: bson::Decimal128 = "0.5".parse().unwrap();
        let decimal = if operator == "$acosh" { "1".parse().unwrap() } else { decimal };
        assert!(matches!(value(bson!({operator: decimal})), Bson::Decimal128(_)), "{operator}");
        assert_eq!(value(bson!({operator: "$n"})), Bson::Null, "{operator}");
        assert_eq!(code(eval(bson!({operator: "$s"}))), 28765, "{operator}");
    }
    for (operator, outside) in [
        ("$acos", 1.1),
        ("$acosh", 0.9),
        ("$asin", -1.1),
        ("$atanh", 1.1),
        ("$cos", f64::INFINITY),
        ("$tan", f64::INFINITY),
    ] {
        assert_eq!(code(eval(bson!({operator: outside}))), 50989, "{operator}");
    }
}

#[test]
fn parts_of_a_date() {
    // A Thursday, and a Friday half an hour further east.
    let leap = date("2024-02-29T23:59:58.007Z");
    let cases = [
        ("$year", 2024, 2024),
        ("$month", 2, 3),
        ("$dayOfMonth", 29, 1),
        ("$dayOfWeek", 5, 6),
        ("$dayOfYear", 60, 61),
        ("$hour", 23, 0),
        ("$minute", 59, 29),
        ("$second", 58, 58),
        ("$millisecond", 7, 7),
        ("$week", 8, 8),
        ("$isoWeek", 9, 9),
        ("$isoDayOfWeek", 4, 5),
    ];
    for (operator, utc, east) in cases {
        let (leap, zoned) = (leap.clone(), bson!({"date": (leap.clone()), "timezone": "+00:30"}));
        assert_eq!(value(bson!({operator: leap})), bson!(utc), "{operator}");
        assert_eq!(value(bson!({operator: zoned})), bson!(east), "{operator}");
        assert_eq!(value(bson!({operator: "$missing"})), Bson::Null, "{operator}");
        assert_eq!(code(eval(bson!({operator: "$s"}))), 16006, "{operator}");
    }
    assert_eq!(value(bson!({"$isoWeekYear": (date("2024-12-30T00:00:00Z"))})), bson!(2025_i64));
    assert_eq!(value(bson!({"$isoWeek": (date("2021-01-03T00:00:00Z"))})), bson!(53));
}

#[test]
fn subtracting_from_a_date() {
    let cases = [
        ("2024-03-31T00:00:00Z", "month", 1, "UTC", "2024-02-29T00:00:00Z"),
        ("2024-02-29T00:00:00Z", "year", 1, "UTC", "2023-02-28T00:00:00Z"),
        ("2024-01-01T00:00:00Z", "second", -5, "UTC", "2024-01-01T00:00:05Z"),
        // The clocks went forward in the night between: the same time of day is 23 hours before.
        ("2024-03-31T12:00:00Z", "day", 1, "Europe/Oslo", "2024-03-30T13:00:00Z"),
        ("2024-03-31T12:00:00Z", "hour", 24, "Europe/Oslo", "2024-03-30T12:00:00Z"),
    ];
    for (from, unit, amount, zone, want) in cases {
        let arguments = bson!({"startDate": (date(from)), "unit": unit, "amount": amount, "timezone": zone});
        assert_eq!(value(bson!({"$dateSubtract": arguments})), date(want), "{from} - {amount} {unit} in {zone}");
    }
    let arguments = bson!({"startDate": (date("2024-01-01T00:00:00Z")), "unit": "hour", "amount": "$missing"});
    assert_eq!(value(bson!({"$dateSubtract": arguments})), Bson::Null);
}

#[test]
fn sizes_and_timestamps() {
    let bytes = Bson::Binary(bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1, 2, 3] });
    let time = Bson::Timestamp(bson::Timestamp { time: u32::MAX, increment: 3 });
    let cases = [
        (bson!({"$binarySize": "é1"}), bson!(3)),
        (bson!({"$binarySize": bytes}), bson!(3)),
        (bson!({"$binarySize": "$n"}), Bson::Null),
        (bson!({"$tsSecond": (time.clone())}), bson!(4_294_967_295_i64)),
        (bson!({"$tsIncrement": time}), bson!(3_i64)),
        (bson!({"$tsSecond": "$missing"}), Bson::Null),
    ];
    for (expression, want) in cases {
        assert_eq!(value(expression.clone()), want, "{expression}");
    }
    assert_eq!(code(eval(bson!({"$binarySize": "$a"}))), 51276);
    assert_eq!(code(eval(bson!({"$tsSecond": "$a"}))), 5_687_301);
    assert_eq!(code(eval(bson!({"$tsIncrement": "$a"}))), 5_687_302);
}

#[test]
fn letters() {
    let cases = [
        (bson!({"$toLower": "ABC é É 1"}), "abc é É 1"),
        (bson!({"$toUpper": "abc é É 1"}), "ABC é É 1"),
        (bson!({"$toLower": "$n"}), ""),
        (bson!({"$toLower": 5}), "5"),
        (bson!({"$toLower": (date("2024-02-29T00:00:00Z"))}), "2024-02-29t00:00:00.000z"),
    ];
    for (expression, want) in cases {
        assert_eq!(value(expression.clone()), bson!(want), "{expression}");
    }
    assert_eq!(code(eval(bson!({"$toLower": "$list"}))), 16007);
}
