//! How a collection's documents were before and after each change (SQL-12.6): by an own copy of their used fields, or by the
//! images that the deployment keeps.

use std::collections::BTreeSet;

use bson::{Document, RawDocument, RawDocumentBuf};
use millstream_flow::{Circuit, Datum, key};
use millstream_sql::plan::Source;
use millstream_value::DocBuf;
use millstream_watch::Event;

use crate::error::{Result, bug, of_flow};
use crate::hub::{Name, is_named};
use crate::read::Find;
use crate::{patch, read};

/// The copy of one collection, in the state of the circuit that it feeds.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    number: u16,
    pub(crate) name: Name,
    /// The fields besides `_id`; `None`: all.
    pub(crate) fields: Option<BTreeSet<String>>,
    /// The deployment keeps images: there is no copy.
    pub(crate) by_images: bool,
}

/// What an event did to a copy.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// One document was as the first and is as the second.
    Document(Option<RawDocumentBuf>, Option<RawDocumentBuf>),
    /// All documents are gone.
    Cleared,
    /// Its documents have to be read again: another collection has taken its name, or without a copy it cannot be told what
    /// was there.
    Replaced,
    /// Nothing that is of interest.
    Nothing,
}

/// The copies that a plan needs, and which one each of its sources reads.
pub(crate) fn mirrors(sources: &[Source]) -> (Vec<Mirror>, Vec<Option<usize>>) {
    // Of what drives a change query only the changes matter.
    let (mirrors, places) = of_names(sources.iter().filter(|source| source.driven.is_none()).map(|source| {
        let name = (source.database.clone(), source.collection.clone());
        (name, source.fields.as_ref().map(|fields| fields.iter().cloned().collect::<BTreeSet<_>>()))
    }));
    let mut places = places.into_iter();
    let places = sources.iter().map(|source| if source.driven.is_none() { places.next() } else { None }).collect();
    (mirrors, places)
}

fn of_names(sources: impl Iterator<Item = (Name, Option<BTreeSet<String>>)>) -> (Vec<Mirror>, Vec<usize>) {
    let mut mirrors: Vec<Mirror> = Vec::new();
    let mut places = Vec::new();
    for (name, fields) in sources {
        let place = match mirrors.iter().position(|mirror| mirror.name == name) {
            Some(place) => place,
            None => {
                let number = u16::try_from(mirrors.len()).unwrap_or(u16::MAX);
                mirrors.push(Mirror { number, name, fields: Some(BTreeSet::new()), by_images: false });
                mirrors.len() - 1
            }
        };
        if let Some(mirror) = mirrors.get_mut(place) {
            mirror.fields = match (mirror.fields.take(), fields) {
                (Some(mut some), Some(more)) => {
                    some.extend(more);
                    Some(some)
                }
                _ => None,
            };
        }
        places.push(place);
    }
    (mirrors, places)
}

impl Mirror {
    /// A copy of whole documents.
    pub(crate) fn of_all(number: usize, name: Name) -> Self {
        Self { number: u16::try_from(number).unwrap_or(u16::MAX), name, fields: None, by_images: false }
    }

    /// What is read to make it.
    pub(crate) fn find(&self) -> Find {
        let fields = self.fields.as_ref().map(|fields| fields.iter().cloned().collect());
        Find { fields, ..Find::all(&self.name.0, &self.name.1) }
    }

    /// What a copy keeps of a document.
    pub(crate) fn project(&self, document: &RawDocument) -> RawDocumentBuf {
        let Some(fields) = &self.fields else { return document.to_owned() };
        let mut kept = DocBuf::new();
        for element in read::doc(document).elements() {
            let name = element.key();
            if name == "_id" || fields.contains(name) {
                kept.push_element(element);
            }
        }
        read::raw(kept.into_bytes()).unwrap_or_default()
    }

    /// Takes a document into the copy; gives the one that it replaces.
    pub(crate) fn put(&self, circuit: &mut Circuit, document: &RawDocument) -> Result<Option<RawDocumentBuf>> {
        let key = self.key(document)?;
        let before = get(circuit, &key)?;
        replace(circuit, &key, before.as_ref(), Some(document))?;
        Ok(before)
    }

    /// Does to the copy what an event says. A document that is inserted is not there, unless events come that are in the copy
    /// already.
    pub(crate) fn apply(&self, circuit: &mut Circuit, event: &Event, repeated: bool) -> Result<Effect> {
        let operation = event.operation();
        if event.to().is_some_and(|to| is_named(to, &self.name)) {
            return Ok(Effect::Replaced);
        }
        if !event.ns().is_some_and(|ns| is_named(ns, &self.name)) {
            return Ok(Effect::Nothing);
        }
        if self.by_images {
            return self.by_event(event);
        }
        match operation {
            "insert" if !repeated => {
                let after = self.whole(event)?;
                let key = self.key(&after)?;
                circuit.notes().put_new(&key, after.as_bytes()).map_err(|error| of_flow(&error))?;
                Ok(Effect::Document(None, Some(after)))
            }
            "insert" | "replace" => {
                let after = self.whole(event)?;
                let before = self.put(circuit, &after)?;
                Ok(Effect::Document(before, Some(after)))
            }
            "update" => self.update(circuit, event),
            "delete" => {
                let key = self.key(event.document_key().ok_or_else(|| bug("a delete has no key"))?)?;
                let before = get(circuit, &key)?;
                if before.is_some() {
                    replace(circuit, &key, before.as_ref(), None)?;
                }
                Ok(Effect::Document(before, None))
            }
            "drop" | "rename" => Ok(Effect::Cleared),
            _ => Ok(Effect::Nothing),
        }
    }

    /// Where there is no copy, the event brings the document before it.
    fn by_event(&self, event: &Event) -> Result<Effect> {
        let operation = event.operation();
        let before = match (operation, event.before()) {
            ("insert", _) => None,
            ("delete" | "replace" | "update", Some(before)) => Some(self.project(before)),
            ("delete" | "replace" | "update", None) => {
                tracing::warn!(key = ?event.document_key(), "the document before a change is not kept any more");
                return Ok(Effect::Replaced);
            }
            ("drop" | "rename", _) => return Ok(Effect::Replaced),
            _ => return Ok(Effect::Nothing),
        };
        let after = match (operation, &before) {
            ("delete", _) => None,
            // The order of fields that an update has moved is known from the image alone.
            ("update", Some(before)) if event.full_document().is_none() => Some(self.patched(before, event)?),
            _ => Some(self.whole(event)?),
        };
        Ok(Effect::Document(before, after))
    }

    /// The document that an event brings.
    fn whole(&self, event: &Event) -> Result<RawDocumentBuf> {
        let document = event.full_document().ok_or_else(|| bug("an insert has no document"))?;
        Ok(self.project(document))
    }

    fn update(&self, circuit: &mut Circuit, event: &Event) -> Result<Effect> {
        let key = self.key(event.document_key().ok_or_else(|| bug("an update has no key"))?)?;
        let Some(before) = get(circuit, &key)? else {
            tracing::warn!(key = ?event.document_key(), "an update of a document that was never seen");
            return Ok(Effect::Nothing);
        };
        let after = self.patched(&before, event)?;
        if after.as_bytes() != before.as_bytes() {
            replace(circuit, &key, Some(&before), Some(&after))?;
        }
        Ok(Effect::Document(Some(before), Some(after)))
    }

    /// A document after an update.
    fn patched(&self, before: &RawDocument, event: &Event) -> Result<RawDocumentBuf> {
        let unreadable = |error: bson::error::Error| bug(&format!("an update cannot be read: {error}"));
        let description = event.update_description().ok_or_else(|| bug("an update says not what"))?;
        let wanted = |name: &str| self.fields.as_ref().is_none_or(|fields| fields.contains(name));
        if let Some(after) = patch::shallow(before, description, wanted) {
            return Ok(after);
        }
        let description = Document::try_from(description).map_err(unreadable)?;
        let mut copy = Document::try_from(before).map_err(unreadable)?;
        patch::apply(&mut copy, &description, wanted);
        RawDocumentBuf::try_from(&copy).map_err(unreadable)
    }

    /// The next documents of the copy, in the order of their keys, and the last of those; empty: that was all.
    pub(crate) fn page(&self, circuit: &mut Circuit, after: Option<&[u8]>) -> Result<Vec<(Vec<u8>, RawDocumentBuf)>> {
        let page = circuit.notes().page(&self.prefix(), after, PAGE).map_err(|error| of_flow(&error))?;
        page.into_iter().map(|(key, bytes)| Ok((key, document(bytes)?))).collect()
    }

    /// Removes a document by its key in the copy.
    pub(crate) fn forget(&self, circuit: &mut Circuit, key: &[u8]) -> Result<()> {
        circuit.notes().remove(key).map_err(|error| of_flow(&error))
    }

    fn prefix(&self) -> Vec<u8> {
        let [high, low] = self.number.to_be_bytes();
        vec![b'm', high, low]
    }

    fn key(&self, document: &RawDocument) -> Result<Vec<u8>> {
        let id = read::doc(document).get("_id").map_or(Datum::Missing, |id| Datum::from_value(&id));
        let mut bytes = self.prefix();
        key::append(&id, &mut bytes);
        Ok(bytes)
    }
}

/// Documents that are gone through at a time.
const PAGE: usize = 1_000;

fn get(circuit: &mut Circuit, key: &[u8]) -> Result<Option<RawDocumentBuf>> {
    circuit.notes().get(key).map_err(|error| of_flow(&error))?.map(document).transpose()
}

/// Sets or removes what has just been read.
fn replace(
    circuit: &mut Circuit,
    key: &[u8],
    before: Option<&RawDocumentBuf>,
    after: Option<&RawDocument>,
) -> Result<()> {
    let old = before.map(|before| before.as_bytes().len());
    circuit.notes().replace(key, old, after.map(RawDocument::as_bytes)).map_err(|error| of_flow(&error))
}

fn document(bytes: Vec<u8>) -> Result<RawDocumentBuf> {
    RawDocumentBuf::from_bytes(bytes).map_err(|_| bug("a document of a copy is damaged"))
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use millstream_flow::{Node, Store};

    use super::*;

    fn source(name: &str, fields: Option<&[&str]>) -> (Name, Option<BTreeSet<String>>) {
        let fields = fields.map(|fields| fields.iter().map(ToString::to_string).collect());
        (("shop".into(), name.into()), fields)
    }

    fn event(operation: &str, key: i32, more: RawDocumentBuf) -> Event {
        let mut raw = rawdoc! {
            "_id": {"_data": "82AA"},
            "operationType": operation,
            "ns": {"db": "shop", "coll": "orders"},
            "documentKey": {"_id": key},
        };
        for field in &more {
            let (name, value) = field.unwrap();
            raw.append(name, value);
        }
        Event::new(raw).unwrap()
    }

    #[test]
    fn sources_of_one_collection_share_a_copy() {
        let (copies, places) = of_names(
            [source("a", Some(&["x"])), source("b", Some(&[])), source("a", Some(&["y"])), source("b", None)]
                .into_iter(),
        );
        assert_eq!(places, [0, 1, 0, 1]);
        assert_eq!(copies[0].fields, Some(["x".to_owned(), "y".to_owned()].into()));
        assert_eq!(copies[1].fields, None);
    }

    /// SQL-12.6
    #[test]
    fn where_images_are_kept_there_is_no_copy() {
        let mut circuit = Circuit::new(vec![Node::Values(vec![])], 0, Store::memory()).unwrap();
        let (copies, _) = of_names([source("orders", Some(&["a"]))].into_iter());
        let by_images = Mirror { by_images: true, ..copies[0].clone() };
        let mut apply = |operation, more| by_images.apply(&mut circuit, &event(operation, 1, more), false).unwrap();
        let update = rawdoc! {
            "updateDescription": {"updatedFields": {"a.n": 2, "other": 8}, "removedFields": []},
            "fullDocumentBeforeChange": {"_id": 1, "a": {"n": 1}, "other": 7},
        };
        let (first, second) = (rawdoc! {"_id": 1, "a": {"n": 1}}, rawdoc! {"_id": 1, "a": {"n": 2}});
        assert_eq!(apply("update", update), Effect::Document(Some(first), Some(second.clone())));
        let deleted = rawdoc! {"fullDocumentBeforeChange": {"_id": 1, "a": {"n": 2}}};
        assert_eq!(apply("delete", deleted), Effect::Document(Some(second), None));
        assert_eq!(apply("delete", rawdoc! {}), Effect::Replaced);
        assert_eq!(apply("drop", rawdoc! {}), Effect::Replaced);
        let document = rawdoc! {"fullDocument": {"_id": 1, "a": 3, "other": 1}};
        assert_eq!(apply("insert", document), Effect::Document(None, Some(rawdoc! {"_id": 1, "a": 3})));
        assert_eq!(by_images.page(&mut circuit, None).unwrap(), []);
    }

    /// SQL-12.6
    #[test]
    fn every_change_has_its_document_before_and_after() {
        let mut circuit = Circuit::new(vec![Node::Values(vec![])], 0, Store::memory()).unwrap();
        let (copies, _) = of_names([source("orders", Some(&["a"]))].into_iter());
        let mut apply = |operation, more| copies[0].apply(&mut circuit, &event(operation, 1, more), false).unwrap();
        let first = rawdoc! {"_id": 1, "a": {"n": 1}};
        let document = rawdoc! {"fullDocument": {"_id": 1, "a": {"n": 1}, "other": 7}};
        assert_eq!(apply("insert", document), Effect::Document(None, Some(first.clone())));
        let update = rawdoc! {"updateDescription": {"updatedFields": {"a.n": 2, "other": 8}, "removedFields": []}};
        let second = rawdoc! {"_id": 1, "a": {"n": 2}};
        assert_eq!(apply("update", update), Effect::Document(Some(first), Some(second.clone())));
        let third = rawdoc! {"_id": 1, "a": 3};
        let document = rawdoc! {"fullDocument": {"_id": 1, "a": 3}};
        assert_eq!(apply("replace", document), Effect::Document(Some(second), Some(third.clone())));
        assert_eq!(apply("delete", rawdoc! {}), Effect::Document(Some(third), None));
        assert_eq!(apply("delete", rawdoc! {}), Effect::Document(None, None));
        assert_eq!(apply("drop", rawdoc! {}), Effect::Cleared);
        assert_eq!(apply("rename", rawdoc! {"to": {"db": "shop", "coll": "orders"}}), Effect::Replaced);
    }
}
