//! The tree of names that every projection is.

use std::collections::HashMap;

use super::slice::Slice;
use crate::expression::Expression;
use crate::path::Path;
use crate::predicate::Predicate;
use crate::{Error, Result};

/// What happens to fields that are not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// They go.
    Include,
    /// They stay.
    Exclude,
    /// They stay, and computed fields replace those of the same name in place.
    Add,
}

/// What happens to a named field.
#[derive(Clone)]
pub(super) enum Action {
    Include,
    Exclude,
    Compute(Expression),
    ElemMatch(Predicate),
    Slice(Slice),
    Nested(Branch),
}

/// The named fields of one document, in the order of the specification.
#[derive(Clone, Default)]
pub(super) struct Branch {
    entries: Vec<Entry>,
    /// Places of the names, once there are many.
    places: HashMap<Vec<u8>, usize>,
    computes: bool,
    /// Whether fields are only kept, or not.
    plain: bool,
}

/// One named field.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) action: Action,
}

/// From this many names on they are hashed.
const HASHED_FROM: usize = 12;

/// So many are looked at where the next one is expected, of which some may not be there.
const NEAR: usize = 4;

impl Branch {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether something in it is computed and thus there even if the document has nothing there.
    pub(super) const fn computes(&self) -> bool {
        self.computes
    }

    /// Whether what is kept stands in the document just so: nothing in it is made.
    pub(super) const fn is_plain(&self) -> bool {
        self.plain
    }

    /// As [`Branch::find`], after the entry that was found last: fields mostly come in the order of the specification.
    pub(super) fn find_behind(&self, name: &[u8], last: usize) -> Option<(usize, &Entry)> {
        let near = self.entries.iter().enumerate().skip(last).take(NEAR);
        near.into_iter().find(|(_, entry)| entry.name.as_bytes() == name).or_else(|| self.find(name))
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<(usize, &Entry)> {
        if self.places.is_empty() {
            return self.entries.iter().enumerate().find(|(_, entry)| entry.name.as_bytes() == name);
        }
        let place = *self.places.get(name)?;
        Some((place, self.entries.get(place)?))
    }

    /// Adds what happens at `path`.
    ///
    /// # Errors
    /// 31249 and 31250 if the path, a part of it or something under it is there already.
    pub(super) fn insert(&mut self, path: &Path, action: Action) -> Result<()> {
        let computes = matches!(action, Action::Compute(_) | Action::ElemMatch(_));
        let Some((last, way)) = path.parts().split_last() else {
            return Ok(());
        };
        let mut branch = self;
        for (depth, part) in way.iter().enumerate() {
            branch.computes |= computes;
            let place = match branch.entries.iter().position(|entry| entry.name == part.name()) {
                Some(place) => place,
                None => {
                    let nested = Action::Nested(Self::default());
                    branch.entries.push(Entry { name: part.name().to_owned(), action: nested });
                    branch.entries.len() - 1
                }
            };
            branch = match branch.entries.get_mut(place).map(|entry| &mut entry.action) {
                Some(Action::Nested(inner)) => inner,
                _ => return Err(collision_below(path, depth + 1)),
            };
        }
        branch.computes |= computes;
        if branch.entries.iter().any(|entry| entry.name == last.name()) {
            return Err(Error::location(31250, format!("Path collision at {}", path.as_str())));
        }
        branch.entries.push(Entry { name: last.name().to_owned(), action });
        Ok(())
    }

    /// Prepares for use once every path is in.
    pub(super) fn finish(&mut self) {
        if self.entries.len() >= HASHED_FROM {
            let names = self.entries.iter().enumerate();
            self.places = names.map(|(place, entry)| (entry.name.clone().into_bytes(), place)).collect();
        }
        self.plain = true;
        for entry in &mut self.entries {
            self.plain &= match &mut entry.action {
                Action::Include | Action::Exclude => true,
                Action::Nested(inner) => {
                    inner.finish();
                    inner.plain
                }
                Action::Compute(_) | Action::ElemMatch(_) | Action::Slice(_) => false,
            };
        }
    }
}

fn collision_below(path: &Path, taken: usize) -> Error {
    let names: Vec<_> = path.parts().iter().skip(taken).map(crate::path::Part::name).collect();
    Error::location(31249, format!("Path collision at {} remaining portion {}", path.as_str(), names.join(".")))
}
