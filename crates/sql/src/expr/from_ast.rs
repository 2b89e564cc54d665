//! From syntax to [`Expr`]: every form that does not depend on what names stand for. That is asked of a [`Names`].

mod call;
mod literal;
mod path;

use sqlparser::ast::{self, BinaryOperator, CastKind, UnaryOperator};

use super::{Arithmetic, Comparison, Expr, Operator, Step, Test, function};
use crate::error::Result;
use crate::{SqlError, Type};

/// What the conversion cannot know by itself.
pub trait Names {
    /// An identifier, or the identifiers at the head of a path: the expression of the longest beginning that is known, with
    /// the rest as a path.
    ///
    /// # Errors
    /// No such name, or several.
    fn name(&mut self, parts: &[ast::Ident]) -> Result<Expr>;
    /// Aggregates, windows, routines, functions of the change and of the clock: `None` if it is none, and then the table of
    /// functions is asked.
    ///
    /// # Errors
    /// It may not stand here, or its arguments are wrong.
    fn call(&mut self, function: &ast::Function) -> Result<Option<Expr>>;
    /// `EXISTS`, `IN (SELECT …)`, scalar subqueries, `ANY (SELECT …)`, `ALL (SELECT …)`, `ARRAY(SELECT …)`.
    ///
    /// # Errors
    /// It may not stand here, or is wrong itself.
    fn subquery(&mut self, expr: &ast::Expr) -> Result<Expr>;
    /// `x::regclass` and its like: an object by its number, or a number by the object's name.
    ///
    /// # Errors
    /// There is no catalogue here, or no such object.
    fn object(&mut self, expr: &ast::Expr, kind: &str) -> Result<Expr> {
        Err(SqlError::new("0A000", format!("{expr}::{kind} can not stand here")))
    }
    /// `$1`, by its text.
    ///
    /// # Errors
    /// No such parameter.
    fn variable(&mut self, name: &str) -> Result<Expr>;
}

/// The expression of a syntax tree.
///
/// # Errors
/// What can never work: 42601, 42883, 0A000 and what `names` says.
pub fn from_ast(expr: &ast::Expr, names: &mut dyn Names) -> Result<Expr> {
    use ast::Expr as Ast;
    match expr {
        Ast::Identifier(name) => names.name(std::slice::from_ref(name)),
        Ast::CompoundIdentifier(parts) => names.name(parts),
        Ast::CompoundFieldAccess { root, access_chain } => path::access(root, access_chain, names),
        Ast::Value(value) => literal::value(&value.value, names),
        Ast::TypedString(literal) => literal::typed(literal),
        Ast::Interval(literal) => literal::interval(literal, names),
        Ast::Nested(inner) => from_ast(inner, names),
        Ast::IsNull(x) => is(Test::Null, false, x, names),
        Ast::IsNotNull(x) => is(Test::Null, true, x, names),
        Ast::IsTrue(x) => is(Test::True, false, x, names),
        Ast::IsNotTrue(x) => is(Test::True, true, x, names),
        Ast::IsFalse(x) => is(Test::False, false, x, names),
        Ast::IsNotFalse(x) => is(Test::False, true, x, names),
        Ast::IsUnknown(x) => is(Test::Unknown, false, x, names),
        Ast::IsNotUnknown(x) => is(Test::Unknown, true, x, names),
        Ast::IsDistinctFrom(a, b) => comparison(Comparison::Distinct, a, b, names),
        Ast::IsNotDistinctFrom(a, b) => comparison(Comparison::NotDistinct, a, b, names),
        Ast::InList { expr, list, negated } => in_list(expr, list, *negated, names),
        Ast::Between { expr, negated, low, high } => {
            let between = Expr::Between {
                value: boxed(expr, names)?,
                low: boxed(low, names)?,
                high: boxed(high, names)?,
                symmetric: false,
            };
            Ok(negate_if(*negated, between))
        }
        Ast::Like { negated, any: false, expr, pattern, escape_char } => {
            like(expr, pattern, escape_char.as_deref(), false, *negated, names)
        }
        Ast::ILike { negated, any: false, expr, pattern, escape_char } => {
            like(expr, pattern, escape_char.as_deref(), true, *negated, names)
        }
        Ast::SimilarTo { .. } => Err(SqlError::new("0A000", "SIMILAR TO is not supported").hint("write ~ or LIKE")),
        Ast::BinaryOp { left, op, right } => binary(left, op, right, names),
        Ast::UnaryOp { op, expr } => unary(*op, expr, names),
        Ast::AnyOp { right, .. } | Ast::AllOp { right, .. } if is_subquery(right) => names.subquery(expr),
        Ast::AnyOp { left, compare_op, right, .. } => {
            Ok(Expr::Any(comparison_of(compare_op)?, boxed(left, names)?, boxed(right, names)?))
        }
        Ast::AllOp { left, compare_op, right } => {
            Ok(Expr::All(comparison_of(compare_op)?, boxed(left, names)?, boxed(right, names)?))
        }
        Ast::Exists { .. } | Ast::InSubquery { .. } | Ast::Subquery(_) => names.subquery(expr),
        Ast::Cast { expr, data_type, .. } if object_kind(data_type).is_some() => {
            names.object(expr, object_kind(data_type).unwrap_or_default())
        }
        Ast::Cast { kind, expr, data_type, .. } => Ok(Expr::Cast {
            value: boxed(expr, names)?,
            to: Type::from_ast(data_type)?,
            attempt: matches!(kind, CastKind::TryCast | CastKind::SafeCast),
        }),
        Ast::Case { operand, conditions, else_result, .. } => Ok(Expr::Case {
            operand: operand.as_deref().map(|x| boxed(x, names)).transpose()?,
            branches: conditions
                .iter()
                .map(|when| Ok((from_ast(&when.condition, names)?, from_ast(&when.result, names)?)))
                .collect::<Result<_>>()?,
            otherwise: else_result.as_deref().map(|x| boxed(x, names)).transpose()?,
        }),
        Ast::Array(array) => Ok(Expr::Array(list(&array.elem, names)?)),
        Ast::Collate { expr, collation } => match collation.0.last().and_then(|part| part.as_ident()) {
            Some(name) if matches!(name.value.as_str(), "C" | "POSIX" | "default") => from_ast(expr, names),
            _ => Err(SqlError::new("0A000", format!("the collation {collation} is not supported"))
                .hint("the only one is \"C\"")),
        },
        Ast::Function(_)
        | Ast::AtTimeZone { .. }
        | Ast::Ceil { .. }
        | Ast::Extract { .. }
        | Ast::Floor { .. }
        | Ast::Overlay { .. }
        | Ast::Position { .. }
        | Ast::Substring { .. }
        | Ast::Trim { .. } => call::special(expr, names),
        Ast::Tuple(_) => {
            Err(SqlError::new("0A000", "a row can only be compared").hint("write ARRAY[…] or JSONB_BUILD_ARRAY(…)"))
        }
        Ast::Wildcard(_) | Ast::QualifiedWildcard(..) => Err(SqlError::new("42601", "* can not stand here")),
        other => Err(SqlError::new("0A000", format!("{other} is not supported"))),
    }
}

/// The kind of objects of the catalogue that a type stands for.
fn object_kind(data_type: &ast::DataType) -> Option<&'static str> {
    const KINDS: &[&str] = &["regclass", "regnamespace", "regproc", "regprocedure", "regrole", "regtype"];
    let name = match data_type {
        ast::DataType::Regclass => "regclass".to_owned(),
        ast::DataType::Custom(name, modifiers) if modifiers.is_empty() => crate::types::system_name(name),
        _ => return None,
    };
    KINDS.iter().find(|kind| **kind == name).copied()
}

fn boxed(expr: &ast::Expr, names: &mut dyn Names) -> Result<Box<Expr>> {
    from_ast(expr, names).map(Box::new)
}

fn list(exprs: &[ast::Expr], names: &mut dyn Names) -> Result<Vec<Expr>> {
    exprs.iter().map(|expr| from_ast(expr, names)).collect()
}

fn is(test: Test, negated: bool, expr: &ast::Expr, names: &mut dyn Names) -> Result<Expr> {
    Ok(Expr::Is(test, negated, boxed(expr, names)?))
}

fn negate_if(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

fn without_parentheses(mut expr: &ast::Expr) -> &ast::Expr {
    while let ast::Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn is_subquery(expr: &ast::Expr) -> bool {
    matches!(without_parentheses(expr), ast::Expr::Subquery(_))
}

/// The parts of `(a, b)` and `ROW(a, b)`.
fn row_parts(expr: &ast::Expr) -> Option<Vec<&ast::Expr>> {
    match without_parentheses(expr) {
        ast::Expr::Tuple(parts) => Some(parts.iter().collect()),
        ast::Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => {
            call::positional(function).ok()
        }
        _ => None,
    }
}

fn comparison_of(op: &BinaryOperator) -> Result<Comparison> {
    Ok(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        other => return Err(SqlError::new("42601", format!("{other} is no comparison"))),
    })
}

fn comparison(how: Comparison, left: &ast::Expr, right: &ast::Expr, names: &mut dyn Names) -> Result<Expr> {
    match (row_parts(left), row_parts(right)) {
        (Some(left), Some(right)) => compare_rows(how, &left, &right, names),
        (None, None) => Ok(Expr::Compare(how, boxed(left, names)?, boxed(right, names)?)),
        // `(a, b) = (SELECT …)`
        (Some(_), None) | (None, Some(_)) if is_subquery(left) || is_subquery(right) => {
            Err(SqlError::new("0A000", "a row can not be compared with a subquery").hint("write EXISTS or IN"))
        }
        _ => Err(SqlError::new("42601", "a row can only be compared with a row")),
    }
}

fn compare_rows(how: Comparison, left: &[&ast::Expr], right: &[&ast::Expr], names: &mut dyn Names) -> Result<Expr> {
    if left.len() != right.len() {
        return Err(SqlError::new("42601", "the rows have different numbers of parts"));
    }
    let mut side = |parts: &[&ast::Expr]| parts.iter().map(|part| from_ast(part, names)).collect::<Result<Vec<_>>>();
    Ok(Expr::CompareRows(how, side(left)?, side(right)?))
}

fn in_list(value: &ast::Expr, candidates: &[ast::Expr], negated: bool, names: &mut dyn Names) -> Result<Expr> {
    let found = match row_parts(value) {
        None => Expr::In(boxed(value, names)?, list(candidates, names)?),
        Some(parts) => Expr::Or(
            candidates
                .iter()
                .map(|candidate| match row_parts(candidate) {
                    Some(others) => compare_rows(Comparison::Equal, &parts, &others, names),
                    None => Err(SqlError::new("42601", "a row can only be compared with a row")),
                })
                .collect::<Result<_>>()?,
        ),
    };
    Ok(negate_if(negated, found))
}

fn like(
    value: &ast::Expr,
    pattern: &ast::Expr,
    escape: Option<&ast::Expr>,
    ignore_case: bool,
    negated: bool,
    names: &mut dyn Names,
) -> Result<Expr> {
    let escape = match escape {
        None => None,
        Some(ast::Expr::Value(value)) => value.value.clone().into_string(),
        Some(_) => return Err(SqlError::new("0A000", "ESCAPE takes a string")),
    };
    if escape.as_ref().is_some_and(|text| text.chars().count() > 1) {
        return Err(SqlError::new("22025", "ESCAPE takes one character, or none"));
    }
    let like = Expr::Like { value: boxed(value, names)?, pattern: boxed(pattern, names)?, escape, ignore_case };
    Ok(negate_if(negated, like))
}

fn unary(op: UnaryOperator, operand: &ast::Expr, names: &mut dyn Names) -> Result<Expr> {
    match op {
        // The parser reads `-a ^ b` as `-(a ^ b)`, but a sign binds closer (SQL-2.5).
        UnaryOperator::Minus | UnaryOperator::Plus => match operand {
            ast::Expr::BinaryOp { left, op: BinaryOperator::PGExp, right } => {
                let left = unary(op, left, names)?;
                Ok(Expr::Arithmetic(Arithmetic::Power, Box::new(left), boxed(right, names)?))
            }
            _ if op == UnaryOperator::Plus => from_ast(operand, names),
            // With its sign the least integer is one.
            ast::Expr::Value(value) => literal::negative(&value.value, names),
            _ => Ok(Expr::Negate(boxed(operand, names)?)),
        },
        UnaryOperator::Not => Ok(Expr::Not(boxed(operand, names)?)),
        UnaryOperator::PGAbs => call::table("ABS", vec![from_ast(operand, names)?]),
        UnaryOperator::PGCubeRoot => call::table("CBRT", vec![from_ast(operand, names)?]),
        UnaryOperator::PGSquareRoot => call::table("SQRT", vec![from_ast(operand, names)?]),
        other => Err(SqlError::new("42883", format!("there is no operator {other} before a value"))),
    }
}

fn binary(left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr, names: &mut dyn Names) -> Result<Expr> {
    use BinaryOperator as Op;
    let arithmetic = |how, names: &mut dyn Names| Ok(Expr::Arithmetic(how, boxed(left, names)?, boxed(right, names)?));
    let operator = |how, names: &mut dyn Names| Ok(Expr::Operator(how, boxed(left, names)?, boxed(right, names)?));
    let matches = |ignore_case, negated, names: &mut dyn Names| {
        Ok(negate_if(negated, Expr::Matches(boxed(left, names)?, boxed(right, names)?, ignore_case)))
    };
    match op {
        Op::Plus => arithmetic(Arithmetic::Add, names),
        Op::Minus => {
            let how = arithmetic(Arithmetic::Subtract, names)?;
            Ok(match how {
                Expr::Arithmetic(_, left, right)
                    if matches!(left.static_type(&[], &[]), Some(Type::Document | Type::Array(_))) =>
                {
                    Expr::Operator(Operator::Without, left, right)
                }
                other => other,
            })
        }
        Op::Multiply => arithmetic(Arithmetic::Multiply, names),
        Op::Divide => arithmetic(Arithmetic::Divide, names),
        Op::Modulo => arithmetic(Arithmetic::Modulo, names),
        Op::PGExp => arithmetic(Arithmetic::Power, names),
        Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
            comparison(comparison_of(op)?, left, right, names)
        }
        Op::And => flattened(left, op, right, names).map(Expr::And),
        Op::Or => flattened(left, op, right, names).map(Expr::Or),
        Op::StringConcat => operator(Operator::Concat, names),
        Op::PGOverlap => operator(Operator::Overlaps, names),
        Op::Arrow => operator(Operator::Get, names),
        Op::LongArrow => operator(Operator::GetText, names),
        Op::HashArrow => operator(Operator::GetPath, names),
        Op::HashLongArrow => operator(Operator::GetPathText, names),
        Op::AtArrow => operator(Operator::Contains, names),
        Op::ArrowAt => operator(Operator::ContainedIn, names),
        Op::HashMinus => operator(Operator::WithoutPath, names),
        Op::Question => operator(Operator::HasKey, names),
        Op::QuestionAnd => operator(Operator::HasAllKeys, names),
        Op::QuestionPipe => operator(Operator::HasAnyKey, names),
        Op::PGRegexMatch => matches(false, false, names),
        Op::PGRegexIMatch => matches(true, false, names),
        Op::PGRegexNotMatch => matches(false, true, names),
        Op::PGRegexNotIMatch => matches(true, true, names),
        Op::PGLikeMatch => like(left, right, None, false, false, names),
        Op::PGILikeMatch => like(left, right, None, true, false, names),
        Op::PGNotLikeMatch => like(left, right, None, false, true, names),
        Op::PGNotILikeMatch => like(left, right, None, true, true, names),
        Op::PGStartsWith => call::table("STARTS_WITH", vec![from_ast(left, names)?, from_ast(right, names)?]),
        Op::Overlaps => match (row_parts(left).as_deref(), row_parts(right).as_deref()) {
            (Some([a, b]), Some([c, d])) => {
                let arguments = [a, b, c, d].into_iter().map(|part| from_ast(part, names)).collect::<Result<_>>()?;
                call::table("OVERLAPS", arguments)
            }
            _ => Err(SqlError::new("42601", "OVERLAPS takes two rows of two times")),
        },
        // `OPERATOR(pg_catalog.~)`
        Op::PGCustomBinaryOperator(parts) => {
            let own = parts.len() < 2 || parts.first().is_some_and(|schema| schema.eq_ignore_ascii_case("pg_catalog"));
            let meant = parts.last().filter(|_| own).and_then(|sign| OPERATORS.iter().find(|(known, _)| known == sign));
            match meant {
                Some((_, op)) => binary(left, op, right, names),
                None => Err(SqlError::new("42883", format!("there is no operator {op}"))),
            }
        }
        other => Err(SqlError::new("42883", format!("there is no operator {other}"))),
    }
}

/// The operators that may be written with their schema.
static OPERATORS: &[(&str, BinaryOperator)] = &[
    ("=", BinaryOperator::Eq),
    ("<>", BinaryOperator::NotEq),
    ("<", BinaryOperator::Lt),
    ("<=", BinaryOperator::LtEq),
    (">", BinaryOperator::Gt),
    (">=", BinaryOperator::GtEq),
    ("+", BinaryOperator::Plus),
    ("-", BinaryOperator::Minus),
    ("*", BinaryOperator::Multiply),
    ("/", BinaryOperator::Divide),
    ("||", BinaryOperator::StringConcat),
    ("~", BinaryOperator::PGRegexMatch),
    ("~*", BinaryOperator::PGRegexIMatch),
    ("!~", BinaryOperator::PGRegexNotMatch),
    ("!~*", BinaryOperator::PGRegexNotIMatch),
    ("~~", BinaryOperator::PGLikeMatch),
    ("~~*", BinaryOperator::PGILikeMatch),
    ("!~~", BinaryOperator::PGNotLikeMatch),
    ("!~~*", BinaryOperator::PGNotILikeMatch),
];

/// The operands of a chain of `AND` (or `OR`), without recursion along the chain.
fn flattened(left: &ast::Expr, op: &BinaryOperator, right: &ast::Expr, names: &mut dyn Names) -> Result<Vec<Expr>> {
    let mut operands = vec![right];
    let mut rest = left;
    while let ast::Expr::BinaryOp { left, op: other, right } = rest {
        if other != op {
            break;
        }
        operands.push(right);
        rest = left;
    }
    operands.push(rest);
    operands.into_iter().rev().map(|operand| from_ast(operand, names)).collect()
}

/// `expr` with one step more.
fn step(expr: Expr, step: Step) -> Expr {
    match expr {
        Expr::Path(root, mut steps) => {
            steps.push(step);
            Expr::Path(root, steps)
        }
        other => Expr::Path(Box::new(other), vec![step]),
    }
}

#[cfg(test)]
mod tests;
