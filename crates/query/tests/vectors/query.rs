//! Filters: `query.json`. Also the reading of the files, which `find` shares.

use std::collections::BTreeMap;

use bson::{Bson, Document};
use millstream_query::expression::Scope;
use millstream_query::predicate::Predicate;
use millstream_query::{Error, Result};
use millstream_value::{DocBuf, from_bson_document, to_bson};

/// A recorded family.
pub(crate) struct Family {
    pub(crate) data: BTreeMap<String, Vec<DocBuf>>,
    pub(crate) cases: Vec<Case>,
}

/// One input and what a MongoDB made of it.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) input: Document,
    pub(crate) expect: Document,
}

/// Reads `conformance/vectors/<name>.json`.
pub(crate) fn family(name: &str) -> Family {
    let path = format!("{}/../../conformance/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let path = std::env::var("MILLSTREAM_VECTORS").map_or(path, |folder| format!("{folder}/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // Straight into a tree of BSON: a tree of JSON in between would lose the order of the fields.
    let Bson::Document(file) = serde_json::from_str(&text).unwrap() else { panic!("{name} is no document") };
    let documents = |value: &Bson| -> Vec<DocBuf> {
        let array = value.as_array().unwrap();
        array.iter().map(|doc| from_bson_document(doc.as_document().unwrap())).collect()
    };
    let data = file.get_document("data").unwrap();
    let cases = file.get_array("cases").unwrap().iter().map(|case| {
        let case = case.as_document().unwrap();
        Case {
            name: case.get_str("name").unwrap().to_owned(),
            input: case.get_document("input").unwrap().clone(),
            expect: case.get_document("expect").unwrap().clone(),
        }
    });
    Family { data: data.iter().map(|(set, docs)| (set.clone(), documents(docs))).collect(), cases: cases.collect() }
}

/// Whether an error is the recorded one: its number and, but for what a server puts around it, its text.
pub(crate) fn same_error(error: &Error, expect: &Document) -> bool {
    let number = expect.get("code").and_then(|code| match code {
        Bson::Int32(code) => Some(*code),
        _ => None,
    });
    number == Some(error.code.number())
        && expect.get_str("errmsg").is_ok_and(|text| text.ends_with(error.message.as_str()))
}

/// Fails with the list of `(case, what came)` unless it is empty.
pub(crate) fn report(family: &str, total: usize, failures: &[(String, String)]) {
    for (name, got) in failures {
        println!("{family}: {name}\n    got {got}");
    }
    println!("{family}: {} of {total}", total - failures.len());
    assert!(failures.is_empty(), "{} cases differ", failures.len());
}

#[test]
fn filters_choose_what_mongodb_chose() {
    let family = family("query");
    let mut failures = vec![];
    for case in &family.cases {
        let filter = from_bson_document(case.input.get_document("filter").unwrap());
        let docs = &family.data[case.input.get_str("set").unwrap()];
        let got = chosen(&filter, docs);
        let same = match &got {
            Ok(ids) => case.expect.get_array("ids").is_ok_and(|want| want == ids),
            Err(error) => same_error(error, &case.expect),
        };
        if !same {
            failures.push((case.name.clone(), format!("{got:?}\n    for {}", case.expect)));
        }
    }
    report("query", family.cases.len(), &failures);
}

fn chosen(filter: &DocBuf, docs: &[DocBuf]) -> Result<Vec<Bson>> {
    let predicate = Predicate::parse(filter.as_doc(), &Scope::default())?;
    let mut ids = vec![];
    for doc in docs {
        if predicate.matches(doc.as_doc())? {
            ids.push(to_bson(&doc.as_doc().get("_id").unwrap()));
        }
    }
    Ok(ids)
}
