//! What is done of each numbered statement of the references, and which tests prove it.
//!
//! `conformance/statements.txt` has one row for each, in the references' order:
//!
//! ```text
//! CS-1.1.1 same
//! CS-14.6 differs: a cluster time for each document
//! CS-1.7.4 not offered: time-series collections
//! CS-7.5 client: ends its iteration at id 0
//! CS-0.1 fact: words
//! SQL-9.3 same
//! E-19 same
//! ```
//!
//! A row that says `same` or `differs` is cited by its number in a test: in a text session, or in test code.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sources;

const ROWS: &str = "conformance/statements.txt";

/// The references, in the order of their rows.
static REFERENCES: &[Reference] = &[
    Reference { title: "Change streams", what: "behaviour reference", page: "reference/change-streams.md" },
    Reference { title: "SQL", what: "SQL reference", page: "reference/sql.md" },
];

/// A page below `docs/` whose statements have numbers.
struct Reference {
    title: &'static str,
    what: &'static str,
    page: &'static str,
}

/// What numbers begin with; `E-7` is an example of the SQL reference.
static PREFIXES: &[&str] = &["CS-", "E-", "SQL-"];

/// What a row can say, whether it needs a reason, and whether it needs a test.
// tidy: sorted by name
static STATES: &[State] = &[
    State { name: "client", has_reason: true, has_test: false },
    State { name: "differs", has_reason: true, has_test: true },
    State { name: "fact", has_reason: true, has_test: false },
    State { name: "not offered", has_reason: true, has_test: false },
    State { name: "same", has_reason: false, has_test: true },
];

struct State {
    name: &'static str,
    has_reason: bool,
    has_test: bool,
}

/// A numbered statement, and the heading that it stands under.
#[derive(Clone, Debug, PartialEq)]
struct Statement {
    number: String,
    chapter: String,
}

/// `CS-14.6 differs: a cluster time for each document`.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    number: String,
    state: String,
    reason: String,
}

/// Every row that is missing, wrong or unproved.
pub(crate) fn problems(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let numbers: Vec<String> =
        REFERENCES.iter().flat_map(|reference| reference.statements(root)).map(|statement| statement.number).collect();
    check(&numbers, &rows(root), &proofs(root, files))
}

/// The sections of the compatibility page.
pub(crate) fn sections(root: &Path) -> String {
    let files = sources::rust_files(root);
    let (rows, proofs) = (rows(root), proofs(root, &files));
    REFERENCES.iter().map(|reference| reference.section(root, &rows, &proofs)).collect()
}

impl Reference {
    fn section(&self, root: &Path, rows: &[Row], proofs: &BTreeMap<String, Vec<String>>) -> String {
        let Self { title, what, page } = self;
        let mut out = format!(
            "\n## {title}, statement by statement\n\n\
             What Millstream does of each numbered statement of the [{what}]({page}), and the tests that cite it:\n\
             text sessions by their name in `conformance/`, everything else by its path.\n"
        );
        let mut chapter = String::new();
        for statement in self.statements(root) {
            let Some(row) = rows.iter().find(|row| row.number == statement.number) else { continue };
            if statement.chapter != chapter {
                chapter = statement.chapter;
                // Writing to a string cannot fail.
                let _ = write!(out, "\n### {chapter}\n\n| statement | here | tests |\n|---|---|---|\n");
            }
            let what = if row.reason.is_empty() { row.state.clone() } else { format!("{}: {}", row.state, row.reason) };
            let tests = proofs.get(&row.number).map(|files| files.join(", ")).unwrap_or_default();
            let _ = writeln!(out, "| {} | {what} | {tests} |", row.number);
        }
        out
    }

    fn statements(&self, root: &Path) -> Vec<Statement> {
        let text = fs::read_to_string(root.join("docs").join(self.page)).unwrap_or_default();
        let mut chapter = "";
        let mut statements = Vec::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                chapter = title;
            } else if let Some(number) = statement(line) {
                statements.push(Statement { number: number.to_owned(), chapter: chapter.to_owned() });
            }
        }
        statements
    }
}

fn check(statements: &[String], rows: &[Row], proofs: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut problems = Vec::new();
    for row in rows {
        let Row { number, state, reason } = row;
        if !statements.contains(number) {
            problems.push(format!("{ROWS}: the reference has no statement {number}"));
        }
        let Some(known) = STATES.iter().find(|known| known.name == state) else {
            problems.push(format!("{ROWS}: {number} says `{state}`, which no row can"));
            continue;
        };
        if known.has_reason && reason.is_empty() {
            problems.push(format!("{ROWS}: {number} gives no reason"));
        }
        if known.has_test && !proofs.contains_key(number) {
            problems.push(format!("{ROWS}: no test cites {number}"));
        }
    }
    for number in statements {
        match rows.iter().filter(|row| row.number == *number).count() {
            0 => problems.push(format!("{ROWS}: no row for {number}")),
            1 => {}
            count => problems.push(format!("{ROWS}: {count} rows for {number}")),
        }
    }
    let numbers: Vec<&String> = rows.iter().map(|row| &row.number).collect();
    if problems.is_empty() && numbers.iter().copied().ne(statements) {
        problems.push(format!("{ROWS}: rows stand in another order than the references' statements"));
    }
    problems
}

/// The number that a line is about: at the start of a paragraph, of an item or of a table's row.
fn statement(line: &str) -> Option<&str> {
    if let Some(row) = line.strip_prefix("| CS-") {
        return line.get(2..2 + "CS-".len() + row.find(" |")?);
    }
    let item = match line.strip_prefix("- ") {
        Some(item) => item,
        None if line.starts_with(|c: char| c.is_ascii_digit()) => line.split_once(". ")?.1,
        None => line,
    };
    let number = item.strip_prefix("**")?.split(['*', ' ']).next()?;
    PREFIXES.iter().any(|prefix| number.starts_with(prefix)).then_some(number)
}

fn rows(root: &Path) -> Vec<Row> {
    let text = fs::read_to_string(root.join(ROWS)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let (number, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (state, reason) = rest.split_once(':').unwrap_or((rest, ""));
    Row { number: number.to_owned(), state: state.trim().to_owned(), reason: reason.trim().to_owned() }
}

/// The tests that cite each number, in the order of their names; sessions before programs.
fn proofs(root: &Path, files: &[PathBuf]) -> BTreeMap<String, Vec<String>> {
    let mut proofs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let sessions = sources::sessions(root).into_iter().map(|(path, text)| (name_of(&path), text));
    // This file's own tests name numbers and prove none.
    let programs = sources::tests(root, files).into_iter().filter(|(path, _)| !path.starts_with("xtask"));
    let programs = programs.map(|(path, text)| (format!("`{}`", path.display()), text));
    for (name, text) in sessions.chain(programs) {
        for number in citations(&text) {
            let names = proofs.entry(number).or_default();
            if !names.contains(&name) {
                names.push(name.clone());
            }
        }
    }
    proofs
}

/// Sessions of the engine are known by their names, everything else by its path.
fn name_of(session: &Path) -> String {
    match session.strip_prefix("conformance") {
        Ok(name) => name.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        Err(_) => format!("`{}`", session.display()),
    }
}

/// Every number in a text, each as a whole: a sentence's full stop is no part of it.
fn citations(text: &str) -> Vec<String> {
    let of_number = |c: char| c.is_ascii_digit() || c == '.';
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"-.".contains(c));
    let cited = words.filter_map(|word| {
        let prefix = PREFIXES.iter().find(|prefix| word.starts_with(**prefix))?;
        let number = word.get(prefix.len()..)?.split(|c| !of_number(c)).next()?.trim_end_matches('.');
        (!number.is_empty()).then(|| format!("{prefix}{number}"))
    });
    cited.collect()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn statements_begin_items_and_rows() {
        assert_eq!(statement("- **CS-1.2.3** Text with **CS-9.9**."), Some("CS-1.2.3"));
        assert_eq!(statement("12. **CS-14.12** `$push`"), Some("CS-14.12"));
        assert_eq!(statement("**SQL-9.3** *Alias visibility.* An"), Some("SQL-9.3"));
        assert_eq!(statement("**E-1 R1 (15, 10.5).** First"), Some("E-1"));
        assert_eq!(statement("| CS-13.4 | Every OP_MSG | all |"), Some("CS-13.4"));
        assert_eq!(statement("Text. See **CS-1.1**"), None);
        assert_eq!(statement("| `insert` | CS-2.8 |"), None);
    }

    #[test]
    fn citations_are_whole_numbers() {
        assert_eq!(citations("it ends (CS-1.2.3, CS-14.1). See CS-5.\n"), ["CS-1.2.3", "CS-14.1", "CS-5"]);
        assert_eq!(citations("(SQL-9.3, E-19): 1E-5 or THE-7"), ["SQL-9.3", "E-19"]);
    }

    fn found(rows: &[&str], cited: &[&str]) -> Vec<String> {
        let statements = ["CS-1.1", "CS-1.2"].map(str::to_owned);
        let rows: Vec<Row> = rows.iter().map(|line| row(line)).collect();
        let proofs = cited.iter().map(|number| ((*number).to_owned(), vec!["x".to_owned()])).collect();
        check(&statements, &rows, &proofs)
    }

    #[test]
    fn a_row_for_each_and_a_test_for_what_is_claimed() {
        assert!(found(&["CS-1.1 same", "CS-1.2 not offered: views"], &["CS-1.1"]).is_empty());
        assert_eq!(found(&["CS-1.1 same", "CS-1.2 fact: words"], &["CS-1.10"]).len(), 1);
        assert_eq!(found(&["CS-1.1 fact: words"], &[]).len(), 1);
        assert_eq!(found(&["CS-1.2 fact: words", "CS-1.1 fact: words"], &[]).len(), 1);
        assert_eq!(found(&["CS-1.1 fact: words", "CS-1.2 differs", "CS-1.3 sane"], &["CS-1.2"]).len(), 3);
    }
}
