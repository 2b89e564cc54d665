//! From the flags to the end.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use millstream_mill::{Session, SessionOptions};
use millstream_sql::statement::{Literal, Statement};
use millstream_watch::Connection;

use super::Arguments;
use super::print::Style;
use super::report;
use super::runner::{Flow, Runner};
use super::shell;
use crate::exit;
use crate::watch::uri_or_default;

/// Runs statements.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<exit::Code> {
    let uri = uri_or_default(arguments.uri.as_deref());
    // What is wrong with a connection is said as other commands do.
    Connection::new(&uri).await?.ping().await?;
    let options = SessionOptions { database: arguments.db.clone() };
    let session = match Session::connect(&uri, options).await {
        Ok(session) => session,
        Err(error) => {
            eprint!("{}", report::error(&error, "", 1));
            return Ok(report::code(&error));
        }
    };
    let style = Style { format: arguments.format, expanded: false, zone: TimeZone::UTC };
    let mut runner = Runner::new(session, style)?;
    for (name, value) in &arguments.set {
        let statement = Statement::Set { name: name.to_lowercase(), value: Some(literal(value)) };
        if let Err(error) = runner.quietly(&statement).await {
            return Err(exit::misuse(format!("--set {name}={value}: {}", error.message)));
        }
    }
    if !arguments.command.is_empty() {
        for text in &arguments.command {
            if let Flow::End(code) = runner.script(None, text).await {
                return Ok(code);
            }
        }
        return Ok(exit::Code::Done);
    }
    if arguments.file.is_empty() && std::io::stdin().is_terminal() {
        return shell::run(runner, &uri).await;
    }
    let files = if arguments.file.is_empty() { vec!["-".into()] } else { arguments.file };
    for file in files {
        let text = read(&file)?;
        let name = file.display().to_string();
        let name = if name == "-" { "standard input" } else { &name };
        if let Flow::End(code) = runner.script(Some(name), &text).await {
            return Ok(code);
        }
    }
    Ok(exit::Code::Done)
}

/// A file's text; `-` is standard input.
fn read(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(|error| exit::misuse(format!("{} cannot be read: {error}", path.display())))
}

/// The value of a setting, as it would be written behind `SET x =`.
fn literal(text: &str) -> Literal {
    match text {
        "true" => Literal::Boolean(true),
        "false" => Literal::Boolean(false),
        number if number.parse::<f64>().is_ok_and(f64::is_finite) => Literal::Number(number.to_owned()),
        other => Literal::Text(other.to_owned()),
    }
}
