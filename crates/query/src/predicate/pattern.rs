//! Regular expressions as PCRE reads them, run by engines that do not backtrack where possible.
//!
//! Patterns are translated to the `regex` crate's syntax (`translate`); what only PCRE has (look-around, references
//! back, atomic groups) runs on `fancy-regex` with a limit on its steps.

mod translate;

use millstream_value::{Element, Value, kind};

use crate::{Error, Result};

/// Bytes that one compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// Bytes that a pattern may have (MongoDB's limit).
const PATTERN_BYTES_MAX: usize = 32_764;

/// Nesting of groups in a pattern, so that no engine's recursion runs out of stack.
const NESTING_MAX: u32 = 200;

/// Steps that a pattern with look-around or references back may take in one text.
const STEPS_MAX: usize = 1_000_000;

/// A compiled regular expression and what it was made from.
pub(crate) struct Pattern {
    source: String,
    options: String,
    engine: Engine,
    prefix: Option<String>,
}

enum Engine {
    Linear(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

impl Pattern {
    /// Compiles `source` with `options` out of `imsxu`.
    ///
    /// # Errors
    /// 51091 if it is not valid or too large, 51108 for an unknown option.
    pub(crate) fn new(source: &str, options: &str) -> Result<Self> {
        let mut sorted: Vec<char> = options.chars().collect();
        sorted.sort_unstable();
        sorted.dedup();
        if let Some(unknown) = sorted.iter().find(|c| !matches!(c, 'i' | 'm' | 's' | 'u' | 'x')) {
            return Err(Error::location(51108, format!(" invalid flag in regex options: {unknown}")));
        }
        if source.len() > PATTERN_BYTES_MAX {
            return Err(invalid("regular expression is too large"));
        }
        let flags = translate::Flags { multi_line: sorted.contains(&'m'), extended: sorted.contains(&'x') };
        let translated = translate::translate(source, flags);
        let set: String = sorted.iter().filter(|c| matches!(c, 'i' | 'm' | 's' | 'x')).collect();
        let text = if set.is_empty() { translated.text } else { format!("(?{set}){}", translated.text) };
        let engine = if translated.backtracks {
            backtracking(&text)?
        } else {
            linear(&text).or_else(|_| backtracking(&text))?
        };
        let prefix = set.is_empty().then(|| translate::prefix(source)).flatten();
        Ok(Self { source: source.to_owned(), options: options.to_owned(), engine, prefix })
    }

    /// Whether it is found in `text`. A pattern that runs out of steps is not.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(text),
            Engine::Backtracking(regex) => regex.is_match(text).unwrap_or(false),
        }
    }

    /// Whether a value passes: a text in which it is found, or the same regular expression.
    pub(crate) fn matches_element(&self, element: Element<'_>) -> bool {
        if !matches!(element.kind(), kind::STRING | kind::SYMBOL | kind::REGEX) {
            return false;
        }
        match element.value() {
            Value::String(text) | Value::Symbol(text) => self.is_match(&text),
            Value::Regex(source, options) => source == self.source && options == self.options,
            _ => false,
        }
    }

    /// The text that everything it matches starts with, if it is anchored to one.
    pub(crate) fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }
}

fn linear(text: &str) -> Result<Engine> {
    regex::RegexBuilder::new(text)
        .size_limit(COMPILED_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build()
        .map(Engine::Linear)
        .map_err(|error| invalid(&error.to_string()))
}

fn backtracking(text: &str) -> Result<Engine> {
    if nesting(text) > NESTING_MAX {
        return Err(invalid("parentheses are too deeply nested"));
    }
    fancy_regex::RegexBuilder::new(text)
        .backtrack_limit(STEPS_MAX)
        .delegate_size_limit(COMPILED_BYTES_MAX)
        .build()
        .map(|regex| Engine::Backtracking(Box::new(regex)))
        .map_err(|error| invalid(&error.to_string()))
}

fn nesting(text: &str) -> u32 {
    let (mut depth, mut deepest) = (0_u32, 0_u32);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn invalid(reason: &str) -> Error {
    Error::location(51091, format!("Regular expression is invalid: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, options: &str, text: &str) -> bool {
        Pattern::new(pattern, options).unwrap().is_match(text)
    }

    #[test]
    fn reads_patterns_as_pcre_does() {
        assert!(found("^a.c$", "", "abc"));
        assert!(found("^a.c$", "", "abc\n"), "a dollar sign stands before a last line end too");
        assert!(!found("^a.c$", "", "abc\n\n"));
        assert!(found("^cd$", "m", "ab\ncd\nef"));
        assert!(found("a.b", "s", "a\nb"));
        assert!(found("a b # comment", "x", "ab"));
        assert!(found("[a b]c", "x", " c"), "a space in a class is itself");
        assert!(!found(r"^\w$", "", "é"), "classes are those of ASCII");
        assert!(found("^É$", "i", "é"), "case folds beyond ASCII");
        assert!(found(r"^[\w-]+$", "", "a-b"));
        assert!(found("a[b[]c", "", "a[c"));
        assert!(found("a{", "", "a{"));
        assert!(found("a{,2}", "", "a{,2}"));
        assert!(found(r"\Qa.b\E", "", "a.b"));
        assert!(!found(r"\Qa.b\E", "", "axb"));
        assert!(found("[[:digit:]]+x", "", "12x"));
        assert!(found(r"^\h+$", "", " \t"));
        assert!(found(r"a\/b", "", "a/b"));
        assert!(found("(?i)APPLE", "", "apple"));
        assert!(found("(?#note)a", "", "a"));
    }

    #[test]
    fn look_around_and_references_back_work() {
        assert!(found("(?=b)ba", "", "banana"));
        assert!(found(r"(an)\1", "", "banana"));
        assert!(!found("^(?!b)", "", "banana"));
        assert!(found("(?<=n)a$", "", "banana"));
        assert!(found("^(?>a+)b", "", "aab"));
    }

    #[test]
    fn a_wrong_pattern_has_its_code() {
        for (pattern, options, number) in [("(", "", 51091), ("a", "k", 51108), ("[", "", 51091), ("*", "", 51091)] {
            assert_eq!(Pattern::new(pattern, options).err().unwrap().code.number(), number, "{pattern}");
        }
        assert_eq!(Pattern::new("((a{1000}){1000}){1000}", "").err().unwrap().code.number(), 51091);
        assert!(Pattern::new(&"(".repeat(30_000), "").is_err());
        assert!(Pattern::new(&"(?=".repeat(10_000), "").is_err());
    }

    #[test]
    fn a_hostile_text_ends() {
        let evil = Pattern::new(r"^(a+)+\1$", "").unwrap();
        assert!(!evil.is_match(&("a".repeat(60) + "b")));
    }

    #[test]
    fn no_pattern_panics() {
        let pieces = [
            "a",
            "\\",
            "[",
            "]",
            "(",
            ")",
            "(?",
            "{",
            "}",
            "2",
            ",",
            "*",
            "+",
            "?",
            "^",
            "$",
            "|",
            "-",
            ":",
            "Q",
            "E",
            "b",
            "é",
            "#",
            " ",
            "\n",
            "<",
            "=",
            "!",
            "i",
            "&&",
            ".",
            "1",
            "[:alpha:]",
            "\u{1F600}",
        ];
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..2_000 {
            let text: String = (0..next(12)).map(|_| pieces[next(pieces.len())]).collect();
            let options = ["", "i", "x", "m", "s", "imsxu"][next(6)];
            if let Ok(pattern) = Pattern::new(&text, options) {
                pattern.is_match("ab12 -é\n#");
            }
        }
    }

    #[test]
    fn prefixes() {
        let prefix = |pattern: &str| Pattern::new(pattern, "").unwrap().prefix().map(str::to_owned);
        assert_eq!(prefix("^abc"), Some("abc".into()));
        assert_eq!(prefix("^abc*"), Some("ab".into()));
        assert_eq!(prefix("^a|b"), None);
        assert_eq!(prefix("^é{2}"), None);
        assert_eq!(prefix("abc"), None);
        assert_eq!(prefix(r"^a\.b[c]"), Some("a.b".into()));
    }
}
