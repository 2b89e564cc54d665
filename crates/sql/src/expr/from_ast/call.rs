//! Calls of functions, also those with a syntax of their own.

use sqlparser::ast::{
    self, CeilFloorKind, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, TrimWhereField,
};

use super::{Comparison, Expr, Names, Result, from_ast, function};
use crate::SqlError;
use crate::expr::nearest_function;
use crate::statement::BETWEEN_SYMMETRIC;

/// The names of MAKE_INTERVAL's arguments, which may be given by name.
const MAKE_INTERVAL: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];

pub(super) fn special(expr: &Ast, names: &mut dyn Names) -> Result<Expr> {
    let mut call = |name: &str, arguments: &[&Ast]| {
        let arguments = arguments.iter().map(|argument| from_ast(argument, names)).collect::<Result<Vec<_>>>()?;
        table(name, arguments)
    };
    match expr {
        Ast::Function(function) => ordinary(expr, function, names),
        Ast::AtTimeZone { timestamp, time_zone } => call("TIMEZONE", &[time_zone, timestamp]),
        Ast::Extract { field, expr, .. } => {
            let unit = Expr::Untyped(field.to_string().trim_matches('\'').to_owned());
            table("EXTRACT", vec![unit, from_ast(expr, names)?])
        }
        Ast::Ceil { expr, field: CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
            call("CEIL", &[expr])
        }
        Ast::Floor { expr, field: CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) } => {
            call("FLOOR", &[expr])
        }
        Ast::Ceil { .. } | Ast::Floor { .. } => Err(SqlError::new("42883", format!("there is no function {expr}"))),
        Ast::Position { expr, r#in } => call("POSITION", &[expr, r#in]),
        Ast::Substring { expr, substring_from, substring_for, .. } => match (substring_from, substring_for) {
            (Some(from), Some(length)) => call("SUBSTRING", &[expr, from, length]),
            (Some(from), None) => call("SUBSTRING", &[expr, from]),
            (None, Some(length)) => {
                let text = from_ast(expr, names)?;
                let one = Expr::Constant(millstream_flow::Datum::Int(1));
                table("SUBSTRING", vec![text, one, from_ast(length, names)?])
            }
            (None, None) => Err(SqlError::new("42883", "SUBSTRING takes a place")),
        },
        Ast::Overlay { expr, overlay_what, overlay_from, overlay_for } => match overlay_for {
            Some(length) => call("OVERLAY", &[expr, overlay_what, overlay_from, length]),
            None => call("OVERLAY", &[expr, overlay_what, overlay_from]),
        },
        Ast::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "LTRIM",
                Some(TrimWhereField::Trailing) => "RTRIM",
                Some(TrimWhereField::Both) | None => "BTRIM",
            };
            match (trim_what, trim_characters.as_deref()) {
                (Some(what), _) => call(name, &[expr, what]),
                (None, Some([what])) => call(name, &[expr, what]),
                (None, Some(_)) => Err(SqlError::new("42601", "TRIM takes one text of characters")),
                (None, None) => call(name, &[expr]),
            }
        }
        other => Err(SqlError::new("0A000", format!("{other} is not supported"))),
    }
}

fn ordinary(expr: &Ast, call: &ast::Function, names: &mut dyn Names) -> Result<Expr> {
    if let FunctionArguments::Subquery(_) = call.args {
        return names.subquery(expr);
    }
    if let Some(known) = names.call(call)? {
        return Ok(known);
    }
    let name = match call.name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.as_str()),
        // The functions of the table are also those of PostgreSQL's own schema.
        [schema, part] if schema.to_string().eq_ignore_ascii_case("pg_catalog") => {
            part.as_ident().map(|ident| ident.value.as_str())
        }
        _ => None,
    };
    let Some(name) = name else { return Err(unknown(&call.name.to_string())) };
    if call.over.is_some() || call.filter.is_some() || !call.within_group.is_empty() || has_clauses(call) {
        let known = function(name).is_some();
        let message = format!("{name} is not an aggregate or window function");
        return Err(if known { SqlError::new("42809", message) } else { unknown(name) });
    }
    let upper = name.to_ascii_uppercase();
    if upper == "MAKE_INTERVAL" {
        return make_interval(call, names);
    }
    let mut arguments = Vec::new();
    for argument in positional(call)? {
        arguments.push(from_ast(argument, names)?);
    }
    match (upper.as_str(), arguments.len()) {
        ("COALESCE", 1..) => Ok(Expr::Coalesce(arguments)),
        ("NULLIF", 2) => Ok(nullif(arguments)),
        _ if name == BETWEEN_SYMMETRIC => {
            let mut next = arguments.into_iter().map(Box::new);
            match (next.next(), next.next(), next.next()) {
                (Some(value), Some(low), Some(high)) => Ok(Expr::Between { value, low, high, symmetric: true }),
                _ => Err(unknown(name)),
            }
        }
        _ => table(name, arguments),
    }
}

/// It compares as `=` does, also where one side is an untyped literal.
fn nullif(arguments: Vec<Expr>) -> Expr {
    let first = arguments.first().cloned().map(Box::new);
    let mut sides = arguments.into_iter().map(Box::new);
    match (sides.next(), sides.next()) {
        (Some(a), Some(b)) => {
            let null = Expr::Constant(millstream_flow::Datum::Null);
            let branches = vec![(Expr::Compare(Comparison::Equal, a, b), null)];
            Expr::Case { operand: None, branches, otherwise: first }
        }
        _ => Expr::Constant(millstream_flow::Datum::Null),
    }
}

fn has_clauses(call: &ast::Function) -> bool {
    call.null_treatment.is_some()
        || matches!(&call.args, FunctionArguments::List(list) if list.duplicate_treatment.is_some() || !list.clauses.is_empty())
}

/// The arguments of a call that has no named ones.
pub(super) fn positional(call: &ast::Function) -> Result<Vec<&Ast>> {
    let list = match &call.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    let plain = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Ok(expr),
        FunctionArg::Unnamed(_) => Err(SqlError::new("42601", "* can not stand here")),
        _ => Err(SqlError::new("42883", format!("{} has no named arguments", call.name))),
    };
    list.iter().map(plain).collect()
}

fn make_interval(call: &ast::Function, names: &mut dyn Names) -> Result<Expr> {
    let zero = || Expr::Constant(millstream_flow::Datum::Int(0));
    let mut arguments: Vec<Expr> = MAKE_INTERVAL.iter().map(|_| zero()).collect();
    let list = match &call.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    for (at, argument) in list.iter().enumerate() {
        let (at, value) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(at), value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (place(&name.value), value),
            FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(value), .. } => (place(&name.to_string()), value),
            _ => return Err(SqlError::new("42601", "* can not stand here")),
        };
        let Some(slot) = at.and_then(|at| arguments.get_mut(at)) else { return Err(unknown("MAKE_INTERVAL")) };
        *slot = from_ast(value, names)?;
    }
    table("MAKE_INTERVAL", arguments)
}

fn place(name: &str) -> Option<usize> {
    MAKE_INTERVAL.iter().position(|known| known.eq_ignore_ascii_case(name))
}

/// A call of the table's function of that name.
pub(super) fn table(name: &str, arguments: Vec<Expr>) -> Result<Expr> {
    let Some(found) = function(name) else { return Err(unknown(name)) };
    let (least, most) = found.arguments;
    if arguments.len() < least || arguments.len() > most {
        let message = format!("{} does not take {} arguments", found.name, arguments.len());
        return Err(SqlError::new("42883", message));
    }
    Ok(Expr::Call(found, arguments))
}

fn unknown(name: &str) -> SqlError {
    let error = SqlError::new("42883", format!("there is no function {name}"));
    match nearest_function(name) {
        Some(nearest) => error.hint(format!("did you mean {nearest}?")),
        None => error,
    }
}
