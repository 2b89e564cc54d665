//! From text to tokens (SQL-2): without blanks and comments, with the character where each is, and with only those words as
//! keywords that mean something here.

use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError, Word};

use super::dialect::Sql;
use super::{disguise, limits};
use crate::{Result, SqlError};

/// The tokens of a text, and what ends them before their time.
pub(super) struct Tokens {
    pub(super) tokens: Vec<TokenWithSpan>,
    pub(super) error: Option<SqlError>,
}

/// Takes a text apart. `offset` characters stand before it.
pub(super) fn tokens(text: &str, offset: usize) -> Result<Tokens> {
    limits::text(text)?;
    let mut tokens = Vec::new();
    let failed = Tokenizer::new(&Sql, text).tokenize_with_location_into_buf(&mut tokens).err();
    let lines = lines(text, offset);
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    for token in &mut tokens {
        token.span = Span { start: on_one_line(&lines, token.span.start), end: on_one_line(&lines, token.span.end) };
    }
    let error = failed.map(|error| lexical(&error).at(on_one_line(&lines, error.location)));
    limits::names(&tokens)?;
    words(&mut tokens);
    Ok(Tokens { tokens: disguise::frames(disguise::tables(tokens)), error })
}

/// The tokens of a printed tree, blanks too.
pub(super) fn raw(text: &str) -> std::result::Result<Vec<Token>, TokenizerError> {
    Tokenizer::new(&Sql, text).tokenize()
}

/// Whether a text ends inside of a string, a quoted name or a comment.
pub(super) fn is_open(error: &TokenizerError) -> bool {
    let message = &error.message;
    message.starts_with("Unterminated") || message.starts_with("Unexpected EOF") || message.contains("before EOF")
}

fn lexical(error: &TokenizerError) -> SqlError {
    let message = match error.message.as_str() {
        message if is_open(error) && message.contains("comment") => "a comment is not closed".to_owned(),
        message if is_open(error) && message.contains("dollar") => "a dollar-quoted string is not closed".to_owned(),
        message if message.contains("string") && is_open(error) => "a string is not closed".to_owned(),
        _ if is_open(error) => "a quoted name is not closed".to_owned(),
        message => {
            let mut chars = message.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
    };
    SqlError::new("42601", message)
}

/// How many characters stand before each line.
fn lines(text: &str, offset: usize) -> Vec<usize> {
    let mut starts = vec![offset];
    starts.extend(text.chars().enumerate().filter(|(_, ch)| *ch == '\n').map(|(index, _)| offset + index + 1));
    starts
}

fn on_one_line(lines: &[usize], location: Location) -> Location {
    let before = usize::try_from(location.line.saturating_sub(1)).ok().and_then(|line| lines.get(line)).copied();
    Location { line: 1, column: location.column + u64::try_from(before.unwrap_or_default()).unwrap_or_default() }
}

/// After a dot any word is a name (SQL-2.4); elsewhere, what is a keyword of other engines only is one too.
fn words(tokens: &mut [TokenWithSpan]) {
    let mut after_dot = false;
    // `OPERATOR(pg_catalog.~)`; elsewhere the word is a name.
    let is_operator = |rest: &[TokenWithSpan]| match rest {
        [open, schema, dot, ..] => {
            open.token == Token::LParen && matches!(schema.token, Token::Word(_)) && dot.token == Token::Period
        }
        _ => false,
    };
    let operators: Vec<bool> =
        (0..tokens.len()).map(|at| is_operator(tokens.get(at + 1..).unwrap_or_default())).collect();
    for (token, is_operator) in tokens.iter_mut().zip(operators) {
        if let Token::Word(word) = &mut token.token {
            if word.keyword == Keyword::OPERATOR && is_operator && !after_dot {
                continue;
            }
            if after_dot || word.quote_style.is_some() {
                word.keyword = Keyword::NoKeyword;
            } else if is(word, "LOOP") {
                // The parser has no such keyword, but must not take it for an alias: `FOR r IN SELECT … FROM t LOOP`.
                word.keyword = Keyword::OPEN;
            } else if !is_known(word.keyword) {
                word.keyword = Keyword::NoKeyword;
            }
        }
        after_dot = token.token == Token::Period;
    }
}

/// Whether a name reads as itself without quotes.
pub(super) fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    if !chars.next().is_some_and(|first| Sql.is_identifier_start(first)) || !chars.all(|ch| Sql.is_identifier_part(ch))
    {
        return false;
    }
    match Token::make_keyword(name) {
        Token::Word(word) => !is_known(word.keyword) || is_type_or_unit(word.keyword),
        _ => false,
    }
}

fn is(word: &Word, text: &str) -> bool {
    word.value.eq_ignore_ascii_case(text)
}

fn is_known(keyword: Keyword) -> bool {
    use Keyword as K;
    let query = matches!(
        keyword,
        K::ALL
            | K::AND
            | K::ANY
            | K::ARRAY
            | K::AS
            | K::ASC
            | K::ASYMMETRIC
            | K::AT
            | K::BETWEEN
            | K::BOTH
            | K::BY
            | K::CASE
            | K::CAST
            | K::CEIL
            | K::COLLATE
            | K::CROSS
            | K::CUBE
            | K::CURRENT
            | K::CURRENT_DATE
            | K::CURRENT_TIME
            | K::CURRENT_TIMESTAMP
            | K::DESC
            | K::DISTINCT
            | K::ELSE
            | K::END
            | K::ESCAPE
            | K::EXCEPT
            | K::EXCLUDE
            | K::EXISTS
            | K::EXTRACT
            | K::FALSE
            | K::FETCH
            | K::FILTER
            | K::FIRST
            | K::FLOOR
            | K::FOLLOWING
            | K::FOR
            | K::FROM
            | K::FULL
            | K::GROUP
            | K::GROUPING
            | K::GROUPS
            | K::HAVING
            | K::IGNORE
            | K::ILIKE
            | K::IN
            | K::INNER
            | K::INTERSECT
            | K::INTO
            | K::IS
            | K::JOIN
            | K::LAST
            | K::LATERAL
            | K::LEADING
            | K::LEFT
            | K::LIKE
            | K::LIMIT
            | K::LOCALTIME
            | K::LOCALTIMESTAMP
            | K::MATERIALIZED
            | K::NATURAL
            | K::NEXT
            | K::NOT
            | K::NOTNULL
            | K::NULL
            | K::NULLS
            | K::OFFSET
            | K::ON
            | K::ONLY
            | K::OR
            | K::ORDER
            | K::ORDINALITY
            | K::OUTER
            | K::OVER
            | K::OVERLAPS
            | K::OVERLAY
            | K::PARTITION
            | K::PERCENT
            | K::PLACING
            | K::POSITION
            | K::PRECEDING
            | K::QUALIFY
            | K::RANGE
            | K::RECURSIVE
            | K::RESPECT
            | K::RETURNING
            | K::RIGHT
            | K::ROLLUP
            | K::ROW
            | K::ROWS
            | K::SELECT
            | K::SETS
            | K::SIMILAR
            | K::SOME
            | K::SUBSTR
            | K::SUBSTRING
            | K::SYMMETRIC
            | K::TABLE
            | K::TABLESAMPLE
            | K::THEN
            | K::TIES
            | K::TO
            | K::TRAILING
            | K::TRIM
            | K::TRUE
            | K::TRY_CAST
            | K::UNBOUNDED
            | K::UNION
            | K::UNKNOWN
            | K::UNNEST
            | K::USING
            | K::VALUES
            | K::WHEN
            | K::WHERE
            | K::WINDOW
            | K::WITH
            | K::WITHIN
    );
    query || is_type_or_unit(keyword) || is_statement(keyword)
}

/// Words that begin or divide statements; the parser must not take the last ones for an alias.
fn is_statement(keyword: Keyword) -> bool {
    use Keyword as K;
    matches!(
        keyword,
        K::BEGIN | K::CREATE | K::DECLARE | K::DELETE | K::IF | K::INSERT | K::MERGE | K::SET | K::SHARE | K::UPDATE
    )
}

fn is_type_or_unit(keyword: Keyword) -> bool {
    use Keyword as K;
    matches!(
        keyword,
        K::BIGINT
            | K::BOOL
            | K::BOOLEAN
            | K::BYTEA
            | K::CENTURY
            | K::CHAR
            | K::CHARACTER
            | K::DATE
            | K::DAY
            | K::DAYS
            | K::DEC
            | K::DECADE
            | K::DECIMAL
            | K::DOUBLE
            | K::DOW
            | K::DOY
            | K::EPOCH
            | K::FLOAT
            | K::FLOAT4
            | K::FLOAT8
            | K::HOUR
            | K::HOURS
            | K::INT
            | K::INT2
            | K::INT4
            | K::INT8
            | K::INTEGER
            | K::INTERVAL
            | K::ISODOW
            | K::ISOYEAR
            | K::JSON
            | K::JSONB
            | K::MICROSECONDS
            | K::MILLISECONDS
            | K::MINUTE
            | K::MINUTES
            | K::MONTH
            | K::MONTHS
            | K::NUMERIC
            | K::PRECISION
            | K::QUARTER
            | K::REAL
            | K::SECOND
            | K::SECONDS
            | K::SMALLINT
            | K::TEXT
            | K::TIME
            | K::TIMESTAMP
            | K::TIMESTAMPTZ
            | K::TIMETZ
            | K::TIMEZONE
            | K::UUID
            | K::VARCHAR
            | K::VARYING
            | K::WEEK
            | K::WEEKS
            | K::WITHOUT
            | K::YEAR
            | K::YEARS
            | K::ZONE
    )
}
