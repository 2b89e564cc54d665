//! `$group`: one document for every distinct key.
//!
//! Shape:  `{ $group: { _id: <expression>, <field>: { <accumulator>: <argument> }, ... } }`
//! Absent: a missing key counts as null. Groups come in the order of their first document.
//! Errors: 15947, 15955, 40234, 40235, 40236, 40238 for what is wrong with the shape; 292 for more than the memory
//!         limit; those of accumulators.
//! Source: MongoDB manual 8.0, "$group (aggregation)".

use std::collections::HashMap;
use std::sync::Arc;

use millstream_value::{Doc, DocBuf, Element, Value, key};

use super::{Documents, MEMORY_BYTES_MAX, Parsing, Row, Stream, too_much_memory};
use crate::expression::accumulator::{Accumulator, State};
use crate::expression::{Expression, Scope};
use crate::{Collation, Error, Result, collation};

pub(super) const GROUP: Row = Row::new("$group", parse);

/// A compiled `$group`.
pub(super) struct Group {
    key: Expression,
    fields: Vec<(String, Accumulator)>,
    collation: Option<Collation>,
}

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    let Some(spec) = spec.as_doc() else {
        return Err(Error::location(15947, "a group's fields must be specified in an object"));
    };
    let group = Group::parse(spec, parsing.scope)?;
    parsing.stream(group);
    Ok(())
}

impl Group {
    /// Compiles `{_id, <field>: {<accumulator>: ...}}`.
    pub(super) fn parse(spec: Doc<'_>, scope: &Scope) -> Result<Self> {
        let key = spec.get("_id").ok_or_else(|| Error::location(15955, "a group specification must include an _id"))?;
        let key = Expression::parse(&key, scope)?;
        let mut fields = Vec::new();
        for element in spec.elements().filter(|e| e.key() != "_id") {
            fields.push(field(element, scope)?);
        }
        Ok(Self { key, fields, collation: scope.collation.clone() })
    }

    fn collect(&self, input: Documents<'_>) -> Result<Vec<DocBuf>> {
        let mut index: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut groups: Vec<(Value<'static>, Vec<State>)> = Vec::new();
        let mut bytes = 0_usize;
        for doc in input {
            let doc = doc?;
            let id = self.key.eval(doc.as_doc())?.unwrap_or(Value::Null);
            let key = key::of_by(&id, collation::order(self.collation.as_ref()));
            let at = match index.get(&key) {
                Some(at) => *at,
                None => {
                    bytes += 2 * key.len() + 64;
                    let states = self.fields.iter().map(|(_, accumulator)| accumulator.start(&id));
                    groups.push((id.clone().into_owned(), states.collect::<Result<_>>()?));
                    index.insert(key, groups.len() - 1);
                    groups.len() - 1
                }
            };
            let Some((_, states)) = groups.get_mut(at) else {
                continue;
            };
            for ((_, accumulator), state) in self.fields.iter().zip(states) {
                let before = state.bytes();
                accumulator.add(state, doc.as_doc())?;
                bytes += state.bytes().saturating_sub(before);
            }
            if bytes > MEMORY_BYTES_MAX {
                return Err(too_much_memory("$group"));
            }
        }
        groups.into_iter().map(|(id, states)| self.finish(id, states)).collect()
    }

    fn finish(&self, id: Value<'static>, states: Vec<State>) -> Result<DocBuf> {
        let mut out = DocBuf::new();
        out.push("_id", id);
        for ((name, _), state) in self.fields.iter().zip(states) {
            out.push(name, state.finish()?);
        }
        Ok(out)
    }
}

impl Stream for Group {
    fn run<'a>(self: Arc<Self>, input: Documents<'a>) -> Documents<'a> {
        lazily(move || self.collect(input))
    }
}

/// One `<field>: { <accumulator>: <argument> }`.
fn field(element: Element<'_>, scope: &Scope) -> Result<(String, Accumulator)> {
    let name = element.key();
    if name.contains('.') {
        return Err(Error::location(40235, format!("The field name '{name}' cannot contain '.'")));
    }
    if name.starts_with('$') {
        return Err(Error::location(40236, format!("The field name '{name}' cannot be an operator name")));
    }
    let Some(spec) = element.as_doc().filter(|spec| !spec.is_empty()) else {
        return Err(Error::location(40234, format!("The field '{name}' must be an accumulator object")));
    };
    let mut parts = spec.elements();
    match (parts.next(), parts.next()) {
        (Some(part), None) => {
            let accumulator = Accumulator::parse(part.key(), &part.value(), scope)?;
            Ok((name.to_owned(), accumulator))
        }
        _ => Err(Error::location(40238, format!("The field '{name}' must specify one accumulator"))),
    }
}

/// Documents that are made when the first one is asked for.
pub(super) fn lazily<'a>(make: impl FnOnce() -> Result<Vec<DocBuf>> + Send + 'a) -> Documents<'a> {
    Box::new(std::iter::once_with(make).flat_map(|made| match made {
        Ok(docs) => docs.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    }))
}
