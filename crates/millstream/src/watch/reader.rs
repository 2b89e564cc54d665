//! The loop of `watch`: read, print, keep the place.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use millstream_watch::{
    Backoff, CheckpointStore, Connection, Event, FileCheckpoint, SourceId, StartAt, Step, Token, Watcher,
};

use super::printer::{Printer, Reader};
use super::summary::Summary;
use super::{Arguments, Formatter, uri_or_default};
use crate::signals::Signals;
use crate::{exit, terminal};

/// How often the position of a quiet stream is saved. On a busy server it moves on although no
/// event comes, and an old one would fall out of the server's log.
const IDLE_SAVE_EVERY: Duration = Duration::from_secs(10);

/// Between an end of the stream and a new beginning with `--follow`.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

/// Watches until asked to stop, the limit, or the end of the stream.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    arguments.check()?;
    let mut signals = Signals::catch().context("could not listen for signals")?;
    let mut session = tokio::select! {
        session = Session::open(&arguments) => session?,
        _ = signals.next() => return Ok(exit::Code::Done),
    };
    let result = session.read(&arguments, &mut signals).await;
    let saved = session.place.close().await;
    let gone = matches!(result, Ok(End::ReaderGone));
    if !arguments.quiet && !gone {
        eprintln!("{}", session.summary.show(session.began.elapsed()));
    }
    result?;
    saved?;
    Ok(exit::Code::Done)
}

/// Why reading ended.
enum End {
    Done,
    /// Nobody reads standard output any more; there is nobody to tell the summary either.
    ReaderGone,
}

struct Session {
    watcher: Watcher,
    printer: Printer<std::io::Stdout>,
    place: Place,
    summary: Summary,
    began: Instant,
}

impl Session {
    async fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let uri = uri_or_default(arguments.uri.as_deref());
        let connection = Connection::new(&uri).await?;
        let source = arguments.source(&connection);
        let mut place = Place::new(arguments, SourceId::new(&connection, &source));
        let start = match place.load().await? {
            Some(token) => StartAt::StartAfter(token),
            None => arguments.start(),
        };
        let how = match &start {
            StartAt::Now => String::new(),
            StartAt::Snapshot => ", from the documents that are there on".to_owned(),
            StartAt::Time(time) => format!(", from {}:{} on", time.time, time.increment),
            StartAt::ResumeAfter(_) | StartAt::StartAfter(_) => ", from where it ended".to_owned(),
        };
        let said = format!("watching {} at {}{how}", source.scope, connection.servers().join(","));
        let watcher = Watcher::open(connection, source, start, Backoff::default()).await?;
        // Before the first event there is a position already: a watcher that is killed now goes
        // on from here, and not from wherever the log is at its next start.
        place.saw(watcher.token()).await?;
        if !arguments.quiet {
            eprintln!("{said} (Ctrl-C ends)");
        }
        let interactive = terminal::is_interactive();
        let formatter = Formatter {
            format: arguments.format(interactive),
            mode: arguments.json_mode(),
            colour: terminal::colour_on_stdout(),
            width: terminal::width(),
        };
        Ok(Self {
            watcher,
            printer: Printer::new(std::io::stdout(), formatter),
            place,
            summary: Summary::default(),
            began: Instant::now(),
        })
    }

    async fn read(&mut self, arguments: &Arguments, signals: &mut Signals) -> anyhow::Result<End> {
        if self.heading()? == Reader::Gone {
            return Ok(End::ReaderGone);
        }
        loop {
            let step = tokio::select! {
                step = self.watcher.next() => step?,
                _ = signals.next() => return Ok(End::Done),
            };
            match step {
                Step::Event(event) => {
                    if self.show(&event).await? == Reader::Gone {
                        return Ok(End::ReaderGone);
                    }
                    if arguments.limit.is_some_and(|limit| self.summary.total() >= limit) {
                        return Ok(End::Done);
                    }
                }
                Step::Idle => self.place.saw_idle(self.watcher.token()).await?,
                Step::Ended => {
                    self.place.saw(self.watcher.token()).await?;
                    if !arguments.follow {
                        if !arguments.quiet {
                            eprintln!(
                                "the stream has ended, because what it watched was dropped or renamed (--follow goes on behind that)"
                            );
                        }
                        return Ok(End::Done);
                    }
                    tokio::time::sleep(FOLLOW_PAUSE).await;
                    self.watcher.start_again().await?;
                    if !arguments.quiet {
                        eprintln!("what was watched was dropped or renamed: going on with what has its name now");
                    }
                }
            }
        }
    }

    fn heading(&mut self) -> anyhow::Result<Reader> {
        self.printer.heading().context("could not write to standard output")
    }

    /// Prints an event, then keeps the place: never the other way round.
    async fn show(&mut self, event: &Event) -> anyhow::Result<Reader> {
        let reader = self.printer.event(event).context("could not write to standard output")?;
        if reader == Reader::There {
            self.summary.count(event.operation());
            self.place.saw(Some(event.token())).await?;
        }
        Ok(reader)
    }
}

/// The checkpoint, if there is to be one.
struct Place {
    store: Option<FileCheckpoint>,
    saved: Option<(Token, Instant)>,
}

impl Place {
    fn new(arguments: &Arguments, source: SourceId) -> Self {
        Self { store: arguments.checkpoint.as_ref().map(|file| FileCheckpoint::new(file, source)), saved: None }
    }

    async fn load(&mut self) -> anyhow::Result<Option<Token>> {
        match &mut self.store {
            Some(store) => Ok(store.load().await?),
            None => Ok(None),
        }
    }

    async fn saw(&mut self, token: Option<&Token>) -> anyhow::Result<()> {
        if let (Some(store), Some(token)) = (&mut self.store, token) {
            store.save(token).await?;
            self.saved = Some((token.clone(), Instant::now()));
        }
        Ok(())
    }

    async fn saw_idle(&mut self, token: Option<&Token>) -> anyhow::Result<()> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        // The last event's position may still be in the system's memory only.
        store.flush().await?;
        let due = match &self.saved {
            Some((saved, at)) => at.elapsed() >= IDLE_SAVE_EVERY && Some(saved) != token,
            None => true,
        };
        if due { self.saw(token).await } else { Ok(()) }
    }

    async fn close(&mut self) -> anyhow::Result<()> {
        match &mut self.store {
            Some(store) => Ok(store.flush().await?),
            None => Ok(()),
        }
    }
}
