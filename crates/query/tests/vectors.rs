//! Recorded behaviour (`conformance/vectors`), run through the pure functions of this crate.
//!
//! Every case runs; what differs on purpose is named, with its reason, in the family's own list of exceptions, and an
//! exception that is no longer one fails as well. A family that is not complete yet has a floor instead, which only
//! rises.

mod vectors {
    mod aggregate;
    mod update;

    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use bson::{Bson, Document};
    use millstream_query::{Error, expression::Scope};
    use millstream_value::{DocBuf, Value};

    /// A file of recorded cases.
    pub struct Family {
        /// The cases by what they were.
        pub cases: Vec<Case>,
        data: BTreeMap<String, Vec<Document>>,
    }

    /// One recorded input and its answer.
    pub struct Case {
        /// Its name in the file.
        pub name: String,
        /// What was sent.
        pub input: Document,
        /// What came back.
        pub expect: Document,
    }

    impl Family {
        /// Reads `conformance/vectors/<name>.json`.
        pub fn read(name: &str) -> Self {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors");
            let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let cases = json["cases"].as_array().unwrap().iter().map(|case| Case {
                name: case["name"].as_str().unwrap().to_owned(),
                input: document(&case["input"]),
                expect: document(&case["expect"]),
            });
            let data = json["data"].as_object().into_iter().flatten().map(|(name, docs)| {
                (name.clone(), docs.as_array().unwrap().iter().map(document).collect::<Vec<_>>())
            });
            Self { cases: cases.collect(), data: data.collect() }
        }

        /// The collection that a case names.
        pub fn set(&self, name: &str) -> Vec<DocBuf> {
            self.data[name].iter().map(millstream_value::from_bson_document).collect()
        }
    }

    /// Extended JSON as a tree. Placeholders of the recording, which no parser takes, become their text.
    pub fn document(json: &serde_json::Value) -> Document {
        match tree(json) {
            Bson::Document(document) => document,
            other => panic!("a document was expected, not {other}"),
        }
    }

    fn tree(json: &serde_json::Value) -> Bson {
        let is_wrapper = json.as_object().is_some_and(|map| map.keys().next().is_some_and(|key| key.starts_with('$')));
        if is_wrapper && let Ok(value) = Bson::try_from(json.clone()) && !matches!(value, Bson::Document(_)) {
            return value;
        }
        match json {
            serde_json::Value::Object(map) => Bson::Document(map.iter().map(|(k, v)| (k.clone(), tree(v))).collect()),
            serde_json::Value::Array(values) => Bson::Array(values.iter().map(tree).collect()),
            other => Bson::try_from(other.clone()).unwrap(),
        }
    }

    /// A scope with a clock, for what needs one.
    pub fn scope() -> Scope {
        Scope::at(1_700_000_000_000)
    }

    /// The raw form of a tree.
    pub fn value(bson: &Bson) -> Value<'static> {
        millstream_value::from_bson(bson)
    }

    /// Whether an error is the recorded one; the text is a guide only.
    pub fn same_error(error: &Error, code: i32) -> Result<(), String> {
        if error.code.number() == code {
            return Ok(());
        }
        Err(format!("expected code {code}, got {} {}: {}", error.code.number(), error.code.name(), error.message))
    }

    /// Runs every case and compares the failures with the exceptions, each `(case name, reason)`.
    pub fn check(family: &str, exceptions: &[(&str, &str)], run: impl Fn(&Family, &Case) -> Result<(), String>) {
        let cases = Family::read(family);
        let mut agreed = 0;
        let mut problems = Vec::new();
        for case in &cases.cases {
            let excepted = exceptions.iter().any(|(name, _)| *name == case.name);
            match run(&cases, case) {
                Ok(()) if excepted => problems.push(format!("{}: agrees, though it is listed as an exception", case.name)),
                Ok(()) => agreed += 1,
                Err(_) if excepted => {}
                Err(problem) => problems.push(format!("{}: {problem}", case.name)),
            }
        }
        println!("{family}: {agreed} of {} agree, {} are exceptions", cases.cases.len(), exceptions.len());
        assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    }
}
