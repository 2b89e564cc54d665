//! From documents to nodes.

use std::collections::HashSet;

use millstream_value::{Code, Doc, Value};

use super::Scope;
use super::node::{Env, Node};
use super::operator::{self, Name, Operator, Run, Shape, Unknown};
use crate::{Error, Result};

/// Compiles a whole expression.
pub(super) fn compile(value: &Value<'_>, scope: &Scope) -> Result<Node> {
    Compiler::new(scope).node(value)
}

/// The state of a compilation: which variables are bound around the place where it is.
pub(super) struct Compiler<'s> {
    scope: &'s Scope,
    bound: Vec<String>,
    depth: usize,
}

/// How deep expressions may nest: as deep as the documents they are written in.
const DEPTH_MAX: usize = millstream_value::DEPTH_MAX;

impl<'s> Compiler<'s> {
    /// Nothing bound yet.
    pub(super) const fn new(scope: &'s Scope) -> Self {
        Self { scope, bound: Vec::new(), depth: 0 }
    }

    /// What surrounds the query.
    pub(super) const fn scope(&self) -> &'s Scope {
        self.scope
    }

    /// Compiles any expression.
    pub(super) fn node(&mut self, value: &Value<'_>) -> Result<Node> {
        if self.depth > DEPTH_MAX {
            return Err(Error::new(Code::Overflow, format!("an expression may nest at most {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let node = match value {
            Value::String(text) if text.starts_with('$') => self.path(text),
            Value::Document(bytes) => self.document(Doc::new(bytes)),
            Value::Array(bytes) => self.array(Doc::new(bytes)),
            constant => Ok(Node::Literal(Some(constant.clone().into_owned()))),
        };
        self.depth -= 1;
        node
    }

    /// Compiles an expression that sees one more variable.
    pub(super) fn node_with(&mut self, names: &[&str], value: &Value<'_>) -> Result<Node> {
        self.bound.extend(names.iter().map(|&name| name.to_owned()));
        let node = self.node(value);
        self.bound.truncate(self.bound.len() - names.len());
        node
    }

    /// Computes the node now if all of `args` are constant.
    pub(super) fn fold(&self, node: Node, constant: bool) -> Result<Node> {
        if !constant {
            return Ok(node);
        }
        let value = node.eval(&mut Env::new(Doc::empty(), self.scope.collation.as_ref()))?.map(Value::into_owned);
        Ok(Node::Literal(value))
    }

    fn array(&mut self, items: Doc<'_>) -> Result<Node> {
        let items = items.values().map(|item| self.node(&item)).collect::<Result<Vec<_>>>()?;
        let constant = items.iter().all(Node::is_literal);
        self.fold(Node::Array(items), constant)
    }

    fn document(&mut self, doc: Doc<'_>) -> Result<Node> {
        let Some(first) = doc.elements().next() else { return Ok(Node::Literal(Some(Value::empty_document()))) };
        if first.key().starts_with('$') {
            if doc.elements().nth(1).is_some() {
                return Err(Error::location(
                    15983,
                    format!("An object representing an expression must have exactly one field: {doc:?}"),
                ));
            }
            return self.operator(first.key(), &first.value());
        }
        let mut fields: Vec<(String, Node)> = Vec::new();
        let mut names = HashSet::new();
        for element in doc.elements() {
            let name = element.key();
            check_field_name(name)?;
            if !names.insert(name) {
                return Err(Error::location(
                    16406,
                    format!("duplicate field name specified in object literal: {doc:?}"),
                ));
            }
            fields.push((name.to_owned(), self.node(&element.value())?));
        }
        let constant = fields.iter().all(|(_, node)| node.is_literal());
        self.fold(Node::Object(fields), constant)
    }

    fn operator(&mut self, name: &str, argument: &Value<'_>) -> Result<Node> {
        let Some(row) = operator::find(name) else {
            return Err(Error::new(Code::InvalidPipelineOperator, format!("Unrecognized expression '{name}'")));
        };
        let (args, given) = match &row.shape {
            Shape::Own => (Vec::new(), 0),
            Shape::List { min, max } => (self.list(row, *min, *max, argument)?, u32::MAX),
            Shape::Named(names, unknown) => self.named(row.name, names, unknown, argument)?,
        };
        let constant = row.folds && args.iter().all(Node::is_literal);
        let node = match row.run {
            Run::Parse(parse) => return parse(row.name, argument, self),
            Run::Eager(run) => Node::Eager { name: row.name, run, args, given },
            Run::Lazy(run) => Node::Lazy { name: row.name, run, args },
        };
        self.fold(node, constant)
    }

    fn list(&mut self, row: &Operator, min: usize, max: usize, argument: &Value<'_>) -> Result<Vec<Node>> {
        let args = match argument.as_array() {
            Some(items) => items.values().map(|item| self.node(&item)).collect::<Result<Vec<_>>>()?,
            None => vec![self.node(argument)?],
        };
        let (name, count) = (row.name, args.len());
        if min == max && count != min {
            return Err(Error::location(
                16020,
                format!("Expression {name} takes exactly {min} arguments. {count} were passed in."),
            ));
        }
        if count < min || count > max {
            return Err(Error::location(
                28667,
                format!(
                    "Expression {name} takes at least {min} arguments, and at most {max}, but {count} were passed in."
                ),
            ));
        }
        Ok(args)
    }

    /// Compiles the arguments of a document by their names; the bits of the number tell which were there.
    pub(super) fn named(
        &mut self,
        operator: &str,
        names: &[Name],
        codes: &Unknown,
        argument: &Value<'_>,
    ) -> Result<(Vec<Node>, u32)> {
        let Some(doc) = argument.as_doc() else {
            return Err(Error::location(
                codes.not_object,
                format!("{operator} only supports an object as its argument, found {}", argument.type_name()),
            ));
        };
        let mut nodes: Vec<Node> = names.iter().map(|_| Node::Literal(None)).collect();
        let mut given = 0_u32;
        for element in doc.elements() {
            let at = names.iter().position(|known| known.name == element.key());
            let Some((at, slot)) = at.and_then(|at| Some((at, nodes.get_mut(at)?))) else {
                return Err(Error::location(
                    codes.unknown,
                    format!("Unrecognized argument to {operator}: {}", element.key()),
                ));
            };
            *slot = self.node(&element.value())?;
            given |= 1 << at;
        }
        for (at, name) in names.iter().enumerate() {
            if name.required != 0 && given & (1 << at) == 0 {
                return Err(Error::location(name.required, format!("Missing '{}' parameter to {operator}", name.name)));
            }
        }
        Ok((nodes, given))
    }

    fn path(&self, text: &str) -> Result<Node> {
        if let Some(rest) = text.strip_prefix("$$") {
            let (name, path) = match rest.split_once('.') {
                Some((name, path)) => (name, Some(path)),
                None => (rest, None),
            };
            check_readable(name)?;
            let names = path.map_or_else(|| Ok(Vec::new()), field_names)?;
            return self.variable(name, names);
        }
        let path = text.strip_prefix('$').unwrap_or(text);
        if path.is_empty() {
            return Err(Error::location(16872, "'$' by itself is not a valid FieldPath"));
        }
        let names = field_names(path)?;
        Ok(Node::Path { slot: self.slot("CURRENT"), names })
    }

    fn slot(&self, name: &str) -> Option<usize> {
        self.bound.iter().rposition(|known| known == name)
    }

    fn variable(&self, name: &str, names: Vec<String>) -> Result<Node> {
        if let Some(slot) = self.slot(name) {
            return Ok(Node::Path { slot: Some(slot), names });
        }
        let constant = match name {
            "ROOT" | "CURRENT" => return Ok(Node::Path { slot: None, names }),
            "REMOVE" => None,
            "NOW" => Some(Value::Date(self.scope.now_ms)),
            // $redact's three answers are told apart by their names.
            "DESCEND" => Some(Value::from("descend")),
            "PRUNE" => Some(Value::from("prune")),
            "KEEP" => Some(Value::from("keep")),
            "CLUSTER_TIME" => Some(Value::Timestamp(
                self.scope
                    .cluster_time
                    .ok_or_else(|| Error::location(51144, "Builtin variable '$$CLUSTER_TIME' is not available"))?,
            )),
            _ => Some(
                self.scope
                    .variable(name)
                    .cloned()
                    .ok_or_else(|| Error::location(17276, format!("Use of undefined variable: {name}")))?,
            ),
        };
        let Some(value) = constant else { return Ok(Node::Literal(None)) };
        Ok(Node::Literal(super::node::follow(&value, &names).map(Value::into_owned)))
    }
}

/// The parts of a dotted path.
pub(super) fn field_names(path: &str) -> Result<Vec<String>> {
    if path.is_empty() {
        return Err(Error::location(40352, "FieldPath cannot be constructed with empty string"));
    }
    if path.ends_with('.') {
        return Err(Error::location(40353, "FieldPath must not end with a '.'."));
    }
    let names: Vec<String> = path.split('.').map(str::to_owned).collect();
    if names.len() > DEPTH_MAX {
        return Err(Error::new(Code::Overflow, "FieldPath is too long"));
    }
    for name in &names {
        check_field_name(name)?;
    }
    Ok(names)
}

fn check_field_name(name: &str) -> Result<()> {
    crate::path::check_name(name)?;
    if name.contains('.') {
        return Err(Error::location(
            16412,
            "FieldPath field names may not contain '.'. Consider using $getField or $setField.",
        ));
    }
    Ok(())
}

/// Whether a variable of this name may be bound.
pub(super) fn check_bindable(name: &str) -> Result<()> {
    let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase() || !first.is_ascii());
    check_name(name, starts_well || name == "CURRENT")
}

fn check_readable(name: &str) -> Result<()> {
    check_name(name, name.starts_with(|first: char| first.is_ascii_alphabetic() || !first.is_ascii()))
}

fn check_name(name: &str, starts_well: bool) -> Result<()> {
    if name.is_empty() {
        return Err(Error::failed_to_parse("empty variable names are not allowed"));
    }
    if !starts_well {
        return Err(Error::failed_to_parse(format!(
            "'{name}' starts with an invalid character for a user variable name"
        )));
    }
    match name.chars().find(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && *c != '_') {
        None => Ok(()),
        Some(wrong) => Err(Error::failed_to_parse(format!(
            "'{name}' contains an invalid character for a variable name: '{wrong}'"
        ))),
    }
}
