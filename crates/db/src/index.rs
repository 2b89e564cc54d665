//! Indexes: their specifications, and the keys that a document has in them.

use std::sync::atomic::AtomicBool;

use millstream_query::{Collation, collation};
use millstream_value::{Doc, DocBuf, Namespace, Value, key, kind};

use crate::error::DuplicateKey;
use crate::{Error, Result};

/// Fields that one index may have: MongoDB's limit.
const FIELDS_MAX: usize = 32;

/// An index over fields, ascending or descending each.
pub(crate) struct Index {
    /// First four bytes of its keys.
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) fields: Vec<IndexField>,
    pub(crate) unique: bool,
    pub(crate) sparse: bool,
    /// Maintained, and not read by plans: to see what dropping it would do.
    pub(crate) hidden: bool,
    /// How texts compare in its keys.
    pub(crate) collation: Option<Collation>,
    /// The specification as stored and listed.
    pub(crate) spec: DocBuf,
    /// Its documents are still being added: maintained by writes, not read by plans.
    pub(crate) building: bool,
    /// Some document has more than one key in it: bounds cannot be joined, and it gives no order.
    pub(crate) multikey: AtomicBool,
    /// Whether the catalog's row says so too. A transaction that was aborted leaves the mark in memory alone.
    pub(crate) multikey_stored: AtomicBool,
}

/// One field of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexField {
    pub(crate) path: String,
    pub(crate) descending: bool,
}

impl Index {
    /// Reads a specification and makes it the one that is stored: `v`, `key`, `name`, then options.
    ///
    /// # Errors
    /// `CannotCreateIndex` for keys that cannot be indexed, `TypeMismatch` for options of a wrong type.
    pub(crate) fn parse(spec: Doc<'_>, number: u32) -> Result<Self> {
        let key = spec.doc("key").ok_or_else(|| {
            Error::invalid(
                millstream_value::Code::FailedToParse,
                "The 'key' field is a required property of an index specification",
            )
        })?;
        if spec.get("unique").is_some_and(|unique| unique.is_truthy())
            && key.values().any(|kind| kind.as_str() == Some("hashed"))
        {
            let message = "Currently hashed indexes cannot guarantee uniqueness. Use a regular index.";
            return Err(Error::invalid(millstream_value::Code::Location(16764), message));
        }
        let fields = parse_key(key)?;
        let name = match spec.get("name") {
            Some(Value::String(name)) if name == "*" => {
                let message = "The index name '*' is not valid.";
                return Err(Error::invalid(millstream_value::Code::BadValue, message));
            }
            Some(Value::String(name)) if !name.is_empty() => name.into_owned(),
            Some(Value::String(_)) => return Err(Error::CannotCreateIndex("index name cannot be empty".into())),
            Some(other) => return Err(wrong_type("name", &other, "string")),
            None => {
                return Err(Error::invalid(
                    millstream_value::Code::FailedToParse,
                    "The 'name' field is a required property of an index specification",
                ));
            }
        };
        if let [IndexField { path, descending: true }] = fields.as_slice()
            && path == "_id"
        {
            let key = millstream_value::shell::document(key);
            let message = format!("The field 'key' for an _id index must be {{_id: 1}}, but got {key}");
            return Err(Error::invalid(millstream_value::Code::BadValue, message));
        }
        let flag = |option: &str| match spec.get(option) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(number) if number.is_number() => Ok(number.is_truthy()),
            Some(other) => Err(wrong_type(option, &other, "bool")),
        };
        let (unique, sparse, hidden) = (flag("unique")?, flag("sparse")?, flag("hidden")?);
        let collation = match spec.get("collation") {
            None => None,
            Some(Value::Document(collation)) => Collation::parse(Doc::new(&collation))?,
            Some(other) => return Err(wrong_type("collation", &other, "object")),
        };
        let mut stored = DocBuf::new();
        stored.push("v", 2).push("key", key).push("name", &name);
        for element in spec.elements() {
            match element.key() {
                "v" | "key" | "name" | "ns" => {}
                "unique" | "sparse" | "hidden" if !element.value().is_truthy() => {}
                "unique" | "sparse" | "hidden" => {
                    stored.push(element.key(), true);
                }
                "background" => {
                    stored.push_element(element);
                }
                "collation" => {
                    stored.push_some("collation", collation.as_ref().map(Collation::spec));
                }
                other @ ("partialFilterExpression"
                | "expireAfterSeconds"
                | "weights"
                | "default_language"
                | "language_override"
                | "textIndexVersion"
                | "2dsphereIndexVersion"
                | "bits"
                | "min"
                | "max"
                | "wildcardProjection"
                | "storageEngine"
                | "prepareUnique") => {
                    return Err(Error::CannotCreateIndex(format!("the index option '{other}' is not supported")));
                }
                other => {
                    let message = format!(
                        "The field '{other}' is not valid for an index specification. Specification: {}",
                        millstream_value::shell::document(spec)
                    );
                    return Err(Error::invalid(millstream_value::Code::InvalidIndexSpecificationOption, message));
                }
            }
        }
        Ok(Self {
            number,
            name,
            fields,
            unique,
            sparse,
            hidden,
            collation,
            spec: stored,
            building: false,
            multikey: AtomicBool::new(false),
            multikey_stored: AtomicBool::new(false),
        })
    }

    /// The same index, ready to be read.
    pub(crate) fn finished(&self) -> Self {
        Self { building: false, ..self.copy() }
    }

    /// The same index, hidden from plans or shown to them again.
    pub(crate) fn with_hidden(&self, hidden: bool) -> Self {
        let mut spec = DocBuf::new();
        for element in self.spec.as_doc().elements().filter(|element| element.key() != "hidden") {
            spec.push_element(element);
        }
        spec.push_some("hidden", hidden.then_some(true));
        Self { hidden, spec, ..self.copy() }
    }

    fn copy(&self) -> Self {
        Self {
            number: self.number,
            name: self.name.clone(),
            fields: self.fields.clone(),
            unique: self.unique,
            sparse: self.sparse,
            hidden: self.hidden,
            collation: self.collation.clone(),
            spec: self.spec.clone(),
            building: self.building,
            multikey: AtomicBool::new(self.multikey.load(std::sync::atomic::Ordering::Acquire)),
            multikey_stored: AtomicBool::new(self.multikey_stored.load(std::sync::atomic::Ordering::Acquire)),
        }
    }

    /// Whether plans may read it.
    pub(crate) fn readable(&self) -> bool {
        !self.building && !self.hidden
    }

    /// The key pattern.
    pub(crate) fn key(&self) -> Doc<'_> {
        self.spec.as_doc().doc("key").unwrap_or(Doc::empty())
    }

    /// The keys of a document, without the index's number, sorted and each once.
    ///
    /// # Errors
    /// [`Error::ParallelArrays`] if two of its fields are arrays.
    pub(crate) fn keys(&self, doc: Doc<'_>) -> Result<Keys> {
        let mut columns = Vec::with_capacity(self.fields.len());
        let mut array: Option<&str> = None;
        let mut missing = 0;
        for field in &self.fields {
            let mut values = Vec::with_capacity(1);
            let spread = collect(doc, &field.path, &mut values);
            if spread {
                // Fields below one array are parallel only if they do not share it.
                if let Some(first) = array
                    && first.split('.').next() != field.path.split('.').next()
                {
                    return Err(Error::ParallelArrays(field.path.clone(), first.to_owned()));
                }
                array = Some(&field.path);
            }
            if values.is_empty() {
                missing += 1;
                values.push(Value::Null);
            }
            columns.push((values, field.descending));
        }
        if self.sparse && missing == self.fields.len() {
            return Ok(Keys { keys: Vec::new(), multikey: false });
        }
        let order = collation::order(self.collation.as_ref());
        let mut keys = vec![Vec::new()];
        for (values, descending) in &columns {
            let mut next = Vec::with_capacity(keys.len() * values.len());
            for prefix in &keys {
                for value in values {
                    let mut key = prefix.clone();
                    if *descending {
                        key::append_descending_by(value, order, &mut key);
                    } else {
                        key::append_by(value, order, &mut key);
                    }
                    next.push(key);
                }
            }
            keys = next;
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(Keys { keys, multikey: array.is_some() })
    }

    /// What a duplicate key error shows: the document's values under the index's fields.
    pub(crate) fn key_value(&self, doc: Doc<'_>, clashing: &[u8]) -> DocBuf {
        let order = collation::order(self.collation.as_ref());
        let mut out = DocBuf::new();
        for field in &self.fields {
            let mut values = Vec::new();
            collect(doc, &field.path, &mut values);
            // Of several values, show the one whose key clashes.
            let shown = values.iter().find(|v| clashing.starts_with(&key::of_by(v, order))).or(values.first());
            out.push(&field.path, shown.map_or(Value::Null, Value::borrowed));
        }
        out
    }

    pub(crate) fn duplicate(&self, namespace: &Namespace, doc: Doc<'_>, clashing: &[u8]) -> Error {
        Error::DuplicateKey(Box::new(DuplicateKey {
            namespace: namespace.clone(),
            index: self.name.clone(),
            key_pattern: self.key().to_buf(),
            key_value: self.key_value(doc, clashing),
        }))
    }

    /// The row's key for one of a document's keys: a unique index has one row per key, others one per document.
    pub(crate) fn row_key(&self, key: &[u8], id_key: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + key.len() + id_key.len());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(key);
        if !self.unique {
            out.extend_from_slice(id_key);
        }
        out
    }
}

/// The keys of one document in one index.
pub(crate) struct Keys {
    pub(crate) keys: Vec<Vec<u8>>,
    /// An array was spread out.
    pub(crate) multikey: bool,
}

fn parse_key(key: Doc<'_>) -> Result<Vec<IndexField>> {
    let mut fields = Vec::new();
    for element in key.elements() {
        let path = element.key();
        if path.is_empty() || path.split('.').any(str::is_empty) {
            return Err(Error::CannotCreateIndex("Index keys cannot contain an empty field.".into()));
        }
        if path.starts_with('$') {
            return Err(Error::CannotCreateIndex(format!(
                "Index key contains an illegal field name: field name starts with '$'. ({path})"
            )));
        }
        if path.contains("$**") {
            return Err(Error::CannotCreateIndex("wildcard indexes are not supported".into()));
        }
        let value = element.value();
        let descending = match &value {
            Value::String(kind) if matches!(&**kind, "2d" | "2dsphere" | "hashed" | "text") => {
                return Err(Error::CannotCreateIndex(format!("indexes of the type '{kind}' are not supported")));
            }
            Value::String(kind) => {
                return Err(Error::CannotCreateIndex(format!("Unknown index plugin '{kind}'")));
            }
            number if number.is_number() => {
                let number = number.as_f64().unwrap_or(0.0);
                if number == 0.0 || number.is_nan() {
                    return Err(Error::CannotCreateIndex("Values in the index key pattern cannot be 0.".into()));
                }
                number < 0.0
            }
            other => {
                return Err(Error::CannotCreateIndex(format!(
                    "Values in v:2 index key pattern cannot be of type {}. Only numbers > 0, numbers < 0, and strings are allowed.",
                    other.type_name()
                )));
            }
        };
        if fields.iter().any(|f: &IndexField| f.path == path) {
            return Err(Error::CannotCreateIndex(format!("the field '{path}' is in the key twice")));
        }
        fields.push(IndexField { path: path.to_owned(), descending });
    }
    if fields.is_empty() {
        return Err(Error::CannotCreateIndex("Index keys cannot be empty.".into()));
    }
    if fields.len() > FIELDS_MAX {
        return Err(Error::CannotCreateIndex(format!("an index may have at most {FIELDS_MAX} fields")));
    }
    Ok(fields)
}

/// `a_1_b_-1`.
pub(crate) fn default_name(key: Doc<'_>) -> String {
    let mut parts = Vec::new();
    for element in key.elements() {
        let direction = match element.value() {
            Value::String(text) => text.into_owned(),
            number => number.as_f64().map_or_else(|| "1".to_owned(), |n| format!("{n}")),
        };
        parts.push(format!("{}_{direction}", element.key()));
    }
    parts.join("_")
}

/// The values of a path as an index sees them; says whether an array was spread out.
fn collect<'a>(doc: Doc<'a>, path: &str, out: &mut Vec<Value<'a>>) -> bool {
    let (head, rest) = path.split_once('.').map_or((path, None), |(h, r)| (h, Some(r)));
    let Some(element) = doc.element(head) else { return false };
    let Some(rest) = rest else {
        let Some(array) = element.as_array() else {
            out.push(element.value());
            return false;
        };
        if array.is_empty() {
            out.push(Value::Undefined);
        }
        out.extend(array.values());
        return true;
    };
    match element.kind() {
        kind::DOCUMENT => collect(Doc::new(element.bytes()), rest, out),
        kind::ARRAY => {
            let array = Doc::new(element.bytes());
            let (next, deeper) = rest.split_once('.').map_or((rest, None), |(h, r)| (h, Some(r)));
            if next.bytes().all(|b| b.is_ascii_digit())
                && let Some(item) = array.element(next)
            {
                match deeper {
                    None => {
                        out.push(item.value());
                    }
                    Some(deeper) => {
                        if let Some(inner) = item.as_doc().or(item.as_array()) {
                            collect(inner, deeper, out);
                        }
                    }
                }
                return true;
            }
            for item in array.elements() {
                if let Some(inner) = item.as_doc() {
                    let before = out.len();
                    collect(inner, rest, out);
                    if out.len() == before {
                        out.push(Value::Null);
                    }
                }
            }
            true
        }
        _ => false,
    }
}

fn wrong_type(field: &str, found: &Value<'_>, expected: &str) -> Error {
    Error::invalid(
        millstream_value::Code::TypeMismatch,
        format!("The field '{field}' has value of type {}, but must be of type {expected}", found.type_name()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(spec: bson::Document) -> Index {
        Index::parse(millstream_value::from_bson_document(&spec).as_doc(), 1).unwrap()
    }

    fn keys(index: &Index, doc: bson::Document) -> usize {
        index.keys(millstream_value::from_bson_document(&doc).as_doc()).unwrap().keys.len()
    }

    #[test]
    fn arrays_spread_and_missing_is_null() {
        let plain = index(bson::doc! {"key": {"a.b": 1}, "name": "x"});
        assert_eq!((plain.name.as_str(), default_name(plain.key()).as_str()), ("x", "a.b_1"));
        assert_eq!(keys(&plain, bson::doc! {"a": {"b": [1, 2, 2]}}), 2);
        assert_eq!(keys(&plain, bson::doc! {"a": [{"b": 1}, {"b": 2}, {"c": 1}]}), 3);
        assert_eq!(keys(&plain, bson::doc! {}), 1);
        let sparse = index(bson::doc! {"key": {"a": 1}, "name": "x", "sparse": true});
        assert_eq!(keys(&sparse, bson::doc! {}), 0);
        let two = index(bson::doc! {"key": {"a": 1, "b": -1}, "name": "x"});
        let doc = millstream_value::from_bson_document(&bson::doc! {"a": [1], "b": [2]});
        assert!(matches!(two.keys(doc.as_doc()), Err(Error::ParallelArrays(..))));
    }

    #[test]
    fn refuses_what_it_cannot_index() {
        for bad in [
            bson::doc! {"key": {}, "name": "x"},
            bson::doc! {"key": {"a": 0}, "name": "x"},
            bson::doc! {"key": {"a": "text"}, "name": "x"},
            bson::doc! {"key": {"a": 1}, "name": "x", "bogus": 1},
        ] {
            assert!(Index::parse(millstream_value::from_bson_document(&bad).as_doc(), 1).is_err(), "{bad}");
        }
    }
}
