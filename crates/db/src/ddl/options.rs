//! Options of collections: what `create` accepts, and `collMod`.

use millstream_value::{Code, Doc, DocBuf, Namespace, Value, kind};

use super::{in_loop, log};
use crate::catalog::images_enabled;
use crate::{Db, Error, Result};

impl Db {
    /// Switches pre- and post-images on or off (CS-9.1).
    ///
    /// # Errors
    /// [`Error::NoCollection`], or `InvalidOptions` on an internal database.
    pub fn set_images(&self, namespace: &Namespace, enabled: bool) -> Result<()> {
        if namespace.is_internal() {
            return Err(Error::invalid(
                Code::InvalidOptions,
                format!("changeStreamPreAndPostImages is not allowed on the '{}' database", namespace.db),
            ));
        }
        let namespace = namespace.clone();
        in_loop(self, move |commit, catalog| {
            let collection = catalog.get(&namespace).ok_or_else(|| Error::NoCollection(namespace.clone()))?;
            let mut changed = collection.copy();
            let mut before = DocBuf::new();
            let uuid = changed.uuid;
            before.nest("collectionOptions_old", |old| {
                old.push("uuid", Value::Binary(4, uuid.as_slice().into()));
                old.extend(changed.options.as_doc());
            });
            changed.options = with_images(changed.options.as_doc(), enabled);
            changed.images = images_enabled(changed.options.as_doc());
            catalog.put(changed, commit);
            let mut command = DocBuf::new();
            command.push("collMod", &namespace.coll);
            command.nest("changeStreamPreAndPostImages", |o| {
                o.push("enabled", enabled);
            });
            log(commit, &namespace.db, Some(uuid), command.as_doc(), Some(before.as_doc()));
            Ok(())
        })
    }
}

/// The options with images on, or without any word of them when off: as MongoDB stores them.
fn with_images(options: Doc<'_>, enabled: bool) -> DocBuf {
    let mut out = DocBuf::new();
    for element in options.elements().filter(|e| e.key() != "changeStreamPreAndPostImages") {
        out.push_element(element);
    }
    if enabled {
        out.nest("changeStreamPreAndPostImages", |o| {
            o.push("enabled", true);
        });
    }
    out
}

/// Reads `changeStreamPreAndPostImages: {enabled: <bool>}` of a `create` or `collMod`.
///
/// # Errors
/// 40414 without `enabled`, 40415 for other fields, 14 for another type.
pub fn parse_images(command: &str, value: &Value<'_>) -> Result<bool> {
    let path = format!("{command}.changeStreamPreAndPostImages");
    let wrong = |path: &str, found: &Value<'_>, expected: &str| {
        let found = found.type_name();
        Error::invalid(
            Code::TypeMismatch,
            format!("BSON field '{path}' is the wrong type '{found}', expected type '{expected}'"),
        )
    };
    let doc = value.as_doc().ok_or_else(|| wrong(&path, value, "object"))?;
    let mut enabled = None;
    for element in doc.elements() {
        if element.key() != "enabled" {
            let message = format!("BSON field '{path}.{}' is an unknown field.", element.key());
            return Err(Error::invalid(Code::IDLUnknownField, message));
        }
        if element.kind() != kind::BOOL {
            return Err(wrong(&format!("{path}.enabled"), &element.value(), "bool"));
        }
        enabled = Some(element.value().is_truthy());
    }
    enabled.ok_or_else(|| {
        let message = format!("BSON field '{path}.enabled' is missing but a required field");
        Error::invalid(Code::IDLFailedToParse, message)
    })
}
