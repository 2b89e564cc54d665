//! Plans: which rows to read for a filter and a sort order.
//!
//! A plan reads a superset of the matching documents; the filter is always evaluated again on each of them.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_query::predicate::{Condition, Predicate, Test};
use millstream_query::sort::{Direction, Sort, SortKey};
use millstream_query::{Collation, collation};
use millstream_value::{Doc, TextOrder, Value, key, kind};

use crate::catalog::Collection;
use crate::index::{Index, IndexField};
use crate::{Error, Result};

/// Key ranges that one plan may read: more come from `$in` lists on several fields, and a scan is better then.
const RANGES_MAX: usize = 10_000;

/// How a filter is answered.
pub(crate) struct Plan {
    pub(crate) access: Access,
    /// The rows come in the order asked for.
    pub(crate) sorted: bool,
}

/// What is read.
pub(crate) enum Access {
    /// Records by the keys of their `_id`s, each a range.
    Ids { ranges: Vec<KeyRange>, reverse: bool },
    /// All records, in the order of `_id`.
    Scan { reverse: bool },
    /// Rows of an index.
    Index { index: Arc<Index>, ranges: Vec<KeyRange>, reverse: bool },
}

/// Keys from `low` up to, but not including, `high`; none: to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) low: Vec<u8>,
    pub(crate) high: Option<Vec<u8>>,
}

/// Chooses the way with the longest equality prefix, then a range, then the wanted order.
///
/// # Errors
/// [`Error::BadHint`] if `hint` names no index.
pub(crate) fn choose(
    collection: &Collection,
    predicate: &Predicate,
    sort: Option<&Sort>,
    hint: Option<&Value<'_>>,
) -> Result<Plan> {
    let conditions = predicate.conditions();
    // Keys hold texts in the order of one collation, and help only queries that compare in the same.
    let usable = |own: Option<&Collation>| -> Vec<&Condition> {
        conditions.iter().filter(|c| own == predicate.collation() || !c.compares_texts()).collect()
    };
    let order: Vec<(String, bool)> = sort.map(order_of).unwrap_or_default();
    let provides = |own: Option<&Collation>, bounds: &Bounds, fields: &[IndexField]| {
        if order.is_empty() || sort.is_some_and(|sort| sort.collation() == own) {
            bounds.provides(fields, &order)
        } else {
            (false, false)
        }
    };
    let by_id = [IndexField { path: "_id".to_owned(), descending: false }];
    let hinted = hint.map(|hint| find_hint(collection, hint)).transpose()?;
    let mut best: Option<(i32, Plan)> = None;
    let mut offer = |score: i32, plan: Plan| {
        if best.as_ref().is_none_or(|(s, _)| score > *s) {
            best = Some((score, plan));
        }
    };
    if matches!(hinted, None | Some(Hint::Id)) {
        let own = collection.collation.as_ref();
        let bounds = Bounds::of(&by_id, &usable(own), false, collation::order(own));
        let (sorted, reverse) = provides(own, &bounds, &by_id);
        let (score, sorted_score) = (bounds.score() * 2 + 1, i32::from(sorted && !order.is_empty()));
        if bounds.used > 0 || hinted.is_some() {
            offer(score + sorted_score, Plan { access: Access::Ids { ranges: bounds.ranges, reverse }, sorted });
        } else {
            offer(sorted_score, Plan { access: Access::Scan { reverse }, sorted });
        }
    }
    for index in collection.indexes.iter().filter(|i| i.readable()) {
        match &hinted {
            None => {}
            Some(Hint::Index(wanted)) if wanted.number == index.number => {}
            Some(_) => continue,
        }
        let multikey = index.multikey.load(Ordering::Acquire);
        // A sparse index lacks documents without its fields, which conditions such as `null` let pass.
        let own = index.collation.as_ref();
        let mut sure = usable(own);
        sure.retain(|c| !index.sparse || c.plain);
        let bounds = Bounds::of(&index.fields, &sure, multikey, collation::order(own));
        let (sorted, reverse) =
            if multikey { (order.is_empty(), false) } else { provides(own, &bounds, &index.fields) };
        let useful_order = sorted && !order.is_empty();
        if index.sparse && bounds.used == 0 && hinted.is_none() {
            continue;
        }
        if bounds.used == 0 && !useful_order && hinted.is_none() {
            continue;
        }
        let score = bounds.score() * 2 + i32::from(useful_order) + i32::from(index.unique && bounds.exact);
        let access = Access::Index { index: Arc::clone(index), ranges: bounds.ranges, reverse };
        offer(score, Plan { access, sorted });
    }
    if let Some(Hint::Natural { reverse }) = hinted {
        return Ok(Plan { access: Access::Scan { reverse }, sorted: order.is_empty() });
    }
    Ok(best.map_or(Plan { access: Access::Scan { reverse: false }, sorted: order.is_empty() }, |(_, plan)| plan))
}

fn order_of(sort: &Sort) -> Vec<(String, bool)> {
    let direction = |key: &SortKey| key.direction() == Direction::Descending;
    sort.keys().iter().map(|key| (key.path().as_str().to_owned(), direction(key))).collect()
}

enum Hint {
    Id,
    Natural { reverse: bool },
    Index(Arc<Index>),
}

fn find_hint(collection: &Collection, hint: &Value<'_>) -> Result<Hint> {
    match hint {
        Value::String(name) if name == "_id_" => Ok(Hint::Id),
        Value::String(name) => {
            let found = collection.indexes.iter().find(|i| i.readable() && i.name == *name);
            found.map(|i| Hint::Index(Arc::clone(i))).ok_or(Error::BadHint)
        }
        Value::Document(pattern) => {
            let pattern = Doc::new(pattern);
            if let Some(direction) = pattern.get("$natural") {
                return Ok(Hint::Natural { reverse: direction.as_f64().is_some_and(|d| d < 0.0) });
            }
            if pattern.len() == 1 && pattern.has("_id") {
                return Ok(Hint::Id);
            }
            let same = |index: &Arc<Index>| millstream_value::compare_docs(index.key(), pattern).is_eq();
            let mut all = collection.indexes.iter().filter(|i| i.readable() && same(i));
            match (all.next(), all.next()) {
                (Some(index), None) => Ok(Hint::Index(Arc::clone(index))),
                // The same fields in two collations.
                (Some(_), Some(_)) => Err(Error::invalid(
                    millstream_value::Code::BadValue,
                    "the hint is the key of several indexes; name one of them",
                )),
                (None, _) => Err(Error::BadHint),
            }
        }
        _ => Err(Error::invalid(millstream_value::Code::FailedToParse, "hint must be a string or an object")),
    }
}

/// What the conditions say about the leading fields of an index.
struct Bounds {
    ranges: Vec<KeyRange>,
    /// Leading fields with a condition.
    used: usize,
    /// Leading fields held to one value.
    equal: usize,
    /// Every field of the index is held to one value.
    exact: bool,
}

impl Bounds {
    fn of(fields: &[IndexField], conditions: &[&Condition], multikey: bool, order: Option<&dyn TextOrder>) -> Self {
        let mut prefixes = vec![Vec::new()];
        let (mut used, mut equal, mut lists) = (0, 0, false);
        for field in fields {
            let on_field = || conditions.iter().copied().filter(|c| c.path == field.path);
            if let Some(values) = on_field().find_map(points) {
                if prefixes.len().saturating_mul(values.len()) > RANGES_MAX {
                    break;
                }
                let mut keys: Vec<Vec<u8>> = values.iter().map(|v| field_key(v, field.descending, order)).collect();
                keys.sort_unstable();
                keys.dedup();
                lists |= keys.len() != 1;
                let joined = |prefix: &Vec<u8>| {
                    let prefix = prefix.clone();
                    keys.iter().map(move |k| [prefix.as_slice(), k.as_slice()].concat()).collect::<Vec<_>>()
                };
                prefixes = prefixes.iter().flat_map(joined).collect();
                used += 1;
                if !lists {
                    equal += 1;
                }
                continue;
            }
            if let Some((low, high)) = range(on_field(), field.descending, multikey, order) {
                used += 1;
                let ranges = prefixes.iter().map(|prefix| KeyRange {
                    low: [prefix.as_slice(), low.as_slice()].concat(),
                    high: Some([prefix.as_slice(), high.as_slice()].concat()),
                });
                return Self { ranges: ranges.collect(), used, equal, exact: false };
            }
            break;
        }
        let exact = equal == fields.len();
        let ranges = prefixes.into_iter().map(|low| KeyRange { high: successor(&low), low });
        Self { ranges: ranges.collect(), used, equal, exact }
    }

    fn score(&self) -> i32 {
        let used = i32::try_from(self.used).unwrap_or(i32::MAX / 8);
        let equal = i32::try_from(self.equal).unwrap_or(i32::MAX / 8);
        used + equal
    }

    /// Whether reading the ranges one after the other gives the order, and whether backwards.
    fn provides(&self, fields: &[IndexField], order: &[(String, bool)]) -> (bool, bool) {
        if order.is_empty() {
            return (true, false);
        }
        if self.ranges.len() != 1 {
            return (false, false);
        }
        let bound = fields.get(..self.equal).unwrap_or_default();
        let mut wanted = order.iter().filter(|(path, _)| !bound.iter().any(|f| f.path == *path)).peekable();
        let mut reverse = None;
        for field in fields.iter().skip(self.equal) {
            let Some((path, descending)) = wanted.next() else { break };
            let backwards = *descending != field.descending;
            if field.path != *path || reverse.is_some_and(|r| r != backwards) {
                return (false, false);
            }
            reverse = Some(backwards);
        }
        (wanted.peek().is_none(), reverse.unwrap_or(false))
    }
}

/// The values a condition allows, if an index holds each of them as one key.
fn points(condition: &Condition) -> Option<Vec<&Value<'static>>> {
    let values = match &condition.test {
        Test::Eq(value) => vec![value],
        Test::In(values) => values.iter().collect(),
        _ => return None,
    };
    let indexed = |v: &&Value<'_>| !matches!(v.kind(), kind::ARRAY | kind::REGEX | kind::UNDEFINED);
    values.iter().all(indexed).then_some(values)
}

/// The narrowest range of keys that the conditions on one field leave.
fn range<'c>(
    conditions: impl Iterator<Item = &'c Condition>,
    descending: bool,
    multikey: bool,
    order: Option<&dyn TextOrder>,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut low, mut high): (Option<Vec<u8>>, Option<Vec<u8>>) = (None, None);
    let mut family = None;
    for condition in conditions {
        let Test::Range { lower, upper } = &condition.test else { continue };
        for (bound, is_low) in [(lower, true), (upper, false)] {
            let (Bound::Included(value) | Bound::Excluded(value)) = bound else { continue };
            let Some(span) = type_span(value) else { continue };
            if family.is_some_and(|f| f != span) {
                continue;
            }
            family = Some(span);
            let key = key::of_by(value, order);
            if is_low {
                low = Some(low.map_or(key.clone(), |l| l.max(key)));
            } else if let Some(key) = successor(&key) {
                high = Some(high.map_or(key.clone(), |h| h.min(key)));
            }
        }
    }
    let (first, last) = family?;
    // Two elements of an array may satisfy one bound each: only one of them can be used.
    if multikey && low.is_some() {
        high = None;
    }
    let (low, high) = (low.unwrap_or_else(|| vec![first]), high.unwrap_or_else(|| vec![last]));
    if descending {
        let flip = |bytes: Vec<u8>| bytes.into_iter().map(|b| !b).collect::<Vec<u8>>();
        // Complemented, a longer key sorts before its prefix: step over all that continue the bound.
        let (low, high) = (flip(high), flip(low));
        let high = successor(&high).unwrap_or(high);
        return Some((low, high));
    }
    Some((low, high))
}

/// The first bytes of keys of the values that compare with `value`: from, and up to but not including.
fn type_span(value: &Value<'_>) -> Option<(u8, u8)> {
    Some(match value.kind() {
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL => (0x1E, 0x34),
        kind::STRING | kind::SYMBOL => (0x3C, 0x3D),
        kind::DOCUMENT => (0x46, 0x47),
        kind::BINARY => (0x5A, 0x5B),
        kind::OBJECT_ID => (0x64, 0x65),
        kind::BOOL => (0x6E, 0x70),
        kind::DATE => (0x78, 0x79),
        kind::TIMESTAMP => (0x82, 0x83),
        _ => return None,
    })
}

fn field_key(value: &Value<'_>, descending: bool, order: Option<&dyn TextOrder>) -> Vec<u8> {
    let mut out = Vec::new();
    if descending {
        key::append_descending_by(value, order, &mut out);
    } else {
        key::append_by(value, order, &mut out);
    }
    out
}

/// The smallest bytes above everything that starts with `prefix`; none: there is nothing above.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut out = prefix.to_vec();
    while let Some(last) = out.pop() {
        if last < 0xFF {
            out.push(last + 1);
            return Some(out);
        }
    }
    None
}
