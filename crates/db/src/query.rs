//! Queries: `find`, `aggregate`, `count`, `distinct`, `explain`, each over one snapshot.

use std::sync::Arc;

use bytes::Bytes;
use millstream_query::path::{Leaf, Path};
use millstream_query::predicate::Predicate;
use millstream_query::projection::Projection;
use millstream_query::sort::Sort;
use millstream_query::stage::Pipeline;
use millstream_query::{Collation, collation};
use millstream_value::{ArrayBuf, Code, Doc, DocBuf, Namespace, Value, key};

use crate::oplog::OPLOG;
use crate::plan::{self, Access, Plan};
use crate::preimages::PREIMAGES;
use crate::read::Rows;
use crate::shared::State;
use crate::{Db, Error, Result, Size, TimeLimit, size};

/// Documents that a query gives, one after the other.
pub type Documents = Box<dyn Iterator<Item = Result<Bytes>> + Send>;

/// Bytes that sorting in memory may take: MongoDB's limit for one stage.
const SORT_BYTES_MAX: usize = 100 << 20;
/// Bytes of the values that `distinct` may give: they make one document.
const DISTINCT_BYTES_MAX: usize = 16 << 20;

/// A `find`.
pub struct Find {
    /// Which documents.
    pub filter: Arc<Predicate>,
    /// In which order.
    pub sort: Option<Sort>,
    /// What of them.
    pub projection: Option<Projection>,
    /// How many to pass over.
    pub skip: u64,
    /// How many at most; none: all.
    pub limit: Option<u64>,
    /// The index to use.
    pub hint: Option<Value<'static>>,
    /// How long it may take.
    pub time: TimeLimit,
}

impl Find {
    /// All documents that match, whole, in the plan's order, however long that takes.
    #[must_use]
    pub fn all(filter: Arc<Predicate>) -> Self {
        Self { filter, sort: None, projection: None, skip: 0, limit: None, hint: None, time: TimeLimit::default() }
    }
}

/// The database at one moment: whatever is read through it belongs together. Keeping one for long keeps what was
/// overwritten since.
#[derive(Clone)]
pub struct Reader {
    db: Db,
    state: Arc<State>,
}

impl Db {
    /// The database as it is now.
    #[must_use]
    pub fn now(&self) -> Reader {
        self.reader(self.state())
    }

    /// The database in one of its states.
    pub(crate) fn reader(&self, state: Arc<State>) -> Reader {
        Reader { db: self.clone(), state }
    }
}

/// How much of a result is wanted, and when.
struct Limits<'a> {
    skip: u64,
    limit: Option<u64>,
    time: &'a TimeLimit,
}

impl Reader {
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Runs a query.
    ///
    /// # Errors
    /// A bad hint, or a disk that fails. Later errors come from the documents.
    pub fn find(&self, namespace: &Namespace, find: Find) -> Result<Documents> {
        let limits = Limits { skip: find.skip, limit: find.limit, time: &find.time };
        let rows = self.sorted_rows(namespace, &find.filter, find.sort.as_ref(), find.hint.as_ref(), limits)?;
        let Some(projection) = find.projection else { return Ok(rows) };
        let filter = find.filter;
        let positional = projection.needs_position();
        Ok(Box::new(rows.map(move |doc| {
            let doc = doc?;
            let doc = Doc::new(&doc);
            let shown = if positional {
                let position = filter.matches_at(doc)?.unwrap_or_default();
                projection.apply_at(doc, position)?
            } else {
                projection.apply(doc)?
            };
            Ok(Bytes::from(shown.into_bytes()))
        })))
    }

    fn sorted_rows(
        &self,
        namespace: &Namespace,
        filter: &Arc<Predicate>,
        sort: Option<&Sort>,
        hint: Option<&Value<'_>>,
        limits: Limits<'_>,
    ) -> Result<Documents> {
        let Limits { skip, limit, time } = limits;
        let keep = || limit.map(|limit| limit.saturating_add(skip));
        if let Some(rows) = self.own_rows(namespace, filter, time) {
            return Ok(match sort {
                None => window(rows, skip, limit),
                Some(sort) => window(Box::new(sorted(rows, sort, keep())?.into_iter().map(Ok)), skip, limit),
            });
        }
        let State { snapshot, catalog } = self.state();
        let Some(collection) = catalog.get(namespace) else { return Ok(Box::new(std::iter::empty())) };
        let plan = plan::choose(collection, filter, sort, hint)?;
        let rows = Rows::open(snapshot, collection, &plan, Arc::clone(filter)).within(time);
        let rows: Documents = match sort.filter(|_| !plan.sorted) {
            None => Box::new(rows.map(|row| row.map(|r| r.doc))),
            Some(sort) => Box::new(sorted(rows.map(|row| row.map(|r| r.doc)), sort, keep())?.into_iter().map(Ok)),
        };
        Ok(window(rows, skip, limit))
    }

    /// What matches in one of the collections that are only shown: the log and the pre-images.
    fn own_rows(&self, namespace: &Namespace, filter: &Arc<Predicate>, time: &TimeLimit) -> Option<Documents> {
        if !namespace.is_internal() {
            return None;
        }
        match namespace.to_string().as_str() {
            OPLOG => Some(self.db.oplog(Arc::clone(filter), false, time.clone())),
            PREIMAGES => {
                let (filter, time) = (Arc::clone(filter), time.clone());
                let matches = move |doc: &Result<Bytes>| match doc {
                    Ok(doc) => time.check().and_then(|()| Ok(filter.matches(Doc::new(doc))?)),
                    Err(_) => Ok(true),
                };
                Some(Box::new(self.db.preimages().filter_map(move |doc| match matches(&doc) {
                    Ok(true) => Some(doc),
                    Ok(false) => None,
                    Err(error) => Some(Err(error)),
                })))
            }
            _ => None,
        }
    }

    /// Runs a pipeline over a collection; its leading `$match`, `$sort`, `$skip` and `$limit` go into the plan.
    ///
    /// # Errors
    /// As [`Reader::find`].
    pub fn aggregate(
        &self,
        namespace: &Namespace,
        pipeline: &Pipeline,
        hint: Option<&Value<'_>>,
        time: &TimeLimit,
    ) -> Result<Documents> {
        let prefix = pipeline.prefix();
        let filter = Arc::new(prefix.predicate.map_or_else(Predicate::always_true, Clone::clone));
        let limits = Limits { skip: prefix.skip.unwrap_or(0), limit: prefix.limit, time };
        let rows = self.sorted_rows(namespace, &filter, prefix.sort, hint, limits)?;
        let rest = pipeline.without_first(prefix.stages);
        if rest.is_empty() {
            return Ok(rows);
        }
        let input = rows.map(|doc| match doc {
            Ok(doc) => Ok(DocBuf::from_bytes(doc.to_vec())),
            Err(Error::Query(error)) => Err(error),
            Err(Error::Invalid { code, message }) => Err(millstream_query::Error::new(code, message)),
            Err(other) => Err(millstream_query::Error::new(Code::InternalError, other.to_string())),
        });
        Ok(Box::new(rest.run(input).map(|doc| Ok(Bytes::from(doc?.into_bytes())))))
    }

    /// Counts documents.
    ///
    /// # Errors
    /// As [`Reader::find`].
    pub fn count(&self, namespace: &Namespace, find: &Find) -> Result<u64> {
        if let Some(rows) = self.own_rows(namespace, &find.filter, &find.time) {
            return window(rows, find.skip, find.limit).try_fold(0, |count, row| row.map(|_| count + 1));
        }
        let State { snapshot, catalog } = self.state();
        let Some(collection) = catalog.get(namespace) else { return Ok(0) };
        if find.hint.is_none()
            && find.filter.is_always_true()
            && let Some(Size { documents, .. }) = size::stored(snapshot, collection)?
        {
            let left = u64::try_from(documents).unwrap_or(0).saturating_sub(find.skip);
            return Ok(find.limit.map_or(left, |limit| left.min(limit)));
        }
        let plan = plan::choose(collection, &find.filter, None, find.hint.as_ref())?;
        let rows = Rows::open(snapshot, collection, &plan, Arc::clone(&find.filter)).within(&find.time);
        let mut count = 0_u64;
        let most = find.limit.map(|limit| limit.saturating_add(find.skip));
        for row in rows {
            row?;
            count += 1;
            if most == Some(count) {
                break;
            }
        }
        find.time.check()?;
        Ok(count.saturating_sub(find.skip))
    }

    /// The different values of a path as the filter's collation tells them apart, arrays spread out, in order.
    ///
    /// # Errors
    /// As [`Reader::find`]; too many values for one document.
    pub fn distinct(
        &self,
        namespace: &Namespace,
        path: &str,
        filter: &Arc<Predicate>,
        hint: Option<&Value<'_>>,
        time: &TimeLimit,
    ) -> Result<ArrayBuf> {
        let limits = Limits { skip: 0, limit: None, time };
        let rows = self.sorted_rows(namespace, filter, None, hint, limits)?;
        distinct_values(rows, path, filter.collation(), time)
    }

    /// What a query would read: the `winningPlan` and, after running it, how many documents that took.
    ///
    /// # Errors
    /// As [`Reader::find`].
    pub fn explain(&self, namespace: &Namespace, find: &Find, filter: Doc<'_>, run: bool) -> Result<DocBuf> {
        let State { snapshot, catalog } = self.state();
        let mut planner = DocBuf::new();
        planner.push("namespace", namespace.to_string()).push("indexFilterSet", false).push("parsedQuery", filter);
        let mut statistics = DocBuf::new();
        let Some(collection) = catalog.get(namespace) else {
            planner.nest("winningPlan", |p| {
                p.push("stage", "EOF");
            });
            planner.push("rejectedPlans", Value::empty_array());
            return Ok(explained(planner, run.then_some(statistics)));
        };
        let plan = plan::choose(collection, &find.filter, find.sort.as_ref(), find.hint.as_ref())?;
        planner.push("winningPlan", describe(&plan, filter, find.sort.is_some() && !plan.sorted));
        planner.push("rejectedPlans", Value::empty_array());
        if run {
            let started = std::time::Instant::now();
            let mut rows = Rows::open(snapshot, collection, &plan, Arc::clone(&find.filter));
            let mut found = 0_i64;
            for row in rows.by_ref() {
                row?;
                found += 1;
            }
            let examined = i64::try_from(rows.examined).unwrap_or(i64::MAX);
            let keys = if matches!(plan.access, Access::Index { .. }) { examined } else { 0 };
            statistics.push("executionSuccess", true).push("nReturned", found);
            statistics.push("executionTimeMillis", i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX));
            statistics.push("totalKeysExamined", keys).push("totalDocsExamined", examined);
        }
        Ok(explained(planner, run.then_some(statistics)))
    }
}

/// The different values of a path in some documents as a collation tells them apart, arrays spread out, in order.
///
/// # Errors
/// Those of the documents; too many values for one document.
pub fn distinct_values(
    rows: Documents,
    path: &str,
    collation: Option<&Collation>,
    time: &TimeLimit,
) -> Result<ArrayBuf> {
    let at = Path::parse(path);
    let mut seen = std::collections::BTreeMap::new();
    let order = collation::order(collation);
    let mut size = 0;
    for doc in rows {
        let doc = doc?;
        let mut values = Vec::new();
        at.visit(Doc::new(&doc), Leaf::Whole, &mut |found| {
            match found.element {
                Some(e) if e.as_array().is_some() => values.extend(e.as_array().into_iter().flat_map(Doc::values)),
                Some(e) => values.push(e.value()),
                None => {}
            }
            Ok(false)
        })?;
        for value in values {
            let key = key::of_by(&value, order);
            if seen.contains_key(&key) {
                continue;
            }
            size += key.len();
            if size > DISTINCT_BYTES_MAX {
                return Err(Error::invalid(Code::Location(17217), "distinct too big, 16mb cap"));
            }
            seen.insert(key, value.into_owned());
        }
    }
    time.check()?;
    Ok(seen.into_values().collect())
}

fn explained(planner: DocBuf, statistics: Option<DocBuf>) -> DocBuf {
    let mut out = DocBuf::new();
    out.push("explainVersion", "1").push("queryPlanner", planner);
    out.push_some("executionStats", statistics);
    out
}

fn describe(plan: &Plan, filter: Doc<'_>, sorts: bool) -> DocBuf {
    let direction = |reverse: bool| if reverse { "backward" } else { "forward" };
    let mut stage = DocBuf::new();
    match &plan.access {
        Access::Scan { reverse } => {
            stage.push("stage", "COLLSCAN").push("filter", filter).push("direction", direction(*reverse));
        }
        Access::Ids { ranges, reverse } => {
            stage.push("stage", "IDHACK").push("indexName", "_id_");
            stage.push("ranges", i64::try_from(ranges.len()).unwrap_or(i64::MAX));
            stage.push("direction", direction(*reverse));
        }
        Access::Index { index, ranges, reverse } => {
            stage.push("stage", "FETCH").push("filter", filter);
            stage.nest("inputStage", |scan| {
                scan.push("stage", "IXSCAN").push("keyPattern", index.key()).push("indexName", &index.name);
                scan.push("isMultiKey", index.multikey.load(std::sync::atomic::Ordering::Acquire));
                scan.push("isUnique", index.unique).push("isSparse", index.sparse);
                scan.push("ranges", i64::try_from(ranges.len()).unwrap_or(i64::MAX));
                scan.push("direction", direction(*reverse));
            });
        }
    }
    if !sorts {
        return stage;
    }
    let mut sort = DocBuf::new();
    sort.push("stage", "SORT").push("inputStage", stage);
    sort
}

/// Sorts in memory; with `keep`, only the first so many are held.
fn sorted(rows: impl Iterator<Item = Result<Bytes>>, sort: &Sort, keep: Option<u64>) -> Result<Vec<Bytes>> {
    let keep = keep.map_or(usize::MAX, |keep| usize::try_from(keep).unwrap_or(usize::MAX));
    let mut held: Vec<(Vec<u8>, Bytes)> = Vec::new();
    let mut size = 0;
    for doc in rows {
        let doc = doc?;
        let key = sort.key(Doc::new(&doc))?;
        size += key.len() + doc.len();
        held.push((key, doc));
        // Cut back at twice what is wanted: each document is then sorted twice on average at most.
        if held.len() >= keep.saturating_mul(2).max(1_024) {
            held.sort_by(|a, b| a.0.cmp(&b.0));
            held.truncate(keep);
            size = held.iter().map(|(k, d)| k.len() + d.len()).sum();
        }
        if size > SORT_BYTES_MAX {
            return Err(Error::invalid(
                Code::QueryExceededMemoryLimitNoDiskUseAllowed,
                format!(
                    "Executor error during find command :: caused by :: Sort exceeded memory limit of {SORT_BYTES_MAX} bytes"
                ),
            ));
        }
    }
    held.sort_by(|a, b| a.0.cmp(&b.0));
    held.truncate(keep);
    Ok(held.into_iter().map(|(_, doc)| doc).collect())
}

fn window(rows: Documents, skip: u64, limit: Option<u64>) -> Documents {
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    let rows: Documents = if skip == 0 { rows } else { Box::new(rows.skip(skip)) };
    match limit {
        None => rows,
        Some(limit) => Box::new(rows.take(usize::try_from(limit).unwrap_or(usize::MAX))),
    }
}
