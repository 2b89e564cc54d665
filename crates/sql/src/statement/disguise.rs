//! What `sqlparser` has no place for, put where it has one.
//!
//! - The frame's `EXCLUDE …` becomes part of the window's base name: `(ORDER BY x ROWS … EXCLUDE TIES)` is read as
//!   `("!exclude ties" ORDER BY x ROWS …)`, `(w ROWS … EXCLUDE TIES)` as `("!exclude ties:w" ROWS …)`.
//! - `TABLE t` becomes `SELECT * FROM t`: the library reads it without what stands behind.
//! - `x BETWEEN SYMMETRIC a AND b` becomes the call `"!between_symmetric"(x, a, b)`.
//!
//! [`reveal`] turns the text of a tree back.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// The function that stands for `x BETWEEN SYMMETRIC a AND b`; its arguments are x, a, b.
pub const BETWEEN_SYMMETRIC: &str = "!between_symmetric";

const EXCLUDE: &str = "!exclude ";

/// What a frame leaves out (SQL-8.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exclusion {
    /// `EXCLUDE CURRENT ROW`.
    CurrentRow,
    /// `EXCLUDE GROUP`: the current row and its peers.
    Group,
    /// `EXCLUDE NO OTHERS`.
    #[default]
    NoOthers,
    /// `EXCLUDE TIES`: the current row's peers.
    Ties,
}

impl Exclusion {
    fn words(self) -> &'static str {
        match self {
            Self::CurrentRow => "current row",
            Self::Group => "group",
            Self::NoOthers => "no others",
            Self::Ties => "ties",
        }
    }
}

/// What the frame of a window leaves out, and the window's real base name, of `WindowSpec::window_name`.
pub fn exclusion(window_name: Option<&Ident>) -> (Exclusion, Option<Ident>) {
    let Some(ident) = window_name else {
        return (Exclusion::NoOthers, None);
    };
    let Some(rest) = ident.value.strip_prefix(EXCLUDE) else {
        return (Exclusion::NoOthers, Some(ident.clone()));
    };
    let (words, base) = rest.split_once(':').map_or((rest, None), |(words, base)| (words, Some(base)));
    let base = base.map(|base| Ident { value: base.to_owned(), ..ident.clone() });
    for exclusion in [Exclusion::CurrentRow, Exclusion::Group, Exclusion::Ties] {
        if words == exclusion.words() {
            return (exclusion, base);
        }
    }
    (Exclusion::NoOthers, base)
}

pub(super) fn between_symmetric(value: Expr, low: Expr, high: Expr) -> Expr {
    let args = [value, low, high].map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).into();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_quote('"', BETWEEN_SYMMETRIC)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Writes `SELECT * FROM t` for every `TABLE t` that is a query.
pub(super) fn tables(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let plain = |word: &str, keyword| Token::Word(Word { value: word.to_owned(), quote_style: None, keyword });
    let mut done: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let is_table = keyword(&token.token) == Keyword::TABLE
            && done.last().is_none_or(|before| begins_query(&before.token))
            && rest.peek().is_some_and(|next| matches!(next.token, Token::Word(_)));
        if is_table {
            let select = [plain("SELECT", Keyword::SELECT), Token::Mul, plain("FROM", Keyword::FROM)];
            done.extend(select.map(|part| TokenWithSpan { token: part, span: token.span }));
        } else {
            done.push(token);
        }
    }
    done
}

/// Whether a query may stand behind a token.
fn begins_query(before: &Token) -> bool {
    use Keyword as K;
    let words = [K::ALL, K::AS, K::DISTINCT, K::EXCEPT, K::EXPLAIN, K::INTERSECT, K::UNION];
    matches!(before, Token::LParen | Token::RParen | Token::SemiColon) || words.contains(&keyword(before))
}

/// Moves every `EXCLUDE …` that ends a frame into its window's base name.
pub(super) fn frames(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| keyword(&token.token) == Keyword::EXCLUDE) {
        return tokens;
    }
    let mut done: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 1);
    // Of each open parenthesis: where it is in `done`, if it opens a window; and whether a frame has begun in it.
    let mut open: Vec<(Option<usize>, bool)> = Vec::new();
    let mut rest = tokens.as_slice();
    while let Some((token, behind)) = rest.split_first() {
        rest = behind;
        match &token.token {
            Token::LParen => {
                let window =
                    done.last().is_some_and(|before| matches!(keyword(&before.token), Keyword::OVER | Keyword::AS));
                open.push((window.then_some(done.len()), false));
            }
            Token::RParen => {
                open.pop();
            }
            Token::Word(word) => match (word.keyword, open.last_mut()) {
                (Keyword::ROWS | Keyword::RANGE | Keyword::GROUPS, Some((_, frame))) => *frame = true,
                (Keyword::EXCLUDE, Some((Some(start), true))) => {
                    if let Some((exclusion, len)) = excluded(rest) {
                        rest = rest.get(len..).unwrap_or_default();
                        name(&mut done, *start, exclusion, token);
                        continue;
                    }
                }
                _ => {}
            },
            _ => {}
        }
        done.push(token.clone());
    }
    done
}

/// What stands behind `EXCLUDE` up to the parenthesis, and how many words it has.
fn excluded(rest: &[TokenWithSpan]) -> Option<(Exclusion, usize)> {
    let words: Vec<&str> = rest.iter().map_while(|token| word(&token.token)).take(3).collect();
    let is = |expected: &[&str]| {
        words.len() == expected.len()
            && words.iter().zip(expected).all(|(word, expected)| word.eq_ignore_ascii_case(expected))
    };
    let found = if is(&["CURRENT", "ROW"]) {
        Exclusion::CurrentRow
    } else if is(&["GROUP"]) {
        Exclusion::Group
    } else if is(&["TIES"]) {
        Exclusion::Ties
    } else if is(&["NO", "OTHERS"]) {
        Exclusion::NoOthers
    } else {
        return None;
    };
    matches!(rest.get(words.len()).map(|token| &token.token), Some(Token::RParen)).then_some((found, words.len()))
}

/// Gives the window that begins at a parenthesis its name.
fn name(done: &mut Vec<TokenWithSpan>, start: usize, exclusion: Exclusion, at: &TokenWithSpan) {
    if exclusion == Exclusion::NoOthers {
        return;
    }
    let mut value = format!("{EXCLUDE}{}", exclusion.words());
    let disguised = |value| Token::Word(Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword });
    match done.get_mut(start + 1) {
        Some(TokenWithSpan { token: token @ Token::Word(Word { keyword: Keyword::NoKeyword, .. }), .. }) => {
            if let Token::Word(base) = &*token {
                value = format!("{value}:{}", base.value);
            }
            *token = disguised(value);
        }
        _ => done.insert(start + 1, TokenWithSpan { token: disguised(value), span: at.span }),
    }
}

/// The text of a tree without disguises.
pub(super) fn reveal(text: String) -> String {
    if !text.contains("\"!") {
        return text;
    }
    let Ok(tokens) = super::tokens::raw(&text) else {
        return text;
    };
    let mut out = String::with_capacity(text.len());
    reveal_into(&tokens, &mut out);
    out
}

/// Writes tokens, and of each that is a disguise what it stands for.
fn reveal_into(tokens: &[Token], out: &mut String) {
    let mut rest = tokens;
    while let Some((token, behind)) = rest.split_first() {
        rest = behind;
        match token {
            Token::LParen => {
                let inside = closed(rest);
                let (body, after) = rest.split_at_checked(inside).unwrap_or((rest, &[]));
                out.push('(');
                reveal_window(body, out);
                rest = after;
            }
            Token::Word(word) if word.value == BETWEEN_SYMMETRIC && word.quote_style.is_some() => {
                let Some((Token::LParen, inside)) = rest.split_first() else {
                    continue;
                };
                let (body, after) = inside.split_at_checked(closed(inside)).unwrap_or((inside, &[]));
                let mut arguments = split(body).into_iter();
                for between in ["", " BETWEEN SYMMETRIC ", " AND "] {
                    out.push_str(between);
                    reveal_into(trim(arguments.next().unwrap_or_default()), out);
                }
                rest = after.get(1..).unwrap_or_default();
            }
            other => out.push_str(&other.to_string()),
        }
    }
}

/// Writes what is inside of parentheses, which may be a window with a name of ours.
fn reveal_window(body: &[Token], out: &mut String) {
    let Some((Token::Word(word), behind)) = body.split_first() else {
        return reveal_into(body, out);
    };
    if word.quote_style.is_none() || !word.value.starts_with(EXCLUDE) {
        return reveal_into(body, out);
    }
    let (exclusion, base) = exclusion(Some(&Ident::with_quote('"', word.value.clone())));
    match base {
        Some(base) => {
            out.push_str(&super::print::ident(&base.value));
            reveal_into(behind, out);
        }
        None => reveal_into(trim(behind), out),
    }
    out.push_str(" EXCLUDE ");
    out.push_str(&exclusion.words().to_ascii_uppercase());
}

/// How many tokens stand before the parenthesis that closes.
fn closed(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return index,
            Token::RParen => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Arguments between commas.
fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_i32;
    tokens
        .split(|token| {
            match token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth -= 1,
                _ => {}
            }
            depth == 0 && *token == Token::Comma
        })
        .collect()
}

fn trim(mut tokens: &[Token]) -> &[Token] {
    while let Some((Token::Whitespace(_), rest)) = tokens.split_first() {
        tokens = rest;
    }
    tokens
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn word(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}
