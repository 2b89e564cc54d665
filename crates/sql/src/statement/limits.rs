//! What a text may not exceed (SQL-2.4, SQL-22.1).

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::{Result, SqlError};

const TEXT_BYTES_MAX: usize = 1 << 20;
const NAME_BYTES_MAX: usize = 255;
const DEPTH_MAX: usize = 200;
/// So many statements a body may have, those inside of others included.
pub(super) const BODY_STATEMENTS_MAX: usize = 256;

pub(super) fn text(text: &str) -> Result<()> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(SqlError::new(
            "54000",
            format!("a text of {} bytes; at most {TEXT_BYTES_MAX} are read", text.len()),
        ));
    }
    Ok(())
}

pub(super) fn names(tokens: &[TokenWithSpan]) -> Result<()> {
    for token in tokens {
        let len = match &token.token {
            Token::Word(word) => word.value.len(),
            _ => 0,
        };
        if len > NAME_BYTES_MAX {
            let message = format!("a name of {len} bytes; at most {NAME_BYTES_MAX} are allowed");
            return Err(SqlError::new("42622", message).at(token.span.start));
        }
    }
    Ok(())
}

/// How deep the tree of these tokens is, within a factor of two: parentheses count, and in chains such as `a + b + c` each
/// operator does, `AND` and `OR` too. So whoever walks over a tree knows that it ends before the stack does.
pub(super) fn depth(tokens: &[TokenWithSpan]) -> Result<usize> {
    let mut open = vec![Level::default()];
    let mut deepest = 0;
    let mut sets = 0;
    for token in tokens {
        let Some(level) = open.last_mut() else {
            break;
        };
        match &token.token {
            Token::LParen | Token::LBracket => open.push(Level::default()),
            Token::RParen | Token::RBracket => close(&mut open),
            Token::Comma | Token::SemiColon => level.next(),
            Token::Word(word) => match word.keyword {
                Keyword::CASE => open.push(Level::default()),
                Keyword::END => close(&mut open),
                Keyword::NOT
                | Keyword::AND
                | Keyword::OR
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT => level.now += 1,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
                    sets += 1;
                    level.next();
                }
                Keyword::SELECT
                | Keyword::FROM
                | Keyword::WHERE
                | Keyword::GROUP
                | Keyword::HAVING
                | Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::JOIN
                | Keyword::ON
                | Keyword::SET
                | Keyword::QUALIFY
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE => level.next(),
                _ => {}
            },
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period => {}
            _ => level.now += 1,
        }
        let now = open.iter().map(Level::depth).max().unwrap_or_default() + open.len();
        deepest = deepest.max(now).max(sets);
        if deepest > DEPTH_MAX {
            let error =
                SqlError::new("54001", format!("a statement may be {DEPTH_MAX} expressions deep, this one is deeper"));
            return Err(error.at(token.span.start).hint("use IN for long chains of OR"));
        }
    }
    Ok(deepest)
}

/// What stands between two parentheses: the expression that is being read, and the deepest of those before it.
#[derive(Default)]
struct Level {
    now: usize,
    before: usize,
}

impl Level {
    fn next(&mut self) {
        self.before = self.depth();
        self.now = 0;
    }

    fn depth(&self) -> usize {
        self.now.max(self.before)
    }
}

fn close(open: &mut Vec<Level>) {
    if open.len() < 2 {
        return;
    }
    let closed = open.pop().unwrap_or_default();
    if let Some(level) = open.last_mut() {
        level.now = level.now.max(closed.depth() + 1);
    }
}
