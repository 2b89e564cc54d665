//! `LIKE` and `ILIKE` (SQL-5.4).

use millstream_flow::RowError;

/// A pattern, taken apart.
#[derive(Debug)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
    ignore_case: bool,
}

#[derive(Debug, PartialEq)]
enum Part {
    /// `%`
    Any,
    /// `_`
    One,
    This(char),
}

impl Pattern {
    pub(crate) fn new(text: &str, escape: Option<char>, ignore_case: bool) -> Result<Self, RowError> {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = if Some(c) == escape {
                let next = chars.next();
                let next = next.ok_or_else(|| RowError::new("22025", "the pattern ends with its escape character"))?;
                Part::This(fold(next, ignore_case))
            } else {
                match c {
                    '%' => Part::Any,
                    '_' => Part::One,
                    c => Part::This(fold(c, ignore_case)),
                }
            };
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
        }
        Ok(Self { parts, ignore_case })
    }

    /// Goes back only to the last `%`: what stood before it is matched as early as possible, which is never wrong.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut rest = text;
        let mut at = 0;
        let mut retry: Option<(usize, &str)> = None;
        loop {
            let next = rest.chars().next();
            let taken = match (self.parts.get(at), next) {
                (None, None) => return true,
                (Some(Part::Any), _) => {
                    at += 1;
                    retry = Some((at, rest));
                    continue;
                }
                (Some(Part::One), Some(_)) => true,
                (Some(Part::This(wanted)), Some(c)) => *wanted == fold(c, self.ignore_case),
                _ => false,
            };
            if taken {
                at += 1;
                rest = after_one(rest);
                continue;
            }
            match retry {
                Some((part, from)) if !from.is_empty() => {
                    rest = after_one(from);
                    at = part;
                    retry = Some((part, rest));
                }
                _ => return false,
            }
        }
    }
}

fn after_one(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

fn fold(c: char, ignore_case: bool) -> char {
    if ignore_case { lower(c) } else { c }
}

/// Unicode's simple mapping: one character for one.
pub(crate) fn lower(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// As [`lower`], the other way.
pub(crate) fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        Pattern::new(pattern, Some('\\'), false).unwrap().matches(text)
    }

    /// SQL-5.4
    #[test]
    fn wildcards() {
        for (text, pattern) in [
            ("", ""),
            ("", "%"),
            ("abc", "a%c"),
            ("abc", "___"),
            ("aXbXc", "a%X%c"),
            ("a%", "a\\%"),
            ("äb", "_b"),
            ("aaab", "%aab"),
        ] {
            assert!(like(text, pattern), "{text} LIKE {pattern}");
        }
        for (text, pattern) in [("", "_"), ("abc", "ab"), ("abc", "a%d"), ("ab", "a\\%"), ("ABC", "abc")] {
            assert!(!like(text, pattern), "{text} NOT LIKE {pattern}");
        }
        assert!(Pattern::new("ÄB%", None, true).unwrap().matches("äbc"));
        assert_eq!(Pattern::new("a\\", Some('\\'), false).unwrap_err().state.0, "22025");
    }
}
