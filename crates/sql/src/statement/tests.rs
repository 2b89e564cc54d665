//! Statements as text sessions (`tests/*.txt`): a statement, a line `----`, its normalised text or its error, an empty line.
//! Every normalised text is read again and must be the same statement. `STATEMENTS_WRITE=1` writes what came into the files.

mod limits;
mod precedence;
mod reference;
mod scripts;

use std::fmt::Write;
use std::path::Path;

use super::statement;
use crate::SqlError;

#[test]
fn bodies() {
    session("bodies");
}

#[test]
fn definitions() {
    session("definitions");
}

#[test]
fn lexical() {
    session("lexical");
}

#[test]
fn lifecycle() {
    session("lifecycle");
}

#[test]
fn queries() {
    session("queries");
}

#[test]
fn writes() {
    session("writes");
}

fn session(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/statement/tests/{name}.txt"));
    let expected = std::fs::read_to_string(&path).unwrap();
    let mut actual = String::new();
    for case in expected.split("\n\n") {
        let (comments, rest): (Vec<&str>, Vec<&str>) =
            case.trim_matches('\n').lines().partition(|line| line.starts_with('#'));
        for comment in comments {
            writeln!(actual, "{comment}").unwrap();
        }
        let input: Vec<&str> = rest.into_iter().take_while(|line| *line != "----").collect();
        if !input.is_empty() {
            let input = input.join("\n");
            writeln!(actual, "{input}\n----\n{}", answer(&input)).unwrap();
        }
        actual.push('\n');
    }
    let actual = format!("{}\n", actual.trim_end());
    if std::env::var_os("STATEMENTS_WRITE").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    for (line, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
        assert_eq!(actual, expected, "{name}.txt:{}", line + 1);
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "{name}.txt");
}

fn answer(input: &str) -> String {
    match statement(input) {
        Ok(parsed) => {
            let printed = parsed.to_string();
            let again = statement(&printed).unwrap_or_else(|error| panic!("{printed}\n{}", show(&error)));
            assert_eq!(again, parsed, "{printed}");
            printed
        }
        Err(error) => show(&error),
    }
}

pub(super) fn show(error: &SqlError) -> String {
    let mut text = format!("error {}", error.state.0);
    if let Some(position) = error.position {
        write!(text, " at {position}").unwrap();
    }
    write!(text, ": {}", error.message).unwrap();
    if let Some(hint) = &error.hint {
        write!(text, "\nhint: {hint}").unwrap();
    }
    text
}
