//! Sort orders: from a document to bytes whose order is the sort order.
//!
//! A field in an array stands for all its values: ascending orders use the smallest, descending ones the largest. A
//! missing field sorts as null, an empty array before null.

use std::collections::HashSet;

use millstream_value::{Doc, Element, Value, key, shell};

use crate::expression::Scope;
use crate::path::{Part, Path};
use crate::{Collation, Error, Result, collation};

/// How many fields an order may have (MongoDB's limit for compound keys).
pub const KEYS_MAX: usize = 32;

/// Which way a field sorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest first: `1`.
    Ascending,
    /// Largest first: `-1`.
    Descending,
}

/// One field of an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    path: Path,
    direction: Direction,
}

/// A compiled sort order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sort {
    keys: Vec<SortKey>,
    natural: Option<Direction>,
    collation: Option<Collation>,
}

impl SortKey {
    /// The field.
    #[must_use]
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// Which way it sorts.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        self.direction
    }
}

impl Sort {
    /// Compiles an order such as `{a: 1, "b.c": -1}`. An empty one sorts nothing; `{$natural: 1}` asks for the order
    /// of storage.
    ///
    /// # Errors
    /// 15974 and 15975 for a bad direction, 17312 for expressions, `BadValue` for too many keys or `$natural` among
    /// others, 7472500 for a field that is given twice, those of field paths.
    pub fn parse(spec: Doc<'_>, scope: &Scope) -> Result<Self> {
        let mut sort = Self { collation: scope.collation.clone(), ..Self::default() };
        let mut names = HashSet::new();
        for element in spec.elements() {
            if element.key() == "$natural" {
                sort.natural = Some(direction(element)?);
                continue;
            }
            if sort.keys.len() == KEYS_MAX {
                return Err(Error::bad_value("too many compound keys"));
            }
            if !names.insert(element.key()) {
                return Err(Error::location(
                    7_472_500,
                    format!("$sort key must not contain duplicate keys (duplicate: '{}')", element.key()),
                ));
            }
            let direction = direction(element)?;
            sort.keys.push(SortKey { path: Path::checked(element.key())?, direction });
        }
        if sort.natural.is_some() && !sort.keys.is_empty() {
            return Err(Error::bad_value("Cannot include '$natural' in compound sort specification"));
        }
        Ok(sort)
    }

    /// Whether it asks for no order of values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The direction of `$natural`, if the order is that of storage.
    #[must_use]
    pub const fn natural(&self) -> Option<Direction> {
        self.natural
    }

    /// The fields with their directions.
    #[must_use]
    pub fn keys(&self) -> &[SortKey] {
        &self.keys
    }

    /// How texts compare; none: by their bytes.
    #[must_use]
    pub const fn collation(&self) -> Option<&Collation> {
        self.collation.as_ref()
    }

    /// The fields' dotted paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.path.as_str())
    }

    /// Bytes of `doc` whose order is the sort order. Documents with equal bytes are in no particular order.
    ///
    /// # Errors
    /// `BadValue` if two fields lie in different arrays, so that no one order exists.
    pub fn key(&self, doc: Doc<'_>) -> Result<Vec<u8>> {
        let steps: Vec<_> = self.keys.iter().map(|key| descend(doc, key.path.parts())).collect();
        if steps.iter().all(|step| matches!(step, Step::Value(_))) {
            return Ok(self.encode(&steps));
        }
        let mut best = None;
        self.expand(steps, &mut best)?;
        Ok(best.unwrap_or_default())
    }

    /// Notes the smallest of the keys that the elements of the array at hand give. The recursion is bounded by the
    /// nesting of the document: each level enters an array.
    fn expand(&self, steps: Vec<Step<'_, '_>>, best: &mut Option<Vec<u8>>) -> Result<()> {
        let mut arrays = steps.iter().filter_map(|step| match step {
            Step::Array { array, .. } => Some(*array),
            Step::Value(_) => None,
        });
        let Some(array) = arrays.next() else {
            let key = self.encode(&steps);
            if best.as_ref().is_none_or(|best| key < *best) {
                *best = Some(key);
            }
            return Ok(());
        };
        // The same bytes in memory, not merely equal ones: two fields may hold equal arrays.
        if !arrays.all(|other| std::ptr::eq(other.as_bytes(), array.as_bytes())) {
            return Err(Error::bad_value("cannot sort with keys that are parallel arrays"));
        }
        if array.is_empty() {
            return self.expand(steps.iter().map(Step::of_nothing).collect(), best);
        }
        for element in array.elements() {
            self.expand(steps.iter().map(|step| step.of_element(element)).collect(), best)?;
        }
        Ok(())
    }

    fn encode(&self, steps: &[Step<'_, '_>]) -> Vec<u8> {
        let mut out = Vec::with_capacity(steps.len() * 16);
        let order = collation::order(self.collation.as_ref());
        for (key, step) in self.keys.iter().zip(steps) {
            let value = match step {
                Step::Value(Some(Found::Element(element))) => element.value(),
                Step::Value(Some(Found::EmptyArray)) => Value::Undefined,
                Step::Value(None) | Step::Array { .. } => Value::Null,
            };
            match key.direction {
                Direction::Ascending => key::append_by(&value, order, &mut out),
                Direction::Descending => key::append_descending_by(&value, order, &mut out),
            }
        }
        out
    }
}

fn direction(element: Element<'_>) -> Result<Direction> {
    let value = element.value();
    if let Some(doc) = value.as_doc() {
        return Err(if doc.has("$meta") {
            Error::location(40218, "query requires text score metadata, but it is not available")
        } else {
            Error::location(17312, "$meta is the only expression supported by $sort right now")
        });
    }
    let Some(number) = value.as_f64() else {
        return Err(Error::location(
            15974,
            format!("Illegal key in $sort specification: {}: {}", element.key(), shell::value(&value)),
        ));
    };
    match millstream_value::number::truncated_i64(number) {
        Some(1) => Ok(Direction::Ascending),
        Some(-1) => Ok(Direction::Descending),
        _ => Err(Error::location(15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")),
    }
}

/// How far a path got.
#[derive(Clone, Copy)]
enum Step<'a, 'p> {
    /// To its end.
    Value(Option<Found<'a>>),
    /// To an array whose elements have to be looked at, with the rest of the path.
    Array { array: Doc<'a>, rest: &'p [Part] },
}

#[derive(Clone, Copy)]
enum Found<'a> {
    Element(Element<'a>),
    EmptyArray,
}

impl<'a, 'p> Step<'a, 'p> {
    fn of_element(&self, element: Element<'a>) -> Self {
        match *self {
            Self::Value(found) => Self::Value(found),
            Self::Array { rest: [], .. } => Self::Value(Some(Found::Element(element))),
            Self::Array { rest, .. } => match element.as_doc() {
                Some(doc) => descend(doc, rest),
                None => Self::Value(None),
            },
        }
    }

    fn of_nothing(&self) -> Self {
        match *self {
            Self::Value(found) => Self::Value(found),
            Self::Array { rest: [], .. } => Self::Value(Some(Found::EmptyArray)),
            Self::Array { .. } => Self::Value(None),
        }
    }
}

fn descend<'a, 'p>(doc: Doc<'a>, parts: &'p [Part]) -> Step<'a, 'p> {
    let mut doc = doc;
    let mut rest = parts;
    // A number right after an array may be the place of one element.
    let mut in_array = false;
    loop {
        let Some((part, tail)) = rest.split_first() else {
            return Step::Value(None);
        };
        let found =
            if in_array { part.index().and_then(|place| doc.elements().nth(place)) } else { doc.element(part.name()) };
        let element = match found {
            Some(element) => element,
            None if in_array => return Step::Array { array: doc, rest },
            None => return Step::Value(None),
        };
        rest = tail;
        if let Some(array) = element.as_array() {
            let names_place = rest.first().is_some_and(|part| part.index().is_some());
            if !names_place {
                return Step::Array { array, rest };
            }
            (doc, in_array) = (array, true);
        } else if rest.is_empty() {
            return Step::Value(Some(Found::Element(element)));
        } else if let Some(inner) = element.as_doc() {
            (doc, in_array) = (inner, false);
        } else {
            return Step::Value(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    fn sorted(spec: bson::Document, docs: Vec<bson::Document>) -> Vec<i32> {
        let sort = Sort::parse(millstream_value::from_bson_document(&spec).as_doc(), &Scope::default()).unwrap();
        let mut keyed: Vec<_> = docs
            .iter()
            .map(|d| (sort.key(millstream_value::from_bson_document(d).as_doc()).unwrap(), d.get_i32("_id").unwrap()))
            .collect();
        keyed.sort();
        keyed.into_iter().map(|(_, id)| id).collect()
    }

    #[test]
    fn arrays_sort_by_their_end() {
        let docs = vec![
            doc! {"_id": 1, "a": [5, 1]},
            doc! {"_id": 2, "a": 3},
            doc! {"_id": 3, "a": []},
            doc! {"_id": 4},
            doc! {"_id": 5, "a": [[0]]},
        ];
        assert_eq!(sorted(doc! {"a": 1}, docs.clone()), [3, 4, 1, 2, 5]);
        assert_eq!(sorted(doc! {"a": -1}, docs), [5, 1, 2, 4, 3]);
    }

    #[test]
    fn fields_of_one_array_go_together() {
        let docs =
            vec![doc! {"_id": 1, "a": [{"b": 1, "c": 9}, {"b": 2, "c": 0}]}, doc! {"_id": 2, "a": [{"b": 1, "c": 5}]}];
        assert_eq!(sorted(doc! {"a.b": 1, "a.c": 1}, docs), [2, 1]);
    }

    #[test]
    fn a_number_may_be_a_place() {
        let docs = vec![doc! {"_id": 1, "a": [2, 9]}, doc! {"_id": 2, "a": [1, 9]}, doc! {"_id": 3, "a": {"0": 0}}];
        assert_eq!(sorted(doc! {"a.0": 1}, docs), [3, 2, 1]);
    }

    #[test]
    fn two_arrays_have_no_order() {
        let sort =
            Sort::parse(millstream_value::from_bson_document(&doc! {"a": 1, "b": 1}).as_doc(), &Scope::default())
                .unwrap();
        let document = millstream_value::from_bson_document(&doc! {"a": [1, 2], "b": [1, 2]});
        assert_eq!(sort.key(document.as_doc()).unwrap_err().code.number(), 2);
    }

    #[test]
    fn mistakes_have_their_codes() {
        for (spec, number) in [
            (doc! {"a": 2}, 15975),
            (doc! {"a": "x"}, 15974),
            (doc! {"a": {"$x": 1}}, 17312),
            (doc! {"": 1}, 40352),
            (doc! {"$a": 1}, 16410),
        ] {
            let error =
                Sort::parse(millstream_value::from_bson_document(&spec).as_doc(), &Scope::default()).unwrap_err();
            assert_eq!(error.code.number(), number, "{spec}");
        }
    }
}
