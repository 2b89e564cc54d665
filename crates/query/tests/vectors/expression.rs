//! Expressions, as `{$project: {_id: 0, r: <expression>}}` over one document.

use bson::{Bson, doc};
use millstream_query::projection::{Kind, Projection};
use millstream_value::{from_bson_document, to_bson_document};

use super::{Case, Family, check, same_error, scope};

#[test]
fn recorded_expressions() {
    check("expression", EXCEPTIONS, run);
}

const NEWER: &str = "an operator that 5.0 does not have and 8.0 has";

/// What differs from 5.0 on purpose, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("e_arith/{'$bitAnd': [6, 3]}", NEWER),
    ("e_array/{'$maxN': {'input': '$arr', 'n': 2}}", NEWER),
    ("e_date/{'$tsIncrement': '$ts'}", NEWER),
];

fn run(family: &Family, case: &Case) -> Result<(), String> {
    let expression = case.input.get("expression").unwrap().clone();
    let spec = from_bson_document(&doc! {"_id": 0, "r": expression});
    let result = Projection::parse(spec.as_doc(), &scope(), Kind::Aggregate).and_then(|projection| {
        let docs = family.set(case.input.get_str("set").unwrap());
        docs.iter().map(|doc| projection.apply(doc.as_doc())).collect::<Result<Vec<_>, _>>()
    });
    match (result, case.expect.get_i32("code")) {
        (Err(error), Ok(code)) => same_error(&error, code),
        (Err(error), Err(_)) => Err(format!("fails with {} {}", error.code.number(), error.message)),
        (Ok(found), Ok(code)) => Err(format!("does not fail with {code}: {found:?}")),
        (Ok(found), Err(_)) => {
            let found: Vec<Bson> = found.iter().map(|doc| Bson::Document(to_bson_document(doc.as_doc()))).collect();
            let want = case.expect.get_array("docs").unwrap();
            // NaN is not equal to itself, so the text is compared.
            let same = format!("{found:?}") == format!("{want:?}");
            if same { Ok(()) } else { Err(format!("\n    want {want:?}\n    got  {found:?}")) }
        }
    }
}
