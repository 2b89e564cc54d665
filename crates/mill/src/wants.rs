//! What is asked of the one change stream (SQL-20.1): of each collection the changes that can matter to somebody (SQL-20.3), and of
//! their documents the fields that somebody uses.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use bson::{Bson, Document, doc};
use millstream_sql::expr::Context;
use millstream_sql::plan::Source;
use millstream_value::DocBuf;

use crate::hub::Name;
use crate::read;

/// The conditions of one collection are not asked for if they would take more bytes than this: a server takes 16 MiB of all.
const FILTERS_BYTES_MAX: usize = 256 << 10;
/// The fields are not named if there are more than this.
const FIELDS_MAX: usize = 1_000;

/// What a consumer reads of every event, in the order in which events have it; documents come in between.
const KEPT_BEFORE: [&str; 6] = ["_id", "txnNumber", "lsid", "operationType", "clusterTime", "wallTime"];
const KEPT_BEHIND: [&str; 5] = ["ns", "to", "documentKey", "updateDescription", "operationDescription"];

/// How much is asked of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Collections, and no more.
    Collections,
    /// Of their changes those that can matter.
    Changes,
    /// And of their documents the fields that are used.
    Fields,
}

/// What somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wants {
    /// The collections.
    pub(crate) collections: BTreeMap<Name, Interest>,
    /// Whether documents before and after are wanted where images are kept.
    pub(crate) images: bool,
}

/// What is wanted of the changes of one collection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interest {
    /// Conditions on events, of which one must hold; `None`: all changes are wanted.
    filters: Option<Vec<Document>>,
    /// The top-level fields of its documents besides `_id`; `None`: all.
    fields: Option<BTreeSet<String>>,
}

impl Interest {
    /// Changes for which a condition on their event holds, or all.
    pub(crate) fn new(filter: Option<Document>, fields: Option<BTreeSet<String>>) -> Self {
        Self { filters: filter.map(|filter| vec![filter]), fields }
    }

    /// Those changes that can matter to a source which is driven by them, or whose events bring the documents before and
    /// after them.
    pub(crate) fn of(source: &Source, context: &Arc<Context>) -> Self {
        let fields = source.streamed_fields.as_ref();
        Self::new(source.streamed(context).and_then(document), fields.map(|fields| fields.iter().cloned().collect()))
    }

    /// That something changes.
    pub(crate) fn marks() -> Self {
        Self { filters: None, fields: Some(BTreeSet::new()) }
    }

    /// The fields of its documents that are used; `None`: all.
    pub(crate) fn fields(&self) -> Option<impl Iterator<Item = &str>> {
        let fields = self.fields.as_ref()?.iter().map(String::as_str);
        Some(["_id"].into_iter().chain(fields.filter(|name| *name != "_id")))
    }

    fn extend(&mut self, other: &Self) {
        self.filters = match (self.filters.take(), &other.filters) {
            (Some(mut filters), Some(others)) => {
                for other in others {
                    if !filters.contains(other) {
                        filters.push(other.clone());
                    }
                }
                Some(filters)
            }
            _ => None,
        };
        self.fields = match (self.fields.take(), &other.fields) {
            (Some(mut fields), Some(others)) => {
                fields.extend(others.iter().cloned());
                Some(fields)
            }
            _ => None,
        };
    }

    /// What its events must satisfy; empty: nothing.
    pub(crate) fn filter(&self) -> Document {
        let size = |filter: &Document| filter.to_vec().map_or(usize::MAX, |bytes| bytes.len());
        match self.filters.as_deref() {
            None | Some([]) => Document::new(),
            Some(filters) if filters.iter().map(size).fold(0, usize::saturating_add) > FILTERS_BYTES_MAX => {
                Document::new()
            }
            Some([one]) => one.clone(),
            Some(several) => doc! {"$or": several},
        }
    }
}

impl Wants {
    /// Wants more of a collection.
    pub(crate) fn add(&mut self, name: Name, interest: &Interest) {
        match self.collections.get_mut(&name) {
            Some(known) => known.extend(interest),
            None => drop(self.collections.insert(name, interest.clone())),
        }
    }

    /// Wants what another wants, too.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (name, interest) in &other.collections {
            self.add(name.clone(), interest);
        }
        self.images |= other.images;
    }

    /// The stages by which a stream brings this.
    pub(crate) fn pipeline(&self, asked: Asked) -> Vec<Document> {
        let (mut wanted, mut to) = (Vec::new(), Vec::new());
        for ((database, name), interest) in &self.collections {
            let mut of_it = doc! {"ns.db": database, "ns.coll": name};
            if asked != Asked::Collections {
                of_it.extend(interest.filter());
            }
            wanted.push(of_it);
            to.push(Bson::from(doc! {"db": database, "coll": name}));
        }
        wanted.push(doc! {"operationType": "rename", "to": {"$in": to}});
        let filter = doc! {"$match": {"$or": wanted}};
        let projection = self.projection().filter(|_| asked == Asked::Fields);
        let projection = projection.map(|projection| doc! {"$project": projection});
        [filter].into_iter().chain(projection).collect()
    }

    /// The top-level fields of documents that somebody uses; `None`: all.
    pub(crate) fn fields(&self) -> Option<BTreeSet<&str>> {
        let mut fields = BTreeSet::from(["_id"]);
        for interest in self.collections.values() {
            fields.extend(interest.fields.as_ref()?.iter().map(String::as_str));
        }
        Some(fields)
    }

    /// What is kept of events; `None`: everything.
    fn projection(&self) -> Option<Document> {
        let fields = self.fields()?;
        // A projection would take such names for paths, or places in arrays.
        let plain = |name: &&str| {
            !name.is_empty() && !name.contains(['.', '\0']) && !name.starts_with('$') && name.parse::<u64>().is_err()
        };
        if fields.len() > FIELDS_MAX || !fields.iter().all(plain) {
            return None;
        }
        let of = |document: &'static str| fields.iter().map(move |field| format!("{document}.{field}"));
        let mut kept: Vec<String> = KEPT_BEFORE.map(str::to_owned).to_vec();
        kept.extend(of("fullDocument"));
        kept.extend(KEPT_BEHIND.map(str::to_owned));
        if self.images {
            kept.extend(of("fullDocumentBeforeChange"));
        }
        Some(kept.into_iter().map(|name| (name, Bson::from(1))).collect())
    }
}

/// A filter as the driver has documents.
pub(crate) fn document(filter: DocBuf) -> Option<Document> {
    read::raw(filter.into_bytes()).and_then(|raw| Document::try_from(raw).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        ("shop".to_owned(), name.to_owned())
    }

    fn fields(names: &[&str]) -> Option<BTreeSet<String>> {
        Some(names.iter().map(ToString::to_string).collect())
    }

    fn projected(wants: &Wants) -> Option<Vec<String>> {
        let pipeline = wants.pipeline(Asked::Fields);
        let projection = pipeline.get(1)?.get_document("$project").unwrap();
        Some(projection.keys().filter(|name| name.starts_with("fullDocument")).cloned().collect())
    }

    /// SQL-20.1: the union of what all want
    #[test]
    fn one_stream_serves_all() {
        let paid = doc! {"operationType": "insert", "fullDocument.status": "paid"};
        let gone = doc! {"operationType": "delete"};
        let mut wants = Wants::default();
        wants.add(name("orders"), &Interest::new(Some(paid.clone()), fields(&["status"])));
        wants.add(name("orders"), &Interest::new(Some(gone.clone()), fields(&["total"])));
        wants.add(name("orders"), &Interest::new(Some(gone.clone()), fields(&[])));
        wants.add(name("marks"), &Interest::marks());
        let to = doc! {"$in": [{"db": "shop", "coll": "marks"}, {"db": "shop", "coll": "orders"}]};
        let expected = vec![
            doc! {"ns.db": "shop", "ns.coll": "marks"},
            doc! {"ns.db": "shop", "ns.coll": "orders", "$or": [paid, gone]},
            doc! {"operationType": "rename", "to": to},
        ];
        assert_eq!(wants.pipeline(Asked::Fields)[0], doc! {"$match": {"$or": expected}});
        let documents = ["fullDocument._id", "fullDocument.status", "fullDocument.total"];
        assert_eq!(projected(&wants).unwrap(), documents);
        assert_eq!(wants.pipeline(Asked::Changes).len(), 1);
        wants.images = true;
        assert_eq!(projected(&wants).unwrap().len(), 6);
        // Somebody wants all of it.
        wants.add(name("orders"), &Interest::new(None, None));
        assert_eq!(wants.collections[&name("orders")].filter(), doc! {});
        assert_eq!(projected(&wants), None);
    }

    #[test]
    fn what_a_pipeline_cannot_say_is_left_out_of_it() {
        for odd in ["a.b", "$a", "", "0"] {
            let mut wants = Wants::default();
            wants.add(name("orders"), &Interest::new(None, fields(&[odd])));
            assert_eq!(projected(&wants), None, "{odd}");
        }
        let long = doc! {"fullDocument.a": {"$in": vec!["x".repeat(1_000); 300]}};
        assert_eq!(Interest::new(Some(long), None).filter(), doc! {});
    }
}
