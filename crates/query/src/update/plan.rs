//! What an update does to which paths, merged into one tree and run in path order (CS-2.4.2).

use std::cmp::Ordering;

use millstream_value::{Code, Doc, Value};

use super::filter::Filters;
use super::modifier::Change;
use super::path::Part;
use super::target::Target;
use super::tree::{Document, array_index};
use crate::{Error, Result};

/// What to do below one path.
pub(crate) enum Plan {
    /// Change the value here.
    Change { change: Change, on_insert_only: bool },
    /// Another operator's business, so that nothing else may touch it: the source of a `$rename`.
    Taken,
    /// Go on into fields or elements by name, kept in path order, and into the matched element.
    Fields { names: Vec<(String, Plan)>, positional: Option<Box<Plan>> },
    /// Go on into the elements that filters select.
    Elements(Vec<(String, Plan)>),
}

/// What running a plan needs to know besides the document.
pub(crate) struct Run<'r> {
    /// The index that the query matched, for `$`.
    pub(crate) position: Option<usize>,
    /// Whether this makes a new document.
    pub(crate) inserting: bool,
    /// For `$[id]`.
    pub(crate) filters: &'r Filters,
}

impl Plan {
    /// A plan that does nothing.
    pub(crate) const fn empty() -> Self {
        Self::Fields { names: Vec::new(), positional: None }
    }

    /// Adds what to do at the end of `parts`.
    ///
    /// # Errors
    /// `ConflictingUpdateOperators` if the path is, holds or lies inside another one.
    pub(crate) fn add(&mut self, path: &str, parts: &[Part], leaf: Plan) -> Result<()> {
        self.add_below(path, parts, 0, leaf)
    }

    fn add_below(&mut self, path: &str, parts: &[Part], depth: usize, leaf: Plan) -> Result<()> {
        let Some(part) = parts.get(depth) else {
            *self = leaf;
            return Ok(());
        };
        let (child, fresh) = self.child(part).ok_or_else(|| conflict(path, &prefix(path, depth)))?;
        if !fresh && depth + 1 == parts.len() {
            return Err(conflict(path, path));
        }
        child.add_below(path, parts, depth + 1, leaf)
    }

    /// The plan below `part` and whether it is new; `None` if something else is planned here.
    fn child(&mut self, part: &Part) -> Option<(&mut Plan, bool)> {
        if let (Self::Fields { names, positional: None }, Part::Each(_)) = (&*self, part)
            && names.is_empty()
        {
            *self = Self::Elements(Vec::new());
        }
        match (self, part) {
            (Self::Fields { positional, .. }, Part::Positional) => {
                let fresh = positional.is_none();
                Some((positional.get_or_insert_with(|| Box::new(Self::empty())), fresh))
            }
            (Self::Fields { names, .. }, Part::Name(name)) => slot(names, name, by_path),
            (Self::Elements(ids), Part::Each(id)) => slot(ids, id, Ord::cmp),
            _ => None,
        }
    }

    /// Whether running it needs the position that the query matched.
    pub(crate) fn needs_position(&self) -> bool {
        match self {
            Self::Change { .. } | Self::Taken => false,
            Self::Fields { names, positional } => {
                positional.is_some() || names.iter().any(|(_, plan)| plan.needs_position())
            }
            Self::Elements(ids) => ids.iter().any(|(_, plan)| plan.needs_position()),
        }
    }
}

fn slot<'p>(
    plans: &'p mut Vec<(String, Plan)>,
    name: &str,
    order: fn(&str, &str) -> Ordering,
) -> Option<(&'p mut Plan, bool)> {
    let found = plans.binary_search_by(|(known, _)| order(known, name));
    let (index, fresh) = match found {
        Ok(index) => (index, false),
        Err(index) => {
            plans.insert(index, (name.to_owned(), Plan::empty()));
            (index, true)
        }
    };
    plans.get_mut(index).map(|(_, plan)| (plan, fresh))
}

/// Runs plans that apply to the same place together.
pub(crate) fn run(plans: &[&Plan], document: &mut Document<'_>, path: &mut Vec<String>, with: &Run<'_>) -> Result<()> {
    if let [Plan::Change { change, on_insert_only }] = plans {
        if *on_insert_only && !with.inserting {
            return Ok(());
        }
        return change(&mut Target::new(document, path));
    }
    if let [Plan::Taken] = plans {
        return Ok(());
    }
    let positional = plans.iter().any(|plan| matches!(plan, Plan::Fields { positional: Some(_), .. }));
    let index = if positional { with.position.ok_or_else(no_position)?.to_string() } else { String::new() };
    let mut names: Vec<(&str, Vec<&Plan>)> = Vec::new();
    let mut elements: Vec<&[(String, Plan)]> = Vec::new();
    for plan in plans {
        match plan {
            Plan::Change { .. } | Plan::Taken => return Err(created_conflict(path)),
            Plan::Elements(ids) => elements.push(ids),
            Plan::Fields { names: fields, positional } => {
                for (name, plan) in fields {
                    add_field(&mut names, name, plan);
                }
                if let Some(plan) = positional {
                    add_field(&mut names, &index, plan);
                }
            }
        }
    }
    match (names.is_empty(), elements.is_empty()) {
        (false, false) => Err(created_conflict(path)),
        (true, true) => Ok(()),
        (false, true) => run_fields(&names, document, path, with),
        (true, false) => run_elements(&elements, document, path, with),
    }
}

fn add_field<'p>(names: &mut Vec<(&'p str, Vec<&'p Plan>)>, name: &'p str, plan: &'p Plan) {
    match names.binary_search_by(|(known, _)| by_path(known, name)) {
        Ok(index) => {
            if let Some((_, plans)) = names.get_mut(index) {
                plans.push(plan);
            }
        }
        Err(index) => names.insert(index, (name, vec![plan])),
    }
}

fn run_fields(
    names: &[(&str, Vec<&Plan>)],
    document: &mut Document<'_>,
    path: &mut Vec<String>,
    with: &Run<'_>,
) -> Result<()> {
    for (name, plans) in names {
        path.push((*name).to_owned());
        run(plans, document, path, with)?;
        path.pop();
    }
    Ok(())
}

fn run_elements(
    groups: &[&[(String, Plan)]],
    document: &mut Document<'_>,
    path: &mut Vec<String>,
    with: &Run<'_>,
) -> Result<()> {
    let matched = match document.get(path) {
        None => {
            let path = path.join(".");
            let message = format!("The path '{path}' must exist in the document in order to apply array updates.");
            return Err(Error::bad_value(message));
        }
        Some(Value::Array(bytes)) => matching(groups, Doc::new(&bytes), with.filters)?,
        Some(other) => {
            let (name, value) = (path.last().map_or("", |name| name), millstream_value::shell::value(&other));
            let message = format!("Cannot apply array updates to non-array element {name}: {value}");
            return Err(Error::bad_value(message));
        }
    };
    let alone = matched.len() == 1;
    let mut changed: Option<usize> = None;
    let mut changes = 0_usize;
    for (index, plans) in &matched {
        path.push(index.to_string());
        let writes = document.writes();
        if alone {
            run(plans, document, path, with)?;
        } else {
            document.silently(|document| run(plans, document, path, with))?;
        }
        path.pop();
        if document.writes() > writes {
            changes += 1;
            changed = Some(*index);
        }
    }
    // Several elements at once are reported as the whole array (CS-2.4).
    match changed {
        Some(index) if !alone && changes == 1 => {
            path.push(index.to_string());
            document.note_whole(path);
            path.pop();
        }
        Some(_) if !alone => document.note_whole(path),
        _ => {}
    }
    Ok(())
}

/// The elements that at least one filter selects, with what is to be done to each.
fn matching<'p>(
    groups: &[&'p [(String, Plan)]],
    array: Doc<'_>,
    filters: &Filters,
) -> Result<Vec<(usize, Vec<&'p Plan>)>> {
    let mut matched = Vec::new();
    for (index, element) in array.elements().enumerate() {
        let mut plans = Vec::new();
        for (id, plan) in groups.iter().copied().flatten() {
            if id.is_empty() || filters.matches(id, element)? {
                plans.push(plan);
            }
        }
        if !plans.is_empty() {
            matched.push((index, plans));
        }
    }
    Ok(matched)
}

/// The order in which paths are worked on: numbers as numbers, everything else as bytes.
fn by_path(a: &str, b: &str) -> Ordering {
    match (array_index(a), array_index(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

fn prefix(path: &str, parts: usize) -> String {
    path.split('.').take(parts).collect::<Vec<_>>().join(".")
}

fn conflict(path: &str, at: &str) -> Error {
    let message = format!("Updating the path '{path}' would create a conflict at '{at}'");
    Error::new(Code::ConflictingUpdateOperators, message)
}

fn created_conflict(path: &[String]) -> Error {
    Error::new(Code::ConflictingUpdateOperators, format!("Update created a conflict at '{}'", path.join(".")))
}

fn no_position() -> Error {
    Error::bad_value("The positional operator did not find the match needed from the query.")
}
