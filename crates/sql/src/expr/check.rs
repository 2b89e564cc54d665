//! What can never work is refused before there are values (SQL-4.1). Where a type is not known, nothing is refused.

use std::sync::Arc;

use millstream_flow::{Datum, RowError};

use super::{Arithmetic, Context, Expr, Operator, Test, arithmetic, cast};
use crate::error::Result;
use crate::{Class, SqlError, Type};

/// Values of an `IN` list, steps of a path (SQL-22.1).
const LIST_MAX: usize = 10_000;
const STEPS_MAX: usize = 100;

impl Expr {
    /// Refuses what can work for no row, given the static types of the row's columns and of the variables.
    ///
    /// # Errors
    /// 42883: there is no such operator or function for these types; 42804: a condition that is none; 22P02, 22007, 22008: a
    /// literal that does not read as the type that it meets; 42846: no such cast.
    pub fn check(&self, columns: &[Option<Type>], variables: &[Option<Type>]) -> Result<()> {
        let context = Arc::new(Context {
            variables: Vec::new(),
            time_zone: jiff::tz::TimeZone::UTC,
            routine: Box::new(|_, _| Err(RowError::new("0A000", "no routine"))),
            clock: Box::new(|| 0),
        });
        Checker { columns, variables, context: &context }.check(self)
    }

    /// The expressions that it is made of.
    #[must_use]
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Column(_) | Self::KeyPart(_) | Self::Variable(_) | Self::Constant(_) | Self::Untyped(_) => Vec::new(),
            Self::Path(x, _) | Self::Negate(x) | Self::Not(x) | Self::Is(_, _, x) | Self::Cast { value: x, .. } => {
                vec![x]
            }
            Self::Arithmetic(_, a, b)
            | Self::Compare(_, a, b)
            | Self::Any(_, a, b)
            | Self::All(_, a, b)
            | Self::Matches(a, b, _)
            | Self::Operator(_, a, b)
            | Self::Like { value: a, pattern: b, .. } => vec![a, b],
            Self::CompareRows(_, a, b) => a.iter().chain(b).collect(),
            Self::And(all)
            | Self::Or(all)
            | Self::Coalesce(all)
            | Self::Array(all)
            | Self::Call(_, all)
            | Self::Routine(_, all) => all.iter().collect(),
            Self::Between { value, low, high, .. } => vec![value, low, high],
            Self::In(value, list) => std::iter::once(value.as_ref()).chain(list).collect(),
            Self::Case { operand, branches, otherwise } => operand
                .as_deref()
                .into_iter()
                .chain(branches.iter().flat_map(|(when, then)| [when, then]))
                .chain(otherwise.as_deref())
                .collect(),
        }
    }
}

struct Checker<'a> {
    columns: &'a [Option<Type>],
    variables: &'a [Option<Type>],
    context: &'a Context,
}

impl Checker<'_> {
    fn of(&self, expr: &Expr) -> Option<Type> {
        expr.static_type(self.columns, self.variables)
    }

    fn check(&self, expr: &Expr) -> Result<()> {
        for child in expr.children() {
            self.check(child)?;
        }
        match expr {
            Expr::Negate(x) => self.negate(x),
            Expr::Arithmetic(how, a, b) => self.arithmetic(*how, a, b),
            Expr::Compare(_, a, b) => self.meet(a, b),
            Expr::CompareRows(_, left, right) => left.iter().zip(right).try_for_each(|(a, b)| self.meet(a, b)),
            Expr::And(conditions) | Expr::Or(conditions) => conditions.iter().try_for_each(|it| self.condition(it)),
            Expr::Not(x) => self.condition(x),
            Expr::Is(test, _, x) if *test != Test::Null => self.condition(x),
            Expr::Between { value, low, high, .. } => self.meet(value, low).and_then(|()| self.meet(value, high)),
            Expr::In(_, list) if list.len() > LIST_MAX => {
                Err(SqlError::new("54000", format!("a list has {LIST_MAX} values at most")).hint("join with VALUES"))
            }
            Expr::Path(_, steps) if steps.len() > STEPS_MAX => {
                Err(SqlError::new("54000", format!("a path has {STEPS_MAX} steps at most")))
            }
            Expr::In(value, list) => list.iter().try_for_each(|candidate| self.meet(value, candidate)),
            Expr::Any(_, _, array) | Expr::All(_, _, array) => match self.of(array) {
                Some(kind) if kind.class() != Class::Array && kind.class() != Class::Document => {
                    Err(SqlError::new("42809", format!("ANY and ALL take an array, not {kind}")))
                }
                _ => Ok(()),
            },
            Expr::Like { value, pattern, .. } => self.texts("LIKE", value, pattern),
            Expr::Matches(value, pattern, _) => {
                self.texts("~", value, pattern)?;
                match pattern.as_ref() {
                    Expr::Untyped(text) => Ok(super::pattern::build(text, "").map(|_| ())?),
                    _ => Ok(()),
                }
            }
            Expr::Operator(how, a, b) => self.operator(*how, a, b),
            Expr::Case { operand, branches, .. } => {
                for (when, _) in branches {
                    match operand {
                        None => self.condition(when)?,
                        Some(operand) => self.meet(operand, when)?,
                    }
                }
                self.results(expr)
            }
            Expr::Coalesce(_) => self.results(expr),
            Expr::Cast { value, to, attempt: false } => self.cast(value, to),
            Expr::Call(function, _) if function.takes == [super::Takes::Alike] => self.results(expr),
            Expr::Call(function, arguments) => {
                for (argument, takes) in arguments.iter().zip(function.taken()) {
                    match (argument, self.of(argument)) {
                        (Expr::Untyped(text), _) => {
                            if let Some(to) = takes.literal() {
                                self.literal(text, &to)?;
                            }
                        }
                        (_, Some(kind)) if !takes.accepts_class(kind.class()) => {
                            return Err(SqlError::new("42883", format!("{} does not take {kind}", function.name)));
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A literal must read as the type that it meets.
    fn literal(&self, text: &str, to: &Type) -> Result<()> {
        cast::cast(&Datum::text(text), to, self.context)?;
        Ok(())
    }

    /// Two values that are compared.
    fn meet(&self, a: &Expr, b: &Expr) -> Result<()> {
        match (a, b) {
            (Expr::Untyped(_), Expr::Untyped(_)) => Ok(()),
            (Expr::Untyped(text), other) | (other, Expr::Untyped(text)) => match self.of(other) {
                // Numbers are compared by value, so that an integer may meet `'5.5'`.
                Some(kind) if kind.class() == Class::Number => self.literal(text, &Type::Double),
                Some(kind) if kind.class() != Class::Text => self.literal(text, &kind),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn condition(&self, expr: &Expr) -> Result<()> {
        match (expr, self.of(expr)) {
            (Expr::Untyped(text), _) => self.literal(text, &Type::Boolean),
            (_, Some(kind)) if kind != Type::Boolean => {
                Err(SqlError::new("42804", format!("a condition must be boolean, not {kind}")))
            }
            _ => Ok(()),
        }
    }

    /// Literals among values of which one is taken.
    fn results(&self, expr: &Expr) -> Result<()> {
        let Some(kind) = self.of(expr).filter(|kind| kind.class() != Class::Text) else { return Ok(()) };
        let results: Vec<&Expr> = match expr {
            Expr::Case { branches, otherwise, .. } => {
                branches.iter().map(|(_, then)| then).chain(otherwise.as_deref()).collect()
            }
            Expr::Coalesce(arguments) | Expr::Call(_, arguments) => arguments.iter().collect(),
            _ => Vec::new(),
        };
        results.into_iter().try_for_each(|result| match result {
            Expr::Untyped(text) => self.literal(text, &kind),
            _ => Ok(()),
        })
    }

    fn texts(&self, what: &str, a: &Expr, b: &Expr) -> Result<()> {
        for side in [a, b] {
            if let Some(kind) = self.of(side)
                && kind.class() != Class::Text
            {
                return Err(SqlError::new("42883", format!("{what} takes text, not {kind}")));
            }
        }
        Ok(())
    }

    fn negate(&self, x: &Expr) -> Result<()> {
        let refused = match x {
            Expr::Constant(value) => Type::of(value),
            // Of another negation only what has one has a type.
            other => self.of(other),
        };
        match refused {
            Some(kind) if !matches!(kind.class(), Class::Number | Class::Interval) => {
                Err(SqlError::new("42883", format!("there is no -{kind}")))
            }
            _ => Ok(()),
        }
    }

    fn arithmetic(&self, how: Arithmetic, a: &Expr, b: &Expr) -> Result<()> {
        let (left, right) = (self.of(a), self.of(b));
        let none = |left: &str, right: &str| {
            SqlError::new("42883", format!("there is no operator {left} {} {right}", arithmetic::sign(how)))
        };
        match (left, right) {
            (Some(left), Some(right)) => {
                let nested = matches!(left.class(), Class::Document | Class::Array) && how == Arithmetic::Subtract;
                let known = nested || super::static_type::of_arithmetic(how, &left, &right).is_some();
                if known { Ok(()) } else { Err(none(&left.to_string(), &right.to_string())) }
            }
            (Some(kind), None) | (None, Some(kind)) => {
                let literal = match (a, b) {
                    (Expr::Untyped(text), _) | (_, Expr::Untyped(text)) => Some(text),
                    _ => None,
                };
                match (kind.class(), literal) {
                    (Class::Number, Some(text)) if !matches!(kind, Type::Double) => self.literal(text, &kind),
                    (Class::Number, Some(text)) => self.literal(text, &Type::Double),
                    (Class::Text | Class::Boolean | Class::ObjectId | Class::Binary | Class::BsonTimestamp, _) => {
                        Err(none(&kind.to_string(), "unknown"))
                    }
                    _ => Ok(()),
                }
            }
            (None, None) => Ok(()),
        }
    }

    fn operator(&self, how: Operator, a: &Expr, b: &Expr) -> Result<()> {
        let scalar = |expr: &Expr| {
            let kind = self.of(expr)?;
            (!matches!(kind.class(), Class::Document | Class::Array)).then_some(kind)
        };
        let wrong = match how {
            Operator::Concat => return Ok(()),
            Operator::HasKey | Operator::HasAnyKey | Operator::HasAllKeys => {
                scalar(a).filter(|kind| kind.class() != Class::Text)
            }
            Operator::Overlaps => scalar(a).or_else(|| scalar(b)),
            Operator::ContainedIn => scalar(b),
            _ => scalar(a),
        };
        match wrong {
            Some(kind) => Err(SqlError::new("42883", format!("there is no such operator for {kind}"))),
            None => Ok(()),
        }
    }

    fn cast(&self, value: &Expr, to: &Type) -> Result<()> {
        if let Expr::Untyped(text) = value {
            return self.literal(text, to);
        }
        let Some(from) = self.of(value) else { return Ok(()) };
        if cast::possible(&from, to) {
            Ok(())
        } else {
            Err(SqlError::new("42846", format!("{from} can not be cast to {to}")))
        }
    }
}
