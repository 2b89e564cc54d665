//! A client that is known: its messages one after the other, and what interrupts them.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;

use jiff::tz::TimeZone;
use millstream_mill::Session;
use millstream_sql::SqlError;
use millstream_sql::statement::Script;
use pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, watch};

use crate::extended::{Portal, Prepared};
use crate::limits::INBOX_MAX;
use crate::message::{self, Message};
use crate::output::{Output, Severity};
use crate::registry::Place;
use crate::startup::REPORTED;

/// A client's state.
pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) control: Control,
    pub(crate) statements: HashMap<String, Arc<Prepared>>,
    pub(crate) portals: HashMap<String, Portal>,
    /// After an error in the extended protocol nothing is done up to the next Sync.
    skipping: bool,
    /// What the client was told of its settings.
    told: Vec<Option<String>>,
}

/// What interrupts a statement.
pub(crate) struct Control {
    pub(crate) place: Place,
    stop: watch::Receiver<bool>,
}

/// Why something was not done to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The statement was refused, or cancelled.
    Refused(SqlError),
    /// The connection is to end, and this is what the client is told.
    Ended(SqlError),
    /// The client has gone.
    Gone,
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Refused(error)
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl Control {
    pub(crate) fn new(place: Place, stop: watch::Receiver<bool>) -> Self {
        Self { place, stop }
    }

    /// Whether the statement that runs was cancelled meanwhile.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.place.cancel.is_asked() { Err(cancelled()) } else { Ok(()) }
    }

    /// Ends when the statement that runs is to end.
    async fn interrupted(&self, gone: &mut watch::Receiver<bool>) -> Failure {
        tokio::select! {
            () = self.place.cancel.asked() => cancelled(),
            failure = self.ended(gone) => failure,
        }
    }

    /// Ends when the connection is to end.
    async fn ended(&self, gone: &mut watch::Receiver<bool>) -> Failure {
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Failure::Ended(stopping()),
            _ = gone.wait_for(|gone| *gone) => Failure::Gone,
        }
    }
}

fn cancelled() -> Failure {
    Failure::Refused(SqlError::new("57014", "canceling statement due to user request"))
}

fn stopping() -> SqlError {
    SqlError::new("57P01", "terminating connection due to administrator command")
}

/// The way to the client, and whether it is still there.
pub(crate) struct Client {
    pub(crate) output: Output,
    gone: watch::Receiver<bool>,
}

impl Client {
    /// Does something that the client may cancel.
    pub(crate) async fn cancellable<T, E: Into<Failure>>(
        &mut self,
        control: &Control,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            failure = control.interrupted(&mut self.gone) => Err(failure),
            done = work => done.map_err(Into::into),
        }
    }

    /// Writes what was said, unless all is to end.
    pub(crate) async fn flush(&mut self, control: &Control) -> Result<(), Failure> {
        let Self { output, gone } = self;
        tokio::select! {
            biased;
            written = output.flush() => written.map_err(Into::into),
            failure = control.ended(gone) => Err(failure),
        }
    }

    /// Writes what was said if it is much.
    pub(crate) async fn flush_if_full(&mut self, control: &Control) -> Result<(), Failure> {
        if self.output.is_full() { self.flush(control).await } else { Ok(()) }
    }
}

impl Connection {
    pub(crate) fn new(session: Session, control: Control) -> Self {
        let told = REPORTED.iter().map(|name| session.setting(name)).collect();
        Self { session, control, statements: HashMap::new(), portals: HashMap::new(), skipping: false, told }
    }

    /// Answers messages until the client goes or all is to end.
    pub(crate) async fn serve(mut self, from: OwnedReadHalf, mut output: Output) -> io::Result<()> {
        output.ready(self.status())?;
        output.flush().await?;
        let (gone_now, gone) = watch::channel(false);
        let (inbox, mut messages) = mpsc::channel(INBOX_MAX);
        // Its own task: while a statement runs, somebody has to notice that the client goes.
        let reading = tokio::spawn(read(from, inbox, gone_now));
        let mut client = Client { output, gone };
        let failure = loop {
            let message = {
                let mut stop = self.control.stop.clone();
                tokio::select! {
                    message = messages.recv() => message,
                    _ = stop.wait_for(|stop| *stop) => break Failure::Ended(stopping()),
                }
            };
            let done = match message {
                None | Some(Ok(Message::Terminate)) => break Failure::Gone,
                Some(Err(error)) => break Failure::Ended(SqlError::new("08P01", error.to_string())),
                Some(Ok(message)) => self.answer(&mut client, message).await,
            };
            match done {
                Ok(()) => {}
                Err(Failure::Refused(error)) => break Failure::Ended(error),
                Err(failure) => break failure,
            }
        };
        reading.abort();
        if let Failure::Ended(error) = failure {
            client.output.error(&error, Severity::Fatal)?;
            client.output.flush().await?;
        }
        Ok(())
    }

    async fn answer(&mut self, client: &mut Client, message: Message) -> Result<(), Failure> {
        self.control.place.cancel.forget();
        let done = match message {
            Message::Sync => {
                self.skipping = false;
                if !self.session.in_transaction() {
                    self.portals.clear();
                }
                return self.ready(client).await;
            }
            Message::Query(text) => {
                self.skipping = false;
                self.portals.remove("");
                let done = self.query(client, &text).await;
                self.report(client, done)?;
                return self.ready(client).await;
            }
            Message::Ignored | Message::Terminate => Ok(()),
            _ if self.skipping => Ok(()),
            Message::Bind(bind) => self.bind(client, bind),
            Message::Close(close) => self.close(client, &close),
            Message::Describe(describe) => self.describe(client, &describe).await,
            Message::Execute(execute) => self.execute(client, &execute).await,
            Message::Flush => client.flush(&self.control).await,
            Message::Parse(parse) => self.parse(client, parse),
        };
        self.skipping |= done.is_err();
        self.report(client, done)?;
        client.flush_if_full(&self.control).await
    }

    /// Says what went wrong, if that does not end the connection.
    fn report(&mut self, client: &mut Client, done: Result<(), Failure>) -> Result<(), Failure> {
        let Err(Failure::Refused(error)) = done else { return done };
        // Also what was refused before the session saw it, or cancelled half-way, fails a transaction.
        self.session.fail();
        Ok(client.output.error(&error, Severity::Error)?)
    }

    /// The statements of a text, one after the other, up to the first mistake.
    async fn query(&mut self, client: &mut Client, text: &str) -> Result<(), Failure> {
        let mut is_empty = true;
        for next in Script::new(text)? {
            let (statement, _) = next?;
            is_empty = false;
            self.run_simple(client, &statement).await?;
        }
        if is_empty {
            client.output.put(&EmptyQueryResponse::new())?;
        }
        Ok(())
    }

    async fn ready(&mut self, client: &mut Client) -> Result<(), Failure> {
        for (name, told) in REPORTED.iter().zip(&mut self.told) {
            let now = self.session.setting(name);
            if *told != now {
                if let Some(value) = &now {
                    client.output.put(&ParameterStatus::new((*name).to_owned(), value.clone()))?;
                }
                *told = now;
            }
        }
        client.output.ready(self.status())?;
        client.flush(&self.control).await
    }

    fn status(&self) -> TransactionStatus {
        match (self.session.in_transaction(), self.session.has_failed()) {
            (false, _) => TransactionStatus::Idle,
            (true, false) => TransactionStatus::Transaction,
            (true, true) => TransactionStatus::Error,
        }
    }

    /// In which times are shown.
    pub(crate) fn zone(&self) -> TimeZone {
        self.session.setting("TimeZone").and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC)
    }
}

/// Reads messages until the client goes.
async fn read(mut from: OwnedReadHalf, inbox: mpsc::Sender<io::Result<Message>>, gone: watch::Sender<bool>) {
    loop {
        let message = match message::read(&mut from).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => break,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error),
            Err(_) => break,
        };
        let is_last = matches!(message, Err(_) | Ok(Message::Terminate));
        if inbox.send(message).await.is_err() || is_last {
            break;
        }
    }
    // Nobody may be there to hear it.
    let _ = gone.send(true);
}
