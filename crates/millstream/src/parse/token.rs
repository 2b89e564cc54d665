//! Resume tokens: the text of `_data`, the token as JSON, or a whole event as JSON.

use millstream_watch::Token;

/// A resume token; the error is a sentence for whoever typed it.
pub(crate) fn token(text: &str) -> Result<Token, String> {
    Token::parse(text).map_err(|error| error.to_string())
}
