//! One statement after the other.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bson::RawDocumentBuf;
use jiff::tz::TimeZone;
use millstream_mill::{Answer, Outcome, Rows, Session};
use millstream_sql::plan::Column;
use millstream_sql::statement::{Script, Statement, statement};
use millstream_sql::{Notice, SqlError};

use super::arguments::Format;
use super::input::{Input, Inputs};
use super::meta::{self, Meta};
use super::output::{Output, Reader};
use super::print::{self, Live, Style};
use super::report;
use crate::exit;
use crate::signals::Signals;

/// Files that include themselves end somewhere.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Runs statements and shows what they answer.
pub(super) struct Runner {
    session: Session,
    signals: Signals,
    output: Output,
    style: Style,
    timing: bool,
    /// The text of the last statement, and what it asks for.
    last: Option<(String, Statement)>,
    /// How many files are in one another.
    depth: usize,
    /// Whether a person is there, to whom mistakes are no end.
    pub(super) interactive: bool,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    End(exit::Code),
}

/// What went wrong with a statement.
enum Failure {
    /// It is wrong, or was refused.
    Refused(SqlError),
    /// A person has cancelled it.
    Cancelled,
    /// Everything is to end.
    Ended,
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Refused(error)
    }
}

impl Runner {
    pub(super) fn new(session: Session, style: Style) -> anyhow::Result<Self> {
        Ok(Self {
            session,
            signals: Signals::catch()?,
            output: Output::standard(),
            style,
            timing: false,
            last: None,
            depth: 0,
            interactive: false,
        })
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Runs a statement of our own, without showing anything.
    pub(super) async fn quietly(&mut self, statement: &Statement) -> Result<(), SqlError> {
        self.session.run(statement).await?;
        self.follow(statement).await;
        Ok(())
    }

    /// Runs a script up to its first mistake. Inside of a shell it is the rest of the script that is left out.
    pub(super) async fn script(&mut self, name: Option<&str>, text: &str) -> Flow {
        let mut number = 0;
        for input in Inputs::new(text) {
            let is_meta = matches!(input, Input::Meta(_));
            let result = match input {
                Input::Meta(line) => self.meta(&line).await,
                Input::Statements { text, line } => self.statements(&text, line, &mut number).await,
            };
            match result {
                Ok(Flow::Next) => {}
                Ok(end) => return end,
                Err(code) => {
                    // One statement is no script that one could lose one's way in.
                    if !is_meta && (number > 1 || name.is_some()) {
                        eprintln!("STATEMENT: {number} of {}", name.unwrap_or("the command"));
                    }
                    return if self.interactive { Flow::Next } else { Flow::End(code) };
                }
            }
        }
        Flow::Next
    }

    /// Runs the statements of a text that begins on a line, up to the first mistake.
    pub(super) async fn statements(&mut self, text: &str, line: usize, number: &mut usize) -> Result<Flow, exit::Code> {
        let script = match Script::new(text) {
            Ok(script) => script,
            Err(error) => {
                *number += 1;
                eprint!("{}", report::error(&error, text, line));
                return Err(report::code(&error));
            }
        };
        for next in script {
            *number += 1;
            let result = match next {
                Ok((statement, span)) => {
                    let own = text.get(span.start..span.end).unwrap_or_default().to_owned();
                    let result = self.statement(&statement).await;
                    self.last = Some((own, statement));
                    result
                }
                Err(error) => Err(error.into()),
            };
            match result {
                Ok(Reader::There) => {}
                Ok(Reader::Gone) => return Ok(Flow::End(exit::Code::Done)),
                Err(failure) => return self.failed(failure, text, line),
            }
        }
        Ok(Flow::Next)
    }

    fn failed(&self, failure: Failure, text: &str, line: usize) -> Result<Flow, exit::Code> {
        match failure {
            Failure::Refused(error) => {
                eprint!("{}", report::error(&error, text, line));
                Err(report::code(&error))
            }
            Failure::Cancelled if self.interactive => {
                eprintln!("cancelled");
                Ok(Flow::Next)
            }
            Failure::Cancelled | Failure::Ended => Ok(Flow::End(exit::Code::Done)),
        }
    }

    /// Runs one statement and shows its answer. Ctrl-C cancels it.
    async fn statement(&mut self, statement: &Statement) -> Result<Reader, Failure> {
        let begun = Instant::now();
        let answer = tokio::select! {
            answer = self.session.run(statement) => answer?,
            signal = self.signals.next() => return Err(asked(signal)),
        };
        let Answer { outcome, notices } = answer;
        self.notices(&notices);
        self.follow(statement).await;
        let reader = match outcome {
            Outcome::Rows(rows) => self.rows(rows).await?,
            Outcome::Done { tag, returning, .. } => {
                let reader = match returning {
                    Some(rows) => self.rows(rows).await?,
                    None => Reader::There,
                };
                self.say(&format!("{tag}\n"))?;
                reader
            }
            Outcome::Subscription(rows) => self.live(rows).await?,
        };
        if self.timing {
            self.say(&format!("Time: {:.3} ms\n", begun.elapsed().as_secs_f64() * 1_000.0))?;
        }
        Ok(reader)
    }

    /// What a statement changes of how answers are shown.
    async fn follow(&mut self, statement: &Statement) {
        if !matches!(statement, Statement::Set { name, .. } if name == "time_zone") {
            return;
        }
        let Ok(show) = millstream_sql::statement::statement("SHOW time_zone") else { return };
        let Ok(Answer { outcome: Outcome::Rows(mut rows), .. }) = self.session.run(&show).await else { return };
        if let Ok(Some(row)) = rows.next().await {
            let zone = row.get_str("time_zone").ok().and_then(|name| TimeZone::get(name).ok());
            self.style.zone = zone.unwrap_or(TimeZone::UTC);
        }
    }

    async fn rows(&mut self, rows: Rows) -> Result<Reader, Failure> {
        let columns = rows.columns.clone();
        let rows = tokio::select! {
            rows = rows.all() => rows?,
            signal = self.signals.next() => return Err(asked(signal)),
        };
        self.show(&columns, &rows)
    }

    fn show(&mut self, columns: &[Column], rows: &[RawDocumentBuf]) -> Result<Reader, Failure> {
        self.write(&print::all(columns, rows, &self.style))
    }

    /// Shows rows as they come. A person who has seen enough has not made a mistake.
    async fn live(&mut self, mut rows: Rows) -> Result<Reader, Failure> {
        let mut live = Live::new(rows.columns.clone(), self.style.clone());
        eprintln!("changes are shown as they come; Ctrl-C ends");
        loop {
            let row = tokio::select! {
                row = rows.next() => row?,
                signal = self.signals.next() => return Err(asked(signal)),
            };
            let Some(row) = row else { return Ok(Reader::There) };
            if self.write(&live.row(&row))? == Reader::Gone {
                return Ok(Reader::Gone);
            }
        }
    }

    fn write(&mut self, text: &str) -> Result<Reader, Failure> {
        let written = self.output.write(text);
        written.map_err(|error| SqlError::new("58030", format!("the rows cannot be written: {error}")).into())
    }

    /// What is no row: beside a table it is part of what is read, elsewhere it would be in the way of programs.
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        if self.style.format == Format::Table && !self.output.is_file() {
            self.write(text)?;
        } else {
            eprint!("{text}");
        }
        Ok(())
    }

    fn notices(&self, notices: &[Notice]) {
        for notice in notices {
            eprint!("{}", report::notice(notice));
        }
    }

    /// Does what a line that begins with a backslash says.
    pub(super) async fn meta(&mut self, line: &str) -> Result<Flow, exit::Code> {
        let result = match meta::read(line) {
            Ok(Meta::Quit) => return Ok(Flow::End(exit::Code::Done)),
            Ok(Meta::Include(path)) => return self.include(&path).await,
            Ok(Meta::Watch(wait)) => return self.watch(wait).await,
            Ok(Meta::Describe(name)) => return self.statements(&format!("DESCRIBE {name}"), 1, &mut 0).await,
            Ok(Meta::List(lists)) => return self.lists(lists).await,
            Ok(Meta::Database(name)) => {
                self.session.use_database(&name);
                self.say(&format!("the database is {name} now\n"))
            }
            Ok(Meta::Expanded) => {
                self.style.expanded = !self.style.expanded;
                self.say(if self.style.expanded { "a line for each field\n" } else { "a line for each row\n" })
            }
            Ok(Meta::Format(format)) => {
                self.style.format = format;
                Ok(())
            }
            Ok(Meta::Help) => self.say(&meta::help()),
            Ok(Meta::Output(path)) => self.redirect(path.as_deref()),
            Ok(Meta::Timing) => {
                self.timing = !self.timing;
                self.say(if self.timing { "timing is on\n" } else { "timing is off\n" })
            }
            Err(problem) => {
                eprintln!("{problem}");
                return Err(exit::Code::Usage);
            }
        };
        match result {
            Ok(()) => Ok(Flow::Next),
            Err(failure) => self.failed(failure, line, 1),
        }
    }

    fn redirect(&mut self, path: Option<&Path>) -> Result<(), Failure> {
        let output = match path {
            None => Ok(Output::standard()),
            Some(path) => Output::file(path),
        };
        self.output = output.map_err(|error| SqlError::new("58030", format!("the file cannot be written: {error}")))?;
        Ok(())
    }

    async fn include(&mut self, path: &Path) -> Result<Flow, exit::Code> {
        let text = match std::fs::read_to_string(path) {
            Ok(_) if self.depth >= INCLUDE_DEPTH_MAX => Err("it is in itself".to_owned()),
            Ok(text) => Ok(text),
            Err(error) => Err(error.to_string()),
        };
        let text = text.map_err(|problem| {
            eprintln!("{} cannot be run: {problem}", path.display());
            exit::Code::Usage
        })?;
        self.depth += 1;
        let name = path.display().to_string();
        let inner: Pin<Box<dyn Future<Output = Flow> + '_>> = Box::pin(self.script(Some(&name), &text));
        let flow = inner.await;
        self.depth -= 1;
        Ok(flow)
    }

    /// Several lists as one table: a name and what it is called. What is in several of them is what the first says.
    async fn lists(&mut self, lists: &[(&str, &str)]) -> Result<Flow, exit::Code> {
        let mut named: Vec<(String, &str)> = Vec::new();
        for (kind, text) in lists {
            let rows = self.names(text).await;
            let rows = match rows {
                Ok(rows) => rows,
                Err(error) => return self.failed(error.into(), text, 1),
            };
            for name in rows {
                if !named.iter().any(|(known, _)| *known == name) {
                    named.push((name, kind));
                }
            }
        }
        named.sort();
        let columns = ["name", "kind"].map(|name| Column { name: name.to_owned(), kind: None, spread: false });
        let rows: Vec<RawDocumentBuf> =
            named.iter().map(|(name, kind)| bson::rawdoc! {"name": name.as_str(), "kind": *kind}).collect();
        match self.show(&columns, &rows) {
            Ok(Reader::There) => Ok(Flow::Next),
            Ok(Reader::Gone) => Ok(Flow::End(exit::Code::Done)),
            Err(failure) => self.failed(failure, "", 1),
        }
    }

    /// The names that a list has.
    async fn names(&mut self, text: &str) -> Result<Vec<String>, SqlError> {
        let answer = self.session.run(&statement(text)?).await?;
        let Outcome::Rows(rows) = answer.outcome else { return Ok(Vec::new()) };
        let rows = rows.all().await?;
        Ok(rows.iter().filter_map(|row| row.get_str("name").ok().map(str::to_owned)).collect())
    }

    /// Runs the last statement again and again, until Ctrl-C.
    async fn watch(&mut self, wait: Duration) -> Result<Flow, exit::Code> {
        let Some((text, last)) = self.last.clone() else {
            eprintln!("there is no statement yet to run again");
            return Err(exit::Code::Usage);
        };
        loop {
            match self.statement(&last).await {
                Ok(Reader::There) => {}
                Ok(Reader::Gone) => return Ok(Flow::End(exit::Code::Done)),
                // Whoever watches has to say when it is enough.
                Err(Failure::Cancelled) => return Ok(Flow::Next),
                Err(failure) => return self.failed(failure, &text, 1),
            }
            let signal = tokio::select! {
                () = tokio::time::sleep(wait) => continue,
                signal = self.signals.next() => signal,
            };
            return match asked(signal) {
                Failure::Ended => Ok(Flow::End(exit::Code::Done)),
                _ => Ok(Flow::Next),
            };
        }
    }
}

/// What a signal asks for.
fn asked(signal: &str) -> Failure {
    if signal == "SIGTERM" { Failure::Ended } else { Failure::Cancelled }
}
