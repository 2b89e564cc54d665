//! Paths: `address.city`, `items[0].sku`, `o.items[-1]['unit price']` (SQL-3.4, SQL-3.5).

use sqlparser::ast::{self, AccessExpr, Subscript, UnaryOperator, Value};

use super::{Expr, Names, Operator, Result, Step, from_ast, step};
use crate::SqlError;

pub(super) fn access(root: &ast::Expr, chain: &[AccessExpr], names: &mut dyn Names) -> Result<Expr> {
    let mut head: Vec<ast::Ident> = match root {
        ast::Expr::Identifier(name) => vec![name.clone()],
        ast::Expr::CompoundIdentifier(parts) => parts.clone(),
        _ => Vec::new(),
    };
    let mut rest = chain.iter().peekable();
    if !head.is_empty() {
        while let Some(AccessExpr::Dot(ast::Expr::Identifier(name))) = rest.peek() {
            head.push(name.clone());
            rest.next();
        }
    }
    let mut value = if head.is_empty() { from_ast(root, names)? } else { names.name(&head)? };
    for access in rest {
        value = match access {
            AccessExpr::Dot(ast::Expr::Identifier(name)) => step(value, Step::Field(name.value.clone())),
            AccessExpr::Dot(other) => return Err(SqlError::new("42601", format!("{other} is no name of a field"))),
            AccessExpr::Subscript(Subscript::Slice { .. }) => {
                return Err(SqlError::new("0A000", "slices of arrays are not supported"));
            }
            AccessExpr::Subscript(Subscript::Index { index }) => match constant(index) {
                Some(constant) => step(value, constant?),
                None => Expr::Operator(Operator::Get, Box::new(value), Box::new(from_ast(index, names)?)),
            },
        };
    }
    Ok(value)
}

/// The step of a subscript that is a literal.
fn constant(index: &ast::Expr) -> Option<Result<Step>> {
    let number = |text: &str, sign: &str| {
        let digits = text.replace('_', "");
        let wrong = || SqlError::new("42804", format!("{text} is no index of an array"));
        format!("{sign}{digits}").parse().map(Step::Index).map_err(|_| wrong())
    };
    let literal = |expr: &ast::Expr| match expr {
        ast::Expr::Value(value) => Some(value.value.clone()),
        _ => None,
    };
    match index {
        ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal(expr)? {
            Value::Number(text, _) => Some(number(&text, "-")),
            _ => None,
        },
        other => match literal(other)? {
            Value::Number(text, _) => Some(number(&text, "")),
            Value::SingleQuotedString(name) | Value::EscapedStringLiteral(name) => Some(Ok(Step::Field(name))),
            _ => None,
        },
    }
}
