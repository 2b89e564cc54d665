//! Filters: `query.json`, each over a whole collection.

use bson::{Bson, Document};
use millstream_query::predicate::Predicate;
use millstream_query::{Error, Result};
use millstream_value::{DocBuf, from_bson_document, to_bson};

use super::Case;

#[test]
fn filters_choose_what_mongodb_chose() {
    super::check("query", &[], |family, case| {
        let filter = from_bson_document(case.input.get_document("filter").unwrap());
        let got = chosen(&filter, &family.set(case.input.get_str("set").unwrap()));
        match &got {
            Ok(ids) if case.expect.get_array("ids").is_ok_and(|want| want == ids) => Ok(()),
            Err(error) if is_recorded(error, &case.expect) => Ok(()),
            _ => Err(differs(&got, case)),
        }
    });
}

fn chosen(filter: &DocBuf, docs: &[DocBuf]) -> Result<Vec<Bson>> {
    let predicate = Predicate::parse(filter.as_doc(), &super::scope())?;
    let mut ids = vec![];
    for doc in docs {
        if predicate.matches(doc.as_doc())? {
            ids.extend(doc.as_doc().get("_id").map(|id| to_bson(&id)));
        }
    }
    Ok(ids)
}

/// Whether an error is the recorded one: its number and, but for what a server puts before it, its text.
pub(crate) fn is_recorded(error: &Error, expect: &Document) -> bool {
    expect.get_i32("code").is_ok_and(|code| code == error.code.number())
        && expect.get_str("errmsg").is_ok_and(|text| text.ends_with(error.message.as_str()))
}

/// What came instead.
pub(crate) fn differs(got: &impl std::fmt::Debug, case: &Case) -> String {
    format!("got {got:?}\n    for {}", case.expect)
}
