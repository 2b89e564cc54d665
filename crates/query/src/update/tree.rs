//! A document being changed: only what a path touches is opened, everything else stays the bytes it was.
//!
//! Every write is noted in a [`Log`](super::log::Log) as it happens, so that the delta (CS-2.4) says what the
//! operators did rather than how two documents differ.

use std::borrow::Cow;

use millstream_value::{ArrayBuf, Doc, DocBuf, Element, Value, kind};

use super::log::{Log, Note};
use crate::{Error, Result};

/// How many nulls a write past the end of an array may add.
const PADDING_MAX: usize = 1_500_000;

/// A document whose touched parts are open.
pub(crate) struct Document<'a> {
    root: Branch<'a>,
    before: Doc<'a>,
    log: Log,
    silenced: usize,
    writes: usize,
}

/// What is found at a path.
pub(crate) enum Found<'t> {
    /// A value.
    Value(Value<'t>),
    /// Nothing, but it could be created.
    Missing,
    /// Nothing, and `name` cannot be created in the field `holder`, which holds `value`.
    Blocked {
        /// The path component that does not fit.
        name: String,
        /// The name of the field that is in its way.
        holder: String,
        /// What that field holds.
        value: Value<'t>,
    },
}

impl<'a> Document<'a> {
    /// Opens the first level of `before`.
    pub(crate) fn new(before: Doc<'a>) -> Self {
        Self { root: Branch::object(before), before, log: Log::new(false), silenced: 0, writes: 0 }
    }

    /// The document as it was.
    pub(crate) const fn before(&self) -> Doc<'a> {
        self.before
    }

    /// How many writes there were so far: zero means that every byte is as before.
    pub(crate) const fn writes(&self) -> usize {
        self.writes
    }

    /// What is at `path`.
    pub(crate) fn find(&self, path: &[String]) -> Found<'_> {
        self.root.find(path, "")
    }

    /// The value at `path`.
    pub(crate) fn get(&self, path: &[String]) -> Option<Value<'_>> {
        match self.find(path) {
            Found::Value(value) => Some(value),
            Found::Missing | Found::Blocked { .. } => None,
        }
    }

    /// Writes `value` at `path`, creating what is missing on the way. Writing the same bytes is not a write.
    pub(crate) fn set(&mut self, path: &[String], value: &Value<'_>) -> Result<()> {
        match self.find(path) {
            Found::Value(old) if same_bytes(&old, value) => return Ok(()),
            Found::Blocked { name, holder, value } => {
                let holder = shown(&holder, &value);
                return Err(Error::new(
                    millstream_value::Code::PathNotViable,
                    format!("Cannot create field '{name}' in element {holder}"),
                ));
            }
            Found::Value(_) | Found::Missing => {}
        }
        self.writes += 1;
        let log = (self.silenced == 0).then_some(&mut self.log);
        self.root.set(path, value, log)
    }

    /// Removes the field at `path`; an array element becomes null instead (CS-2.4).
    pub(crate) fn unset(&mut self, path: &[String]) -> Result<()> {
        if self.get(path).is_none() {
            return Ok(());
        }
        if self.is_array_element(path) {
            return self.set(path, &Value::Null);
        }
        self.writes += 1;
        let log = (self.silenced == 0).then_some(&mut self.log);
        self.root.unset(path, log);
        Ok(())
    }

    /// Adds elements at the end of the array at `path`, each noted by its index.
    pub(crate) fn append(&mut self, path: &[String], values: &[Value<'_>]) -> Result<()> {
        let length = self.array_length(path).unwrap_or_default();
        let mut path = path.to_vec();
        for (offset, value) in values.iter().enumerate() {
            path.push((length + offset).to_string());
            self.set(&path, value)?;
            path.pop();
        }
        Ok(())
    }

    /// How many elements the array at `path` has, if there is one.
    pub(crate) fn array_length(&self, path: &[String]) -> Option<usize> {
        self.root.length(path)
    }

    /// Whether the last component of `path` is an index into an array.
    pub(crate) fn is_array_element(&self, path: &[String]) -> bool {
        path.split_last().is_some_and(|(_, holder)| self.array_length(holder).is_some())
    }

    /// Runs `change` without noting its writes.
    pub(crate) fn silently<T>(&mut self, change: impl FnOnce(&mut Self) -> T) -> T {
        self.silenced += 1;
        let result = change(self);
        self.silenced -= 1;
        result
    }

    /// Notes that the whole value at `path` was written.
    pub(crate) fn note_whole(&mut self, path: &[String]) {
        if self.silenced > 0 {
            return;
        }
        let mut arrays = Vec::with_capacity(path.len());
        for depth in 0..path.len() {
            arrays.push(path.get(..depth).is_some_and(|holder| self.array_length(holder).is_some()));
        }
        self.log.note(path, &arrays, Note::Updated);
    }

    /// The changed document and its delta, written once.
    pub(crate) fn finish(self) -> (DocBuf, DocBuf) {
        let delta = self.log.write(&self.root);
        let mut after = DocBuf::with_capacity(self.before.as_bytes().len() + 64);
        self.root.write_object(&mut after);
        (after, delta)
    }
}

/// An opened object or array.
pub(crate) struct Branch<'a> {
    array: bool,
    /// Names are empty in arrays.
    entries: Vec<(Cow<'a, str>, Node<'a>)>,
}

enum Node<'a> {
    /// Untouched or newly written bytes.
    Raw {
        kind: u8,
        bytes: Cow<'a, [u8]>,
    },
    Branch(Branch<'a>),
}

impl<'a> Branch<'a> {
    fn object(doc: Doc<'a>) -> Self {
        let entries = doc.elements().map(|e| (Cow::Borrowed(e.key()), Node::of(e))).collect();
        Self { array: false, entries }
    }

    fn array(doc: Doc<'a>) -> Self {
        let entries = doc.elements().map(|e| (Cow::Borrowed(""), Node::of(e))).collect();
        Self { array: true, entries }
    }

    /// The bytes of the value called `name`, for the delta.
    pub(crate) fn encoded(&self, name: &str) -> Option<Value<'_>> {
        Some(self.child(name)?.value())
    }

    /// The opened child called `name`.
    pub(crate) fn branch(&self, name: &str) -> Option<&Branch<'a>> {
        match self.child(name)? {
            Node::Branch(branch) => Some(branch),
            Node::Raw { .. } => None,
        }
    }

    fn index_of(&self, name: &str) -> Option<usize> {
        if self.array {
            let index = array_index(name)?;
            return (index < self.entries.len()).then_some(index);
        }
        self.entries.iter().position(|(key, _)| key == name)
    }

    fn child(&self, name: &str) -> Option<&Node<'a>> {
        self.entries.get(self.index_of(name)?).map(|(_, node)| node)
    }

    fn length(&self, path: &[String]) -> Option<usize> {
        let Some((name, rest)) = path.split_first() else {
            return self.array.then_some(self.entries.len());
        };
        match self.child(name)? {
            Node::Branch(branch) => branch.length(rest),
            Node::Raw { kind, bytes } if rest.is_empty() => (*kind == kind::ARRAY).then(|| Doc::new(bytes).len()),
            Node::Raw { kind, bytes } => match find_raw(*kind, bytes, rest, name) {
                Found::Value(Value::Array(bytes)) => Some(Doc::new(&bytes).len()),
                _ => None,
            },
        }
    }

    fn find(&self, path: &[String], holder: &str) -> Found<'_> {
        let Some((name, rest)) = path.split_first() else {
            return Found::Missing;
        };
        let Some(child) = self.child(name) else {
            if self.array && array_index(name).is_none() {
                let value = Node::array_value(self);
                return Found::Blocked { name: name.clone(), holder: holder.to_owned(), value };
            }
            return Found::Missing;
        };
        if rest.is_empty() {
            return Found::Value(child.value());
        }
        match child {
            Node::Branch(branch) => branch.find(rest, name),
            Node::Raw { kind, bytes } => find_raw(*kind, bytes, rest, name),
        }
    }

    fn set(&mut self, path: &[String], value: &Value<'_>, log: Option<&mut Log>) -> Result<()> {
        let Some((name, rest)) = path.split_first() else {
            return Ok(());
        };
        let array = self.array;
        let Some(index) = self.index_of(name) else {
            if array {
                self.pad(name)?;
            }
            if let Some(log) = log {
                log.leaf(name, if array { Note::Updated } else { Note::Inserted });
            }
            let name = if array { Cow::Borrowed("") } else { Cow::Owned(name.clone()) };
            self.entries.push((name, Node::nested(rest, value)));
            return Ok(());
        };
        let Some((_, child)) = self.entries.get_mut(index) else {
            return Ok(());
        };
        if rest.is_empty() {
            if let Some(log) = log {
                log.leaf(name, Note::Updated);
            }
            *child = Node::written(value);
            return Ok(());
        }
        let Some(branch) = child.open() else {
            return Err(Error::new(
                millstream_value::Code::PathNotViable,
                format!("Cannot create field '{}' in element {}", rest.first().map_or("", |n| n), name),
            ));
        };
        let log = log.and_then(|log| log.within(name, branch.array));
        branch.set(rest, value, log)
    }

    fn unset(&mut self, path: &[String], log: Option<&mut Log>) {
        let Some((name, rest)) = path.split_first() else {
            return;
        };
        let Some(index) = self.index_of(name) else {
            return;
        };
        if rest.is_empty() {
            if let Some(log) = log {
                log.leaf(name, Note::Removed);
            }
            self.entries.remove(index);
            return;
        }
        if let Some(branch) = self.entries.get_mut(index).and_then(|(_, child)| child.open()) {
            let log = log.and_then(|log| log.within(name, branch.array));
            branch.unset(rest, log);
        }
    }

    /// Adds nulls until the element `name` is the next one.
    fn pad(&mut self, name: &str) -> Result<()> {
        let index = array_index(name).unwrap_or_default();
        let missing = index.saturating_sub(self.entries.len());
        if missing > PADDING_MAX {
            return Err(Error::bad_value("can't backfill more than 1500000 elements"));
        }
        for _ in 0..missing {
            self.entries.push((Cow::Borrowed(""), Node::written(&Value::Null)));
        }
        Ok(())
    }

    fn write_object(&self, out: &mut DocBuf) {
        for (name, node) in &self.entries {
            out.push(name, node.value());
        }
    }
}

impl<'a> Node<'a> {
    fn of(element: Element<'a>) -> Self {
        Self::Raw { kind: element.kind(), bytes: Cow::Borrowed(element.bytes()) }
    }

    fn written(value: &Value<'_>) -> Self {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        Self::Raw { kind: value.kind(), bytes: Cow::Owned(bytes) }
    }

    /// `value` inside one object for each name of `path`.
    fn nested(path: &[String], value: &Value<'_>) -> Self {
        let Some((name, rest)) = path.split_first() else {
            return Self::written(value);
        };
        let entries = vec![(Cow::Owned(name.clone()), Self::nested(rest, value))];
        Self::Branch(Branch { array: false, entries })
    }

    fn open(&mut self) -> Option<&mut Branch<'a>> {
        if let Self::Raw { kind, bytes } = self {
            if !matches!(*kind, kind::DOCUMENT | kind::ARRAY) {
                return None;
            }
            let array = *kind == kind::ARRAY;
            let branch = match std::mem::take(bytes) {
                Cow::Borrowed(bytes) if array => Branch::array(Doc::new(bytes)),
                Cow::Borrowed(bytes) => Branch::object(Doc::new(bytes)),
                Cow::Owned(bytes) => owned_branch(Doc::new(&bytes), array),
            };
            *self = Self::Branch(branch);
        }
        match self {
            Self::Branch(branch) => Some(branch),
            Self::Raw { .. } => None,
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Raw { kind, bytes } => Value::decode(*kind, bytes),
            Self::Branch(branch) if branch.array => Self::array_value(branch),
            Self::Branch(branch) => {
                let mut out = DocBuf::new();
                branch.write_object(&mut out);
                out.into()
            }
        }
    }

    fn array_value<'t>(branch: &'t Branch<'_>) -> Value<'t> {
        branch.entries.iter().map(|(_, node)| node.value()).collect::<ArrayBuf>().into()
    }
}

fn owned_branch<'a>(doc: Doc<'_>, array: bool) -> Branch<'a> {
    let entries = doc
        .elements()
        .map(|e| {
            let name = if array { Cow::Borrowed("") } else { Cow::Owned(e.key().to_owned()) };
            (name, Node::Raw { kind: e.kind(), bytes: Cow::Owned(e.bytes().to_vec()) })
        })
        .collect();
    Branch { array, entries }
}

fn find_raw<'t>(tag: u8, bytes: &'t [u8], path: &[String], holder: &str) -> Found<'t> {
    let (mut tag, mut bytes, mut holder) = (tag, bytes, holder);
    let mut names = path.iter().peekable();
    while let Some(name) = names.next() {
        let element = match tag {
            kind::DOCUMENT => Doc::new(bytes).element(name),
            kind::ARRAY if array_index(name).is_some() => Doc::new(bytes).element(name),
            _ => {
                let value = Value::decode(tag, bytes);
                return Found::Blocked { name: name.clone(), holder: holder.to_owned(), value };
            }
        };
        let Some(element) = element else {
            return Found::Missing;
        };
        if names.peek().is_none() {
            return Found::Value(element.value());
        }
        (tag, bytes, holder) = (element.kind(), element.bytes(), name);
    }
    Found::Missing
}

/// A path component as an index into an array: digits without a leading zero.
pub(crate) fn array_index(name: &str) -> Option<usize> {
    if name.is_empty() || (name.len() > 1 && name.starts_with('0')) || !name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    name.parse().ok()
}

/// One field as messages show it: `{i: 5}`.
pub(crate) fn shown(name: &str, value: &Value<'_>) -> String {
    format!("{{{name}: {}}}", millstream_value::shell::value(value))
}

fn same_bytes(a: &Value<'_>, b: &Value<'_>) -> bool {
    if a.kind() != b.kind() {
        return false;
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    a.encode(&mut left);
    b.encode(&mut right);
    left == right
}
