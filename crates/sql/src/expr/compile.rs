//! From an [`Expr`] to what is evaluated: constants folded, patterns compiled, untyped literals read.

use std::sync::Arc;

use millstream_flow::{Datum, Row, RowError, ScalarRef};

use super::eval::{Candidates, Compiled, Node, Operand};
use super::untyped::Reading;
use super::{Arithmetic, Context, Expr, Function, Operator, Takes, cast, like, number, pattern, static_type};
use crate::{Class, Type};

impl Expr {
    /// What evaluates it. Errors of constants are those of the rows for which they are evaluated.
    #[must_use]
    pub fn compile(&self, context: &Arc<Context>) -> ScalarRef {
        let builder = Builder { context, nothing: Row::new(Vec::new(), Vec::new()) };
        Arc::new(Compiled { root: builder.build(self).node, context: context.clone() })
    }

    /// Its value over no row, for constants.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn constant(&self, context: &Arc<Context>) -> Result<Datum, RowError> {
        self.compile(context).eval(&Row::new(Vec::new(), Vec::new()))
    }
}

struct Builder<'a> {
    context: &'a Context,
    /// A row without columns, over which constants are evaluated.
    nothing: Row,
}

/// A node, and whether it is the same for all rows.
struct Built {
    node: Node,
    constant: bool,
}

/// Collects whether all parts are constant.
struct Parts<'a, 'b> {
    builder: &'a Builder<'b>,
    constant: bool,
}

impl Parts<'_, '_> {
    fn node(&mut self, expr: &Expr) -> Node {
        let built = self.builder.build(expr);
        self.constant &= built.constant;
        built.node
    }

    fn boxed(&mut self, expr: &Expr) -> Box<Node> {
        Box::new(self.node(expr))
    }

    fn nodes<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Vec<Node> {
        exprs.into_iter().map(|expr| self.node(expr)).collect()
    }

    /// Something that is compared or calculated with: an untyped literal waits for what it meets.
    fn operand(&mut self, expr: &Expr) -> Operand {
        match expr {
            Expr::Untyped(text) => Operand::Untyped(Box::new(Reading::new(text, self.builder.context))),
            other => Operand::Node(self.node(other)),
        }
    }

    fn operands<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Vec<Operand> {
        exprs.into_iter().map(|expr| self.operand(expr)).collect()
    }

    /// A condition: an untyped literal is a boolean.
    fn condition(&mut self, expr: &Expr) -> Node {
        self.typed(expr, Some(&Type::Boolean))
    }

    /// An untyped literal becomes a value of the type, everything else is what it is.
    fn typed(&mut self, expr: &Expr, to: Option<&Type>) -> Node {
        match (expr, to) {
            (Expr::Untyped(text), Some(to)) => self.builder.literal(text, to),
            (other, _) => self.node(other),
        }
    }
}

impl Builder<'_> {
    fn build(&self, expr: &Expr) -> Built {
        let mut parts = Parts { builder: self, constant: true };
        let node = self.node(expr, &mut parts);
        let constant = parts.constant;
        let node = match node {
            node @ (Node::Constant(_) | Node::Fails(_)) => node,
            node if constant => match node.eval(&self.nothing, self.context) {
                Ok(value) => Node::Constant(value.into_owned()),
                Err(error) => Node::Fails(error),
            },
            node => node,
        };
        Built { node, constant }
    }

    fn literal(&self, text: &str, to: &Type) -> Node {
        match cast::cast(&Datum::text(text), to, self.context) {
            Ok(value) => Node::Constant(value),
            Err(error) => Node::Fails(error),
        }
    }

    fn node(&self, expr: &Expr, parts: &mut Parts<'_, '_>) -> Node {
        match expr {
            Expr::Column(at) => varying(parts, Node::Column(*at)),
            Expr::KeyPart(at) => varying(parts, Node::KeyPart(*at)),
            Expr::Variable(slot) => Node::Constant(self.context.variables.get(*slot).cloned().unwrap_or(Datum::Null)),
            Expr::Constant(value) => Node::Constant(value.clone()),
            Expr::Untyped(text) => Node::Constant(Datum::text(text)),
            Expr::Path(root, steps) => Node::Path(parts.boxed(root), steps.clone()),
            Expr::Negate(x) => match x.as_ref() {
                Expr::Untyped(text) => Node::Negate(Box::new(self.number(text))),
                x => Node::Negate(parts.boxed(x)),
            },
            Expr::Arithmetic(how, a, b) => self.arithmetic(*how, a, b, parts),
            Expr::Compare(how, a, b) => {
                let (a, b) = self.pair(a, b, parts);
                Node::Compare(*how, Box::new(a), Box::new(b))
            }
            Expr::CompareRows(how, left, right) => {
                let pairs = left.iter().zip(right).map(|(a, b)| self.pair(a, b, parts)).collect();
                Node::CompareRows(*how, pairs)
            }
            Expr::And(conditions) => Node::And(conditions.iter().map(|it| parts.condition(it)).collect()),
            Expr::Or(conditions) => Node::Or(conditions.iter().map(|it| parts.condition(it)).collect()),
            Expr::Not(x) => Node::Not(Box::new(parts.condition(x))),
            Expr::Is(test, negated, x) => {
                let x = if *test == super::Test::Null { parts.boxed(x) } else { Box::new(parts.condition(x)) };
                Node::Is(*test, *negated, x)
            }
            Expr::Between { value, low, high, symmetric } => Node::Between {
                value: Box::new(parts.operand(value)),
                low: Box::new(parts.operand(low)),
                high: Box::new(parts.operand(high)),
                symmetric: *symmetric,
            },
            Expr::In(value, list) => Node::In(Box::new(parts.operand(value)), Candidates::List(parts.operands(list))),
            Expr::Any(how, value, array) => {
                Node::Any(*how, Box::new(parts.operand(value)), self.candidates(array, parts))
            }
            Expr::All(how, value, array) => {
                Node::All(*how, Box::new(parts.operand(value)), self.candidates(array, parts))
            }
            Expr::Like { value, pattern, escape, ignore_case } => {
                self.like(value, pattern, escape.as_deref(), *ignore_case, parts)
            }
            Expr::Matches(value, pattern, ignore_case) => self.matches(value, pattern, *ignore_case, parts),
            Expr::Operator(operator, a, b) => self.operator(*operator, a, b, parts),
            Expr::Case { operand, branches, otherwise } => {
                let result = expr.static_type(&[], &[]);
                let otherwise = otherwise.as_deref().map(|it| Box::new(parts.typed(it, result.as_ref())));
                match operand {
                    None => Node::Case {
                        branches: branches
                            .iter()
                            .map(|(when, then)| (parts.condition(when), parts.typed(then, result.as_ref())))
                            .collect(),
                        otherwise,
                    },
                    Some(operand) => Node::Switch {
                        operand: Box::new(parts.operand(operand)),
                        branches: branches
                            .iter()
                            .map(|(when, then)| (parts.operand(when), parts.typed(then, result.as_ref())))
                            .collect(),
                        otherwise,
                    },
                }
            }
            Expr::Coalesce(arguments) => {
                let result = expr.static_type(&[], &[]);
                Node::Coalesce(arguments.iter().map(|it| parts.typed(it, result.as_ref())).collect())
            }
            Expr::Cast { value, to, attempt } => match value.as_ref() {
                Expr::Untyped(text) if !attempt => self.literal(text, to),
                value => Node::Cast { value: parts.boxed(value), to: to.clone(), attempt: *attempt },
            },
            Expr::Array(elements) => {
                let element = match expr.static_type(&[], &[]) {
                    Some(Type::Array(Some(element))) => Some(*element),
                    _ => None,
                };
                Node::Array(elements.iter().map(|it| parts.typed(it, element.as_ref())).collect())
            }
            Expr::Call(function, arguments) => self.call(function, arguments, parts),
            Expr::Routine(name, arguments) => {
                let arguments = parts.nodes(arguments);
                varying(parts, Node::Routine(name.clone(), arguments))
            }
        }
    }

    /// An untyped literal that stands where only a number can.
    fn number(&self, text: &str) -> Node {
        match number::parse(text) {
            Some(value) => Node::Constant(value),
            None => Node::Fails(RowError::new("22P02", format!("\"{text}\" is no number"))),
        }
    }

    /// Two operands. An untyped literal against a type that only expressions have, or a document, is of that type.
    fn pair(&self, a: &Expr, b: &Expr, parts: &mut Parts<'_, '_>) -> (Operand, Operand) {
        let fixed = |untyped: &Expr, other: &Expr| match (untyped, other.static_type(&[], &[])) {
            (Expr::Untyped(text), Some(to)) => match to.class() {
                Class::Array | Class::Binary | Class::Document | Class::Interval | Class::TimeOfDay => {
                    Some(Operand::Node(self.literal(text, &to)))
                }
                _ => None,
            },
            _ => None,
        };
        let left = fixed(a, b).unwrap_or_else(|| parts.operand(a));
        let right = fixed(b, a).unwrap_or_else(|| parts.operand(b));
        (left, right)
    }

    fn arithmetic(&self, how: Arithmetic, a: &Expr, b: &Expr, parts: &mut Parts<'_, '_>) -> Node {
        let (a, b) = match (a, b) {
            (Expr::Untyped(a), Expr::Untyped(b)) => (Operand::Node(self.number(a)), Operand::Node(self.number(b))),
            (a, b) => (parts.operand(a), parts.operand(b)),
        };
        Node::Arithmetic(how, Box::new(a), Box::new(b))
    }

    /// What `ANY` and `ALL` run over. The elements of an untyped literal are untyped.
    fn candidates(&self, array: &Expr, parts: &mut Parts<'_, '_>) -> Candidates {
        let Expr::Untyped(text) = array else { return Candidates::Array(parts.boxed(array)) };
        match cast::cast(&Datum::text(text), &Type::Array(None), self.context) {
            Ok(Datum::Array(values)) => Candidates::List(
                values
                    .iter()
                    .map(|value| match value {
                        Datum::Text(text) => Operand::Untyped(Box::new(Reading::new(text, self.context))),
                        other => Operand::Node(Node::Constant(other.clone())),
                    })
                    .collect(),
            ),
            Ok(other) => Candidates::Array(Box::new(Node::Constant(other))),
            Err(error) => Candidates::Array(Box::new(Node::Fails(error))),
        }
    }

    fn like(
        &self,
        value: &Expr,
        pattern: &Expr,
        escape: Option<&str>,
        ignore_case: bool,
        parts: &mut Parts<'_, '_>,
    ) -> Node {
        let value = parts.boxed(value);
        let pattern = parts.node(pattern);
        let escape = match escape {
            None => Some('\\'),
            Some(text) => text.chars().next(),
        };
        match pattern {
            Node::Constant(Datum::Text(pattern)) => {
                Node::Like(value, like::Pattern::new(&pattern, escape, ignore_case))
            }
            pattern => Node::LikeVarying { value, pattern: Box::new(pattern), escape, ignore_case },
        }
    }

    fn matches(&self, value: &Expr, regex: &Expr, ignore_case: bool, parts: &mut Parts<'_, '_>) -> Node {
        let value = parts.boxed(value);
        match parts.node(regex) {
            Node::Constant(Datum::Text(text)) => match pattern::build(&text, if ignore_case { "i" } else { "" }) {
                Ok(regex) => Node::Matches(value, regex),
                Err(error) => Node::Fails(error),
            },
            regex => Node::MatchesVarying { value, pattern: Box::new(regex), ignore_case },
        }
    }

    fn operator(&self, operator: Operator, a: &Expr, b: &Expr, parts: &mut Parts<'_, '_>) -> Node {
        let left = parts.operand(a);
        let right = match (operator, b) {
            // A path, or a list of names.
            (
                Operator::GetPath
                | Operator::GetPathText
                | Operator::WithoutPath
                | Operator::HasAnyKey
                | Operator::HasAllKeys,
                Expr::Untyped(text),
            ) => Operand::Node(self.literal(text, &Type::Array(None))),
            (Operator::Get | Operator::GetText | Operator::Without | Operator::HasKey, Expr::Untyped(text)) => {
                Operand::Node(Node::Constant(Datum::text(text)))
            }
            (_, b) => parts.operand(b),
        };
        Node::Operator(operator, Box::new(left), Box::new(right))
    }

    fn call(&self, function: &'static Function, arguments: &[Expr], parts: &mut Parts<'_, '_>) -> Node {
        let common = static_type::common(arguments.iter(), |argument| argument.static_type(&[], &[]));
        let mut takes = Takes::Any;
        let mut wanted = function.takes.iter().copied();
        let arguments = arguments
            .iter()
            .map(|argument| {
                takes = wanted.next().unwrap_or(takes);
                match (argument, takes) {
                    (Expr::Untyped(text), Takes::Number) => self.number(text),
                    (literal, Takes::Alike) => parts.typed(literal, common.as_ref()),
                    (argument, takes) => parts.typed(argument, takes.literal().as_ref()),
                }
            })
            .collect();
        parts.constant &= !function.volatile;
        Node::Call(function, arguments)
    }
}

fn varying(parts: &mut Parts<'_, '_>, node: Node) -> Node {
    parts.constant = false;
    node
}

impl Takes {
    /// What an untyped literal becomes.
    pub(crate) fn literal(self) -> Option<Type> {
        Some(match self {
            Self::Alike | Self::Any | Self::Number => return None,
            Self::Array => Type::Array(None),
            Self::Document => Type::Document,
            Self::Integer => Type::Integer,
            Self::Interval => Type::Interval,
            Self::Bytes => Type::Bytea,
            Self::Text | Self::TextOrBytes => Type::Text(None),
            Self::Time | Self::TimeOrSpan => Type::Timestamptz,
        })
    }
}
