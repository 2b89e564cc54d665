//! Updates: operators, replacements and pipelines, each compiled once and applied to one document at a time.
//!
//! Applying gives the new document and the delta that change events are made from: for operators what they wrote
//! (CS-2.4), for pipelines what differs (CS-2.5), for replacements nothing, since the whole document is logged.

pub mod delta;
pub mod diff;
mod filter;
mod log;
mod modifier;
mod path;
mod plan;
mod replace;
mod target;
mod tree;

use std::collections::BTreeSet;

use millstream_value::{Code, Doc, DocBuf, Element, Value};

use crate::expression::Scope;
use crate::predicate::{Position, Predicate};
use crate::stage::{Pipeline, Place};
use crate::{Error, Result};
use filter::Filters;
use modifier::{Modifier, rename, set_on_insert};
use path::Part;
use plan::{Plan, Run};
use tree::Document;

/// A compiled update.
pub struct Update(Form);

enum Form {
    Operators { plan: Plan, filters: Filters },
    Replacement(DocBuf),
    Pipeline(Pipeline),
}

/// What applying an update to a document did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every byte is as before: nothing to store or to log.
    Unchanged,
    /// There is a new document.
    Changed {
        /// The document after the update, `_id` first.
        after: DocBuf,
        /// The `diff` of a `$v: 2` entry (CS-2.6); `None` if the change is logged as a full replacement.
        delta: Option<DocBuf>,
    },
}

/// The names of all update operators.
pub fn operator_names() -> impl Iterator<Item = &'static str> {
    modifier::MODIFIERS.iter().map(|modifier| modifier.name)
}

impl Update {
    /// Compiles an update document, a replacement document or an array of stages.
    ///
    /// # Errors
    /// What is wrong with its form: unknown operators (9), conflicting (40), empty (56) or unusable paths, operands
    /// of the wrong type, array filters that are missing (2) or unused (9).
    pub fn parse(update: &Value<'_>, array_filters: &[Doc<'_>], scope: &Scope) -> Result<Self> {
        let operators = update.as_doc().filter(|doc| doc.elements().next().is_some_and(|e| e.key().starts_with('$')));
        if let Some(operators) = operators {
            return Self::operators(operators, array_filters, scope);
        }
        if !array_filters.is_empty() {
            let message = "arrayFilters may only be specified for updates that use update operators";
            return Err(Error::failed_to_parse(message));
        }
        if let Some(stages) = update.as_array() {
            let stages: Vec<Value<'_>> = stages.values().collect();
            return Ok(Self(Form::Pipeline(Pipeline::parse(&stages, scope, Place::Update)?)));
        }
        let Some(replacement) = update.as_doc() else {
            let message = format!("Update argument must be either an object or an array, not {}", update.type_name());
            return Err(Error::failed_to_parse(message));
        };
        replace::check(replacement)?;
        Ok(Self(Form::Replacement(replacement.to_buf())))
    }

    fn operators(update: Doc<'_>, array_filters: &[Doc<'_>], scope: &Scope) -> Result<Self> {
        let filters = Filters::parse(array_filters, scope)?;
        let mut plan = Plan::empty();
        let mut used = BTreeSet::new();
        for group in update.elements() {
            let modifier = modifier::find(group.key()).ok_or_else(|| unknown(group.key()))?;
            let operands = group.as_doc().ok_or_else(|| not_fields(group))?;
            for operand in operands.elements() {
                add(&mut plan, modifier, operand, &filters, &mut used, scope)?;
            }
        }
        filters.check_used(&used, update)?;
        Ok(Self(Form::Operators { plan, filters }))
    }

    /// Whether it is a document to be stored as it is.
    #[must_use]
    pub const fn is_replacement(&self) -> bool {
        matches!(self.0, Form::Replacement(_))
    }

    /// Whether it is a pipeline.
    #[must_use]
    pub const fn is_pipeline(&self) -> bool {
        matches!(self.0, Form::Pipeline(_))
    }

    /// Whether it uses `$`, so that [`Update::apply`] needs the position of the match.
    #[must_use]
    pub fn needs_position(&self) -> bool {
        matches!(&self.0, Form::Operators { plan, .. } if plan.needs_position())
    }

    /// Applies it to `before`. `position` is where the query matched; `is_upsert_insert` says that `before` is the
    /// start of a new document, so that `$setOnInsert` counts.
    ///
    /// # Errors
    /// What an operator cannot do with the values it meets, a changed `_id` (66), a path that cannot exist (28).
    pub fn apply(&self, before: Doc<'_>, position: Option<Position>, is_upsert_insert: bool) -> Result<Outcome> {
        match &self.0 {
            Form::Operators { plan, filters } => {
                let mut document = Document::new(before);
                let position = position.and_then(|position| position.index);
                let run = Run { position, inserting: is_upsert_insert, filters };
                plan::run(&[plan], &mut document, &mut Vec::new(), &run)?;
                if document.writes() == 0 {
                    return Ok(Outcome::Unchanged);
                }
                let (after, delta) = document.finish();
                Ok(Outcome::Changed { after: replace::with_id_first(after), delta: Some(delta) })
            }
            Form::Replacement(replacement) => {
                let replacement = replacement.as_doc();
                let after = replace::with_id_of(replacement, before)?;
                if replacement.has("_id") && after.as_doc() == before {
                    return Ok(Outcome::Unchanged);
                }
                Ok(Outcome::Changed { after, delta: None })
            }
            Form::Pipeline(pipeline) => {
                let after = pipeline.apply_one(before)?.unwrap_or_default();
                let after = replace::with_id_of(after.as_doc(), before)?;
                if after.as_doc() == before {
                    return Ok(Outcome::Unchanged);
                }
                let delta = diff::diff(before, after.as_doc());
                Ok(Outcome::Changed { after, delta })
            }
        }
    }

    /// The document that an upsert inserts where nothing matched `predicate`; without `_id` if neither gives one.
    ///
    /// # Errors
    /// As [`Update::apply`]; `NotSingleValueField` (54) if the query's equalities contradict each other,
    /// `InvalidIdField` (53) for an `_id` that cannot be one.
    pub fn new_document(&self, predicate: &Predicate) -> Result<DocBuf> {
        let start = replace::start(predicate, self.is_replacement())?;
        let document = match self.apply(start.as_doc(), None, true)? {
            Outcome::Unchanged => start,
            Outcome::Changed { after, .. } => after,
        };
        let document = replace::with_id_first(document);
        replace::check_id(document.as_doc())?;
        Ok(document)
    }
}

/// Adds one `path: operand` to the plan.
fn add(
    plan: &mut Plan,
    modifier: &Modifier,
    operand: Element<'_>,
    filters: &Filters,
    used: &mut BTreeSet<String>,
    scope: &Scope,
) -> Result<()> {
    let mut name = operand.key();
    let mut parts = path::parse(name)?;
    filters.check(name, &parts, used)?;
    let change = (modifier.parse)(operand, scope)?;
    if modifier.name == rename::NAME {
        // A field is renamed when the turn of its new name comes; nothing else may touch the old one.
        let destination = rename::destination(operand)?;
        plan.add(name, &parts, Plan::Taken)?;
        name = destination;
        parts = path::parse(name)?;
    }
    if let [Part::Name(root), ..] = parts.as_slice()
        && root.starts_with('$')
        && modifier.name != "$unset"
    {
        return Err(target::dollar_name(root, name));
    }
    let on_insert_only = modifier.name == set_on_insert::NAME;
    plan.add(name, &parts, Plan::Change { change, on_insert_only })
}

fn unknown(name: &str) -> Error {
    Error::failed_to_parse(format!(
        "Unknown modifier: {name}. Expected a valid update modifier or pipeline-style update specified as an array"
    ))
}

fn not_fields(group: Element<'_>) -> Error {
    let (name, value) = (group.key(), group.value());
    Error::failed_to_parse(format!(
        "Modifiers operate on fields but we found type {} instead. For example: {{$mod: {{<field>: ...}}}} not \
         {{{name}: {}}}",
        value.type_name(),
        millstream_value::shell::value(&value)
    ))
}

impl std::fmt::Debug for Update {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Form::Operators { .. } => "Update(operators)",
            Form::Replacement(_) => "Update(replacement)",
            Form::Pipeline(_) => "Update(pipeline)",
        })
    }
}

/// The error for an `_id` that an update would change.
fn altered_id(id: &Value<'_>) -> Error {
    let id = millstream_value::shell::value(id);
    let message =
        format!("After applying the update, the (immutable) field '_id' was found to have been altered to _id: {id}");
    Error::new(Code::ImmutableField, message)
}

#[cfg(test)]
mod tests;
