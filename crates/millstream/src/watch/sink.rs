//! What to do with events that are not printed.

use millstream_watch::{Event, Failure};

use super::arguments::Target;
use super::envelope::Wrapper;
use super::exec::{Children, Exec};
use super::webhook::Webhook;

/// Where events go.
pub(crate) struct Sink {
    wrapper: Wrapper,
    to: To,
}

enum To {
    Exec(Exec),
    Webhook(Box<Webhook>),
}

/// What is handed on: an event, or several.
pub(crate) struct Parcel<'e> {
    /// Its JSON, on a line without an end.
    pub(crate) json: String,
    /// What it is made of; never empty.
    pub(crate) events: &'e [Event],
    /// What kind of JSON it is.
    pub(crate) content_type: &'static str,
}

impl Sink {
    /// The one that the flags ask for; none: events are printed.
    pub(crate) fn new(flags: &Target, wrapper: Wrapper, children: Children) -> anyhow::Result<Option<Self>> {
        let to = match (&flags.exec, &flags.webhook) {
            (Some(command), _) => To::Exec(Exec::new(command, flags.exec_timeout, children)),
            (None, Some(url)) => To::Webhook(Box::new(Webhook::new(url, flags)?)),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { wrapper, to }))
    }

    /// Deals with one event.
    pub(crate) async fn deliver(&self, events: &[Event]) -> Result<(), Failure> {
        let [event] = events else { return Ok(()) };
        // What the envelope has no words for cannot be told.
        let Some(json) = self.wrapper.one(event) else { return Ok(()) };
        let parcel = Parcel { json, events, content_type: self.wrapper.envelope.content_type };
        match &self.to {
            To::Exec(exec) => exec.run(&parcel).await,
            To::Webhook(webhook) => webhook.post(&parcel).await,
        }
    }
}
