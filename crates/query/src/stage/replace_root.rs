//! `$replaceRoot` and `$replaceWith`: an expression's document instead of the document.
//!
//! Shape:  `{ $replaceRoot: { newRoot: <expression> } }`, `{ $replaceWith: <expression> }`
//! Errors: 40228 if the value is no document; 40229, 40230, 40231 for the shape.
//! Source: MongoDB manual 8.0, "$replaceRoot (aggregation)".

use millstream_value::{DocBuf, Element, Value};

use super::{Each, Parsing, Row};
use crate::expression::Expression;
use crate::{Error, Result};

pub(super) const REPLACE_ROOT: Row = Row::new("$replaceRoot", parse_root).in_change_streams().in_updates();
pub(super) const REPLACE_WITH: Row = Row::new("$replaceWith", parse_with).in_change_streams().in_updates();

struct Replace {
    root: Expression,
    /// How messages call the expression.
    called: &'static str,
}

fn parse_root(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(options) = spec.as_doc() else {
        let found = spec.value().type_name();
        let message = format!("expected an object as specification for $replaceRoot stage, got {found}");
        return Err(Error::location(40229, message));
    };
    if let Some(other) = options.elements().find(|e| e.key() != "newRoot") {
        let message =
            format!("unrecognized option to $replaceRoot stage: {}, only valid option is 'newRoot'.", other.key());
        return Err(Error::location(40230, message));
    }
    let root = options
        .get("newRoot")
        .ok_or_else(|| Error::location(40231, "no newRoot specified for the $replaceRoot stage"))?;
    let root = Expression::parse(&root, parsing.scope)?;
    parsing.each(Replace { root, called: "'newRoot' expression " });
    Ok(())
}

fn parse_with(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let root = Expression::parse(&spec.value(), parsing.scope)?;
    parsing.each(Replace { root, called: "'replacement document' " });
    Ok(())
}

impl Each for Replace {
    fn apply(&self, doc: DocBuf) -> Result<Option<DocBuf>> {
        match self.root.eval(doc.as_doc())? {
            Some(Value::Document(bytes)) => Ok(Some(DocBuf::from_bytes(bytes.into_owned()))),
            other => {
                let shown = other.as_ref().map_or_else(|| "MISSING".to_owned(), millstream_value::shell::value);
                let type_name = other.as_ref().map_or("missing", Value::type_name);
                Err(Error::location(
                    40228,
                    format!(
                        "{}must evaluate to an object, but resulting value was: {shown}. Type of resulting value: \
                         '{type_name}'. Input document: {doc:?}",
                        self.called
                    ),
                ))
            }
        }
    }
}
