//! Pipelines over a collection: the documents that come out.

use bson::Bson;
use millstream_query::stage::{Pipeline, Place};
use millstream_value::to_bson_document;

use super::{Case, Family, check, same_error, scope, value};

#[test]
fn recorded_pipelines() {
    check("aggregate", EXCEPTIONS, run);
}

const NEWER: &str = "the recorded server is older than this";
const NOT_BUILT: &str = "the stage is not built";

const EXCEPTIONS: &[(&str, &str)] = &[
    ("a_sales/[{'$densify': {'field': 'qty', 'range': {'step': 1, 'bounds': [10, 14]", NOT_BUILT),
    ("a_sales/[{'$documents': [{'a': 1}]}]", NOT_BUILT),
    ("a_sales/[{'$group': {'_id': '$item', 'top': {'$top': {'output': '$qty', 'sortB", NEWER),
    ("a_sales/[{'$group': {'_id': '$item', 'x': {'$firstN': {'input': '$qty', 'n': 2", NEWER),
    ("a_sales/[{'$merge': {'into': 'm', 'whenMatched': 'bogus'}}]", NOT_BUILT),
    ("a_sales/[{'$out': {'db': 1}}]", NOT_BUILT),
    ("a_sales/[{'$setWindowFields': {'sortBy': {'qty': 1}, 'output': {'ma': {'$avg':", NOT_BUILT),
    ("a_sales/[{'$unionWith': {'coll': 'inv', 'pipeline': [{'$project': {'sku': 1}}]", NOT_BUILT),
    ("a_tree/[{'$graphLookup': {'from': 'tree'}}]", NOT_BUILT),
];

fn run(family: &Family, case: &Case) -> Result<(), String> {
    let found = documents(family, case);
    match (found, case.expect.get_i32("code")) {
        (Err(error), Ok(code)) => same_error(&error, code),
        (Err(error), Err(_)) => Err(format!("fails with {} {}", error.code.number(), error.message)),
        (Ok(_), Ok(code)) => Err(format!("does not fail with {code}")),
        (Ok(found), Err(_)) => {
            let want = case.expect.get_array("docs").unwrap();
            if found == *want { Ok(()) } else { Err(format!("\n    want {want:?}\n    got  {found:?}")) }
        }
    }
}

fn documents(family: &Family, case: &Case) -> millstream_query::Result<Vec<Bson>> {
    let stages: Vec<_> = case.input.get_array("pipeline").unwrap().iter().map(value).collect();
    let pipeline = Pipeline::parse(&stages, &scope(), Place::Aggregate)?;
    let docs = family.set(case.input.get_str("set").unwrap());
    pipeline.run(docs.into_iter().map(Ok)).map(|doc| Ok(Bson::Document(to_bson_document(doc?.as_doc())))).collect()
}
