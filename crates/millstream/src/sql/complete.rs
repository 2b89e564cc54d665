//! What the Tab key offers: words of the language, names of what is there, lines for the shell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_mill::{Outcome, Session, SessionOptions};
use millstream_sql::statement::{complete, quoted, statement};
use parking_lot::Mutex;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};
use tokio::runtime::Handle;

use super::meta;

/// Longer than this nobody waits for an offer.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The words of statements.
const WORDS: &[&str] = &[
    "ALL",
    "ALTER",
    "AND",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CALL",
    "CASE",
    "CASCADE",
    "CHANGES",
    "CHANGE_DETECTED",
    "CHANGE_TIMESTAMP",
    "CHANGE_TYPE",
    "CHANGED",
    "COALESCE",
    "COMMIT",
    "CONFLICT",
    "COUNT",
    "CREATE",
    "CURRENT_TIMESTAMP",
    "DATE_TRUNC",
    "DEAD",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DO",
    "DROP",
    "ELSE",
    "ELSIF",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FOR",
    "FROM",
    "FULL",
    "FUNCTION",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INDEX",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LATERAL",
    "LEFT",
    "LETTERS",
    "LIKE",
    "LIMIT",
    "LOOP",
    "MATERIALIZED",
    "NOT",
    "NOTHING",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "PAUSE",
    "PROCEDURE",
    "QUALIFY",
    "REFRESH",
    "RENAME",
    "REPLACE",
    "RESUME",
    "RETRY",
    "RETURNING",
    "RIGHT",
    "ROLLBACK",
    "ROWS",
    "SELECT",
    "SET",
    "SHOW",
    "SUBSCRIBE",
    "SUM",
    "TABLE",
    "TABLES",
    "THEN",
    "TRIGGER",
    "TRIGGERS",
    "TRUNCATE",
    "UNION",
    "UNIQUE",
    "UNNEST",
    "UPDATE",
    "USING",
    "VALUES",
    "VIEW",
    "VIEWS",
    "WAIT",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Names of what is in a database. They are asked for when they are wanted, by a session of their own: that of the person may
/// be in a transaction.
pub(super) struct Names {
    uri: String,
    database: String,
    session: Option<Session>,
    /// Tables, views and routines.
    names: Option<Vec<String>>,
    /// Fields of those that were asked for.
    fields: BTreeMap<String, Vec<String>>,
}

impl Names {
    pub(super) fn new(uri: &str) -> Self {
        Self { uri: uri.to_owned(), database: String::new(), session: None, names: None, fields: BTreeMap::new() }
    }

    /// Something was run, perhaps in another database: what is known may not be true any more.
    pub(super) fn forget(&mut self, database: &str) {
        if self.database != database {
            database.clone_into(&mut self.database);
            self.session = None;
        }
        self.names = None;
        self.fields.clear();
    }

    async fn column(&mut self, text: &str, column: &str) -> Option<Vec<String>> {
        if self.session.is_none() {
            let options = SessionOptions { database: Some(self.database.clone()) };
            self.session = Some(Session::connect(&self.uri, options).await.ok()?);
        }
        let answer = self.session.as_mut()?.run(&statement(text).ok()?).await.ok()?;
        let Outcome::Rows(rows) = answer.outcome else { return None };
        let rows = rows.all().await.ok()?;
        Some(rows.iter().filter_map(|row| row.get_str(column).ok().map(str::to_owned)).collect())
    }

    async fn names(&mut self) -> Vec<String> {
        if let Some(names) = &self.names {
            return names.clone();
        }
        let mut names = Vec::new();
        for list in ["TABLES", "VIEWS", "MATERIALIZED VIEWS", "FUNCTIONS", "PROCEDURES", "TRIGGERS"] {
            names.extend(self.column(&format!("SHOW {list}"), "name").await.unwrap_or_default());
        }
        names.sort();
        names.dedup();
        self.names = Some(names.clone());
        names
    }

    async fn fields(&mut self, table: &str) -> Vec<String> {
        if let Some(fields) = self.fields.get(table) {
            return fields.clone();
        }
        let fields = self.column(&format!("DESCRIBE {}", quoted(table)), "path").await.unwrap_or_default();
        self.fields.insert(table.to_owned(), fields.clone());
        fields
    }

    /// What there may be in a statement that names some tables.
    async fn offers(&mut self, text: &str) -> Vec<String> {
        let names = self.names().await;
        let mut offers = Vec::new();
        for word in text.split(|ch: char| !is_part(ch)) {
            if names.iter().any(|name| name == word) {
                // Deeper fields are offered once the person is at the dot.
                offers.extend(self.fields(word).await.into_iter().filter(|path| !path.contains('.')));
            }
        }
        offers.extend(names);
        offers
    }
}

/// Helps the line editor.
pub(super) struct Editing {
    names: Arc<Mutex<Names>>,
    runtime: Handle,
}

impl Editing {
    pub(super) fn new(names: Arc<Mutex<Names>>) -> Self {
        Self { names, runtime: Handle::current() }
    }
}

impl Completer for Editing {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..pos).unwrap_or_default();
        if before.starts_with('\\') && !before.contains(' ') {
            return Ok((
                0,
                meta::names().filter(|name| name.starts_with(before)).map(|name| pair(&name, &name)).collect(),
            ));
        }
        let start = before.char_indices().rev().take_while(|(_, ch)| is_part(*ch)).last().map_or(pos, |(at, _)| at);
        let word = before.get(start..).unwrap_or_default();
        let mut names = self.names.lock();
        let offers = self
            .runtime
            .block_on(async { tokio::time::timeout(WAIT_MAX, names.offers(line)).await.unwrap_or_default() });
        Ok((start, matching(word, &offers)))
    }
}

/// The offers that begin with a word, names before the words of the language.
fn matching(word: &str, names: &[String]) -> Vec<Pair> {
    let begins = |name: &str| name.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let mut pairs: Vec<Pair> = names.iter().filter(|name| begins(name)).map(|name| pair(name, &quoted(name))).collect();
    // Who writes keywords small goes on doing so.
    let small = word.chars().next().is_some_and(char::is_lowercase);
    let cased = |word: &&str| if small { word.to_lowercase() } else { (*word).to_owned() };
    pairs.extend(WORDS.iter().filter(|word| begins(word)).map(cased).map(|word| pair(&word, &word)));
    pairs.sort_by(|a, b| a.replacement.cmp(&b.replacement));
    pairs.dedup_by(|a, b| a.replacement == b.replacement);
    pairs
}

fn pair(shown: &str, put: &str) -> Pair {
    Pair { display: shown.to_owned(), replacement: put.to_owned() }
}

fn is_part(ch: char) -> bool {
    ch.is_alphanumeric() || ch == '_' || ch == '$'
}

impl Validator for Editing {
    /// Enter runs what is complete, and begins a new line elsewhere.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Whether a text can be run: a line for the shell, nothing at all, or whole statements.
fn is_complete(text: &str) -> bool {
    text.lines().next_back().is_some_and(|line| line.trim_start().starts_with('\\'))
        || complete(text).rest.trim().is_empty()
}

impl Helper for Editing {}
impl Highlighter for Editing {}
impl Hinter for Editing {
    type Hint = String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_runs_what_is_complete() {
        for text in ["", "\\d", "SELECT 1;", "SELECT 1; SELECT 2;", "SELECT 1\n\\q"] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["SELECT 1", "SELECT ';", "CREATE TRIGGER x ON t FOR INSERT AS BEGIN a := 1;"] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn names_and_words_are_offered() {
        let names = ["orders", "order items", "Other"].map(str::to_owned);
        let offered = |word: &str| matching(word, &names).into_iter().map(|pair| pair.replacement).collect::<Vec<_>>();
        assert_eq!(offered("ord"), ["\"order items\"", "order", "orders"]);
        assert_eq!(offered("OR"), ["\"order items\"", "OR", "ORDER", "orders"]);
        assert_eq!(offered("ot"), ["Other"]);
    }
}
