//! Reads tokens one after the other, and has `sqlparser` read what it knows.

use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Word};

use super::dialect::Sql;
use super::{Name, Path};
use crate::expr::Step;
use crate::{Result, SqlError};

/// The parser counts queries and expressions apart; what it may do is bounded by `limits::depth` before.
const RECURSION_MAX: usize = 1_000;

/// The type that begins here.
pub(super) fn cast_type(tokens: Vec<TokenWithSpan>) -> Option<crate::Type> {
    let mut parser = Parser::new(&Sql).with_tokens_with_locations(tokens);
    parser.parse_data_type().ok().and_then(|kind| crate::Type::from_ast(&kind).ok())
}

/// The tokens of one statement.
pub(super) struct Reader {
    parser: Parser<'static>,
    /// Where the text ends, for errors.
    end: Location,
    /// How many statements its bodies have so far.
    pub(super) body_statements: usize,
}

impl Reader {
    pub(super) fn new(tokens: Vec<TokenWithSpan>) -> Self {
        let end = tokens.last().map_or(Location { line: 1, column: 1 }, |last| last.span.end);
        let parser = Parser::new(&Sql).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens);
        Self { parser, end, body_statements: 0 }
    }

    /// The token so many places ahead.
    pub(super) fn peek(&self, ahead: usize) -> &Token {
        &self.parser.peek_nth_token_ref(ahead).token
    }

    /// Where the next token is.
    pub(super) fn here(&self) -> Location {
        match self.parser.peek_token_ref() {
            TokenWithSpan { token: Token::EOF, .. } => self.end,
            token => token.span.start,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        *self.peek(0) == Token::EOF
    }

    /// The unquoted word so many places ahead.
    pub(super) fn word(&self, ahead: usize) -> Option<&str> {
        match self.peek(ahead) {
            Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    /// Whether these words come next: `"WITH NO DATA"`.
    pub(super) fn at(&self, words: &str) -> bool {
        words
            .split(' ')
            .enumerate()
            .all(|(ahead, expected)| self.word(ahead).is_some_and(|word| word.eq_ignore_ascii_case(expected)))
    }

    /// Takes these words if they come next.
    pub(super) fn take(&mut self, words: &str) -> bool {
        let found = self.at(words);
        if found {
            words.split(' ').for_each(|_| self.parser.advance_token());
        }
        found
    }

    /// Takes these words.
    pub(super) fn expect(&mut self, words: &str) -> Result<()> {
        for word in words.split(' ') {
            if !self.take(word) {
                return Err(self.unexpected(word));
            }
        }
        Ok(())
    }

    /// Takes this sign if it comes next.
    pub(super) fn take_sign(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Takes this sign.
    pub(super) fn expect_sign(&mut self, token: &Token) -> Result<()> {
        if self.take_sign(token) { Ok(()) } else { Err(self.unexpected(&format!("\"{token}\""))) }
    }

    /// Nothing must come any more.
    pub(super) fn expect_end(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }

    /// Skips one token.
    pub(super) fn skip(&mut self) {
        self.parser.advance_token();
    }

    /// A name, quoted or not.
    pub(super) fn identifier(&mut self, what: &str) -> Result<String> {
        match self.peek(0) {
            Token::Word(word) => {
                let name = word.value.clone();
                self.skip();
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// The name of a collection or an object.
    pub(super) fn name(&mut self, what: &str) -> Result<Name> {
        let at = self.here();
        let mut parts = vec![self.identifier(what)?];
        while self.take_sign(&Token::Period) {
            parts.push(self.identifier("a name after the dot")?);
        }
        let mut parts = parts.into_iter().rev();
        let name = Name { name: parts.next().unwrap_or_default(), database: parts.next(), connection: parts.next() };
        match parts.next() {
            None => Ok(name),
            Some(_) => {
                Err(SqlError::new("42601", "a name has three parts at most: connection.database.collection").at(at))
            }
        }
    }

    /// The path of something that is written, indexed or watched (SQL-3.4).
    pub(super) fn path(&mut self) -> Result<Path> {
        let column = self.identifier("a column")?;
        let mut steps = Vec::new();
        loop {
            if self.take_sign(&Token::Period) {
                steps.push(Step::Field(self.identifier("a name after the dot")?));
            } else if self.take_sign(&Token::LBracket) {
                steps.push(match self.peek(0) {
                    Token::SingleQuotedString(name) => Step::Field(name.clone()),
                    Token::Number(digits, _) => match digits.replace('_', "").parse() {
                        Ok(index) => Step::Index(index),
                        Err(_) => return Err(self.unexpected("a whole number")),
                    },
                    Token::Minus => {
                        let error =
                            SqlError::new("42601", "a path that is written counts from the beginning of an array");
                        return Err(error.at(self.here()));
                    }
                    _ => return Err(self.unexpected("a number or a quoted name")),
                });
                self.skip();
                self.expect_sign(&Token::RBracket)?;
            } else {
                return Ok(Path { column, steps });
            }
        }
    }

    /// A string.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        let text = match self.peek(0) {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text) => {
                text.clone()
            }
            Token::DollarQuotedString(text) => text.value.clone(),
            _ => return Err(self.unexpected(what)),
        };
        self.skip();
        Ok(text)
    }

    /// What a function reads, between commas.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take_sign(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// The same in parentheses.
    pub(super) fn parenthesised<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_sign(&Token::LParen)?;
        let items = self.list(item)?;
        self.expect_sign(&Token::RParen)?;
        Ok(items)
    }

    pub(super) fn expression(&mut self) -> Result<ast::Expr> {
        self.by_parser(Parser::parse_expr)
    }

    /// A query; one that writes is refused (SQL-9.11).
    pub(super) fn query(&mut self) -> Result<Box<ast::Query>> {
        let at = self.here();
        let begins = matches!(self.peek(0), Token::LParen)
            || ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| self.at(word));
        if !begins {
            return Err(self.unexpected("a query"));
        }
        let query = self.by_parser(Parser::parse_query)?;
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        if writes(&query.body) || tables.into_iter().any(|table| writes(&table.query.body)) {
            let error = SqlError::new("0A000", "statements that write are not supported together with WITH");
            return Err(error.hint("write subqueries into the statement instead").at(at));
        }
        Ok(query)
    }

    /// What follows the `SELECT` of a query that has been left out.
    pub(super) fn query_without_select(&mut self) -> Result<Box<ast::Query>> {
        let at = self.here();
        let select = Token::Word(Word { value: "SELECT".to_owned(), quote_style: None, keyword: Keyword::SELECT });
        let mut tokens = vec![TokenWithSpan { token: select, span: Span { start: at, end: at } }];
        while !matches!(self.peek(0), Token::SemiColon | Token::EOF) {
            tokens.push(self.parser.next_token());
        }
        let mut inner = Self::new(tokens);
        let query = inner.query()?;
        inner.expect_end()?;
        Ok(query)
    }

    /// A query in parentheses.
    pub(super) fn subquery(&mut self) -> Result<Box<ast::Query>> {
        self.expect_sign(&Token::LParen)?;
        let query = self.query()?;
        self.expect_sign(&Token::RParen)?;
        Ok(query)
    }

    pub(super) fn data_type(&mut self) -> Result<ast::DataType> {
        self.by_parser(Parser::parse_data_type)
    }

    /// `[name] type`, followed by a comma or the end of the list.
    pub(super) fn argument_type(&mut self) -> Result<ast::DataType> {
        self.by_parser(|parser| {
            // A type may be several words, so what is no type as a whole begins with a name.
            let alone = parser.maybe_parse(|parser| {
                let data_type = parser.parse_data_type()?;
                match parser.peek_token() {
                    next if matches!(next.token, Token::Comma | Token::EOF | Token::RParen) => Ok(data_type),
                    next => parser.expected("the end of a type", next),
                }
            })?;
            match alone {
                Some(data_type) => Ok(data_type),
                None => {
                    parser.parse_identifier()?;
                    parser.parse_data_type()
                }
            }
        })
    }

    pub(super) fn tables(&mut self) -> Result<Vec<ast::TableWithJoins>> {
        self.by_parser(|parser| parser.parse_comma_separated(Parser::parse_table_and_joins))
    }

    pub(super) fn select_items(&mut self) -> Result<Vec<ast::SelectItem>> {
        self.by_parser(|parser| parser.parse_comma_separated(Parser::parse_select_item))
    }

    fn by_parser<T>(
        &mut self,
        read: impl FnOnce(&mut Parser<'static>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        read(&mut self.parser).map_err(|error| self.adopt(error))
    }

    /// That something else was expected here.
    pub(super) fn unexpected(&self, expected: &str) -> SqlError {
        let found = match self.peek(0) {
            Token::EOF => "the end of the statement".to_owned(),
            token => format!("\"{token}\""),
        };
        SqlError::new("42601", format!("expected {expected}, found {found}")).at(self.here())
    }

    /// An error of the parser, in our words: the place is taken out of its text.
    fn adopt(&self, error: ParserError) -> SqlError {
        let text = match error {
            ParserError::RecursionLimitExceeded => {
                return SqlError::new("54001", "the statement is too deep").at(self.here());
            }
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
        };
        let (message, column) = match text.rsplit_once(" at Line: ") {
            Some((message, place)) => {
                (message, place.rsplit_once("Column: ").and_then(|(_, column)| column.parse().ok()))
            }
            None => (text.as_str(), None),
        };
        let at = column.map_or(self.end, |column| Location { line: 1, column });
        let message = match message.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ")) {
            Some((expected, "EOF")) => format!("expected {expected}, found the end of the statement"),
            Some((expected, found)) => format!("expected {expected}, found \"{found}\""),
            None => message.to_owned(),
        };
        SqlError::new("42601", message).at(at)
    }
}

fn writes(body: &ast::SetExpr) -> bool {
    matches!(body, ast::SetExpr::Insert(_) | ast::SetExpr::Update(_) | ast::SetExpr::Delete(_) | ast::SetExpr::Merge(_))
}
