//! The table of stages.

use millstream_value::Element;

use super::Parsing;
use super::{
    add_fields, bucket, change_stream, coll_stats, count, facet, group, later, limit, matching, project, redact,
    replace_root, sample, skip, sort, sort_by_count, split, unset, unwind,
};
use crate::Result;

/// What is known about a stage.
pub struct Row {
    /// The name a client writes.
    pub name: &'static str,
    /// Whether it may follow `$changeStream`.
    pub in_change_streams: bool,
    /// Whether it may stand in an update.
    pub in_updates: bool,
    /// Whether it may stand in `$facet`.
    pub in_facets: bool,
    /// Whether it must be the first stage.
    pub first_only: bool,
    /// Whether this engine has it; the others fail with `NotImplemented`.
    pub built: bool,
    pub(super) parse: fn(Element<'_>, &mut Parsing<'_>) -> Result<()>,
}

impl Row {
    /// A stage of aggregations, inside `$facet` too.
    pub(super) const fn new(name: &'static str, parse: fn(Element<'_>, &mut Parsing<'_>) -> Result<()>) -> Self {
        Self {
            name,
            in_change_streams: false,
            in_updates: false,
            in_facets: true,
            first_only: false,
            built: true,
            parse,
        }
    }

    /// The same, allowed in change streams.
    pub(super) const fn in_change_streams(self) -> Self {
        Self { in_change_streams: true, ..self }
    }

    /// The same, allowed in updates.
    pub(super) const fn in_updates(self) -> Self {
        Self { in_updates: true, ..self }
    }

    /// The same, not allowed in `$facet`.
    pub(super) const fn not_in_facets(self) -> Self {
        Self { in_facets: false, ..self }
    }

    /// The same, allowed at the start only.
    pub(super) const fn first_only(self) -> Self {
        Self { first_only: true, in_facets: false, ..self }
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Every stage that MongoDB 8.0 knows, by the name a client writes.
// tidy: sorted by name
pub static STAGES: &[Row] = &[
    add_fields::ADD_FIELDS,
    bucket::BUCKET,
    later::stage("$bucketAuto"),
    change_stream::CHANGE_STREAM,
    split::CHANGE_STREAM_SPLIT_LARGE_EVENT,
    coll_stats::COLL_STATS,
    count::COUNT,
    later::stage("$currentOp").first_only(),
    later::stage("$densify"),
    later::stage("$documents").first_only(),
    facet::FACET,
    later::stage("$fill"),
    later::stage("$geoNear").first_only(),
    later::stage("$graphLookup"),
    group::GROUP,
    later::stage("$indexStats").first_only(),
    limit::LIMIT,
    later::stage("$listLocalSessions").first_only(),
    later::stage("$listSearchIndexes").first_only(),
    later::stage("$listSessions").first_only(),
    later::stage("$lookup"),
    matching::MATCH,
    later::stage("$merge").not_in_facets(),
    later::stage("$out").not_in_facets(),
    later::stage("$planCacheStats").first_only(),
    project::PROJECT,
    later::stage("$querySettings").first_only(),
    redact::REDACT,
    replace_root::REPLACE_ROOT,
    replace_root::REPLACE_WITH,
    sample::SAMPLE,
    later::stage("$search").first_only(),
    later::stage("$searchMeta").first_only(),
    add_fields::SET,
    later::stage("$setWindowFields"),
    skip::SKIP,
    sort::SORT,
    sort_by_count::SORT_BY_COUNT,
    later::stage("$unionWith"),
    unset::UNSET,
    unwind::UNWIND,
    later::stage("$vectorSearch").first_only(),
];

/// The stage called `name`.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    STAGES.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|index| STAGES.get(index))
}
