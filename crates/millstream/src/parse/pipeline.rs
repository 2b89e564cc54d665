//! Pipelines as Extended JSON.

use bson::{Bson, Document};

/// Reads an array of stages, or a single stage.
pub(crate) fn pipeline(text: &str) -> Result<Vec<Document>, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        format!("the pipeline is no JSON ({error}); names and strings need double quotes, as in '[{{\"$match\": {{\"operationType\": \"insert\"}}}}]'")
    })?;
    let value = Bson::try_from(json).map_err(|error| format!("the pipeline is no Extended JSON: {error}"))?;
    match value {
        Bson::Document(stage) => Ok(vec![checked(stage)?]),
        Bson::Array(stages) => stages
            .into_iter()
            .map(|stage| match stage {
                Bson::Document(stage) => checked(stage),
                other => Err(format!("the pipeline has {other} where a stage should be")),
            })
            .collect(),
        other => Err(format!("the pipeline is {other}, not an array of stages")),
    }
}

fn checked(stage: Document) -> Result<Document, String> {
    match stage.keys().next() {
        Some(name) if stage.len() == 1 && name.starts_with('$') => Ok(stage),
        Some(name) if stage.len() == 1 => {
            Err(format!("`{name}` in the pipeline is no stage: stages begin with $, as in {{\"$match\": …}}"))
        }
        _ => Err(format!("a stage of the pipeline has {} fields, not one", stage.len())),
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn arrays_and_single_stages() {
        let stage = doc! {"$match": {"fullDocument.n": {"$gt": 5_i64}}};
        let text = r#"{"$match": {"fullDocument.n": {"$gt": {"$numberLong": "5"}}}}"#;
        assert_eq!(pipeline(text), Ok(vec![stage.clone()]));
        assert_eq!(pipeline(&format!("[{text}]")), Ok(vec![stage]));
        assert_eq!(pipeline("[]"), Ok(vec![]));
    }

    #[test]
    fn the_order_of_fields_stays() {
        let stages = pipeline(r#"{"$project": {"z": 1, "a": 1, "m": 1}}"#).unwrap();
        let fields = stages[0].get_document("$project").unwrap();
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["z", "a", "m"]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("[{", "double quotes"),
            ("{$match: {}}", "double quotes"),
            ("7", "not an array"),
            ("[7]", "where a stage should be"),
            (r#"{"match": {}}"#, "begin with $"),
            (r#"{"$match": {}, "$project": {}}"#, "2 fields"),
            ("{}", "0 fields"),
        ] {
            let reason = pipeline(text).unwrap_err();
            assert!(reason.contains(part) && reason.contains("pipeline"), "{text}: {reason}");
        }
    }
}
