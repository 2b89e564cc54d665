//! Typed fields of a command, with MongoDB's errors.
//!
//! Absent: a missing field, `null` and `undefined` are the same, as in MongoDB's own parser.
//! Errors: `TypeMismatch` 14, `IDLDuplicateField` 40413, `IDLFailedToParse` 40414 (missing),
//!         `IDLUnknownField` 40415.

use millstream_value::{Code, Doc, Element, kind, type_name};
use millstream_wire::Request;

use crate::failure::{Failure, Result};

/// Fields that every command may have, whether it looks at them or not (CS-13.4). Sorted.
pub(crate) const GENERIC_FIELDS: &[&str] = &[
    "$clusterTime",
    "$db",
    "$queryOptions",
    "$readPreference",
    "apiDeprecationErrors",
    "apiStrict",
    "apiVersion",
    "autocommit",
    "comment",
    "help",
    "lsid",
    "maxTimeMS",
    "maxTimeMSOpOnly",
    "mayBypassWriteBlocking",
    "readConcern",
    "startTransaction",
    "txnNumber",
    "writeConcern",
];

/// The fields of one command document, or of one of its nested documents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arguments<'a> {
    /// What errors call the document: `insert`, `update.updates`.
    path: &'a str,
    document: Doc<'a>,
}

impl<'a> Arguments<'a> {
    pub(crate) const fn new(path: &'a str, document: Doc<'a>) -> Self {
        Self { path, document }
    }

    /// The field, unless absent.
    pub(crate) fn element(&self, name: &str) -> Option<Element<'a>> {
        let element = self.document.element(name)?;
        (!matches!(element.kind(), kind::NULL | kind::UNDEFINED)).then_some(element)
    }

    /// A boolean and nothing else.
    pub(crate) fn bool(&self, name: &str) -> Result<Option<bool>> {
        self.typed(name, &[kind::BOOL], "bool", |element| Some(element.value().is_truthy()))
    }

    /// A boolean, or a number that stands for one.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>> {
        const KINDS: &[u8] = &[kind::BOOL, kind::INT32, kind::INT64, kind::DECIMAL, kind::DOUBLE];
        self.typed(name, KINDS, "[bool, long, int, decimal, double]", |element| Some(element.value().is_truthy()))
    }

    /// Fails on a field that is not one of these, and on one given twice.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        check_names(self.path, self.document.elements().map(Element::key), |field| known.contains(&field))
    }

    /// The same, for a whole command: generic fields are fine too.
    pub(crate) fn only_or_generic(&self, known: &[&str]) -> Result<()> {
        let fine = |field: &str| known.contains(&field) || GENERIC_FIELDS.binary_search(&field).is_ok();
        check_names(self.path, self.document.elements().map(Element::key), fine)
    }

    /// A whole number of any type; fractions are cut off.
    pub(crate) fn i64(&self, name: &str) -> Result<Option<i64>> {
        const NUMBERS: &[u8] = &[kind::INT32, kind::INT64, kind::DECIMAL, kind::DOUBLE];
        self.typed(name, NUMBERS, "[long, int, decimal, double]", |element| {
            let value = element.value();
            value.as_integer().or_else(|| millstream_value::number::truncated_i64(value.as_f64()?))
        })
    }

    /// A string and nothing else.
    pub(crate) fn str(&self, name: &str) -> Result<Option<&'a str>> {
        self.typed(name, &[kind::STRING], "string", Element::as_str)
    }

    pub(crate) fn document(&self, name: &str) -> Result<Option<Doc<'a>>> {
        self.typed(name, &[kind::DOCUMENT], "object", Element::as_doc)
    }

    pub(crate) fn array(&self, name: &str) -> Result<Option<Doc<'a>>> {
        self.typed(name, &[kind::ARRAY], "array", Element::as_array)
    }

    /// The value, or the error for a field that must be there.
    pub(crate) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| {
            let message = format!("BSON field '{}.{name}' is missing but a required field", self.path);
            Failure::new(Code::IDLFailedToParse, message)
        })
    }

    fn typed<T>(
        &self,
        name: &str,
        kinds: &[u8],
        expected: &str,
        read: impl FnOnce(Element<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(element) = self.element(name) else { return Ok(None) };
        if kinds.contains(&element.kind())
            && let Some(value) = read(element)
        {
            return Ok(Some(value));
        }
        Err(wrong_type(&format!("{}.{name}", self.path), element.kind(), expected))
    }
}

/// Fails on a field that the command does not know, and on one given twice.
pub(crate) fn check_fields(command: &str, known: &[&str], request: &Request) -> Result<()> {
    let fields = Doc::new(&request.body).elements().map(|element| element.key());
    let fields = fields.chain(request.sequences.iter().map(|sequence| sequence.name()));
    let fine = |field: &str| known.contains(&field) || GENERIC_FIELDS.binary_search(&field).is_ok();
    // The first field is the command itself.
    check_names(command, fields.skip(1), fine)
}

fn check_names<'n>(command: &str, fields: impl Iterator<Item = &'n str>, fine: impl Fn(&str) -> bool) -> Result<()> {
    let mut seen: Vec<&str> = Vec::with_capacity(16);
    for field in fields {
        if !fine(field) {
            let message = format!("BSON field '{command}.{field}' is an unknown field.");
            return Err(Failure::new(Code::IDLUnknownField, message));
        }
        if seen.contains(&field) {
            let message = format!("BSON field '{command}.{field}' is a duplicate field");
            return Err(Failure::new(Code::IDLDuplicateField, message));
        }
        // All that pass are known fields, each at most once: the list stays short.
        seen.push(field);
    }
    Ok(())
}

/// The error for a field of another type than it must be.
pub(crate) fn wrong_type(path: &str, found: u8, expected: &str) -> Failure {
    let plural = if expected.starts_with('[') { "s" } else { "" };
    let found = type_name(found);
    let message = format!("BSON field '{path}' is the wrong type '{found}', expected type{plural} '{expected}'");
    Failure::new(Code::TypeMismatch, message)
}

#[cfg(test)]
mod tests {
    use millstream_value::DocBuf;

    use super::*;

    #[test]
    fn generic_fields_are_sorted() {
        assert!(GENERIC_FIELDS.is_sorted());
    }

    #[test]
    fn the_errors_are_mongodbs() {
        let mut document = DocBuf::new();
        document.push("q", 5).push("n", 2.9).push("s", "text").push("b", true);
        let arguments = Arguments::new("update.updates", document.as_doc());
        let error = arguments.document("q").unwrap_err();
        assert_eq!(
            (error.code.number(), &*error.message),
            (14, "BSON field 'update.updates.q' is the wrong type 'int', expected type 'object'")
        );
        let error = arguments.i64("s").unwrap_err();
        assert_eq!(
            error.message,
            "BSON field 'update.updates.s' is the wrong type 'string', \
             expected types '[long, int, decimal, double]'"
        );
        let error = arguments.required("u", arguments.str("u").unwrap()).unwrap_err();
        assert_eq!(
            (error.code.number(), &*error.message),
            (40414, "BSON field 'update.updates.u' is missing but a required field")
        );
        assert_eq!(arguments.i64("n").unwrap(), Some(2));
        assert_eq!(arguments.bool("b").unwrap(), Some(true));
        assert_eq!(arguments.array("none").unwrap(), None);
    }
}
