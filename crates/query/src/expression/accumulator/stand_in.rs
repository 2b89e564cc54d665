//! Temporary.
use millstream_value::{Doc, Value, key};
use crate::Result;
use crate::expression::Expression;
#[derive(Clone, Debug)]
pub(super) struct Sort(Vec<(Expression, bool)>);
impl Sort {
    pub(super) fn parse(spec: Doc<'_>) -> Result<Self> {
        Ok(Self(spec.elements().map(|e| (Expression::field(e.key()), e.value().as_f64().unwrap_or(1.0) < 0.0)).collect()))
    }
    pub(super) fn key(&self, doc: Doc<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for (path, down) in &self.0 {
            let value = path.eval(doc).ok().flatten().unwrap_or(Value::Null);
            if *down { key::append_descending(&value, &mut out) } else { key::append(&value, &mut out) }
        }
        out
    }
}
