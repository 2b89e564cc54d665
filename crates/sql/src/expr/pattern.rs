//! Regular expressions: leftmost-first, in linear time (SQL-5.5).

use std::cell::RefCell;

use millstream_flow::RowError;
use regex::{Regex, RegexBuilder};

/// Patterns that come from the data and are kept compiled, for each thread.
const CACHED_MAX: usize = 64;

/// Compiles a pattern. Flags: `i` ignores case, `n` and `m` let `.` stop at line ends and `^ $` stand at them, `x` ignores
/// blanks, `c` and `s` are the defaults, `g` is the caller's.
pub(crate) fn build(pattern: &str, flags: &str) -> Result<Regex, RowError> {
    let mut builder = RegexBuilder::new(pattern);
    builder.dot_matches_new_line(true);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'c' => builder.case_insensitive(false),
            'n' | 'm' => builder.dot_matches_new_line(false).multi_line(true),
            's' => builder.dot_matches_new_line(true).multi_line(false),
            'p' => builder.dot_matches_new_line(false),
            'w' => builder.multi_line(true),
            'x' => builder.ignore_whitespace(true),
            'g' => &mut builder,
            other => {
                return Err(RowError::new("22023", format!("there is no flag \"{other}\" of a regular expression")));
            }
        };
    }
    builder.build().map_err(|error| {
        let why = match &error {
            regex::Error::Syntax(text) => {
                text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
            other => other.to_string(),
        };
        RowError::new("2201B", format!("invalid regular expression: {why}"))
    })
}

thread_local! {
    static CACHE: RefCell<Vec<(String, String, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// As [`build`], but the last ones of this thread are kept. Cloning a compiled pattern is cheap.
pub(crate) fn cached(pattern: &str, flags: &str) -> Result<Regex, RowError> {
    let known = CACHE.with_borrow(|cache| {
        cache.iter().find(|(text, with, _)| text == pattern && with == flags).map(|(.., regex)| regex.clone())
    });
    if let Some(regex) = known {
        return Ok(regex);
    }
    let regex = build(pattern, flags)?;
    CACHE.with_borrow_mut(|cache| {
        if cache.len() == CACHED_MAX {
            cache.remove(0);
        }
        cache.push((pattern.to_owned(), flags.to_owned(), regex.clone()));
    });
    Ok(regex)
}
