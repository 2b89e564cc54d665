//! Projections: what `find`, `$project`, `$addFields`/`$set` and `$unset` make of a document.
//!
//! All of them are one tree of names (`tree`) that is walked beside the document (`apply`): fields that stay keep the
//! document's order, computed ones follow in the order of the specification, arrays on the way are entered.
//! Errors carry MongoDB's text without the stage's name; stages put `Invalid $project :: caused by :: ` before it.

mod apply;
mod parse;
mod position;
mod slice;
#[cfg(test)]
mod tests;
mod tree;

use millstream_value::{Doc, DocBuf, Value};

use crate::expression::{Expression, Scope};
use crate::path::Path;
use crate::predicate::Position;
use crate::{Error, Result};
use tree::{Action, Branch, Mode};

/// Whose rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `find` and `findAndModify`: also `$slice` and `$elemMatch` in their own forms, and the positional `$`.
    Find,
    /// The `$project` stage.
    Aggregate,
}

/// A compiled projection.
#[derive(Clone)]
pub struct Projection {
    root: Branch,
    mode: Mode,
    /// The path before a `.$`.
    positional: Option<Path>,
}

impl Projection {
    /// Compiles a specification. An empty one of `find` keeps everything.
    ///
    /// # Errors
    /// 51272 (empty, aggregation only), 31253 and 31254 (inclusion mixed with exclusion), 31249 and 31250 (paths that
    /// collide), 31252, 51270, those of field paths, of expressions and of the operators of `find`.
    pub fn parse(spec: Doc<'_>, scope: &Scope, kind: Kind) -> Result<Self> {
        parse::projection(spec, scope, kind)
    }

    /// Whether fields that are not named stay.
    #[must_use]
    pub fn is_exclusion(&self) -> bool {
        self.mode == Mode::Exclude
    }

    /// Whether the document stays as it is.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.mode == Mode::Exclude && self.root.is_empty()
    }

    /// Whether it has a positional `$`, so that [`Projection::apply_at`] is to be used.
    #[must_use]
    pub fn needs_position(&self) -> bool {
        self.positional.is_some()
    }

    /// The projected document.
    ///
    /// # Errors
    /// Those of its expressions; 51246 if it has a positional `$` and an array stands there.
    pub fn apply(&self, doc: Doc<'_>) -> Result<DocBuf> {
        self.apply_at(doc, Position::default())
    }

    /// The projected document of one that matched at `position`.
    ///
    /// # Errors
    /// Those of its expressions; 51246 if it has a positional `$` and the match went through no array.
    pub fn apply_at(&self, doc: Doc<'_>, position: Position) -> Result<DocBuf> {
        let Some(path) = &self.positional else {
            if self.mode == Mode::Include && self.root.is_plain() {
                return apply::kept(&self.root, doc);
            }
            return apply::document(&self.root, self.mode, doc, doc);
        };
        match position::narrow(doc, path.parts(), position)? {
            Some(narrow) => apply::document(&self.root, self.mode, narrow.as_doc(), doc),
            None => apply::document(&self.root, self.mode, doc, doc),
        }
    }
}

impl std::fmt::Debug for Projection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projection").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// `$addFields` and `$set`.
#[derive(Clone)]
pub struct AddFields {
    root: Branch,
}

impl AddFields {
    /// Compiles the fields to set.
    ///
    /// # Errors
    /// 40177 (empty), 40176 (paths that collide), 40180 (empty document), those of field paths and of expressions.
    pub fn parse(spec: Doc<'_>, scope: &Scope) -> Result<Self> {
        Ok(Self { root: parse::add_fields(spec, scope)? })
    }

    /// Sets one field, as stages that are written in terms of this one do.
    ///
    /// # Errors
    /// Those of field paths.
    pub fn single(path: &str, expression: Expression) -> Result<Self> {
        let mut root = Branch::default();
        root.insert(&Path::checked(path)?, Action::Compute(expression))?;
        Ok(Self { root })
    }

    /// The document with the fields set.
    ///
    /// # Errors
    /// Those of the expressions.
    pub fn apply(&self, doc: Doc<'_>) -> Result<DocBuf> {
        apply::document(&self.root, Mode::Add, doc, doc)
    }
}

impl std::fmt::Debug for AddFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddFields").finish_non_exhaustive()
    }
}

/// `$unset`.
#[derive(Clone)]
pub struct Unset {
    root: Branch,
}

impl Unset {
    /// Compiles a path or an array of paths.
    ///
    /// # Errors
    /// 31002, 31119, 31120 for other shapes, 31249 and 31250 (paths that collide), those of field paths.
    pub fn parse(spec: &Value<'_>) -> Result<Self> {
        let mut root = Branch::default();
        let mut remove = |path: &str| root.insert(&Path::checked(path)?, Action::Exclude);
        match spec {
            Value::String(path) => remove(path)?,
            Value::Array(bytes) => {
                let paths = Doc::new(bytes);
                if paths.is_empty() {
                    return Err(Error::location(
                        31119,
                        "$unset specification must be a string or an array with at least one field",
                    ));
                }
                for path in paths.elements() {
                    remove(path.as_str().ok_or_else(|| {
                        Error::location(
                            31120,
                            "$unset specification must be a string or an array containing only string values",
                        )
                    })?)?;
                }
            }
            _ => return Err(Error::location(31002, "$unset specification must be a string or an array")),
        }
        root.finish();
        Ok(Self { root })
    }

    /// The document without the fields.
    #[must_use]
    pub fn apply(&self, doc: Doc<'_>) -> DocBuf {
        // Nothing is computed, so nothing can fail.
        apply::document(&self.root, Mode::Exclude, doc, doc).unwrap_or_else(|_| doc.to_buf())
    }
}

impl std::fmt::Debug for Unset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unset").finish_non_exhaustive()
    }
}
