//! The compiled tree and how it is evaluated.

use std::borrow::Cow;

use millstream_value::{ArrayBuf, Doc, DocBuf, Value};

use super::limit;
use super::misc::Random;
use super::operator::{Args, Eager, Lazy};
use super::pattern::Search;
use super::sort_array::SortArray;
use crate::{Collation, Result};

/// One node of a compiled expression.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A constant; `None` is missing.
    Literal(Option<Value<'static>>),
    /// A path into the root document, or into the variable in `slot`. No names: the whole of it.
    Path { slot: Option<usize>, names: Vec<String> },
    /// A document of computed fields; missing ones are left out.
    Object(Vec<(String, Node)>),
    /// An array of computed elements; missing ones are null.
    Array(Vec<Node>),
    /// An operator that sees its arguments' values.
    Eager { name: &'static str, run: Eager, args: Vec<Node>, given: u32 },
    /// An operator that decides itself which arguments to evaluate, and binds variables.
    Lazy { name: &'static str, run: Lazy, args: Vec<Node> },
    /// A search for a regular expression.
    Search(Box<Search>),
    /// An array in order.
    SortArray(Box<SortArray>),
    /// A random number.
    Random(Random),
}

/// The document at hand and the variables bound around the node.
pub(super) struct Env<'v> {
    root: Value<'v>,
    slots: Vec<Option<Value<'v>>>,
    /// How texts compare.
    pub(super) collation: Option<&'v Collation>,
}

impl<'v> Env<'v> {
    /// No variables yet.
    pub(super) fn new(root: Doc<'v>, collation: Option<&'v Collation>) -> Self {
        Self { root: root.into(), slots: Vec::new(), collation }
    }

    /// Binds the next variable.
    pub(super) fn push(&mut self, value: Option<Value<'v>>) {
        self.slots.push(value);
    }

    /// Forgets the `count` variables that were bound last.
    pub(super) fn pop(&mut self, count: usize) {
        self.slots.truncate(self.slots.len().saturating_sub(count));
    }

    /// Evaluates `node` with one more variable.
    pub(super) fn with(&mut self, value: Option<Value<'v>>, node: &'v Node) -> Result<Option<Value<'v>>> {
        self.push(value);
        let result = node.eval(self);
        self.pop(1);
        result
    }
}

impl Node {
    /// The field at a dotted path.
    pub(super) fn field(path: &str) -> Self {
        Self::Path { slot: None, names: path.split('.').map(str::to_owned).collect() }
    }

    /// Whether it is a constant.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    /// The value; `None` is missing.
    pub(super) fn eval<'v>(&'v self, env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
        match self {
            Self::Literal(value) => Ok(value.as_ref().map(Value::borrowed)),
            Self::Path { slot: None, names } => Ok(follow(&env.root, names)),
            Self::Path { slot: Some(slot), names } => {
                Ok(env.slots.get(*slot).and_then(Option::as_ref).and_then(|value| follow(value, names)))
            }
            Self::Object(fields) => object(fields, env).map(Some),
            Self::Array(items) => {
                let mut array = ArrayBuf::new();
                for item in items {
                    limit::push(&mut array, item.eval(env)?.unwrap_or(Value::Null))?;
                }
                Ok(Some(array.into()))
            }
            Self::Eager { name, run, args, given } => eager(name, *run, args, *given, env),
            Self::Lazy { name, run, args } => run(name, args, env),
            Self::Search(search) => search.eval(env),
            Self::SortArray(sort) => sort.eval(env),
            Self::Random(random) => Ok(Some(Value::Double(random.next()))),
        }
    }
}

fn object<'v>(fields: &'v [(String, Node)], env: &mut Env<'v>) -> Result<Value<'v>> {
    let mut doc = DocBuf::new();
    for (name, node) in fields {
        if let Some(value) = node.eval(env)? {
            limit::size(doc.size().saturating_add(limit::size_of(&value)))?;
            doc.push(name, value);
        }
    }
    Ok(doc.into())
}

fn eager<'v>(
    name: &'static str,
    run: Eager,
    args: &'v [Node],
    given: u32,
    env: &mut Env<'v>,
) -> Result<Option<Value<'v>>> {
    // Most operators take one or two arguments: those need no allocation.
    match args {
        [one] => run(&mut Args::new(name, given, &mut [one.eval(env)?], env.collation)),
        [one, two] => run(&mut Args::new(name, given, &mut [one.eval(env)?, two.eval(env)?], env.collation)),
        _ => {
            let mut values = args.iter().map(|arg| arg.eval(env)).collect::<Result<Vec<_>>>()?;
            run(&mut Args::new(name, given, &mut values, env.collation))
        }
    }
}

/// What is at a path below a value. An array on the way stands for the array of what its documents hold there.
pub(super) fn follow<'v>(value: &Value<'v>, names: &[String]) -> Option<Value<'v>> {
    let Some((first, rest)) = names.split_first() else { return Some(value.clone()) };
    match value {
        Value::Document(Cow::Borrowed(bytes)) => within(Doc::new(bytes), first, rest),
        Value::Document(Cow::Owned(bytes)) => within(Doc::new(bytes), first, rest).map(Value::into_owned),
        Value::Array(bytes) => Some(each(Doc::new(bytes), first, rest)),
        _ => None,
    }
}

fn within<'v>(doc: Doc<'v>, name: &str, rest: &[String]) -> Option<Value<'v>> {
    let element = doc.element(name)?;
    let Some((next, after)) = rest.split_first() else { return Some(element.value()) };
    if let Some(inner) = element.as_doc() {
        return within(inner, next, after);
    }
    element.as_array().map(|items| each(items, next, after))
}

fn each(items: Doc<'_>, name: &str, rest: &[String]) -> Value<'static> {
    items.elements().filter_map(|item| within(item.as_doc()?, name, rest)).collect::<ArrayBuf>().into()
}
