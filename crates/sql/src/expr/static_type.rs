//! What is known of an expression's type before there are values (SQL-4.1).

use super::{Arithmetic, Expr, Operator, Takes};
use crate::{Class, Type};

impl Expr {
    /// Its static type, given those of the row's columns and of the variables. `None`: it depends on the values.
    #[must_use]
    pub fn static_type(&self, columns: &[Option<Type>], variables: &[Option<Type>]) -> Option<Type> {
        let of = |expr: &Self| expr.static_type(columns, variables);
        match self {
            Self::Column(at) => columns.get(*at).cloned().flatten(),
            Self::Variable(slot) => variables.get(*slot).cloned().flatten(),
            Self::KeyPart(_) | Self::Untyped(_) | Self::Path(..) | Self::Routine(..) => None,
            Self::Constant(value) => Type::of(value),
            Self::Negate(x) => of(x).filter(|it| matches!(it.class(), Class::Number | Class::Interval)),
            Self::Arithmetic(how, a, b) => match (a.as_ref(), b.as_ref()) {
                (Self::Untyped(_), other) | (other, Self::Untyped(_)) => with_untyped(*how, of(other)),
                (a, b) => of_arithmetic(*how, &of(a)?, &of(b)?),
            },
            Self::Compare(..)
            | Self::CompareRows(..)
            | Self::And(_)
            | Self::Or(_)
            | Self::Not(_)
            | Self::Is(..)
            | Self::Between { .. }
            | Self::In(..)
            | Self::Any(..)
            | Self::All(..)
            | Self::Like { .. }
            | Self::Matches(..) => Some(Type::Boolean),
            Self::Operator(operator, a, b) => match operator {
                Operator::Contains
                | Operator::ContainedIn
                | Operator::HasKey
                | Operator::HasAnyKey
                | Operator::HasAllKeys
                | Operator::Overlaps => Some(Type::Boolean),
                Operator::GetText | Operator::GetPathText => Some(Type::Text(None)),
                Operator::Get | Operator::GetPath => None,
                Operator::Without | Operator::WithoutPath => of(a),
                Operator::Concat => of_concat(a, of(a), b, of(b)),
            },
            Self::Case { branches, otherwise, .. } => {
                common(branches.iter().map(|(_, result)| result).chain(otherwise.as_deref()), of)
            }
            Self::Coalesce(arguments) => common(arguments.iter(), of),
            Self::Cast { to, .. } => Some(to.clone()),
            Self::Array(elements) => Some(Type::Array(common(elements.iter(), of).map(Box::new))),
            Self::Call(function, arguments) if function.takes == [Takes::Alike] => common(arguments.iter(), of),
            Self::Call(function, _) => function.result.clone(),
        }
    }
}

/// The type that all have, NULLs and untyped literals aside; where there is nothing but literals, they are texts.
pub(crate) fn common<'a>(exprs: impl Iterator<Item = &'a Expr>, of: impl Fn(&Expr) -> Option<Type>) -> Option<Type> {
    let mut found = None;
    let mut literals = false;
    for expr in exprs {
        match expr {
            Expr::Constant(value) if value.is_null() => {}
            Expr::Untyped(_) => literals = true,
            other => match (found, of(other)) {
                (None, Some(kind)) => found = Some(kind),
                (Some(so_far), Some(kind)) if so_far == kind => found = Some(kind),
                _ => return None,
            },
        }
    }
    found.or_else(|| literals.then_some(Type::Text(None)))
}

fn with_untyped(how: Arithmetic, other: Option<Type>) -> Option<Type> {
    let other = other?;
    match (other.class(), how) {
        (Class::Number, Arithmetic::Power) => Some(Type::Double),
        (Class::Number, _) => Some(other),
        _ => None,
    }
}

pub(crate) fn of_arithmetic(how: Arithmetic, a: &Type, b: &Type) -> Option<Type> {
    use Arithmetic::{Add, Divide, Multiply, Power, Subtract};
    match (a.class(), b.class()) {
        (Class::Number, Class::Number) => Some(match (a, b) {
            _ if how == Power => Type::Double,
            (Type::Double, _) | (_, Type::Double) => Type::Double,
            (Type::Numeric(_), _) | (_, Type::Numeric(_)) => Type::Numeric(None),
            (Type::BigInt, _) | (_, Type::BigInt) => Type::BigInt,
            _ => Type::Integer,
        }),
        (Class::Time, Class::Time) if how == Subtract => {
            Some(if (a, b) == (&Type::Date, &Type::Date) { Type::Integer } else { Type::Interval })
        }
        (Class::Time, Class::Interval) if matches!(how, Add | Subtract) => Some(time_with_interval(a)),
        (Class::Interval, Class::Time) if how == Add => Some(time_with_interval(b)),
        (Class::Time, Class::Number)
            if *a == Type::Date && matches!(b, Type::Integer | Type::BigInt) && matches!(how, Add | Subtract) =>
        {
            Some(Type::Date)
        }
        (Class::Number, Class::Time) if *b == Type::Date && matches!(a, Type::Integer | Type::BigInt) && how == Add => {
            Some(Type::Date)
        }
        (Class::Time, Class::TimeOfDay) | (Class::TimeOfDay, Class::Time) if how == Add => Some(Type::Timestamp),
        (Class::Interval, Class::Interval) if matches!(how, Add | Subtract) => Some(Type::Interval),
        (Class::Interval, Class::Number) if matches!(how, Multiply | Divide) => Some(Type::Interval),
        (Class::Number, Class::Interval) if how == Multiply => Some(Type::Interval),
        (Class::TimeOfDay, Class::Interval) if matches!(how, Add | Subtract) => Some(Type::Time),
        (Class::TimeOfDay, Class::TimeOfDay) if how == Subtract => Some(Type::Interval),
        _ => None,
    }
}

fn time_with_interval(time: &Type) -> Type {
    if *time == Type::Date { Type::Timestamp } else { time.clone() }
}

fn of_concat(a: &Expr, left: Option<Type>, b: &Expr, right: Option<Type>) -> Option<Type> {
    let untyped = |expr: &Expr| matches!(expr, Expr::Untyped(_));
    match (left, right) {
        (Some(Type::Array(_)), _) | (_, Some(Type::Array(_))) => Some(Type::Array(None)),
        (Some(Type::Document), Some(Type::Document)) => Some(Type::Document),
        (Some(Type::Document), None) if untyped(b) => Some(Type::Document),
        (None, Some(Type::Document)) if untyped(a) => Some(Type::Document),
        (Some(_), Some(_)) => Some(Type::Text(None)),
        (Some(_), None) if untyped(b) => Some(Type::Text(None)),
        (None, Some(_)) if untyped(a) => Some(Type::Text(None)),
        (None, None) if untyped(a) && untyped(b) => Some(Type::Text(None)),
        _ => None,
    }
}
