//! Conditions on changes, as filters for the events of a change stream (SQL-20.3).
//!
//! Each kind of event has its own, because it has other documents: a condition on a row is one on the document after an
//! insert and on the document before a delete. Whatever lacks a document that it should have passes, since that is an error
//! of its own (SQL-12.8), and so does all that happens to the collection as a whole.

use std::sync::Arc;

use millstream_flow::Datum;
use millstream_value::{DocBuf, Value};

use crate::expr::{Comparison, Context, Step, Test};
use crate::plan::calculated::{Nulls, calculated};
use crate::plan::filter::{Path, Translation, all_of, listed, not_of_type, of_type, path};
use crate::plan::sure::Conditions;
use crate::plan::{Source, SourceColumn};
use crate::statement::TriggerEvent;
use crate::{Expr, statement};

const BEFORE: &str = "fullDocumentBeforeChange";
const AFTER: &str = "fullDocument";

/// What happens to a collection as a whole.
const OF_COLLECTIONS: [&str; 4] = ["drop", "dropDatabase", "invalidate", "rename"];

/// Conditions in each other, at most: servers do not go deep.
const DEPTH_MAX: usize = 20;

/// What an event does to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Delete,
    Insert,
    Replace,
    Update,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Delete, Self::Insert, Self::Replace, Self::Update];

    /// Its `operationType`.
    fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Insert => "insert",
            Self::Replace => "replace",
            Self::Update => "update",
        }
    }

    /// Its `CHANGE_TYPE()`.
    fn operation(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Insert => "INSERT",
            Self::Replace | Self::Update => "UPDATE",
        }
    }

    /// That a document is not there which should be.
    fn lacks(self, before: bool) -> Vec<DocBuf> {
        let lacks = |name: &str| {
            let mut null = DocBuf::new();
            null.push(name, Value::Null);
            null
        };
        let before = (before && self != Self::Insert).then(|| lacks(BEFORE));
        let after = matches!(self, Self::Replace | Self::Update).then(|| lacks(AFTER));
        before.into_iter().chain(after).collect()
    }
}

/// A document of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    New,
    Old,
    /// The changed document: the one after it, of a delete the one before it (SQL-13.2).
    Row,
}

/// What an expression is in a change.
enum Part {
    Operation,
    Within(Image, Path),
}

/// When a condition is true.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Never,
    When(DocBuf),
    /// As far as can be told.
    Always,
}

impl Found {
    /// What must hold, apart from what a document lacks; empty: nothing passes.
    fn or_lacks(self, lacks: Vec<DocBuf>) -> Option<Vec<DocBuf>> {
        match self {
            Self::Always => None,
            Self::Never => Some(lacks),
            Self::When(filter) => Some([vec![filter], lacks].concat()),
        }
    }

    fn all(parts: impl Iterator<Item = Self>) -> Self {
        let mut filters = Vec::new();
        for part in parts {
            match part {
                Self::Never => return Self::Never,
                Self::When(filter) => filters.push(filter),
                Self::Always => {}
            }
        }
        all_of(filters).map_or(Self::Always, Self::When)
    }

    fn any(parts: impl Iterator<Item = Self>) -> Self {
        let mut filters: Vec<DocBuf> = Vec::new();
        for part in parts {
            match part {
                Self::Never => {}
                Self::When(filter) if filters.contains(&filter) => {}
                Self::When(filter) => filters.push(filter),
                Self::Always => return Self::Always,
            }
        }
        if filters.len() > 1 {
            return Self::When(listed("$or", &filters));
        }
        filters.pop().map_or(Self::Never, Self::When)
    }
}

impl Source {
    /// A filter for the events of a stream that lets through all changes of the collection that can matter; `None`: all do.
    /// Where changes are not the rows, events must bring the documents before and after them.
    #[must_use]
    pub fn streamed(&self, context: &Arc<Context>) -> Option<DocBuf> {
        let part = |expr: &Expr| self.part(expr);
        let rows = Rows { part: &part, context };
        let conditions = &self.streamed;
        filter(|kind| match self.driven {
            Some(driven) => {
                let [inserts, updates, deletes] = driven.operations;
                let passes = match kind {
                    Kind::Insert => inserts,
                    Kind::Replace | Kind::Update => updates,
                    Kind::Delete => deletes,
                };
                if passes {
                    rows.all(conditions, kind, Image::Row).or_lacks(kind.lacks(driven.old))
                } else {
                    Some(vec![])
                }
            }
            None => {
                let before = (kind != Kind::Insert).then_some(Image::Old);
                let after = (kind != Kind::Delete).then_some(Image::New);
                let sides = before.into_iter().chain(after).map(|image| rows.all(conditions, kind, image));
                Found::any(sides).or_lacks(kind.lacks(true))
            }
        })
    }

    /// What is true of the row of every change that can matter, apart from those for which it fails; `None`: of all. What
    /// [`Source::streamed`] leaves out does not satisfy it.
    #[must_use]
    pub fn admission(&self) -> Option<Expr> {
        self.streamed.admission()
    }

    fn part(&self, expr: &Expr) -> Option<Part> {
        let (column, steps) = split(expr);
        let Expr::Column(at) = column else { return None };
        match (self.columns.get(*at)?, steps) {
            (SourceColumn::Operation, []) => Some(Part::Operation),
            (SourceColumn::Field(name), steps) => Some(Part::Within(Image::Row, path(name, steps)?)),
            (SourceColumn::Whole, [Step::Field(name), steps @ ..]) => {
                Some(Part::Within(Image::Row, path(name, steps)?))
            }
            (SourceColumn::New, [Step::Field(name), steps @ ..]) => Some(Part::Within(Image::New, path(name, steps)?)),
            (SourceColumn::Old, [Step::Field(name), steps @ ..]) => Some(Part::Within(Image::Old, path(name, steps)?)),
            _ => None,
        }
    }
}

/// What a trigger is for.
pub struct Watched<'w> {
    /// What it is `FOR`.
    pub events: &'w [TriggerEvent],
    /// Its `WHEN`.
    pub when: Option<&'w Expr>,
    /// The variable that is `NEW`.
    pub new: usize,
    /// The variable that is `OLD`.
    pub old: usize,
    /// The variables that are `CHANGE_TYPE()`.
    pub operations: &'w [usize],
}

impl Watched<'_> {
    /// A filter for the events of a stream that lets through all changes that can matter; `None`: all do. The context has no
    /// variables.
    #[must_use]
    pub fn streamed(&self, context: &Arc<Context>) -> Option<DocBuf> {
        let part = |expr: &Expr| {
            let (variable, steps) = split(expr);
            let Expr::Variable(slot) = variable else { return None };
            let image = match *slot {
                slot if self.operations.contains(&slot) => return steps.is_empty().then_some(Part::Operation),
                slot if slot == self.new => Image::New,
                slot if slot == self.old => Image::Old,
                _ => return None,
            };
            let [Step::Field(name), steps @ ..] = steps else { return None };
            Some(Part::Within(image, path(name, steps)?))
        };
        let rows = Rows { part: &part, context };
        let conditions = Conditions::of(self.when.into_iter().cloned().flat_map(Expr::conjuncts).collect());
        filter(|kind| {
            let is_for = Found::any(self.events.iter().map(|event| is_for(event, kind)));
            if is_for == Found::Never {
                return Some(Vec::new());
            }
            let when = rows.all(&conditions, kind, Image::Row);
            Found::all([is_for, when].into_iter()).or_lacks(kind.lacks(true))
        })
    }

    /// As of [`Source::admission`].
    #[must_use]
    pub fn admission(&self) -> Option<Expr> {
        Conditions::of(self.when.into_iter().cloned().flat_map(Expr::conjuncts).collect()).admission()
    }
}

/// A `WHEN` whose conditions are evaluated in the order in which those of a query are.
#[must_use]
pub fn in_order(when: Expr) -> Expr {
    Conditions::of(when.conjuncts()).into_one()
}

fn is_for(event: &TriggerEvent, kind: Kind) -> Found {
    match (event, kind) {
        (TriggerEvent::Insert, Kind::Insert) | (TriggerEvent::Delete, Kind::Delete) => Found::Always,
        (TriggerEvent::Update(_), Kind::Replace) => Found::Always,
        (TriggerEvent::Update(paths), Kind::Update) if paths.is_empty() => Found::Always,
        (TriggerEvent::Update(paths), Kind::Update) => {
            let changed = |known: &statement::Path| {
                path(&known.column, &known.steps).map_or(Found::Always, |path| Found::When(is_changed(&path)))
            };
            Found::any(paths.iter().map(changed))
        }
        _ => Found::Never,
    }
}

/// The filter of alternatives: of each kind what must hold, one of several; `None`: nothing; empty: it never passes.
fn filter(of: impl Fn(Kind) -> Option<Vec<DocBuf>>) -> Option<DocBuf> {
    let mut free: Vec<&str> = OF_COLLECTIONS.to_vec();
    let mut bound: Vec<(Vec<DocBuf>, Vec<&str>)> = Vec::new();
    for kind in Kind::ALL {
        let Some(filters) = of(kind) else {
            free.push(kind.name());
            continue;
        };
        match bound.iter_mut().find(|(known, _)| *known == filters) {
            Some((_, kinds)) => kinds.push(kind.name()),
            None => bound.push((filters, vec![kind.name()])),
        }
    }
    bound.retain(|(filters, _)| !filters.is_empty());
    if free.len() == OF_COLLECTIONS.len() + Kind::ALL.len() {
        return None;
    }
    let of_kinds = |kinds: &[&str], filters: &[DocBuf]| {
        let mut out = DocBuf::new();
        out.nest("operationType", |inner| {
            inner.array("$in", |all| {
                for kind in kinds {
                    all.push(*kind);
                }
            });
        });
        match filters {
            [] => {}
            [one] => one.as_doc().elements().for_each(|element| {
                out.push_element(element);
            }),
            several => listed("$or", several).as_doc().elements().for_each(|element| {
                out.push_element(element);
            }),
        }
        out
    };
    let mut all = vec![of_kinds(&free, &[])];
    all.extend(bound.iter().map(|(filters, kinds)| of_kinds(kinds, filters)));
    if all.len() == 1 { all.pop() } else { Some(listed("$or", &all)) }
}

/// Conditions on the rows of changes.
struct Rows<'r> {
    part: &'r dyn Fn(&Expr) -> Option<Part>,
    context: &'r Arc<Context>,
}

impl Rows<'_> {
    /// When all conditions can be true of an event of a kind, whose row is one of its documents.
    fn all(&self, conditions: &Conditions, kind: Kind, row: Image) -> Found {
        let sure = conditions.sure.iter().map(|condition| self.condition(condition, true, kind, row, 0));
        let first = match (conditions.calculations(), conditions.first.as_slice()) {
            (Some((all, nulls)), _) => self.calculated(all, nulls, kind, row),
            (None, [like]) => self.of_texts(like, kind, row),
            (None, _) => Found::Always,
        };
        Found::all(sure.chain([first]))
    }

    /// When a condition is true, or where `is` is false when it is false.
    fn condition(&self, condition: &Expr, is: bool, kind: Kind, row: Image, depth: usize) -> Found {
        let inner = |part: &Expr, is| self.condition(part, is, kind, row, depth + 1);
        match condition {
            _ if depth > DEPTH_MAX => Found::Always,
            Expr::And(parts) | Expr::Or(parts) => {
                let parts = parts.iter().map(|part| inner(part, is));
                if matches!(condition, Expr::And(_)) == is { Found::all(parts) } else { Found::any(parts) }
            }
            Expr::Not(part) => inner(part, !is),
            leaf => match self.constant(leaf, kind) {
                Some(Datum::Bool(value)) if value == is => Found::Always,
                Some(_) => Found::Never,
                None => self.changed(leaf, is, kind, row).unwrap_or_else(|| self.translated(leaf, is, kind, row)),
            },
        }
    }

    fn translated(&self, leaf: &Expr, is: bool, kind: Kind, row: Image) -> Found {
        let path = |expr: &Expr| self.path(expr, kind, row);
        Translation::wide(&path, self.context).condition(leaf, is).map_or(Found::Always, Found::When)
    }

    /// Conditions that fail for what cannot be calculated with, which has to be seen.
    fn calculated(&self, conditions: &[Expr], nulls: Nulls, kind: Kind, row: Image) -> Found {
        let path = |expr: &Expr| self.path(expr, kind, row);
        calculated(conditions, true, nulls, &path, self.context).map_or(Found::Always, Found::When)
    }

    fn path(&self, expr: &Expr, kind: Kind, row: Image) -> Option<Path> {
        match (self.part)(expr)? {
            Part::Within(image, path) => Some(path.within(field(image, kind, row))),
            Part::Operation => None,
        }
    }

    /// A condition that fails for what is no text, which has to be seen.
    fn of_texts(&self, like: &Expr, kind: Kind, row: Image) -> Found {
        let (Found::When(begins), Expr::Like { value, .. }) = (self.translated(like, true, kind, row), like) else {
            return Found::Always;
        };
        let Some(Part::Within(image, path)) = (self.part)(value) else { return Found::Always };
        let path = path.within(field(image, kind, row));
        let arrays = path.prefixes().chain([path.dotted()]).map(|path| of_type(&path, "array"));
        let parts = [begins, not_of_type(&path.dotted(), "string")].into_iter().chain(arrays);
        Found::When(listed("$or", &parts.collect::<Vec<_>>()))
    }

    /// What does not depend on the change but for its kind.
    fn constant(&self, expr: &Expr, kind: Kind) -> Option<Datum> {
        let mut expr = expr.clone();
        expr.rewrite(&mut |part| match (self.part)(part) {
            Some(Part::Operation) => Some(Expr::Constant(Datum::text(kind.operation()))),
            _ => None,
        });
        let varies = |part: &Expr| match part {
            Expr::Variable(slot) => self.context.variables.get(*slot).is_none(),
            Expr::Call(function, _) => function.volatile,
            Expr::Column(_) | Expr::KeyPart(_) | Expr::Routine(..) => true,
            _ => false,
        };
        if expr.any(&mut |part| varies(part)) { None } else { expr.constant(self.context).ok() }
    }

    /// The same path before and after the change.
    fn changed(&self, leaf: &Expr, is: bool, kind: Kind, row: Image) -> Option<Found> {
        let Expr::Compare(op, a, b) = leaf else { return None };
        let (Part::Within(one, path), Part::Within(other, same)) = ((self.part)(a)?, (self.part)(b)?) else {
            return None;
        };
        if path != same || ![(Image::Old, Image::New), (Image::New, Image::Old)].contains(&(one, other)) {
            return None;
        }
        let op = if is { *op } else { op.opposite() };
        let there = |wanted: Image| {
            let value = if one == wanted { a } else { b };
            match op {
                Comparison::Distinct => self.translated(&Expr::Is(Test::Null, true, value.clone()), true, kind, row),
                Comparison::NotDistinct => {
                    self.translated(&Expr::Is(Test::Null, false, value.clone()), true, kind, row)
                }
                // Compared with nothing, everything is NULL.
                _ => Found::Never,
            }
        };
        Some(match (kind, op) {
            (Kind::Insert, _) => there(Image::New),
            (Kind::Delete, _) => there(Image::Old),
            (Kind::Update, Comparison::Distinct) => Found::When(is_changed(&path)),
            (Kind::Update, Comparison::NotEqual | Comparison::Less | Comparison::Greater) => {
                Found::all([Found::When(is_changed(&path)), self.translated(leaf, is, kind, row)].into_iter())
            }
            // A replacement does not say what it changes.
            (Kind::Replace | Kind::Update, _) => self.translated(leaf, is, kind, row),
        })
    }
}

/// An expression and the steps into it.
fn split(expr: &Expr) -> (&Expr, &[Step]) {
    match expr {
        Expr::Path(inner, steps) => (inner, steps),
        other => (other, &[]),
    }
}

/// The field of an event in which a document is.
fn field(image: Image, kind: Kind, row: Image) -> &'static str {
    match (image, row, kind) {
        (Image::Old, ..) | (Image::Row, Image::Old, _) | (Image::Row, Image::Row, Kind::Delete) => BEFORE,
        _ => AFTER,
    }
}

/// Whether an update names a path, one around it or one in it: by pairs, since names of paths have dots in them.
fn is_changed(path: &Path) -> DocBuf {
    let mut regex = r"(\.|$)".to_owned();
    for (at, name) in path.names().iter().enumerate().rev() {
        let name: String = name.chars().flat_map(|c| escaped(c).into_iter().chain([c])).collect();
        regex = if at == 0 { format!("^{name}{regex}") } else { format!(r"(\.{name}{regex}|$)") };
    }
    let mapped = |out: &mut DocBuf, input: &dyn Fn(&mut DocBuf), of_each: &str| {
        out.nest("$map", |map| {
            map.nest("input", |inner| input(inner));
            map.push("as", "one").push("in", of_each);
        });
    };
    let or_none = |out: &mut DocBuf, path: &str, none: Value<'static>| {
        out.array("$ifNull", |both| {
            both.push(path).push(none);
        });
    };
    let empty = || {
        let mut literal = DocBuf::new();
        literal.nest("$literal", |_| {});
        Value::from(literal)
    };
    let none = || Value::from(millstream_value::ArrayBuf::new());
    let (mut updated, mut removed, mut cut) = (DocBuf::new(), DocBuf::new(), DocBuf::new());
    let pairs = |out: &mut DocBuf| {
        out.nest("$objectToArray", |inner| or_none(inner, "$updateDescription.updatedFields", empty()));
    };
    mapped(&mut updated, &pairs, "$$one.k");
    or_none(&mut removed, "$updateDescription.removedFields", none());
    mapped(&mut cut, &|out| or_none(out, "$updateDescription.truncatedArrays", none()), "$$one.field");
    let mut out = DocBuf::new();
    out.nest("$expr", |expr| {
        expr.array("$anyElementTrue", |only| {
            let mut tested = DocBuf::new();
            tested.nest("$map", |map| {
                map.nest("input", |input| {
                    input.array("$concatArrays", |all| {
                        for names in [&updated, &removed, &cut] {
                            all.push_document(names.as_bytes());
                        }
                    });
                });
                map.push("as", "name").nest("in", |test| {
                    test.nest("$regexMatch", |test| {
                        test.push("input", "$$name").push("regex", regex.as_str());
                    });
                });
            });
            only.push_document(tested.as_bytes());
        });
    });
    out
}

/// What stands before a character for it to mean itself in a regular expression.
pub(crate) fn escaped(c: char) -> Option<char> {
    r"\.+*?()|[]{}^$".contains(c).then_some('\\')
}
