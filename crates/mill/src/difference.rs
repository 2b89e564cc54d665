//! From the difference of an answer to the writes on its collection (SQL-14.5): one insert, update or delete for each row
//! that changed, and nothing for others.

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};

/// What happens to one stored row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Write {
    /// It is new, unless it is there already: an output of changes, which never becomes another.
    Append(RawDocumentBuf),
    /// It is new.
    Insert(RawDocumentBuf),
    /// Some of its columns have other values.
    Update {
        /// Which.
        id: Bson,
        /// The columns and their values.
        set: Document,
        /// Columns that are gone.
        unset: Vec<String>,
    },
    /// It is gone.
    Delete(Bson),
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
    let deletes = gone.iter().map(|(_, row)| Write::Delete(id(row)));
    deletes.chain(stays).chain(writes).collect()
}

/// What is to be done to a stored row; `None`: nothing.
pub(crate) fn change(before: &RawDocument, after: &RawDocument) -> Option<Write> {
    if before.as_bytes() == after.as_bytes() {
        return None;
    }
    let fields = |row: &RawDocument| -> Document { Document::try_from(row).unwrap_or_default() };
    let (before, mut after) = (fields(before), fields(after));
    let id = after.remove("_id").unwrap_or(Bson::Null);
    let unset = before.keys().filter(|name| *name != "_id" && !after.contains_key(*name)).cloned().collect::<Vec<_>>();
    let set: Document = after.into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect();
    if set.is_empty() && unset.is_empty() { None } else { Some(Write::Update { id, set, unset }) }
}

/// The `_id` of a row.
pub(crate) fn id(row: &RawDocument) -> Bson {
    row.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok()).unwrap_or(Bson::Null)
}

/// The bytes of the `_id` of a row, its type included.
pub(crate) fn id_bytes(row: &RawDocument) -> Vec<u8> {
    let mut key = RawDocumentBuf::new();
    if let Ok(Some(id)) = row.get("_id") {
        key.append(bson::raw::cstr!("_id"), id);
    }
    key.into_bytes()
}

impl Write {
    /// The bytes that it needs, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Append(row) | Self::Insert(row) => row.as_bytes().len(),
            Self::Update { set, .. } => bson::RawDocumentBuf::try_from(set).map_or(0, |raw| raw.as_bytes().len()) + 64,
            Self::Delete(_) => 64,
        }
    }

    /// As it is kept until it is surely written.
    pub(crate) fn to_document(&self) -> Document {
        match self {
            Self::Append(row) => doc! {"a": Document::try_from(row.as_ref() as &RawDocument).unwrap_or_default()},
            Self::Insert(row) => doc! {"i": Document::try_from(row.as_ref() as &RawDocument).unwrap_or_default()},
            Self::Update { id, set, unset } => doc! {"u": id.clone(), "s": set.clone(), "x": unset.clone()},
            Self::Delete(id) => doc! {"d": id.clone()},
        }
    }

    /// From how it is kept.
    pub(crate) fn from_document(kept: &Document) -> Option<Self> {
        if let Ok(row) = kept.get_document("a") {
            return RawDocumentBuf::try_from(row).ok().map(Self::Append);
        }
        if let Ok(row) = kept.get_document("i") {
            return RawDocumentBuf::try_from(row).ok().map(Self::Insert);
        }
        if let Some(id) = kept.get("u") {
            let unset = kept.get_array("x").ok()?.iter().filter_map(Bson::as_str).map(str::to_owned).collect();
            return Some(Self::Update { id: id.clone(), set: kept.get_document("s").ok()?.clone(), unset });
        }
        kept.get("d").cloned().map(Self::Delete)
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    /// SQL-14.5
    #[test]
    fn only_what_changed_is_written() {
        let going = vec![rawdoc! {"_id": 1, "a": 1, "b": 2}, rawdoc! {"_id": 2, "a": 1}, rawdoc! {"_id": 3, "a": 1}];
        let coming = vec![rawdoc! {"_id": 1, "a": 1, "b": 3}, rawdoc! {"_id": 3, "a": 1}, rawdoc! {"_id": 4, "a": 1}];
        let expected = vec![
            Write::Delete(Bson::Int32(2)),
            Write::Update { id: Bson::Int32(1), set: doc! {"b": 3}, unset: vec![] },
            Write::Insert(rawdoc! {"_id": 4, "a": 1}),
        ];
        let writes = writes(going, coming);
        assert_eq!(writes, expected);
        for write in writes {
            assert_eq!(Write::from_document(&write.to_document()), Some(write));
        }
    }

    #[test]
    fn a_type_is_part_of_a_value() {
        let update = change(&rawdoc! {"_id": 1, "a": 1, "x": 1}, &rawdoc! {"_id": 1, "a": 1_i64}).unwrap();
        assert_eq!(update, Write::Update { id: Bson::Int32(1), set: doc! {"a": 1_i64}, unset: vec!["x".into()] });
    }
}
