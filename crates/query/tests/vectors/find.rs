//! The pure part of `find`: filter, sort, skip, limit and projection over `find.json`.

use bson::{Bson, Document};
use millstream_query::expression::Scope;
use millstream_query::predicate::Predicate;
use millstream_query::projection::{Kind, Projection};
use millstream_query::sort::Sort;
use millstream_query::{Error, Result};
use millstream_value::{DocBuf, from_bson, from_bson_document, to_bson_document};

use super::query::{family, report, same_error};

/// Options that belong to collections and commands, not to the languages.
const ELSEWHERE: &[&str] = &[
    "batchSize",
    "bogus",
    "collation",
    "hint",
    "maxTimeMS",
    "singleBatch",
];

#[test]
fn documents_come_as_mongodb_gave_them() {
    let family = family("find");
    let (mut failures, mut total) = (vec![], 0);
    for case in &family.cases {
        let options = case.input.get_document("options").unwrap();
        let negative = |name: &str| options.get_i32(name).is_ok_and(|n| n < 0);
        let no_document = options.get("projection").is_some_and(|p| p.as_document().is_none());
        if options.keys().any(|key| ELSEWHERE.contains(&key.as_str()))
            || negative("skip")
            || negative("limit")
            || no_document
        {
            continue;
        }
        total += 1;
        let docs = &family.data[case.input.get_str("set").unwrap()];
        let got = found(options, docs);
        let same = match &got {
            Ok(found) => case.expect.get_array("docs").is_ok_and(|want| same_documents(found, want)),
            Err(error) => same_error(error, &case.expect),
        };
        if !same {
            failures.push((case.name.clone(), format!("{got:?}\n    for {}", case.expect)));
        }
    }
    report("find", total, &failures);
}

/// Encoded, so that the order of fields counts, NaN is itself, and `-0.0` is not `0.0`.
fn same_documents(found: &[DocBuf], want: &[Bson]) -> bool {
    found.len() == want.len()
        && found.iter().zip(want).all(|(found, want)| {
            let want = from_bson(want);
            want.as_doc().is_some_and(|want| to_bson_document(want).to_string() == to_bson_document(found.as_doc()).to_string())
        })
}

fn found(options: &Document, docs: &[DocBuf]) -> Result<Vec<DocBuf>> {
    let document = |name: &str| options.get_document(name).map(from_bson_document).unwrap_or_default();
    let count = |name: &str| options.get_i32(name).ok().and_then(|n| usize::try_from(n).ok());
    let mut scope = Scope::default();
    if let Ok(variables) = options.get_document("let") {
        scope.variables = variables.iter().map(|(name, value)| (name.clone(), from_bson(value))).collect();
    }
    let predicate = Predicate::parse(document("filter").as_doc(), &scope)?;
    let sort = Sort::parse(document("sort").as_doc())?;
    let projection = Projection::parse(document("projection").as_doc(), &scope, Kind::Find)?;
    let mut rows = vec![];
    for doc in docs {
        if let Some(position) = predicate.matches_at(doc.as_doc())? {
            rows.push((sort.key(doc.as_doc())?, position, doc));
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let limit = count("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let kept = rows.into_iter().skip(count("skip").unwrap_or(0)).take(limit);
    kept.map(|(_, position, doc)| projection.apply_at(doc.as_doc(), position)).collect::<std::result::Result<_, Error>>()
}
