//! What names see, and what becomes of what they answer.

use millstream_flow::Datum;
use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::*;

/// Columns by the order in which they were named; calls and subqueries are not known.
#[derive(Default)]
struct Seen(Vec<String>);

impl Names for Seen {
    fn name(&mut self, parts: &[ast::Ident]) -> Result<Expr> {
        let names: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
        self.0.push(names.join("/"));
        Ok(Expr::Column(self.0.len() - 1))
    }

    fn call(&mut self, _: &ast::Function) -> Result<Option<Expr>> {
        Ok(None)
    }

    fn subquery(&mut self, expr: &ast::Expr) -> Result<Expr> {
        self.0.push(expr.to_string());
        Ok(Expr::Column(self.0.len() - 1))
    }

    fn variable(&mut self, name: &str) -> Result<Expr> {
        self.0.push(name.to_owned());
        Ok(Expr::Variable(self.0.len() - 1))
    }
}

fn lower(text: &str) -> (Expr, Vec<String>) {
    let dialect = PostgreSqlDialect {};
    let syntax = Parser::new(&dialect).try_with_sql(text).unwrap().parse_expr().unwrap();
    let mut names = Seen::default();
    (from_ast(&syntax, &mut names).unwrap(), names.0)
}

fn state(text: &str) -> &'static str {
    let dialect = PostgreSqlDialect {};
    let syntax = Parser::new(&dialect).try_with_sql(text).unwrap().parse_expr().unwrap();
    from_ast(&syntax, &mut Seen::default()).unwrap_err().state.0
}

fn path(steps: &[Step]) -> Expr {
    Expr::Path(Box::new(Expr::Column(0)), steps.to_vec())
}

/// SQL-2.4, SQL-3.4, SQL-3.5
#[test]
fn paths_keep_their_head_together() {
    let field = |name: &str| Step::Field(name.to_owned());
    assert_eq!(lower("address.city"), (Expr::Column(0), vec!["address/city".to_owned()]));
    assert_eq!(lower("o.order"), (Expr::Column(0), vec!["o/order".to_owned()]));
    assert_eq!(lower("o.select.from"), (Expr::Column(0), vec!["o/select/from".to_owned()]));
    assert_eq!(lower("\"a.b\""), (Expr::Column(0), vec!["a.b".to_owned()]));
    assert_eq!(lower("items[0].sku"), (path(&[Step::Index(0), field("sku")]), vec!["items".to_owned()]));
    assert_eq!(
        lower("o.items[-1]['unit price']"),
        (path(&[Step::Index(-1), field("unit price")]), vec!["o/items".to_owned()])
    );
    assert_eq!(lower("a.b[0].c.d"), (path(&[Step::Index(0), field("c"), field("d")]), vec!["a/b".to_owned()]));
    assert_eq!(lower("(a).b"), (path(&[field("b")]), vec!["a".to_owned()]));
    assert!(matches!(lower("a[n]").0, Expr::Operator(Operator::Get, ..)));
    assert_eq!(state("a[1:2]"), "0A000");
}

/// SQL-2.2
#[test]
fn literals_are_of_the_first_type_that_they_fit() {
    let constant = |text: &str| match lower(text).0 {
        Expr::Constant(value) => value,
        other => panic!("{other:?}"),
    };
    assert_eq!(constant("42"), Datum::Int(42));
    assert_eq!(constant("1_000"), Datum::Int(1000));
    assert_eq!(constant("2147483648"), Datum::Long(2_147_483_648));
    assert!(matches!(constant("9223372036854775808"), Datum::Decimal(_)));
    assert!(matches!(constant(".5"), Datum::Decimal(_)));
    assert!(matches!(constant("1e3"), Datum::Decimal(_)));
    assert_eq!(lower("'it''s'").0, Expr::Untyped("it's".to_owned()));
    assert_eq!(lower(r"E'\n'").0, Expr::Untyped("\n".to_owned()));
    assert_eq!(lower("$tag$a'b$tag$").0, Expr::Untyped("a'b".to_owned()));
    assert_eq!(lower("$1").0, Expr::Variable(0));
}

/// SQL-2.5: a sign binds closer than `^`, which binds closer than `*`.
#[test]
fn signs_bind_closest() {
    assert!(
        matches!(lower("-a ^ 2").0, Expr::Arithmetic(Arithmetic::Power, left, _) if matches!(*left, Expr::Negate(_)))
    );
    assert!(matches!(lower("-5 % 3").0, Expr::Arithmetic(Arithmetic::Modulo, ..)));
    assert!(matches!(lower("a AND b AND c").0, Expr::And(parts) if parts.len() == 3));
}

/// SQL-5.2
#[test]
fn rows_are_compared_part_by_part() {
    assert!(
        matches!(lower("(a, b) < (1, 2)").0, Expr::CompareRows(Comparison::Less, l, r) if l.len() == 2 && r.len() == 2)
    );
    assert!(matches!(lower("(a, b) IN ((1, 2), (3, 4))").0, Expr::Or(rows) if rows.len() == 2));
    assert_eq!(state("(a, b) = (1, 2, 3)"), "42601");
    assert!(matches!(lower("a = ANY(ARRAY[1, 2])").0, Expr::Any(Comparison::Equal, ..)));
    assert_eq!(lower("a = ANY(SELECT 1)").1.len(), 1);
    assert_eq!(lower("ARRAY(SELECT 1)").1, ["ARRAY(SELECT 1)"]);
}

/// SQL-5.4
#[test]
fn refuses_what_there_is_not() {
    assert_eq!(state("a SIMILAR TO 'b'"), "0A000");
    assert_eq!(state("a COLLATE \"de_DE\""), "0A000");
    assert_eq!(state("no_such(1)"), "42883");
    assert_eq!(state("1::nothing"), "42704");
}
