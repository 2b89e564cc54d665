//! What is evaluated: a tree over a row. Values are borrowed from the row as long as nothing new is made of them.

use std::borrow::Cow;
use std::sync::Arc;

use millstream_flow::{Datum, Row, RowError, Scalar};
use regex::Regex;

use super::compare::{self, Truth};
use super::untyped::Reading;
use super::{
    Arithmetic, Comparison, Context, Function, Operator, Step, Test, arithmetic, cast, like, operator, path, pattern,
};
use crate::Type;

type Result<T> = std::result::Result<T, RowError>;
type Value<'a> = Cow<'a, Datum>;

/// A compiled expression.
pub(crate) struct Compiled {
    pub(crate) root: Node,
    pub(crate) context: Arc<Context>,
}

impl Scalar for Compiled {
    fn eval(&self, row: &Row) -> Result<Datum> {
        self.root.eval(row, &self.context).map(Cow::into_owned)
    }
}

/// One form of expression; see [`super::Expr`].
pub(crate) enum Node {
    Constant(Datum),
    /// A constant that has no value: an error where it is evaluated, and only there.
    Fails(RowError),
    Column(usize),
    KeyPart(usize),
    Path(Box<Node>, Vec<Step>),
    Negate(Box<Node>),
    Arithmetic(Arithmetic, Box<Operand>, Box<Operand>),
    Compare(Comparison, Box<Operand>, Box<Operand>),
    CompareRows(Comparison, Vec<(Operand, Operand)>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Is(Test, bool, Box<Node>),
    Between {
        value: Box<Operand>,
        low: Box<Operand>,
        high: Box<Operand>,
        symmetric: bool,
    },
    In(Box<Operand>, Candidates),
    Any(Comparison, Box<Operand>, Candidates),
    All(Comparison, Box<Operand>, Candidates),
    Like(Box<Node>, like::Pattern),
    LikeVarying {
        value: Box<Node>,
        pattern: Box<Node>,
        escape: Option<char>,
        ignore_case: bool,
    },
    Matches(Box<Node>, Regex),
    MatchesVarying {
        value: Box<Node>,
        pattern: Box<Node>,
        ignore_case: bool,
    },
    Operator(Operator, Box<Operand>, Box<Operand>),
    Case {
        branches: Vec<(Node, Node)>,
        otherwise: Option<Box<Node>>,
    },
    Switch {
        operand: Box<Operand>,
        branches: Vec<(Operand, Node)>,
        otherwise: Option<Box<Node>>,
    },
    Coalesce(Vec<Node>),
    Cast {
        value: Box<Node>,
        to: Type,
        attempt: bool,
    },
    Array(Vec<Node>),
    Call(&'static Function, Vec<Node>),
    Routine(String, Vec<Node>),
}

/// One side of a comparison or calculation.
pub(crate) enum Operand {
    Node(Node),
    /// A literal that takes the type of what it meets (SQL-4.10).
    Untyped(Box<Reading>),
}

/// What a value is compared with, one after the other.
pub(crate) enum Candidates {
    List(Vec<Operand>),
    Array(Box<Node>),
}

/// An operand's value, or the literal that waits for the other side's.
#[derive(Clone)]
pub(crate) enum Side<'a> {
    Value(Value<'a>),
    Untyped(&'a Reading),
}

impl<'a> Side<'a> {
    /// Both sides' values, each literal as what it meets.
    pub(crate) fn meet<'b>(&'b self, other: &'b Side<'a>) -> (&'b Datum, &'b Datum) {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => (a, b),
            (Self::Untyped(a), Self::Value(b)) => (a.as_met(b), b),
            (Self::Value(a), Self::Untyped(b)) => (a, b.as_met(a)),
            (Self::Untyped(a), Self::Untyped(b)) => (&a.text, &b.text),
        }
    }
}

impl Operand {
    fn eval<'a>(&'a self, row: &'a Row, context: &'a Context) -> Result<Side<'a>> {
        match self {
            Self::Node(node) => node.eval(row, context).map(Side::Value),
            Self::Untyped(reading) => Ok(Side::Untyped(reading)),
        }
    }
}

const NULL: Value<'static> = Cow::Borrowed(&Datum::Null);

fn owned<'a>(value: Datum) -> Value<'a> {
    Cow::Owned(value)
}

fn truth<'a>(value: Truth) -> Value<'a> {
    value.map_or(NULL, |value| Cow::Owned(Datum::Bool(value)))
}

impl Node {
    pub(crate) fn eval<'a>(&'a self, row: &'a Row, context: &'a Context) -> Result<Value<'a>> {
        match self {
            Self::Constant(value) => Ok(Cow::Borrowed(value)),
            Self::Fails(error) => Err(error.clone()),
            Self::Column(at) => Ok(Cow::Borrowed(row.value(*at))),
            Self::KeyPart(at) => Ok(row.key.get(*at).map_or(NULL, Cow::Borrowed)),
            Self::Path(root, steps) => Ok(path::walk(root.eval(row, context)?, steps)),
            Self::Negate(x) => arithmetic::negate(&*x.eval(row, context)?).map(owned),
            Self::Arithmetic(how, a, b) => {
                let (a, b) = (a.eval(row, context)?, b.eval(row, context)?);
                arithmetic::sides(*how, &a, &b, context).map(owned)
            }
            Self::Compare(how, a, b) => {
                let (a, b) = (a.eval(row, context)?, b.eval(row, context)?);
                Ok(truth(compare::sides(*how, &a, &b, context)))
            }
            Self::CompareRows(how, pairs) => rows(*how, pairs, row, context).map(truth),
            Self::And(conditions) => all(conditions.iter().map(|it| it.condition(row, context))).map(truth),
            Self::Or(conditions) => any(conditions.iter().map(|it| it.condition(row, context))).map(truth),
            Self::Not(x) => Ok(truth(x.condition(row, context)?.map(|it| !it))),
            Self::Is(test, negated, x) => {
                let holds = match test {
                    Test::Null => x.eval(row, context)?.is_null(),
                    Test::True => x.condition(row, context)? == Some(true),
                    Test::False => x.condition(row, context)? == Some(false),
                    Test::Unknown => x.condition(row, context)?.is_none(),
                };
                Ok(truth(Some(holds != *negated)))
            }
            Self::Between { value, low, high, symmetric } => {
                let (value, low, high) = (value.eval(row, context)?, low.eval(row, context)?, high.eval(row, context)?);
                let within = |low: &Side<'_>, high: &Side<'_>| {
                    let above = compare::sides(Comparison::GreaterOrEqual, &value, low, context);
                    and(above, compare::sides(Comparison::LessOrEqual, &value, high, context))
                };
                let forwards = within(&low, &high);
                Ok(truth(if *symmetric { or(forwards, within(&high, &low)) } else { forwards }))
            }
            Self::In(value, candidates) => {
                let value = value.eval(row, context)?;
                candidates.each(row, context, |candidates| {
                    any(candidates.map(|candidate| Ok(compare::sides(Comparison::Equal, &value, &candidate?, context))))
                })
            }
            Self::Any(how, value, candidates) => {
                let value = value.eval(row, context)?;
                candidates.each(row, context, |candidates| {
                    any(candidates.map(|candidate| Ok(compare::sides(*how, &value, &candidate?, context))))
                })
            }
            Self::All(how, value, candidates) => {
                let value = value.eval(row, context)?;
                candidates.each(row, context, |candidates| {
                    all(candidates.map(|candidate| Ok(compare::sides(*how, &value, &candidate?, context))))
                })
            }
            Self::Like(value, pattern) => text_test(&*value.eval(row, context)?, "LIKE", |text| pattern.matches(text)),
            Self::LikeVarying { value, pattern, escape, ignore_case } => {
                let (value, pattern) = (value.eval(row, context)?, pattern.eval(row, context)?);
                if value.is_null() || pattern.is_null() {
                    return Ok(NULL);
                }
                let Datum::Text(pattern) = &*pattern else { return Err(not_text("LIKE", &pattern)) };
                text_test(&value, "LIKE", |text| like::Pattern::new(pattern, *escape, *ignore_case).matches(text))
            }
            Self::Matches(value, regex) => text_test(&*value.eval(row, context)?, "~", |text| Ok(regex.is_match(text))),
            Self::MatchesVarying { value, pattern, ignore_case } => {
                let (value, regex) = (value.eval(row, context)?, pattern.eval(row, context)?);
                if value.is_null() || regex.is_null() {
                    return Ok(NULL);
                }
                let Datum::Text(regex) = &*regex else { return Err(not_text("~", &regex)) };
                let flags = if *ignore_case { "i" } else { "" };
                text_test(&value, "~", |text| Ok(pattern::cached(regex, flags)?.is_match(text)))
            }
            Self::Operator(how, a, b) => {
                let (a, b) = (a.eval(row, context)?, b.eval(row, context)?);
                operator::sides(*how, &a, &b, context).map(owned)
            }
            Self::Case { branches, otherwise } => {
                for (when, then) in branches {
                    if when.condition(row, context)? == Some(true) {
                        return then.eval(row, context);
                    }
                }
                otherwise.as_ref().map_or(Ok(NULL), |it| it.eval(row, context))
            }
            Self::Switch { operand, branches, otherwise } => {
                let operand = operand.eval(row, context)?;
                for (when, then) in branches {
                    if compare::sides(Comparison::Equal, &operand, &when.eval(row, context)?, context) == Some(true) {
                        return then.eval(row, context);
                    }
                }
                otherwise.as_ref().map_or(Ok(NULL), |it| it.eval(row, context))
            }
            Self::Coalesce(arguments) => {
                for argument in arguments {
                    let value = argument.eval(row, context)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(NULL)
            }
            Self::Cast { value, to, attempt } => {
                let value = value.eval(row, context)?;
                match cast::cast(&value, to, context) {
                    Err(_) if *attempt => Ok(NULL),
                    other => other.map(owned),
                }
            }
            Self::Array(elements) => {
                let values = values(elements, row, context)?;
                Ok(owned(Datum::Array(values.into())))
            }
            Self::Call(function, arguments) => {
                let values = values(arguments, row, context)?;
                function.call(&values, context).map(owned)
            }
            Self::Routine(name, arguments) => {
                let values = values(arguments, row, context)?;
                (context.routine)(name, &values).map(owned)
            }
        }
    }

    /// Its truth, as a condition.
    fn condition(&self, row: &Row, context: &Context) -> Result<Truth> {
        match &*self.eval(row, context)? {
            Datum::Bool(value) => Ok(Some(*value)),
            value if value.is_null() => Ok(None),
            other => Err(RowError::new("42804", format!("a condition must be boolean, not {}", cast::name(other)))),
        }
    }
}

fn values(nodes: &[Node], row: &Row, context: &Context) -> Result<Vec<Datum>> {
    nodes.iter().map(|node| node.eval(row, context).map(Cow::into_owned)).collect()
}

impl Candidates {
    /// Runs a test over the candidates; an array that is NULL gives NULL.
    fn each<'a>(
        &'a self,
        row: &'a Row,
        context: &'a Context,
        test: impl FnOnce(&mut dyn Iterator<Item = Result<Side<'_>>>) -> Result<Truth>,
    ) -> Result<Value<'a>> {
        let found = match self {
            Self::List(operands) => test(&mut operands.iter().map(|operand| operand.eval(row, context)))?,
            Self::Array(node) => match &*node.eval(row, context)? {
                Datum::Array(values) => test(&mut values.iter().map(|value| Ok(Side::Value(Cow::Borrowed(value)))))?,
                value if value.is_null() => None,
                other => {
                    return Err(RowError::new(
                        "42804",
                        format!("ANY and ALL take an array, not {}", cast::name(other)),
                    ));
                }
            },
        };
        Ok(truth(found))
    }
}

fn rows(how: Comparison, pairs: &[(Operand, Operand)], row: &Row, context: &Context) -> Result<Truth> {
    let compared = |how: Comparison, (a, b): &(Operand, Operand)| {
        Ok(compare::sides(how, &a.eval(row, context)?, &b.eval(row, context)?, context))
    };
    match how {
        Comparison::Equal => all(pairs.iter().map(|pair| compared(how, pair))),
        Comparison::NotEqual => any(pairs.iter().map(|pair| compared(how, pair))),
        Comparison::NotDistinct => all(pairs.iter().map(|pair| compared(how, pair))),
        Comparison::Distinct => any(pairs.iter().map(|pair| compared(how, pair))),
        Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual => {
            // The first pair that differs decides.
            for pair in pairs {
                match compared(Comparison::Equal, pair)? {
                    Some(true) => {}
                    Some(false) => return compared(how, pair),
                    None => return Ok(None),
                }
            }
            Ok(Some(matches!(how, Comparison::LessOrEqual | Comparison::GreaterOrEqual)))
        }
    }
}

fn and(a: Truth, b: Truth) -> Truth {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(a: Truth, b: Truth) -> Truth {
    and(a.map(|it| !it), b.map(|it| !it)).map(|it| !it)
}

/// Stops at the first that is false.
fn all(truths: impl Iterator<Item = Result<Truth>>) -> Result<Truth> {
    let mut so_far = Some(true);
    for next in truths {
        so_far = and(so_far, next?);
        if so_far == Some(false) {
            break;
        }
    }
    Ok(so_far)
}

/// Stops at the first that is true.
fn any(truths: impl Iterator<Item = Result<Truth>>) -> Result<Truth> {
    let mut so_far = Some(false);
    for next in truths {
        so_far = or(so_far, next?);
        if so_far == Some(true) {
            break;
        }
    }
    Ok(so_far)
}

fn not_text(what: &str, value: &Datum) -> RowError {
    RowError::new("42804", format!("{what} takes text, not {}", cast::name(value)))
}

fn text_test<'a>(value: &Datum, what: &str, test: impl FnOnce(&str) -> Result<bool>) -> Result<Value<'a>> {
    match value {
        Datum::Text(text) => Ok(truth(Some(test(text)?))),
        value if value.is_null() => Ok(NULL),
        other => Err(not_text(what, other)),
    }
}
