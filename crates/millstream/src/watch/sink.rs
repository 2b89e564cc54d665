//! What to do with events in the background: one after the other, several side by side, or in batches.

use std::io::Stdout;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_watch::{Event, Failure};
use parking_lot::Mutex;

use super::arguments::Target;
use super::envelope::Wrapper;
use super::exec::{Children, Exec};
use super::printer::{Printer, Reader};
use super::webhook::Webhook;

/// Where events go.
pub(crate) struct Sink {
    wrapper: Wrapper,
    form: Form,
    to: To,
}

/// How events are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One at a time.
    Single,
    /// As an array.
    Array,
}

enum To {
    Exec(Exec),
    Print(Box<Mutex<Printer<Stdout>>>, AtomicBool),
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
    pub(crate) fn new(
        flags: &Target,
        wrapper: Wrapper,
        form: Form,
        children: Children,
    ) -> anyhow::Result<Option<Self>> {
        let to = match (&flags.exec, &flags.webhook) {
            (Some(command), _) => To::Exec(Exec::new(command, flags.exec_timeout, children)),
            (None, Some(url)) => To::Webhook(Box::new(Webhook::new(url, flags)?)),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { wrapper, form, to }))
    }

    /// Standard output.
    pub(crate) fn print(printer: Printer<Stdout>, wrapper: Wrapper, form: Form) -> Self {
        Self { wrapper, form, to: To::Print(Box::new(Mutex::new(printer)), AtomicBool::new(false)) }
    }

    /// Whether nobody reads standard output any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(&self.to, To::Print(_, gone) if gone.load(Ordering::Relaxed))
    }

    /// Deals with one event, or with several together.
    pub(crate) async fn deliver(&self, events: &[Event]) -> Result<(), Failure> {
        if let To::Print(printer, gone) = &self.to {
            let printed = match (self.form, events) {
                (Form::Single, [event]) => printer.lock().event(event),
                (Form::Single | Form::Array, events) => printer.lock().several(events),
            };
            return match printed {
                Ok(Reader::There) => Ok(()),
                Ok(Reader::Gone) => {
                    gone.store(true, Ordering::Relaxed);
                    Err(Failure::passing("nobody reads standard output"))
                }
                Err(error) => Err(Failure::lasting(format!("could not write to standard output: {error}"))),
            };
        }
        let envelope = self.wrapper.envelope;
        let (json, content_type) = match (self.form, events) {
            (Form::Single, [event]) => (self.wrapper.one(event), envelope.content_type),
            (Form::Single | Form::Array, events) => (self.wrapper.several(events), envelope.batch_content_type),
        };
        // What the envelope has no words for cannot be told.
        let Some(json) = json else { return Ok(()) };
        let parcel = Parcel { json, events, content_type };
        match &self.to {
            To::Exec(exec) => exec.run(&parcel).await,
            To::Webhook(webhook) => webhook.post(&parcel).await,
            To::Print(..) => Ok(()),
        }
    }
}
