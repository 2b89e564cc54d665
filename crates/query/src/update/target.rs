//! The place that an operator works on.

use millstream_value::{Code, Value};

use super::tree::{Document, Found, shown};
use crate::{Error, Result};

/// One concrete path of a document being changed; it may not exist yet.
pub(crate) struct Target<'t, 'a> {
    document: &'t mut Document<'a>,
    path: &'t [String],
}

impl<'t, 'a> Target<'t, 'a> {
    /// The place at `path`.
    pub(crate) const fn new(document: &'t mut Document<'a>, path: &'t [String]) -> Self {
        Self { document, path }
    }

    /// The dotted path, for messages.
    pub(crate) fn path(&self) -> String {
        self.path.join(".")
    }

    /// The last name of the path, for messages.
    pub(crate) fn name(&self) -> &str {
        self.path.last().map_or("", |name| name)
    }

    /// The document's `_id`, for messages: `{_id: 1}`.
    pub(crate) fn id(&self) -> String {
        self.document.before().get("_id").map_or_else(|| "{}".to_owned(), |id| shown("_id", &id))
    }

    /// The current value.
    pub(crate) fn get(&self) -> Option<Value<'_>> {
        self.document.get(self.path)
    }

    /// The current value of an operator that does nothing where there is none.
    ///
    /// # Errors
    /// `PathNotViable` if there could not be a value.
    pub(crate) fn get_viable(&self) -> Result<Option<Value<'_>>> {
        match self.document.find(self.path) {
            Found::Value(value) => Ok(Some(value)),
            Found::Missing => Ok(None),
            Found::Blocked { name, holder, value } => {
                let (path, element) = (self.path(), shown(&holder, &value));
                let message = format!("Cannot use the part ({name}) of ({path}) to traverse the element ({element})");
                Err(Error::new(Code::PathNotViable, message))
            }
        }
    }

    /// Writes `value`, creating what is missing on the way.
    pub(crate) fn set(&mut self, value: &Value<'_>) -> Result<()> {
        self.write(|document, path| document.set(path, value))
    }

    /// Removes the field; an array element becomes null.
    pub(crate) fn unset(&mut self) -> Result<()> {
        self.write(|document, path| document.unset(path))
    }

    /// Adds elements at the end of the array that is here.
    pub(crate) fn append(&mut self, values: &[Value<'_>]) -> Result<()> {
        self.write(|document, path| document.append(path, values))
    }

    /// The place at another path of the same document.
    pub(crate) fn elsewhere<'s>(&'s mut self, path: &'s [String]) -> Target<'s, 'a> {
        Target { document: self.document, path }
    }

    /// Whether this is an element of an array, or inside one.
    pub(crate) fn is_inside_array(&self) -> bool {
        (1..=self.path.len())
            .any(|depth| self.path.get(..depth).is_some_and(|path| self.document.is_array_element(path)))
    }

    fn write(&mut self, change: impl FnOnce(&mut Document<'a>, &[String]) -> Result<()>) -> Result<()> {
        let writes = self.document.writes();
        change(self.document, self.path)?;
        if self.document.writes() > writes { self.check_written() } else { Ok(()) }
    }

    /// What may not be written. A write that changes nothing is none, so this looks only at those that did.
    fn check_written(&self) -> Result<()> {
        let Some(root) = self.path.first() else {
            return Ok(());
        };
        if root == "_id" && self.document.before().has("_id") {
            let message =
                format!("Performing an update on the path '{}' would modify the immutable field '_id'", self.path());
            return Err(Error::new(Code::ImmutableField, message));
        }
        if root.starts_with('$') && self.document.get(self.path).is_some() {
            return Err(dollar_name(root, &self.path()));
        }
        Ok(())
    }
}

/// A top-level name that starts with `$`.
pub(crate) fn dollar_name(name: &str, path: &str) -> Error {
    Error::new(
        Code::DollarPrefixedFieldName,
        format!(
            "The dollar ($) prefixed field '{name}' in '{path}' is not allowed in the context of an update's \
             replacement document. Consider using an aggregation pipeline with $replaceWith."
        ),
    )
}
