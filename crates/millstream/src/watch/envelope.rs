//! What an event is wrapped in when it leaves for other programs.

mod cloudevents;
mod debezium;
mod mongo;
mod object;
mod simple;

pub(crate) use simple::key;

use millstream_watch::{Event, JsonMode};

use crate::parse;

/// A form of JSON for events.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What a server is told of a single event.
    pub(crate) content_type: &'static str,
    /// And of an array of them.
    pub(crate) batch_content_type: &'static str,
    /// The event as a line of JSON; none if the form has no words for it.
    wrap: fn(&Event, &About) -> Option<String>,
}

/// Every envelope, by name.
// tidy: sorted by name
pub(crate) static ENVELOPES: &[Envelope] =
    &[cloudevents::CLOUDEVENTS, debezium::DEBEZIUM, mongo::MONGO, simple::SIMPLE];

/// What envelopes tell of where events come from.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The watched servers, separated by commas.
    pub(crate) servers: String,
    /// The watcher's name.
    pub(crate) watcher: String,
    /// The kind of Extended JSON.
    pub(crate) mode: JsonMode,
}

/// An envelope with what it has to tell.
#[derive(Debug, Clone)]
pub(crate) struct Wrapper {
    pub(crate) envelope: &'static Envelope,
    pub(crate) about: About,
}

impl Wrapper {
    /// Whether events stay as they came.
    pub(crate) fn is_plain(&self) -> bool {
        self.envelope.name == mongo::MONGO.name
    }

    /// The event as a line of JSON; none if the envelope has no words for it.
    pub(crate) fn one(&self, event: &Event) -> Option<String> {
        (self.envelope.wrap)(event, &self.about)
    }

    /// Several events as an array on one line; none if nothing would be in it.
    pub(crate) fn several(&self, events: &[Event]) -> Option<String> {
        let lines: Vec<String> = events.iter().filter_map(|event| self.one(event)).collect();
        (!lines.is_empty()).then(|| format!("[{}]", lines.join(",")))
    }
}

/// The envelope of that name; the error is a sentence for whoever typed it.
pub(crate) fn by_name(name: &str) -> Result<&'static Envelope, String> {
    let names = || ENVELOPES.iter().map(|envelope| envelope.name);
    ENVELOPES.iter().find(|envelope| envelope.name == name).ok_or_else(|| match parse::nearest(name, names()) {
        Some(near) => format!("there is no such envelope: did you mean `{near}`?"),
        None => format!("there is no such envelope: there are {}", names().collect::<Vec<_>>().join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, RawDocumentBuf, Timestamp, rawdoc};
    use serde_json::{Value, json};

    use super::*;

    pub(super) fn event(change: RawDocumentBuf) -> Event {
        let mut raw = rawdoc! {
            "_id": {"_data": "82AB"},
            "clusterTime": Timestamp { time: 1_755_427_520, increment: 7 },
            "wallTime": DateTime::from_millis(1_755_427_520_412),
            "ns": {"db": "shop", "coll": "orders"},
        };
        for element in &change {
            let (name, value) = element.unwrap();
            raw.append(name, bson::RawBson::from(value));
        }
        Event::new(raw).unwrap()
    }

    pub(super) fn wrapped(name: &str, event: &Event) -> Value {
        let about = About { servers: "a:1,b:2".into(), watcher: "mailer".into(), mode: JsonMode::Relaxed };
        let text = Wrapper { envelope: by_name(name).unwrap(), about }.one(event).unwrap();
        assert!(!text.contains('\n'));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_table_is_sorted_and_near_names_are_told() {
        assert!(ENVELOPES.is_sorted_by_key(|envelope| envelope.name));
        assert!(by_name("debesium").unwrap_err().contains("did you mean `debezium`?"));
        assert!(by_name("xml").unwrap_err().contains("there are cloudevents, debezium"));
    }

    #[test]
    fn several_are_an_array() {
        let about = About { servers: String::new(), watcher: String::new(), mode: JsonMode::Relaxed };
        let wrapper = |name| Wrapper { envelope: by_name(name).unwrap(), about: about.clone() };
        let insert = event(rawdoc! {"operationType": "insert", "documentKey": {"_id": 1}, "fullDocument": {"_id": 1}});
        let drop = event(rawdoc! {"operationType": "drop"});
        let text = wrapper("debezium").several(&[insert, drop.clone()]).unwrap();
        let array: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(array.as_array().unwrap().len(), 1);
        assert_eq!(wrapper("debezium").several(std::slice::from_ref(&drop)), None);
        assert_eq!(wrapper("mongo").several(&[drop]).map(|text| text.starts_with("[{")), Some(true));
    }

    #[test]
    fn mongo_is_the_event_as_it_came() {
        let value = wrapped("mongo", &event(rawdoc! {"operationType": "drop"}));
        assert_eq!(value["_id"], json!({"_data": "82AB"}));
        assert_eq!(value["operationType"], "drop");
    }
}
