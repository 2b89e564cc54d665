//! Regular expressions: `$regexMatch`, `$regexFind`, `$regexFindAll`.
//!
//! Shape:  `{input: <text>, regex: <text or regex>, options: <letters of imsux>}`
//! Absent: no match (`false`, null, the empty array).
//! Result: bool; `{match, idx, captures}`, `idx` counted in code points; an array of those.
//! Source: MongoDB manual 8.0, "String Expression Operators".

use std::sync::Arc;

use fancy_regex::{Captures, Regex, RegexBuilder};
use millstream_value::{ArrayBuf, DocBuf, Value};

use super::compile::Compiler;
use super::limit;
use super::node::{Env, Node};
use super::operator::{Name, Operator, Unknown, is_nullish, optional, required};
use super::string::size_value;
use crate::{Error, Result};

pub(super) static REGEX_FIND: Operator = Operator::own("$regexFind", parse);
pub(super) static REGEX_FIND_ALL: Operator = Operator::own("$regexFindAll", parse);
pub(super) static REGEX_MATCH: Operator = Operator::own("$regexMatch", parse);

static NAMES: &[Name] = &[required("input", 31022), required("regex", 31023), optional("options")];

/// How many steps back-tracking may take before a pattern is refused.
const BACKTRACK_MAX: usize = 1_000_000;

/// The most bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 8 << 20;

/// A search whose pattern was compiled with the expression, if it is constant.
#[derive(Clone, Debug)]
pub(super) struct Search {
    name: &'static str,
    args: Vec<Node>,
    /// The compiled pattern; `Some(None)` is a constant null.
    ready: Option<Option<Arc<Regex>>>,
}

fn parse(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let (args, _) = compiler.named(name, NAMES, &Unknown { unknown: 31024, not_object: 51103 }, value)?;
    let constant = args.iter().all(Node::is_literal);
    let ready = match args.as_slice() {
        [_, Node::Literal(regex), Node::Literal(options)] => Some(build(name, regex.as_ref(), options.as_ref())?),
        _ => None,
    };
    compiler.fold(Node::Search(Box::new(Search { name, args, ready })), constant)
}

impl Search {
    /// Looks for the pattern.
    pub(super) fn eval<'v>(&'v self, env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
        let [input, regex, options] = self.args.as_slice() else { return Ok(None) };
        let input = input.eval(env)?;
        let regex = match &self.ready {
            Some(ready) => ready.clone(),
            None => {
                let (regex, options) = (regex.eval(env)?, options.eval(env)?);
                build(self.name, regex.as_ref(), options.as_ref())?
            }
        };
        let text = match &input {
            Some(Value::String(text)) => text,
            other if is_nullish(other.as_ref()) => return Ok(Some(self.nothing())),
            _ => {
                return Err(Error::location(51104, format!("{} needs 'input' to be of type string", self.name)));
            }
        };
        let Some(regex) = regex else { return Ok(Some(self.nothing())) };
        self.search(&regex, text).map(Some)
    }

    fn nothing(&self) -> Value<'static> {
        match self.name {
            "$regexMatch" => false.into(),
            "$regexFind" => Value::Null,
            _ => Value::empty_array(),
        }
    }

    fn search(&self, regex: &Regex, text: &str) -> Result<Value<'static>> {
        let failed = |error: fancy_regex::Error| {
            Error::location(51156, format!("Error occurred while executing regular expression: {error}"))
        };
        match self.name {
            "$regexMatch" => Ok(regex.is_match(text).map_err(failed)?.into()),
            "$regexFind" => Ok(regex
                .captures(text)
                .map_err(failed)?
                .map_or(Value::Null, |found| describe(text, &found, &mut (0, 0)))),
            _ => {
                let (mut all, mut counted) = (ArrayBuf::new(), (0, 0));
                for found in regex.captures_iter(text) {
                    limit::push(&mut all, describe(text, &found.map_err(failed)?, &mut counted))?;
                }
                Ok(all.into())
            }
        }
    }
}

/// One match; `counted` remembers how many characters precede a byte, so that counting does not start over.
fn describe(text: &str, found: &Captures<'_, str>, counted: &mut (usize, usize)) -> Value<'static> {
    let Some(whole) = found.get(0) else { return Value::Null };
    let (byte, characters) = *counted;
    let characters = characters + text.get(byte..whole.start()).map_or(0, |between| between.chars().count());
    *counted = (whole.start(), characters);
    let mut doc = DocBuf::new();
    doc.push("match", whole.as_str()).push("idx", size_value(characters));
    doc.array("captures", |captures| {
        for group in found.iter().skip(1) {
            captures.push(group.map_or(Value::Null, |group| group.as_str().into()));
        }
    });
    doc.into()
}

fn build(name: &str, regex: Option<&Value<'_>>, options: Option<&Value<'_>>) -> Result<Option<Arc<Regex>>> {
    let given = match options {
        Some(Value::String(options)) => Some(options.as_ref()),
        other if is_nullish(other) => None,
        _ => return Err(Error::location(51106, format!("{name} needs 'options' to be of type string"))),
    };
    let (pattern, flags) = match regex {
        Some(Value::String(pattern)) => (pattern, given.unwrap_or_default()),
        Some(Value::Regex(pattern, own)) => {
            if given.is_some() && !own.is_empty() {
                return Err(Error::location(
                    51107,
                    format!("{name}: found regex option(s) specified in both 'regex' and 'option' fields"),
                ));
            }
            (pattern, given.unwrap_or(own))
        }
        other if is_nullish(other) => return Ok(None),
        _ => return Err(Error::location(51105, format!("{name} needs 'regex' to be of type string or regex"))),
    };
    if pattern.contains('\0') {
        return Err(Error::location(51109, format!("{name}: regular expression cannot contain an embedded null byte")));
    }
    compile(name, pattern, flags).map(Arc::new).map(Some)
}

fn compile(name: &str, pattern: &str, flags: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    builder.backtrack_limit(BACKTRACK_MAX).delegate_size_limit(PATTERN_BYTES_MAX);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.verbose_mode(true),
            'u' => &mut builder,
            other => {
                return Err(Error::location(51108, format!("{name} invalid flag in regex options: {other}")));
            }
        };
    }
    builder.build().map_err(|error| Error::location(51111, format!("Invalid Regex in {name}: {error}")))
}
