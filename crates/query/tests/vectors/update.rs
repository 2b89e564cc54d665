//! Updates of a collection: the document after, and the event's description.

use bson::{Bson, Document, doc};
use millstream_query::predicate::Predicate;
use millstream_query::update::delta::{apply_delta, describe};
use millstream_query::update::{Outcome, Update};
use millstream_value::{Doc, DocBuf, from_bson_document, to_bson_document};

use super::{Case, Family, check, same_error, scope, value};

#[test]
fn recorded_updates() {
    check("update", EXCEPTIONS, run);
}

/// The recorder kept its answers by name, and the same update with a long has the same name.
const OVERWRITTEN: &str = "the recorded answer is that of the case with the same name and a long operand";

const EXCEPTIONS: &[(&str, &str)] = &[
    ("u_ops/({'$bit': {'i': {'or': 8}}}, {'_id': 1}, {})", OVERWRITTEN),
    ("u_ops/({'$inc': {'i': 1}}, {'_id': 1}, {})", OVERWRITTEN),
];

fn run(_: &Family, case: &Case) -> Result<(), String> {
    let reply = case.expect.get_document("reply").unwrap();
    let expected_code =
        reply.get_array("writeErrors").ok().map(|errors| errors[0].as_document().unwrap().get_i32("code").unwrap());
    let found = match (apply(case), expected_code) {
        (Err(error), Some(code)) => return same_error(&error, code),
        (Err(error), None) => return Err(format!("fails with {} {}", error.code.number(), error.message)),
        (Ok(_), Some(code)) => return Err(format!("does not fail with {code}")),
        (Ok(found), None) => found,
    };
    let after = case.expect.get_array("after").unwrap();
    let want = after.first().and_then(Bson::as_document).cloned().unwrap_or_default();
    same("after", &found.after, &want)?;
    let event = case.expect.get_array("events").unwrap().first().and_then(Bson::as_document);
    let modified = reply.get_i32("nModified").unwrap() == 1;
    if modified != found.description.is_some() {
        return Err(format!("modified: expected {modified}"));
    }
    let Some(event) = event.filter(|_| modified) else {
        return Ok(());
    };
    let found = found.description.unwrap();
    match (event.get_document("updateDescription"), found) {
        (Ok(want), Some(found)) => same("updateDescription", &found, want),
        (Err(_), None) => Ok(()),
        (want, found) => Err(format!("expected {want:?}, got {found:?}")),
    }
}

struct Found {
    after: Document,
    /// None: nothing changed. Some(None): logged as a whole.
    description: Option<Option<Document>>,
}

fn apply(case: &Case) -> millstream_query::Result<Found> {
    let scope = scope();
    let query = from_bson_document(case.input.get_document("q").unwrap());
    let filters: Vec<DocBuf> = case
        .input
        .get_array("arrayFilters")
        .into_iter()
        .flatten()
        .map(|filter| from_bson_document(filter.as_document().unwrap()))
        .collect();
    let filters: Vec<Doc<'_>> = filters.iter().map(DocBuf::as_doc).collect();
    let update = value(&case.input["u"]);
    let predicate = Predicate::parse(query.as_doc(), &scope)?;
    let update = Update::parse(&update, &filters, &scope)?;
    let before = case.input.get_array("before").unwrap();
    for before in before {
        let before = from_bson_document(before.as_document().unwrap());
        let Some(position) = predicate.matches_at(before.as_doc())? else {
            continue;
        };
        return Ok(match update.apply(before.as_doc(), Some(position), false)? {
            Outcome::Unchanged => Found { after: to_bson_document(before.as_doc()), description: None },
            Outcome::Changed { after, delta } => {
                let description = delta.map(|delta| {
                    assert_eq!(apply_delta(before.as_doc(), delta.as_doc()), after, "the delta {delta:?} leads there");
                    let description = describe(delta.as_doc());
                    doc! {
                        "updatedFields": to_bson_document(description.updated_fields.as_doc()),
                        "removedFields": millstream_value::to_bson(&description.removed_fields.into()),
                        "truncatedArrays": millstream_value::to_bson(&description.truncated_arrays.into()),
                    }
                });
                Found { after: to_bson_document(after.as_doc()), description: Some(description) }
            }
        });
    }
    let after = update.new_document(&predicate)?;
    let mut after = to_bson_document(after.as_doc());
    if !after.contains_key("_id") {
        let rest = std::mem::take(&mut after);
        after = doc! {"_id": "<oid#1>"};
        after.extend(rest);
    }
    Ok(Found { after, description: None })
}

/// Compares, field order included.
fn same(what: &str, found: &Document, want: &Document) -> Result<(), String> {
    if found == want { Ok(()) } else { Err(format!("{what}\n    want {want:?}\n    got  {found:?}")) }
}
