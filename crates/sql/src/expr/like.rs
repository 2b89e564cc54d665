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
    /// An escape character with nothing after it.
    Dangling,
}

impl Pattern {
    pub(crate) fn new(text: &str, escape: Option<char>, ignore_case: bool) -> Self {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = if Some(c) == escape {
                chars.next().map_or(Part::Dangling, |next| Part::This(fold(next, ignore_case)))
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
        Self { parts, ignore_case }
    }

    /// The characters that every text that matches begins with, and whether every text that begins so matches. `None`: there
    /// are none.
    pub(crate) fn beginning(&self) -> Option<(String, bool)> {
        let this = |part: &Part| match part {
            Part::This(c) => Some(*c),
            Part::Any | Part::Dangling | Part::One => None,
        };
        let text: String = self.parts.iter().map_while(this).collect();
        let rest = self.parts.get(text.chars().count()..).unwrap_or_default();
        let is_certain = !self.ignore_case && !text.is_empty() && !rest.contains(&Part::Dangling);
        is_certain.then(|| (text, rest == [Part::Any]))
    }

    /// Goes back only to the last `%`: what stood before it is matched as early as possible, which is never wrong.
    ///
    /// # Errors
    /// 22025: what is to be escaped is missing, and the text goes so far.
    pub(crate) fn matches(&self, text: &str) -> Result<bool, RowError> {
        let mut rest = text;
        let mut at = 0;
        let mut retry: Option<(usize, &str)> = None;
        loop {
            let next = rest.chars().next();
            let taken = match (self.parts.get(at), next) {
                (None, None) => return Ok(true),
                (Some(Part::Dangling), Some(_)) => {
                    return Err(RowError::new("22025", "the pattern ends with its escape character"));
                }
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
                _ => return Ok(false),
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
        Pattern::new(pattern, Some('\\'), false).matches(text).unwrap()
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
        assert!(Pattern::new("ÄB%", None, true).matches("äbc").unwrap());
        let dangling = Pattern::new("a\\", Some('\\'), false);
        assert!(!dangling.matches("a").unwrap());
        assert_eq!(dangling.matches("ab").unwrap_err().state.0, "22025");
    }
}
