//! Values as text, as a shell would write them: `{_id: 1, n: NumberLong(5), at: ISODate("2020-01-01T00:00:00Z")}`.
//!
//! JSON is a subset. Integers are int32 where they fit and int64 where they do not; a number with a
//! point or an exponent is a double. A bare name with a number, such as `token(1)`, is a placeholder
//! for a value that differs from run to run; `conformance/README.md` lists them.

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, Regex, Timestamp};

/// Turns `token(1)` and the like into values. `None`: no such placeholder.
pub(crate) type Resolve<'a> = &'a dyn Fn(&str, usize) -> Option<Bson>;

/// Reads exactly one value.
pub(crate) fn parse(text: &str, resolve: Resolve<'_>) -> Result<Bson, String> {
    let mut values = parse_all(text, resolve)?;
    match (values.pop(), values.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err(format!("expected one value: {text}")),
    }
}

/// Reads values that follow each other, separated by spaces.
pub(crate) fn parse_all(text: &str, resolve: Resolve<'_>) -> Result<Vec<Bson>, String> {
    let mut parser = Parser { text, at: 0, resolve };
    let mut values = Vec::new();
    while parser.peek().is_some() {
        values.push(parser.value()?);
    }
    Ok(values)
}

/// Writes a value on one line. A symbol is printed bare: placeholders are symbols.
pub(crate) fn print(value: &Bson) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    resolve: Resolve<'a>,
}

impl Parser<'_> {
    fn value(&mut self) -> Result<Bson, String> {
        match self.peek() {
            Some('{') => self.document(),
            Some('[') => self.array(),
            Some('"' | '\'') => Ok(Bson::String(self.string()?)),
            Some('/') => self.regex(),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+') => self.number(),
            Some(_) => self.named(),
            None => Err(self.error("a value")),
        }
    }

    fn document(&mut self) -> Result<Bson, String> {
        self.expect('{')?;
        let mut document = Document::new();
        while self.peek() != Some('}') {
            let key = match self.peek() {
                Some('"' | '\'') => self.string()?,
                _ => self.word()?,
            };
            self.expect(':')?;
            let value = self.value()?;
            document.insert(key, value);
            if self.peek() != Some('}') {
                self.expect(',')?;
            }
        }
        self.expect('}')?;
        Ok(Bson::Document(document))
    }

    fn array(&mut self) -> Result<Bson, String> {
        Ok(Bson::Array(self.list('[', ']')?))
    }

    fn list(&mut self, open: char, close: char) -> Result<Vec<Bson>, String> {
        self.expect(open)?;
        let mut values = Vec::new();
        while self.peek() != Some(close) {
            values.push(self.value()?);
            if self.peek() != Some(close) {
                self.expect(',')?;
            }
        }
        self.expect(close)?;
        Ok(values)
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = self.next().ok_or_else(|| self.error("a string"))?;
        let mut out = String::new();
        loop {
            match self.next().ok_or_else(|| self.error("the end of a string"))? {
                c if c == quote => return Ok(out),
                '\\' => match self.next().ok_or_else(|| self.error("an escape"))? {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    'b' => out.push('\u{8}'),
                    'f' => out.push('\u{c}'),
                    'u' => out.push(self.unicode()?),
                    c => out.push(c),
                },
                c => out.push(c),
            }
        }
    }

    /// The four hex digits after `\u`, or two such escapes that make one character.
    fn unicode(&mut self) -> Result<char, String> {
        let high = self.four_hex_digits()?;
        if !(0xD800..0xDC00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.error("a character"));
        }
        if self.next() != Some('\\') || self.next() != Some('u') {
            return Err(self.error("the second half of a character"));
        }
        let low = self.four_hex_digits()?;
        let code = 0x10000 + ((high - 0xD800) << 10) + low.wrapping_sub(0xDC00);
        char::from_u32(code).ok_or_else(|| self.error("a character"))
    }

    fn four_hex_digits(&mut self) -> Result<u32, String> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.ok_or_else(|| self.error("four hex digits"))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.error("four hex digits"))
    }

    fn regex(&mut self) -> Result<Bson, String> {
        self.next();
        let mut pattern = String::new();
        loop {
            match self.next().ok_or_else(|| self.error("the end of a regex"))? {
                '/' => break,
                '\\' if self.text[self.at..].starts_with('/') => {
                    self.next();
                    pattern.push('/');
                }
                c => pattern.push(c),
            }
        }
        let rest = &self.text[self.at..];
        let flags = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        let options = &rest[..flags];
        self.at += flags;
        Ok(Bson::RegularExpression(regex(&pattern, options)?))
    }

    fn number(&mut self) -> Result<Bson, String> {
        let rest = &self.text[self.at..];
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))).unwrap_or(rest.len());
        let digits = &rest[..end];
        self.at += end;
        if let Ok(int) = digits.parse::<i32>() {
            return Ok(Bson::Int32(int));
        }
        if let Ok(long) = digits.parse::<i64>() {
            return Ok(Bson::Int64(long));
        }
        let double = digits.parse().map_err(|_| self.error("a number"))?;
        Ok(Bson::Double(double))
    }

    /// `true`, `null`, `NumberLong(5)`, `token(1)`.
    fn named(&mut self) -> Result<Bson, String> {
        let name = self.word()?;
        let arguments = match self.peek() {
            Some('(') => self.list('(', ')')?,
            _ => Vec::new(),
        };
        let known = constructor(&name, &arguments)?;
        let number = arguments.first().and_then(Bson::as_i32);
        let number = usize::try_from(number.unwrap_or(0)).unwrap_or(0);
        known.or_else(|| (self.resolve)(&name, number)).ok_or_else(|| format!("unknown name {name} in {}", self.text))
    }

    fn word(&mut self) -> Result<String, String> {
        self.skip_spaces();
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '.'))).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error("a name"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_spaces();
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.text[self.at..].chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        self.skip_spaces();
        match self.next() {
            Some(c) if c == wanted => Ok(()),
            _ => Err(self.error(&format!("'{wanted}'"))),
        }
    }

    fn skip_spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn error(&self, wanted: &str) -> String {
        let start = self.text[..self.at.min(self.text.len())].char_indices().rev().nth(30).map_or(0, |(at, _)| at);
        format!("expected {wanted} after `{}`", &self.text[start..self.at])
    }
}

fn constructor(name: &str, arguments: &[Bson]) -> Result<Option<Bson>, String> {
    let text = |at: usize| match arguments.get(at) {
        Some(Bson::String(text)) => Ok(text.clone()),
        Some(Bson::Int32(int)) => Ok(int.to_string()),
        Some(Bson::Int64(long)) => Ok(long.to_string()),
        Some(Bson::Double(double)) => Ok(double.to_string()),
        _ => Err(format!("{name} needs a text or a number")),
    };
    let wrong = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    Ok(Some(match name {
        "true" => Bson::Boolean(true),
        "false" => Bson::Boolean(false),
        "null" => Bson::Null,
        "undefined" => Bson::Undefined,
        "NaN" => Bson::Double(f64::NAN),
        "Infinity" => Bson::Double(f64::INFINITY),
        "MinKey" => Bson::MinKey,
        "MaxKey" => Bson::MaxKey,
        "NumberInt" => Bson::Int32(text(0)?.parse().map_err(|e| wrong(&e))?),
        "NumberLong" => Bson::Int64(text(0)?.parse().map_err(|e| wrong(&e))?),
        "NumberDecimal" => Bson::Decimal128(text(0)?.parse().map_err(|e| wrong(&e))?),
        "Double" => Bson::Double(text(0)?.parse().map_err(|e| wrong(&e))?),
        "ObjectId" => Bson::ObjectId(ObjectId::parse_str(text(0)?).map_err(|e| wrong(&e))?),
        "ISODate" => Bson::DateTime(DateTime::parse_rfc3339_str(text(0)?).map_err(|e| wrong(&e))?),
        "Timestamp" => Bson::Timestamp(Timestamp {
            time: text(0)?.parse().map_err(|e| wrong(&e))?,
            increment: text(1)?.parse().map_err(|e| wrong(&e))?,
        }),
        "UUID" => Bson::Binary(Binary {
            subtype: BinarySubtype::Uuid,
            bytes: bson::Uuid::parse_str(text(0)?).map_err(|e| wrong(&e))?.bytes().to_vec(),
        }),
        "BinData" => Bson::Binary(Binary::from_base64(text(1)?, subtype(&text(0)?)?).map_err(|e| wrong(&e))?),
        "Code" => Bson::JavaScriptCode(text(0)?),
        _ => return Ok(None),
    }))
}

fn subtype(text: &str) -> Result<BinarySubtype, String> {
    let number: u8 = text.parse().map_err(|_| format!("subtype {text}"))?;
    Ok(BinarySubtype::from(number))
}

/// A regular expression as the driver's type.
pub(crate) fn regex(pattern: &str, options: &str) -> Result<Regex, String> {
    Ok(Regex {
        pattern: pattern.to_owned().try_into().map_err(|_| "NUL in a regex")?,
        options: options.to_owned().try_into().map_err(|_| "NUL in a regex")?,
    })
}

fn write(value: &Bson, out: &mut String) {
    match value {
        Bson::Document(document) => {
            out.push('{');
            for (at, (key, value)) in document.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                write_key(key, out);
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
        Bson::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                write(value, out);
            }
            out.push(']');
        }
        Bson::String(text) => out.push_str(&format!("{text:?}")),
        Bson::Double(double) if double.is_finite() => out.push_str(&format!("{double:?}")),
        Bson::Double(double) => out.push_str(&format!("{double}").replace("inf", "Infinity")),
        Bson::Int32(int) => out.push_str(&int.to_string()),
        Bson::Int64(long) => out.push_str(&format!("NumberLong({long})")),
        Bson::Decimal128(decimal) => out.push_str(&format!("NumberDecimal(\"{decimal}\")")),
        Bson::Boolean(flag) => out.push_str(&flag.to_string()),
        Bson::Null => out.push_str("null"),
        Bson::Undefined => out.push_str("undefined"),
        Bson::MinKey => out.push_str("MinKey"),
        Bson::MaxKey => out.push_str("MaxKey"),
        Bson::ObjectId(id) => out.push_str(&format!("ObjectId(\"{id}\")")),
        Bson::DateTime(date) => match date.try_to_rfc3339_string() {
            Ok(text) => out.push_str(&format!("ISODate(\"{text}\")")),
            Err(_) => out.push_str(&format!("ISODate({})", date.timestamp_millis())),
        },
        Bson::Timestamp(time) => {
            out.push_str(&format!("Timestamp({}, {})", time.time, time.increment));
        }
        Bson::RegularExpression(regex) => {
            out.push_str(&format!("/{}/{}", regex.pattern.as_str(), regex.options.as_str()));
        }
        Bson::Binary(binary) => write_binary(binary, out),
        // Placeholders.
        Bson::Symbol(name) => out.push_str(name),
        other => out.push_str(&format!("{other:?}")),
    }
}

fn write_binary(binary: &Binary, out: &mut String) {
    match (binary.subtype, <[u8; 16]>::try_from(binary.bytes.as_slice())) {
        (BinarySubtype::Uuid, Ok(bytes)) => {
            out.push_str(&format!("UUID(\"{}\")", bson::Uuid::from_bytes(bytes)));
        }
        (subtype, _) => {
            let json = Bson::Binary(binary.clone()).into_canonical_extjson();
            let base64 = json["$binary"]["base64"].as_str().unwrap_or_default();
            out.push_str(&format!("BinData({}, \"{base64}\")", u8::from(subtype)));
        }
    }
}

fn write_key(key: &str, out: &mut String) {
    let bare = !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'));
    if bare {
        out.push_str(key);
    } else {
        out.push_str(&format!("{key:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) {
        let value = parse(text, &|_, _| None).expect(text);
        assert_eq!(print(&value), text);
    }

    #[test]
    fn what_is_printed_reads_back() {
        round("{_id: 1, n: NumberLong(5), d: 1.0, e: -0.0, \"a.b\": [null, true, \"x\\\"y\"]}");
        round("{at: ISODate(\"2020-01-01T00:00:00Z\"), id: ObjectId(\"5f5e10000000000000000000\")}");
        round("{r: /^a.b/i, t: Timestamp(1, 2), m: MinKey, x: NumberDecimal(\"1.50\")}");
        round("{b: BinData(0, \"YQ==\"), u: UUID(\"2f6c1d9e-7a40-4b53-9c1e-5d0f3a8b7e21\")}");
    }

    #[test]
    fn json_is_a_subset() {
        let value = parse("{\"a\": [1, 2.5, 3000000000], \"b\": \"\\u00c9\"}", &|_, _| None);
        assert_eq!(print(&value.unwrap()), "{a: [1, 2.5, NumberLong(3000000000)], b: \"É\"}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in ["{a: }", "{a 1}", "[1", "\"x", "foo(1)", "1 2"] {
            assert!(parse(text, &|_, _| None).is_err(), "{text}");
        }
    }
}
