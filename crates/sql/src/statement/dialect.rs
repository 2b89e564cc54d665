//! The dialect: PostgreSQL's, without what only other engines have, and with `BETWEEN SYMMETRIC`.

use std::any::TypeId;

use sqlparser::ast::{Expr, UnaryOperator};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::disguise;

/// What is switched on is what the reference has; precedence is PostgreSQL's (SQL-2.5).
#[derive(Debug)]
pub(super) struct Sql;

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

impl Dialect for Sql {
    // The parser has branches of its own for PostgreSQL, beside those that are asked for below.
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('"')
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match parser.peek_token_ref().token {
            // Operators like all others, not comparisons.
            Token::Tilde | Token::TildeAsterisk | Token::ExclamationMarkTilde | Token::ExclamationMarkTildeAsterisk => {
                Some(Ok(self.prec_value(Precedence::PgOther)))
            }
            _ => POSTGRES.get_next_precedence(parser),
        }
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        POSTGRES.prec_value(prec)
    }

    /// The parser would take any word for a column, and signs to bind less than `^`.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let op = match &parser.peek_token_ref().token {
            Token::Word(word) if is_reserved(word.keyword) => {
                return Some(parser.expected_ref("an expression", parser.peek_token_ref()));
            }
            Token::AtSign | Token::Colon => {
                return Some(parser.expected_ref("an expression", parser.peek_token_ref()));
            }
            // Parameters have numbers (SQL-1.4).
            Token::Placeholder(name) if !name.trim_start_matches('$').bytes().all(|byte| byte.is_ascii_digit()) => {
                return Some(parser.expected_ref("a parameter such as $1", parser.peek_token_ref()));
            }
            Token::Minus => UnaryOperator::Minus,
            Token::Plus => UnaryOperator::Plus,
            _ => return None,
        };
        parser.advance_token();
        // Two minus signs would be printed as the beginning of a comment.
        let nest = op == UnaryOperator::Minus && parser.peek_token_ref().token == Token::Minus;
        let operand = parser.parse_subexpr(self.prec_value(Precedence::Caret));
        Some(operand.map(|operand| {
            let operand = if nest { Expr::Nested(Box::new(operand)) } else { operand };
            Expr::UnaryOp { op, expr: Box::new(operand) }
        }))
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        let ahead = parser.peek_tokens_ref::<3>().map(|token| keyword(&token.token));
        let (negated, symmetric) = match ahead {
            [Keyword::BETWEEN, Keyword::SYMMETRIC, _] => (false, true),
            [Keyword::BETWEEN, Keyword::ASYMMETRIC, _] => (false, false),
            [Keyword::NOT, Keyword::BETWEEN, Keyword::SYMMETRIC] => (true, true),
            [Keyword::NOT, Keyword::BETWEEN, Keyword::ASYMMETRIC] => (true, false),
            _ => return None,
        };
        for _ in 0..2 + usize::from(negated) {
            parser.advance_token();
        }
        let between = parser.parse_between(expr.clone(), negated);
        Some(between.map(|between| if symmetric { symmetrical(between) } else { between }))
    }

    fn is_column_alias(&self, kw: &Keyword, _parser: &mut Parser) -> bool {
        !ends_clause(*kw)
    }

    fn is_table_alias(&self, kw: &Keyword, _parser: &mut Parser) -> bool {
        !ends_clause(*kw)
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(kw)
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        false
    }

    fn supports_notnull_operator(&self) -> bool {
        true
    }

    // The operators `?`, `?|` and `?&` of documents hide behind this.
    fn supports_geometric_types(&self) -> bool {
        true
    }

    fn supports_interval_options(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn symmetrical(between: Expr) -> Expr {
    match between {
        Expr::Between { expr, negated: false, low, high } => disguise::between_symmetric(*expr, *low, *high),
        Expr::Between { expr, negated: true, low, high } => {
            let between = disguise::between_symmetric(*expr, *low, *high);
            Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(between) }
        }
        other => other,
    }
}

/// Words that go on with a statement, and so are nothing's alias unless `AS` says so.
fn ends_clause(word: Keyword) -> bool {
    matches!(
        word,
        Keyword::CROSS
            | Keyword::ELSE
            | Keyword::END
            | Keyword::EXCEPT
            | Keyword::FETCH
            | Keyword::FOR
            | Keyword::FROM
            | Keyword::FULL
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::INNER
            | Keyword::INTERSECT
            | Keyword::INTO
            | Keyword::JOIN
            | Keyword::LATERAL
            | Keyword::LEFT
            | Keyword::LIMIT
            | Keyword::NATURAL
            | Keyword::OFFSET
            | Keyword::ON
            | Keyword::OPEN // what `tokens` makes of LOOP
            | Keyword::ORDER
            | Keyword::OUTER
            | Keyword::QUALIFY
            | Keyword::RETURNING
            | Keyword::RIGHT
            | Keyword::SELECT
            | Keyword::SET
            | Keyword::TABLESAMPLE
            | Keyword::THEN
            | Keyword::UNION
            | Keyword::USING
            | Keyword::VALUES
            | Keyword::WHEN
            | Keyword::WHERE
            | Keyword::WINDOW
            | Keyword::WITH
    )
}

/// Words that begin no expression.
fn is_reserved(word: Keyword) -> bool {
    matches!(
        word,
        Keyword::AND
            | Keyword::AS
            | Keyword::ASC
            | Keyword::DESC
            | Keyword::ELSE
            | Keyword::END
            | Keyword::EXCEPT
            | Keyword::FETCH
            | Keyword::FOR
            | Keyword::FROM
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::IN
            | Keyword::INTERSECT
            | Keyword::INTO
            | Keyword::LIMIT
            | Keyword::OFFSET
            | Keyword::ON
            | Keyword::OR
            | Keyword::ORDER
            | Keyword::QUALIFY
            | Keyword::RETURNING
            | Keyword::SELECT
            | Keyword::THEN
            | Keyword::UNION
            | Keyword::USING
            | Keyword::WHEN
            | Keyword::WHERE
            | Keyword::WINDOW
            | Keyword::WITH
    )
}
