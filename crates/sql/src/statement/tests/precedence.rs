//! What binds more than what (SQL-2.5): an expression, and the same with all its parentheses.

use std::ops::ControlFlow;

use sqlparser::ast::{self, Expr, visit_expressions_mut};

use super::super::{Statement, statement};

#[test]
fn operators_bind_as_in_postgresql() {
    let pairs = [
        ("a OR b AND NOT c = d", "a OR (b AND (NOT (c = d)))"),
        ("a + b * c ^ d", "a + (b * (c ^ d))"),
        ("-2 ^ 2", "(-2) ^ 2"),
        ("-a.b::int", "-((a.b)::int)"),
        ("- - a * b", "(-(-a)) * b"),
        ("a - b - c", "(a - b) - c"),
        ("2 ^ 3 ^ 2", "(2 ^ 3) ^ 2"),
        ("a % b / c", "(a % b) / c"),
        ("a + b || c", "(a + b) || c"),
        ("a || b = c", "(a || b) = c"),
        ("a = b ~ c", "a = (b ~ c)"),
        ("a ~ b || c", "(a ~ b) || c"),
        ("a -> 'b' = c", "(a -> 'b') = c"),
        ("a @> b AND c", "(a @> b) AND c"),
        ("a < b IS NULL", "(a < b) IS NULL"),
        ("NOT a IS NULL", "NOT (a IS NULL)"),
        ("a IS DISTINCT FROM b + 1 AND c", "(a IS DISTINCT FROM (b + 1)) AND c"),
        ("a || b LIKE c = d", "((a || b) LIKE c) = d"),
        ("a = b IN (c)", "a = (b IN (c))"),
        ("a = b BETWEEN c + 1 AND d OR e", "(a = (b BETWEEN (c + 1) AND d)) OR e"),
        ("a AND b + 1 BETWEEN SYMMETRIC c AND d AND e", "(a AND ((b + 1) BETWEEN SYMMETRIC c AND d)) AND e"),
        ("NOT a NOT BETWEEN SYMMETRIC b AND c", "NOT (a NOT BETWEEN SYMMETRIC b AND c)"),
        ("a::text || b::text", "(a::text) || (b::text)"),
        ("a AT TIME ZONE 'UTC' < b", "(a AT TIME ZONE 'UTC') < b"),
    ];
    for (text, whole) in pairs {
        assert_eq!(without_parentheses(text), without_parentheses(whole), "{text}");
    }
    assert_ne!(without_parentheses("a + b * c"), without_parentheses("(a + b) * c"));
}

fn without_parentheses(text: &str) -> Expr {
    let Ok(Statement::Query(query)) = statement(&format!("SELECT {text}")) else { panic!("{text}") };
    let ast::SetExpr::Select(mut select) = *query.body else { panic!("{text}") };
    let Some(ast::SelectItem::UnnamedExpr(mut expr)) = select.projection.pop() else { panic!("{text}") };
    let _ = visit_expressions_mut(&mut expr, |expr| {
        while let Expr::Nested(inner) = expr {
            *expr = (**inner).clone();
        }
        ControlFlow::<()>::Continue(())
    });
    expr
}
