//! From the difference of an answer to the writes on its collection (SQL-14.5): one insert, update or delete for each row
//! that changed, and nothing for others.

use bson::raw::cstr;
use bson::{Bson, RawBsonRef, RawDocument, RawDocumentBuf, rawdoc};
use millstream_value::{Doc, DocBuf, Element, Value};

use crate::read;

/// What happens to one stored row. The bytes are those that a command takes for it, or the row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Write {
    /// The row is new, unless it is there already: an output of changes, which never becomes another.
    Append(RawDocumentBuf),
    /// It is new.
    Insert(RawDocumentBuf),
    /// Some of its columns have other values, or are gone.
    Update(RawDocumentBuf),
    /// It is gone.
    Delete(RawDocumentBuf),
}

/// The writes that turn rows that go into rows that come. Both are documents with an `_id`, at most one of each for an `_id`.
pub(crate) fn writes(going: Vec<RawDocumentBuf>, coming: Vec<RawDocumentBuf>) -> Vec<Write> {
    let mut old: std::collections::HashMap<Vec<u8>, RawDocumentBuf> =
        going.into_iter().map(|row| (id_bytes(&row), row)).collect();
    let mut writes = Vec::with_capacity(coming.len() + old.len());
    let mut stays = Vec::new();
    for row in coming {
        match old.remove(&id_bytes(&row)) {
            None => writes.push(Write::Insert(row)),
            Some(before) => stays.extend(change(&before, &row)),
        }
    }
    let mut gone: Vec<_> = old.into_iter().collect();
    // Outputs do not depend on the order of a hash (SQL-19.3).
    gone.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let deletes = gone.iter().map(|(_, row)| Write::delete(row));
    deletes.chain(stays).chain(writes).collect()
}

/// What is to be done to a stored row; `None`: nothing.
pub(crate) fn change(before: &RawDocument, after: &RawDocument) -> Option<Write> {
    if before.as_bytes() == after.as_bytes() {
        return None;
    }
    let (old, new) = (read::doc(before), read::doc(after));
    let mut set = DocBuf::with_capacity(after.as_bytes().len());
    for (field, old) in beside(new, old) {
        // In type and content.
        if field.key() != "_id" && !old.is_some_and(|old| field.same_value(old)) {
            set.push_element(field);
        }
    }
    let mut unset = DocBuf::new();
    for (field, _) in beside(old, new).filter(|(_, new)| new.is_none()) {
        unset.push(field.key(), 1);
    }
    let (set, unset) = (set.as_doc(), unset.as_doc());
    if set.is_empty() && unset.is_empty() {
        return None;
    }
    let mut statement = DocBuf::with_capacity(after.as_bytes().len() + 64);
    statement.nest("q", |query| {
        match new.element("_id") {
            Some(id) => query.push_element(id),
            None => query.push("_id", Value::Null),
        };
    });
    statement.nest("u", |change| {
        for (operator, fields) in
            [("$set", set), ("$unset", unset)].into_iter().filter(|(_, fields)| !fields.is_empty())
        {
            change.push(operator, fields);
        }
    });
    read::raw(statement.into_bytes()).map(Write::Update)
}

/// The fields of a document, each with what another has under its name. Those of two rows stand in the same order.
fn beside<'d>(document: Doc<'d>, other: Doc<'d>) -> impl Iterator<Item = (Element<'d>, Option<Element<'d>>)> {
    let mut others = other.elements();
    document.elements().map(move |field| {
        let same = others.next().filter(|known| known.key() == field.key());
        (field, same.or_else(|| other.element(field.key())))
    })
}

/// The `_id` of a row.
pub(crate) fn id(row: &RawDocument) -> Bson {
    Bson::try_from(raw_id(row)).unwrap_or(Bson::Null)
}

fn raw_id(row: &RawDocument) -> RawBsonRef<'_> {
    row.get("_id").ok().flatten().unwrap_or(RawBsonRef::Null)
}

/// The bytes of the `_id` of a row, its type included.
pub(crate) fn id_bytes(row: &RawDocument) -> Vec<u8> {
    let mut key = RawDocumentBuf::new();
    key.append(cstr!("_id"), raw_id(row));
    key.into_bytes()
}

impl Write {
    /// What adds a row of changes where it may be there already.
    pub(crate) fn upsert(row: &RawDocument) -> RawDocumentBuf {
        let mut others = RawDocumentBuf::new();
        for (name, value) in row.iter().flatten().filter(|(name, _)| name.as_str() != "_id") {
            others.append(name, value);
        }
        if others.is_empty() {
            // An update that sets nothing is refused.
            others.append(cstr!("_id"), raw_id(row));
        }
        rawdoc! {"q": {"_id": raw_id(row)}, "u": {"$setOnInsert": others}, "upsert": true}
    }

    /// A row that is gone.
    pub(crate) fn delete(row: &RawDocument) -> Self {
        Self::Delete(rawdoc! {"q": {"_id": raw_id(row)}, "limit": 1})
    }

    /// Its bytes.
    pub(crate) fn raw(&self) -> &RawDocument {
        match self {
            Self::Append(raw) | Self::Insert(raw) | Self::Update(raw) | Self::Delete(raw) => raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQL-14.5
    #[test]
    fn only_what_changed_is_written() {
        let going = vec![rawdoc! {"_id": 1, "a": 1, "b": 2}, rawdoc! {"_id": 2, "a": 1}, rawdoc! {"_id": 3, "a": 1}];
        let coming = vec![rawdoc! {"_id": 1, "a": 1, "b": 3}, rawdoc! {"_id": 3, "a": 1}, rawdoc! {"_id": 4, "a": 1}];
        let writes = writes(going, coming);
        let expected = vec![
            Write::Delete(rawdoc! {"q": {"_id": 2}, "limit": 1}),
            Write::Update(rawdoc! {"q": {"_id": 1}, "u": {"$set": {"b": 3}}}),
            Write::Insert(rawdoc! {"_id": 4, "a": 1}),
        ];
        assert_eq!(writes, expected);
    }

    #[test]
    fn a_type_is_part_of_a_value_and_so_is_a_place() {
        let update = change(&rawdoc! {"_id": 1, "a": 1, "x": 1}, &rawdoc! {"_id": 1, "a": 1_i64}).unwrap();
        let expected = rawdoc! {"q": {"_id": 1}, "u": {"$set": {"a": 1_i64}, "$unset": {"x": 1}}};
        assert_eq!(update, Write::Update(expected));
        let update = change(&rawdoc! {"_id": 1, "a": 0.0, "b": 1}, &rawdoc! {"_id": 1, "b": 1, "a": -0.0}).unwrap();
        assert_eq!(update, Write::Update(rawdoc! {"q": {"_id": 1}, "u": {"$set": {"a": -0.0}}}));
        assert_eq!(change(&rawdoc! {"_id": 1, "a": 1, "b": 2}, &rawdoc! {"_id": 1, "b": 2, "a": 1}), None);
    }

    /// What is there already stays as it is.
    #[test]
    fn rows_of_changes_are_only_ever_added() {
        let expected = rawdoc! {"q": {"_id": "t"}, "u": {"$setOnInsert": {"a": 1}}, "upsert": true};
        assert_eq!(Write::upsert(&rawdoc! {"_id": "t", "a": 1}), expected);
        let expected = rawdoc! {"q": {"_id": "t"}, "u": {"$setOnInsert": {"_id": "t"}}, "upsert": true};
        assert_eq!(Write::upsert(&rawdoc! {"_id": "t"}), expected);
    }
}
