//! Standard output, event by event.

use std::io::{self, ErrorKind, Write};

use millstream_watch::Event;

use super::envelope::Wrapper;
use super::{Format, Formatter};

/// Whether anyone still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    There,
    Gone,
}

/// Writes events and flushes after each: an event that is counted or checkpointed has left this
/// process. One write an event is far from the slowest step, so there is no buffering to choose.
pub(crate) struct Printer<W> {
    out: W,
    formatter: Formatter,
    wrapper: Wrapper,
}

impl<W: Write> Printer<W> {
    /// Nothing is written yet.
    pub(crate) fn new(out: W, formatter: Formatter, wrapper: Wrapper) -> Self {
        Self { out, formatter, wrapper }
    }

    /// Writes what stands above the events.
    pub(crate) fn heading(&mut self) -> io::Result<Reader> {
        let text = self.formatter.heading();
        self.write(&text)
    }

    /// Writes one event; nothing, if the envelope has no words for it.
    pub(crate) fn event(&mut self, event: &Event) -> io::Result<Reader> {
        let text = match self.formatter.format {
            Format::Json => self.wrapper.one(event).map(|line| line + "\n"),
            Format::Pretty if !self.wrapper.is_plain() => {
                self.wrapper.one(event).map(|line| self.formatter.wrapped(event, &line))
            }
            Format::Pretty | Format::Table => Some(self.formatter.event(event)),
        };
        text.map_or(Ok(Reader::There), |text| self.write(&text))
    }

    /// Writes several events as one line.
    pub(crate) fn several(&mut self, events: &[Event]) -> io::Result<Reader> {
        let line = self.wrapper.several(events).map(|line| line + "\n");
        line.map_or(Ok(Reader::There), |line| self.write(&line))
    }

    /// A closed pipe is the reader's way to say that it has seen enough, and no error.
    fn write(&mut self, text: &str) -> io::Result<Reader> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(Reader::There),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use millstream_watch::JsonMode;

    use super::*;
    use crate::watch::envelope::{self, About};

    struct Closed(ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn print(out: impl Write) -> io::Result<Reader> {
        let formatter = Formatter { format: Format::Json, mode: JsonMode::Relaxed, colour: false, width: None };
        let about = About { servers: String::new(), watcher: String::new(), mode: JsonMode::Relaxed };
        let wrapper = Wrapper { envelope: envelope::by_name("mongo").unwrap(), about };
        let event = Event::new(rawdoc! {"_id": {"_data": "82"}}).unwrap();
        Printer::new(out, formatter, wrapper).event(&event)
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        assert_eq!(print(Closed(ErrorKind::BrokenPipe)).unwrap(), Reader::Gone);
        assert!(print(Closed(ErrorKind::StorageFull)).is_err());
        let mut out = Vec::new();
        assert_eq!(print(&mut out).unwrap(), Reader::There);
        assert_eq!(out, b"{\"_id\":{\"_data\":\"82\"}}\n");
    }
}
