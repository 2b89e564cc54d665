//! `$redact`: keeps or drops documents and what they hold, level by level.
//!
//! Shape:  `{ $redact: <expression that gives $$KEEP, $$PRUNE or $$DESCEND> }`
//! Result: `$$DESCEND` keeps the plain fields of a level and asks again for every document in it, also in arrays.
//! Errors: 17053 if the expression gives anything else.
//! Source: MongoDB manual 8.0, "$redact (aggregation)".

use millstream_value::{ArrayBuf, DEPTH_MAX, Doc, DocBuf, Element, Value, kind};

use super::{Each, Parsing, Row};
use crate::expression::Expression;
use crate::{Error, Result};

pub(super) const REDACT: Row = Row::new("$redact", parse).in_change_streams();

struct Redact(Expression);

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let expression = Expression::parse(&spec.value(), parsing.scope)?;
    parsing.each(Redact(expression));
    Ok(())
}

impl Each for Redact {
    fn apply(&self, doc: DocBuf) -> Result<Option<DocBuf>> {
        self.document(doc.as_doc(), 0)
    }
}

impl Redact {
    fn document(&self, doc: Doc<'_>, depth: usize) -> Result<Option<DocBuf>> {
        let verdict = self.0.eval(doc)?;
        match verdict.as_ref().and_then(Value::as_str) {
            Some("keep") => Ok(Some(doc.to_buf())),
            Some("prune") => Ok(None),
            Some("descend") if depth <= DEPTH_MAX => self.fields(doc, depth).map(Some),
            _ => {
                let shown = verdict.as_ref().map_or_else(|| "MISSING".to_owned(), millstream_value::shell::value);
                Err(Error::location(
                    17053,
                    format!(
                        "$redact's expression should not return anything aside from the variables $$KEEP, $$DESCEND, \
                         and $$PRUNE, but returned {shown}"
                    ),
                ))
            }
        }
    }

    fn fields(&self, doc: Doc<'_>, depth: usize) -> Result<DocBuf> {
        let mut out = DocBuf::with_capacity(doc.as_bytes().len());
        for element in doc.elements() {
            match element.kind() {
                kind::DOCUMENT => {
                    out.push_some(element.key(), self.document(Doc::new(element.bytes()), depth + 1)?);
                }
                kind::ARRAY => {
                    out.push(element.key(), self.elements(Doc::new(element.bytes()), depth + 1)?);
                }
                _ => {
                    out.push_element(element);
                }
            }
        }
        Ok(out)
    }

    fn elements(&self, array: Doc<'_>, depth: usize) -> Result<ArrayBuf> {
        let mut out = ArrayBuf::new();
        for element in array.elements() {
            match element.kind() {
                kind::DOCUMENT => {
                    if let Some(kept) = self.document(Doc::new(element.bytes()), depth + 1)? {
                        out.push(kept);
                    }
                }
                kind::ARRAY if depth <= DEPTH_MAX => {
                    out.push(self.elements(Doc::new(element.bytes()), depth + 1)?);
                }
                _ => {
                    out.push_element(element);
                }
            }
        }
        Ok(out)
    }
}
