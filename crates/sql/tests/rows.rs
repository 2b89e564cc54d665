//! Expressions over stored documents: what the reference's examples say of values that are missing, null or of mixed types.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use millstream_flow::{Datum, Row};
use millstream_sql::expr::{Context, Names, Step, from_ast, to_value};
use millstream_sql::statement::{Statement, ast, statement};
use millstream_sql::{Expr, SqlError, Type};
use millstream_value::{Decimal, DocBuf, Value};

/// The row has one column: the document.
struct Fields;

impl Names for Fields {
    fn name(&mut self, parts: &[ast::Ident]) -> Result<Expr, SqlError> {
        let steps = parts.iter().map(|part| Step::Field(part.value.clone())).collect();
        Ok(Expr::Path(Box::new(Expr::Column(0)), steps))
    }

    fn call(&mut self, _: &ast::Function) -> Result<Option<Expr>, SqlError> {
        Ok(None)
    }

    fn subquery(&mut self, _: &ast::Expr) -> Result<Expr, SqlError> {
        Err(SqlError::new("0A000", "no subqueries here"))
    }

    fn variable(&mut self, _: &str) -> Result<Expr, SqlError> {
        Ok(Expr::Variable(0))
    }
}

fn lower(text: &str) -> Expr {
    from_ast(&parse(text).unwrap(), &mut Fields).unwrap()
}

/// The expression as the statement layer reads it.
fn parse(text: &str) -> Result<ast::Expr, SqlError> {
    let wrong = || SqlError::new("42601", format!("{text} is no expression"));
    let Statement::Query(query) = statement(&format!("SELECT {text}"))? else { return Err(wrong()) };
    let ast::SetExpr::Select(select) = *query.body else { return Err(wrong()) };
    match select.projection.into_iter().next() {
        Some(ast::SelectItem::UnnamedExpr(expr)) => Ok(expr),
        _ => Err(wrong()),
    }
}

fn context(zone: &str) -> Arc<Context> {
    Arc::new(Context {
        variables: vec![Datum::Int(5)],
        time_zone: jiff::tz::TimeZone::get(zone).unwrap(),
        routine: Box::new(|name, arguments| Ok(Datum::text(format!("{name}/{}", arguments.len())))),
        clock: Box::new(|| 86_400_000),
    })
}

fn row(doc: &DocBuf) -> Row {
    Row::new(vec![Datum::Int(1)], vec![Datum::Document(Arc::from(doc.as_bytes()))])
}

fn value(text: &str, doc: &DocBuf) -> Result<Datum, String> {
    let expr = lower(text);
    expr.check(&[None], &[None]).map_err(|error| error.state.to_string())?;
    expr.compile(&context("UTC")).eval(&row(doc)).map_err(|error| error.state.to_string())
}

/// The documents of E-7.
fn mixed() -> Vec<DocBuf> {
    let doc = |id: i32, q: Option<Value<'_>>| {
        let mut doc = DocBuf::new();
        doc.push("_id", id).push_some("q", q);
        doc
    };
    let mut array = DocBuf::new();
    array.array("a", |values| {
        values.push(5);
    });
    vec![
        doc(1, Some(Value::Int32(5))),
        doc(2, Some(Value::Null)),
        doc(3, None),
        doc(4, Some(Value::String("5".into()))),
        doc(5, Some(Value::Double(5.0))),
        doc(6, array.as_doc().get("a")),
        doc(7, Some(Value::Double(f64::NAN))),
        doc(8, Some(Value::Decimal(Decimal::parse("5.00").unwrap()))),
    ]
}

/// The numbers of the documents for which a condition is true.
fn passing(condition: &str) -> Vec<usize> {
    let truth = |doc: &DocBuf| value(condition, doc).unwrap() == Datum::Bool(true);
    mixed().iter().enumerate().filter(|(_, doc)| truth(doc)).map(|(at, _)| at + 1).collect()
}

/// SQL-3.3, SQL-4.3 to SQL-4.5, SQL-4.10, E-7
#[test]
fn conditions_over_mixed_types() {
    assert_eq!(passing("q = 5"), [1, 5, 8]);
    assert_eq!(passing("q <> 5"), [4, 6, 7]);
    assert_eq!(passing("q > 4"), [1, 5, 7, 8]);
    assert_eq!(passing("NOT (q > 4)"), [] as [usize; 0]);
    assert_eq!(passing("q < 6"), [1, 5, 8]);
    assert_eq!(passing("q = '5'"), [1, 4, 5, 8]);
    assert_eq!(passing("q IS NULL"), [2, 3]);
    assert_eq!(passing("BSON_TYPE(q) = 'missing'"), [3]);
    assert_eq!(passing("q IN (5, NULL)"), [1, 5, 8]);
    assert_eq!(passing("q NOT IN (4, NULL)"), [] as [usize; 0]);
    assert_eq!(passing("q IS DISTINCT FROM 5"), [2, 3, 4, 6, 7]);
    assert_eq!(passing("q = q"), [1, 4, 5, 6, 7, 8]);
    assert_eq!(passing("q = ANY('{5,6}')"), [1, 4, 5, 8]);
    assert_eq!(passing("q BETWEEN '4' AND '6'"), [1, 4, 5, 8]);
    assert_eq!(passing("CASE q WHEN '5' THEN true END"), [1, 4, 5, 8]);
    assert_eq!(passing("NULLIF(q, 5) IS NULL"), [1, 2, 3, 5, 8]);
    assert_eq!(passing("q = $1"), [1, 5, 8]);
}

fn shop() -> DocBuf {
    let mut doc = DocBuf::new();
    doc.push("_id", 1);
    doc.array("items", |items| {
        let mut a = DocBuf::new();
        a.push("sku", "a").push("price", 2.5);
        let mut b = DocBuf::new();
        b.push("sku", "b").push("price", 4.0);
        items.push_document(a.as_bytes());
        items.push_document(b.as_bytes());
    });
    doc.nest("address", |address| {
        address.push("city", "Rome");
    });
    doc.push("tags", "x").push("id", Value::ObjectId([0x50; 12])).push("n", 0);
    doc
}

/// SQL-3.5, E-23
#[test]
fn paths_never_fail() {
    let doc = shop();
    let of = |text: &str| value(text, &doc).unwrap();
    assert_eq!(of("items[0].sku"), Datum::text("a"));
    assert_eq!(of("items[-1].price"), Datum::Double(4.0));
    assert_eq!(of("items[n + 1]['sku']"), Datum::text("b"));
    assert_eq!(of("address.city"), Datum::text("Rome"));
    for nothing in ["items.sku", "items[2]", "items[-3]", "tags.x", "tags[0]", "address[0]", "nope.at.all[1]"] {
        assert!(of(nothing).is_null(), "{nothing}");
    }
    assert_eq!(of("BSON_TYPE(address -> 'zip')"), Datum::text("missing"));
    assert_eq!(of("items #>> '{1,sku}'"), Datum::text("b"));
    assert_eq!(of("address - 'city'"), Datum::Document(Arc::from(DocBuf::new().into_bytes())));
}

/// SQL-4.10: both the ObjectId and its text are found.
#[test]
fn literals_take_the_type_of_what_they_meet() {
    let doc = shop();
    assert_eq!(value("id = '505050505050505050505050'", &doc), Ok(Datum::Bool(true)));
    assert_eq!(value("tags = 'x'", &doc), Ok(Datum::Bool(true)));
    assert_eq!(value("n + '1'", &doc), Ok(Datum::Int(1)));
}

/// SQL-4.1, SQL-5.6, E-20: where a column is involved a mistake is an error of the row.
#[test]
fn mistakes_with_columns_are_errors_of_the_row() {
    let doc = shop();
    for (text, state) in [
        ("10 / n", "22012"),
        ("10 / tags", "42804"),
        ("tags + 1", "42804"),
        ("n AND true", "42804"),
        ("UPPER(n)", "42804"),
        ("n LIKE 'a'", "42804"),
        ("tags::integer", "22P02"),
        ("id::integer", "42846"),
        ("1 = ANY(tags)", "42804"),
        ("DATE_TRUNC('day', tags)", "42804"),
        ("tags ~ (tags || '(')", "2201B"),
    ] {
        assert_eq!(value(text, &doc).unwrap_err(), state, "{text}");
    }
    assert_eq!(
        value("CASE WHEN n = 0 THEN 1 ELSE 1 / n END", &doc),
        Ok(Datum::Int(1)),
        "an untaken branch cannot fail"
    );
    assert_eq!(value("n = 0 OR 1 / 0 = 1", &doc), Ok(Datum::Bool(true)), "nor what a condition does not need");
}

/// SQL-4.1: types that are known refuse at once what cannot work.
#[test]
fn known_types_are_checked_before_there_are_values() {
    let check = |text: &str| {
        let columns = [Some(Type::Integer)];
        let expr = replace_path(lower(text));
        expr.check(&columns, &[]).map_err(|error| error.state.to_string())
    };
    assert_eq!(check("x + 1"), Ok(()));
    assert_eq!(check("x = 'abc'").unwrap_err(), "22P02");
    assert_eq!(check("x = '5'"), Ok(()));
    assert_eq!(check("x AND true").unwrap_err(), "42804");
    assert_eq!(check("x LIKE 'a'").unwrap_err(), "42883");
    assert_eq!(check("UPPER(x)").unwrap_err(), "42883");
    assert_eq!(check("x + INTERVAL '1 day'").unwrap_err(), "42883");
    assert_eq!(check("x::uuid").unwrap_err(), "42846");
    assert_eq!(check("COALESCE(x, 'abc')").unwrap_err(), "22P02");
    assert_eq!(check("x > 'abc'::text"), Ok(()), "classes that differ may be compared");
}

/// The document's fields as columns.
fn replace_path(expr: Expr) -> Expr {
    match expr {
        Expr::Path(..) => Expr::Column(0),
        Expr::Arithmetic(how, a, b) => Expr::Arithmetic(how, boxed(*a), boxed(*b)),
        Expr::Compare(how, a, b) => Expr::Compare(how, boxed(*a), boxed(*b)),
        Expr::And(all) => Expr::And(all.into_iter().map(replace_path).collect()),
        Expr::Coalesce(all) => Expr::Coalesce(all.into_iter().map(replace_path).collect()),
        Expr::Call(function, all) => Expr::Call(function, all.into_iter().map(replace_path).collect()),
        Expr::Cast { value, to, attempt } => Expr::Cast { value: boxed(*value), to, attempt },
        Expr::Like { value, pattern, escape, ignore_case } => {
            Expr::Like { value: boxed(*value), pattern, escape, ignore_case }
        }
        other => other,
    }
}

fn boxed(expr: Expr) -> Box<Expr> {
    Box::new(replace_path(expr))
}

/// SQL-4.9, SQL-4.13: the session zone.
#[test]
fn the_session_zone_counts() {
    let of = |text: &str| lower(text).compile(&context("Europe/Rome")).eval(&row(&DocBuf::new())).unwrap();
    assert_eq!(of("(TIMESTAMPTZ '2025-09-05 10:00Z')::text"), Datum::text("2025-09-05 12:00:00+02"));
    assert_eq!(of("(TIMESTAMPTZ '2025-01-05 10:00')::text"), Datum::text("2025-01-05 10:00:00+01"));
    // A day across the change of the clock keeps the time that the clock shows; hours do not.
    assert_eq!(of("(TIMESTAMPTZ '2025-03-29 12:00' + INTERVAL '1 day')::text"), Datum::text("2025-03-30 12:00:00+02"));
    assert_eq!(
        of("(TIMESTAMPTZ '2025-03-29 12:00' + INTERVAL '24 hours')::text"),
        Datum::text("2025-03-30 13:00:00+02")
    );
    assert_eq!(of("EXTRACT(HOUR FROM TIMESTAMPTZ '2025-09-05 10:00Z')::integer"), Datum::Int(12));
    assert_eq!(of("TO_CHAR(TIMESTAMPTZ '2025-09-05 10:00Z', 'HH24 TZ OF')"), Datum::text("12 CEST +02"));
    let zone = context("Europe/Rome").time_zone.clone();
    let midnight = Value::Date(1_757_023_200_000);
    assert_eq!(to_value(&of("DATE '2025-09-05'"), &zone), midnight);
    assert_eq!(to_value(&of("TIMESTAMP '2025-09-05'"), &zone), midnight);
    assert_eq!(to_value(&of("INTERVAL '1 day 2 hours'"), &zone), Value::String("P1DT2H".into()));
}

/// SQL-6.1: volatile functions answer anew, routines are the host's.
#[test]
fn what_the_host_gives() {
    assert_eq!(value("CLOCK_TIMESTAMP()", &shop()), Ok(Datum::Instant(86_400_000)));
    let two = lower("RANDOM()").compile(&context("UTC"));
    let row = row(&shop());
    assert_ne!(two.eval(&row), two.eval(&row));
    let routine = Expr::Routine("f".to_owned(), vec![Expr::Constant(Datum::Int(1))]);
    assert_eq!(routine.compile(&context("UTC")).eval(&row), Ok(Datum::text("f/1")));
}

/// SQL-6: names in any case, with a hint for one that is nearly right.
#[test]
fn functions_by_name() {
    use millstream_sql::expr::{function, nearest_function};
    assert_eq!(function("date_trunc").unwrap().name, "DATE_TRUNC");
    assert!(function("random").unwrap().volatile);
    assert!(function("nope").is_none());
    assert_eq!(nearest_function("DATE_TRUNK"), Some("DATE_TRUNC"));
    assert_eq!(nearest_function("coalesc"), Some("COALESCE"));
    assert_eq!(nearest_function("something_else_entirely"), None);
}

/// SQL-4.6 to SQL-4.8, SQL-6.3, E-16: the types of values, which their text does not show.
#[test]
fn values_have_their_types() {
    let of = |text: &str| value(text, &DocBuf::new()).unwrap();
    let decimal = |text: &str| Datum::Decimal(Decimal::parse(text).unwrap());
    assert_eq!(of("5 / 2"), Datum::Int(2));
    assert_eq!(of("2147483647 + 1"), Datum::Long(2_147_483_648));
    assert_eq!(of("-2147483648"), Datum::Int(i32::MIN));
    assert_eq!(of("9223372036854775807::bigint - 9223372036854775806"), Datum::Long(1));
    assert_eq!(of("7 / (2 * 1.0)"), decimal("3.5"));
    assert_eq!(of("8 / 3.0"), decimal("2.6666666666666667"));
    assert_eq!(of("0.1 + 0.2"), decimal("0.3"));
    assert_eq!(of("2.50"), decimal("2.5"));
    assert_eq!(of("0.1::float8 + 0.2"), Datum::Double(0.300_000_000_000_000_04));
    assert_eq!(of("2 ^ 10"), Datum::Double(1024.0));
    assert_eq!(of("ROUND(2.5)"), decimal("3"));
    assert_eq!(of("ROUND(2.5::float8)"), Datum::Double(2.0));
    assert_eq!(of("ROUND(2.675::float8, 2)"), Datum::Double(2.68));
    assert_eq!(of("ROUND(15, -1)"), Datum::Int(20));
    assert_eq!(of("MOD(5.5, 2)"), decimal("1.5"));
    assert_eq!(of("'5' + 3"), Datum::Int(8));
    assert_eq!(of("EXTRACT(EPOCH FROM INTERVAL '1 year 2 months 3 days')"), decimal("37000800"));
    assert_eq!(of("2.5::integer"), Datum::Int(3));
    assert_eq!(of("GREATEST(1, NULL, 3)"), Datum::Int(3));
    assert_eq!(of("CASE WHEN true THEN 1 ELSE 2.5 END"), Datum::Int(1));
}
