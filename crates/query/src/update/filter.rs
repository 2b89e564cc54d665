//! `arrayFilters`: which elements `$[id]` stands for.
//!
//! Each filter is a predicate whose paths all start with one name, the identifier.

use std::collections::BTreeSet;

use millstream_value::{Doc, Element};

use super::path::Part;
use crate::expression::Scope;
use crate::predicate::Predicate;
use crate::{Error, Result};

/// The array filters of one update.
pub(crate) struct Filters(Vec<Filter>);

struct Filter {
    id: String,
    predicate: Predicate,
}

impl Filters {
    /// Compiles the filters.
    pub(crate) fn parse(filters: &[Doc<'_>], scope: &Scope) -> Result<Self> {
        let mut parsed: Vec<Filter> = Vec::with_capacity(filters.len());
        for filter in filters {
            let id = identifier(*filter)?;
            let predicate = Predicate::parse(*filter, scope)
                .map_err(|error| Error::new(error.code, format!("{CAUSE}{}", error.message)))?;
            if parsed.iter().any(|known| known.id == id) {
                let message = format!("Found multiple array filters with the same top-level field name {id}");
                return Err(Error::failed_to_parse(message));
            }
            parsed.push(Filter { id, predicate });
        }
        Ok(Self(parsed))
    }

    /// Checks that there is a filter for every identifier of a path, and notes them as used.
    pub(crate) fn check(&self, path: &str, parts: &[Part], used: &mut BTreeSet<String>) -> Result<()> {
        for part in parts {
            let Part::Each(id) = part else {
                continue;
            };
            if id.is_empty() {
                continue;
            }
            if self.find(id).is_none() {
                let message = format!("No array filter found for identifier '{id}' in path '{path}'");
                return Err(Error::bad_value(message));
            }
            used.insert(id.clone());
        }
        Ok(())
    }

    /// Checks that every filter is used.
    pub(crate) fn check_used(&self, used: &BTreeSet<String>, update: Doc<'_>) -> Result<()> {
        match self.0.iter().find(|filter| !used.contains(&filter.id)) {
            Some(filter) => Err(Error::failed_to_parse(format!(
                "The array filter for identifier '{}' was not used in the update {update:?}",
                filter.id
            ))),
            None => Ok(()),
        }
    }

    /// Whether the filter called `id` matches `element`.
    pub(crate) fn matches(&self, id: &str, element: Element<'_>) -> Result<bool> {
        let Some(filter) = self.find(id) else {
            return Ok(false);
        };
        filter.predicate.matches_as(id, &element.value())
    }

    fn find(&self, id: &str) -> Option<&Filter> {
        self.0.iter().find(|filter| filter.id == id)
    }
}

const CAUSE: &str = "Error parsing array filter :: caused by :: ";

fn identifier(filter: Doc<'_>) -> Result<String> {
    let mut names = Vec::new();
    collect(filter, &mut names, 0);
    let Some(first) = names.first().copied() else {
        return Err(Error::failed_to_parse("Cannot use an expression without a top-level field name in arrayFilters"));
    };
    if let Some(other) = names.iter().find(|name| **name != first) {
        let message = format!("{CAUSE}Expected a single top-level field name, found '{first}' and '{other}'");
        return Err(Error::failed_to_parse(message));
    }
    let well_formed =
        first.starts_with(|c: char| c.is_ascii_lowercase()) && first.bytes().all(|b| b.is_ascii_alphanumeric());
    if !well_formed {
        return Err(Error::bad_value(format!(
            "{CAUSE}The top-level field name must be an alphanumeric string beginning with a lowercase letter, found \
             '{first}'"
        )));
    }
    Ok(first.to_owned())
}

/// The first components of all paths, also inside `$and`, `$or` and `$nor`.
fn collect<'f>(filter: Doc<'f>, names: &mut Vec<&'f str>, depth: usize) {
    if depth > millstream_value::DEPTH_MAX {
        return;
    }
    for element in filter.elements() {
        match element.key() {
            "$and" | "$or" | "$nor" => {
                for inner in element.as_array().into_iter().flat_map(Doc::elements).filter_map(Element::as_doc) {
                    collect(inner, names, depth + 1);
                }
            }
            name if name.starts_with('$') => {}
            name => names.push(name.split('.').next().unwrap_or(name)),
        }
    }
}
