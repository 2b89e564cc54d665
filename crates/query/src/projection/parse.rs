//! From a specification to the tree.

use millstream_value::{DEPTH_MAX, Doc, DocBuf, Element, Value};

use super::slice::Slice;
use super::tree::{Action, Branch, Mode};
use super::{Kind, Projection};
use crate::expression::{self, Expression, Scope};
use crate::path::{self, Path};
use crate::predicate::Predicate;
use crate::{Error, Result};

/// Compiles the specification of `find` or `$project`.
pub(super) fn projection(spec: Doc<'_>, scope: &Scope, kind: Kind) -> Result<Projection> {
    if spec.is_empty() && kind == Kind::Aggregate {
        return Err(Error::location(51272, "projection specification must have at least one field"));
    }
    let mut parser = Parser { kind, scope, ..Parser::new(scope) };
    for element in spec.elements() {
        parser.field("", element, 0)?;
    }
    parser.finish()
}

struct Parser<'s> {
    kind: Kind,
    scope: &'s Scope,
    root: Branch,
    /// Known from the first field that tells, `_id` aside.
    mode: Option<Mode>,
    id_included: bool,
    has_elem_match: bool,
    positional: Option<Path>,
}

impl<'s> Parser<'s> {
    fn new(scope: &'s Scope) -> Self {
        Self {
            kind: Kind::Find,
            scope,
            root: Branch::default(),
            mode: None,
            id_included: false,
            has_elem_match: false,
            positional: None,
        }
    }

    fn finish(mut self) -> Result<Projection> {
        let mode =
            self.mode.unwrap_or(if self.id_included || self.has_elem_match { Mode::Include } else { Mode::Exclude });
        if mode == Mode::Include && self.root.find(b"_id").is_none() {
            self.root.insert(&Path::parse("_id"), Action::Include)?;
        }
        self.root.finish();
        Ok(Projection { root: self.root, mode, positional: self.positional })
    }

    fn field(&mut self, parent: &str, element: Element<'_>, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::bad_value("projection is nested too deeply"));
        }
        let text = join(parent, element.key());
        if text.ends_with(".$") {
            return self.positional(&text, element);
        }
        if text.contains(".$.") {
            return Err(Error::location(
                31394,
                "As of 4.4, it's illegal to specify positional operator in the middle of a path.Positional \
                 projection may only be used at the end, for example: a.b.$. If the query previously used a form \
                 like a.b.$.d, remove the parts following the '$' and the results will be equivalent.",
            ));
        }
        let path = Path::checked(&text)?;
        let value = element.value();
        match &value {
            Value::Document(bytes) => self.document(&path, Doc::new(bytes), &value, depth),
            Value::Bool(_) | Value::Int32(_) | Value::Int64(_) | Value::Double(_) | Value::Decimal(_) => {
                if value.is_truthy() { self.include(&path) } else { self.exclude(&path) }
            }
            _ => self.compute(&path, &value),
        }
    }

    fn include(&mut self, path: &Path) -> Result<()> {
        if path.as_str() == "_id" {
            self.id_included = true;
        } else {
            self.settle(Mode::Include, || {
                Error::location(
                    31253,
                    format!("Cannot do inclusion on field {} in exclusion projection", path.as_str()),
                )
            })?;
        }
        self.root.insert(path, Action::Include)
    }

    fn exclude(&mut self, path: &Path) -> Result<()> {
        if path.as_str() != "_id" {
            self.settle(Mode::Exclude, || {
                Error::location(
                    31254,
                    format!("Cannot do exclusion on field {} in inclusion projection", path.as_str()),
                )
            })?;
        }
        self.root.insert(path, Action::Exclude)
    }

    fn compute(&mut self, path: &Path, value: &Value<'_>) -> Result<()> {
        self.settle(Mode::Include, || {
            Error::location(31252, "Cannot use expression other than $meta in exclusion projection")
        })?;
        let expression = Expression::parse(value, self.scope)?;
        self.root.insert(path, Action::Compute(expression))
    }

    fn settle(&mut self, mode: Mode, error: impl FnOnce() -> Error) -> Result<()> {
        match self.mode {
            Some(known) if known != mode => Err(error()),
            _ => {
                self.mode = Some(mode);
                Ok(())
            }
        }
    }

    fn document(&mut self, path: &Path, doc: Doc<'_>, value: &Value<'_>, depth: usize) -> Result<()> {
        let Some(first) = doc.elements().next() else {
            return Err(Error::location(
                51270,
                format!("An empty sub-projection is not a valid value. Found empty object at path {}", path.as_str()),
            ));
        };
        if !first.key().starts_with('$') {
            return doc.elements().try_for_each(|element| self.field(path.as_str(), element, depth + 1));
        }
        let single = doc.elements().nth(1).is_none();
        match first.key() {
            "$meta" if single => return Err(metadata(first)),
            "$slice" if single && self.kind == Kind::Find => {
                if let Some(slice) = Slice::parse(&first.value()) {
                    return self.root.insert(path, Action::Slice(slice));
                }
            }
            "$elemMatch" if single && self.kind == Kind::Find => return self.elem_match(path, first),
            name if single && !expression::is_operator(name) => {
                return Err(Error::location(31325, format!("Unknown expression {name}")));
            }
            _ if !single => {
                return Err(Error::location(
                    16410,
                    "FieldPath field names may not start with '$'. Consider using $getField or $setField.",
                ));
            }
            _ => {}
        }
        self.compute(path, value)
    }

    fn elem_match(&mut self, path: &Path, argument: Element<'_>) -> Result<()> {
        if argument.as_doc().is_none() {
            return Err(Error::location(
                31274,
                format!("elemMatch: Invalid argument, object required, but got {}", argument.value().type_name()),
            ));
        }
        if path.parts().len() > 1 {
            return Err(Error::location(31275, "Cannot use $elemMatch projection on a nested field."));
        }
        if self.positional.is_some() {
            return Err(Error::location(31255, "Cannot specify positional operator and $elemMatch."));
        }
        self.has_elem_match = true;
        let mut condition = DocBuf::new();
        condition.nest("", |inner| {
            inner.push_element(argument);
        });
        let predicate = Predicate::parse(condition.as_doc(), self.scope)?;
        self.root.insert(path, Action::ElemMatch(predicate))
    }

    fn positional(&mut self, text: &str, element: Element<'_>) -> Result<()> {
        if self.kind == Kind::Aggregate {
            return Err(Error::location(31324, "Cannot use positional projection in aggregation projection"));
        }
        if self.positional.is_some() {
            return Err(Error::location(31276, "Cannot specify more than one positional projection per query."));
        }
        if self.has_elem_match {
            return Err(Error::location(31256, "Cannot specify positional operator and $elemMatch."));
        }
        let value = element.value();
        if value.as_doc().is_some() {
            return Err(Error::location(
                31271,
                "positional projection cannot be used with an expression or sub object",
            ));
        }
        if !value.is_number() && !matches!(value, Value::Bool(_)) {
            return Err(Error::location(31308, "positional projection cannot be used with a literal"));
        }
        if !value.is_truthy() {
            return Err(Error::location(31395, "positional projection cannot be used with exclusion"));
        }
        let path = Path::checked(text.strip_suffix(".$").unwrap_or(text))?;
        self.include(&path)?;
        self.positional = Some(path);
        Ok(())
    }
}

/// Metadata comes from searches that do not exist here.
fn metadata(argument: Element<'_>) -> Error {
    let value = argument.value();
    match value.as_str() {
        Some("textScore") => Error::location(40218, "query requires text score metadata, but it is not available"),
        Some(
            name @ ("geoNearDistance" | "geoNearPoint" | "indexKey" | "randVal" | "recordId" | "searchHighlights"
            | "searchScore" | "searchScoreDetails" | "sortKey" | "vectorSearchScore"),
        ) => Error::location(40218, format!("query requires {name} metadata, but it is not available")),
        Some(name) => Error::location(17308, format!("Unsupported argument to $meta: {name}")),
        None => Error::location(17307, "$meta only supports string arguments"),
    }
}

/// Compiles the specification of `$addFields`.
pub(super) fn add_fields(spec: Doc<'_>, scope: &Scope) -> Result<Branch> {
    if spec.is_empty() {
        return Err(Error::location(40177, "specification must have at least one field"));
    }
    let mut root = Branch::default();
    for element in spec.elements() {
        add_field(&mut root, "", element, scope, 0)?;
    }
    root.finish();
    Ok(root)
}

fn add_field(root: &mut Branch, parent: &str, element: Element<'_>, scope: &Scope, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::bad_value("specification is nested too deeply"));
    }
    let text = join(parent, element.key());
    path::check(&text)?;
    if let Some(doc) = element.as_doc() {
        match doc.elements().next() {
            None => {
                return Err(Error::location(
                    40180,
                    format!("an empty object is not a valid value. Found empty object at path {text}"),
                ));
            }
            Some(first) if first.key().starts_with('$') => {}
            Some(_) => return doc.elements().try_for_each(|inner| add_field(root, &text, inner, scope, depth + 1)),
        }
    }
    let expression = Expression::parse(&element.value(), scope)?;
    let path = Path::parse(&text);
    root.insert(&path, Action::Compute(expression)).map_err(|_| conflict(root, &path))
}

fn conflict(root: &Branch, path: &Path) -> Error {
    // The other one is the part of the path that is taken, or the first path under it.
    let mut branch = root;
    let mut names: Vec<&str> = Vec::new();
    let mut parts = path.parts().iter();
    loop {
        let entry = match parts.next() {
            Some(part) => branch.find(part.name().as_bytes()).map(|(_, entry)| entry),
            None => branch.entries().first(),
        };
        let Some(entry) = entry else { break };
        names.push(&entry.name);
        match &entry.action {
            Action::Nested(inner) => branch = inner,
            _ => break,
        }
    }
    Error::location(
        40176,
        format!(
            "specification contains two conflicting paths. Cannot specify both '{}' and '{}'",
            path.as_str(),
            names.join(".")
        ),
    )
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}
