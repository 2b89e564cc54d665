//! Literals (SQL-2.2).

use millstream_flow::Datum;
use sqlparser::ast::{self, DateTimeField, Value};

use super::{Expr, Names, Result};
use crate::expr::number;
use crate::{SqlError, Type};

pub(super) fn value(value: &Value, names: &mut dyn Names) -> Result<Expr> {
    match value {
        Value::Null => Ok(Expr::Constant(Datum::Null)),
        Value::Boolean(v) => Ok(Expr::Constant(Datum::Bool(*v))),
        Value::Placeholder(name) => names.variable(name),
        Value::Number(text, _) => number::literal(&text.replace('_', ""))
            .map(Expr::Constant)
            .ok_or_else(|| SqlError::new("42601", format!("{text} is no number"))),
        Value::HexStringLiteral(_) => {
            Err(SqlError::new("0A000", "bit strings are not supported").hint("write '\\x…'::bytea"))
        }
        other => match other.clone().into_string() {
            Some(text) => Ok(Expr::Untyped(text)),
            None => Err(SqlError::new("0A000", format!("{other} is not supported"))),
        },
    }
}

/// `-5`.
pub(super) fn negative(literal: &Value, names: &mut dyn Names) -> Result<Expr> {
    if let Value::Number(text, _) = literal
        && let Some(number) = number::literal(&format!("-{}", text.replace('_', "")))
    {
        return Ok(Expr::Constant(number));
    }
    Ok(Expr::Negate(Box::new(value(literal, names)?)))
}

/// `DATE '2025-09-05'`.
pub(super) fn typed(literal: &ast::TypedString) -> Result<Expr> {
    let to = Type::from_ast(&literal.data_type)?;
    let Some(text) = literal.value.value.clone().into_string() else {
        return Err(SqlError::new("42601", format!("{} is no text", literal.value)));
    };
    Ok(Expr::Cast { value: Box::new(Expr::Untyped(text)), to, attempt: false })
}

/// `INTERVAL '1 day 02:00'`, `INTERVAL '1' DAY`, `INTERVAL '2:03' MINUTE TO SECOND`.
pub(super) fn interval(literal: &ast::Interval, names: &mut dyn Names) -> Result<Expr> {
    let inner = super::from_ast(&literal.value, names)?;
    let Expr::Untyped(mut text) = inner else {
        return Err(
            SqlError::new("42601", "INTERVAL takes a string").hint("write INTERVAL '1 day', or x * INTERVAL '1 day'")
        );
    };
    if let Some(field) = literal.last_field.as_ref().or(literal.leading_field.as_ref()) {
        let unit = field.to_string();
        if text.trim().parse::<f64>().is_ok() {
            text = format!("{text} {unit}");
        } else if literal.leading_field == Some(DateTimeField::Minute) && text.matches(':').count() == 1 {
            text = format!("00:{text}");
        }
    }
    Ok(Expr::Cast { value: Box::new(Expr::Untyped(text)), to: Type::Interval, attempt: false })
}
