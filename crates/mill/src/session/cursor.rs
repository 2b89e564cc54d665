//! Cursors: `DECLARE c CURSOR FOR …`, `FETCH`, `MOVE`, `CLOSE`.
//!
//! A cursor of a subscription is how clients that cannot take endless rows take them: `FETCH n` waits for n rows.

use bson::RawDocumentBuf;
use millstream_sql::SqlError;
use millstream_sql::plan::Column;
use millstream_sql::statement::{Rows as Number, Statement};

use super::Session;
use crate::answer::{Answer, Outcome, Rows};
use crate::error::Result;

/// Cursors of one session.
const CURSORS_MAX: usize = 100;
/// Rows of one FETCH of a subscription: they are held until all are there.
const FETCH_MAX: u64 = 100_000;

/// An open cursor.
pub(super) struct Cursor {
    rows: Rows,
    /// Whether its rows come as changes do.
    endless: bool,
    hold: bool,
    /// Those of a FETCH that was cancelled while it waited for more.
    back: Vec<RawDocumentBuf>,
}

impl Session {
    pub(super) async fn declare(&mut self, name: &str, hold: bool, query: &Statement) -> Result<Answer> {
        if self.cursors.contains_key(name) {
            return Err(SqlError::new("42P03", format!("cursor \"{name}\" already exists")));
        }
        if self.cursors.len() >= CURSORS_MAX {
            return Err(SqlError::new("54000", format!("a session has {CURSORS_MAX} cursors at most")));
        }
        if self.transaction.is_none() && !hold {
            return Err(SqlError::new("25P01", "DECLARE CURSOR can only be used in transaction blocks")
                .hint("write BEGIN before it, or WITH HOLD"));
        }
        let answer = match query {
            Statement::Query(query) => self.query(query).await?,
            Statement::Subscribe(subscribe) => self.subscribe(subscribe).await?,
            _ => return Err(SqlError::new("42601", "a cursor is for a query or a subscription")),
        };
        let (rows, endless) = match answer.outcome {
            Outcome::Rows(rows) => (rows, false),
            Outcome::Subscription(rows) => (rows, true),
            Outcome::Done { .. } => return Err(SqlError::new("42601", "a cursor is for what has rows")),
        };
        self.cursors.insert(name.to_owned(), Cursor { rows, endless, hold, back: Vec::new() });
        Ok(Answer::done("DECLARE CURSOR", answer.notices))
    }

    pub(super) async fn fetch(&mut self, name: &str, number: Number, skip: bool) -> Result<Answer> {
        let cursor = self.cursors.get_mut(name).ok_or_else(|| no_cursor(name))?;
        let most = match number {
            Number::Some(most) if !cursor.endless || most <= FETCH_MAX => most,
            Number::All if !cursor.endless => u64::MAX,
            Number::Some(_) => {
                return Err(SqlError::new("54000", format!("FETCH takes {FETCH_MAX} rows of changes at most")));
            }
            Number::All => {
                return Err(SqlError::new("0A000", "changes have no end: FETCH ALL would wait for ever")
                    .hint("say how many rows to wait for"));
            }
        };
        // They stay the cursor's until all are there: nothing is lost if this is cancelled meanwhile.
        while u64::try_from(cursor.back.len()).is_ok_and(|there| there < most) {
            match cursor.rows.next().await? {
                Some(row) => cursor.back.push(row),
                None => break,
            }
        }
        let rest = usize::try_from(most).map_or(Vec::new(), |most| cursor.back.split_off(most.min(cursor.back.len())));
        let rows = std::mem::replace(&mut cursor.back, rest);
        if skip {
            return Ok(Answer::done(format!("MOVE {}", rows.len()), Vec::new()));
        }
        Ok(Answer::rows(cursor.rows.columns.clone(), rows, Vec::new()))
    }

    pub(super) fn close(&mut self, name: Option<&str>) -> Result<Answer> {
        match name {
            None => self.cursors.clear(),
            Some(name) => drop(self.cursors.remove(name).ok_or_else(|| no_cursor(name))?),
        }
        Ok(Answer::done("CLOSE CURSOR", Vec::new()))
    }

    /// The cursors of a transaction end with it, those of one that has failed all of them.
    pub(super) fn close_cursors(&mut self) {
        self.cursors.retain(|_, cursor| cursor.hold);
    }

    /// The columns of a cursor's rows.
    pub(super) fn cursor_columns(&self, name: &str) -> Result<Vec<Column>> {
        self.cursors.get(name).map(|cursor| cursor.rows.columns.clone()).ok_or_else(|| no_cursor(name))
    }
}

fn no_cursor(name: &str) -> SqlError {
    SqlError::new("34000", format!("cursor \"{name}\" does not exist"))
}
