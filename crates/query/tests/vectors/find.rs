//! The pure part of `find`: filter, sort, skip, limit and projection over `find.json`.

use bson::{Bson, Document};
use millstream_query::predicate::Predicate;
use millstream_query::projection::{Kind, Projection};
use millstream_query::sort::Sort;
use millstream_query::{Collation, Error, Result};
use millstream_value::{DocBuf, from_bson, from_bson_document};

use super::query::{differs, is_recorded};
use super::{Case, Family};

/// Options that belong to collections and commands, not to the languages.
const ELSEWHERE: &[&str] = &["batchSize", "bogus", "hint", "maxTimeMS", "singleBatch"];

#[test]
fn documents_come_as_mongodb_gave_them() {
    let family = Family::read("find");
    let elsewhere = family.cases.iter().filter(|case| options(case).is_some_and(is_elsewhere));
    let elsewhere: Vec<_> = elsewhere.map(|case| (case.name.as_str(), "belongs to collections or cursors")).collect();
    super::check("find", &elsewhere, |family, case| {
        let options = options(case).unwrap();
        if is_elsewhere(options) {
            return Err("not run".to_owned());
        }
        let got = found(options, &family.set(case.input.get_str("set").unwrap()));
        match &got {
            Ok(found) if case.expect.get_array("docs").is_ok_and(|want| same_documents(found, want)) => Ok(()),
            Err(error) if is_recorded(error, &case.expect) => Ok(()),
            _ => Err(differs(&got, case)),
        }
    });
}

fn options(case: &Case) -> Option<&Document> {
    case.input.get_document("options").ok()
}

fn is_elsewhere(options: &Document) -> bool {
    let negative = |name: &str| options.get_i32(name).is_ok_and(|n| n < 0);
    options.keys().any(|key| ELSEWHERE.contains(&key.as_str()))
        || negative("skip")
        || negative("limit")
        || options.get("projection").is_some_and(|projection| projection.as_document().is_none())
}

/// Compared as bytes, so that types and the order of fields count, NaN is itself and `-0.0` is not `0.0`.
fn same_documents(found: &[DocBuf], want: &[Bson]) -> bool {
    found.len() == want.len()
        && found.iter().zip(want).all(|(found, want)| {
            let want = from_bson(want);
            want.as_doc().is_some_and(|want| want.as_bytes() == found.as_bytes())
        })
}

fn found(options: &Document, docs: &[DocBuf]) -> Result<Vec<DocBuf>> {
    let document = |name: &str| options.get_document(name).map(from_bson_document).unwrap_or_default();
    let count = |name: &str| options.get_i32(name).ok().and_then(|n| usize::try_from(n).ok());
    let mut scope = super::scope();
    if let Ok(variables) = options.get_document("let") {
        scope.variables = variables.iter().map(|(name, value)| (name.clone(), from_bson(value))).collect();
    }
    scope.collation = Collation::parse(document("collation").as_doc())?;
    let predicate = Predicate::parse(document("filter").as_doc(), &scope)?;
    let sort = Sort::parse(document("sort").as_doc(), &scope)?;
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
    kept.map(|(_, position, doc)| projection.apply_at(doc.as_doc(), position))
        .collect::<std::result::Result<_, Error>>()
}
