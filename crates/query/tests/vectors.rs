//! Recorded behaviour (`conformance/vectors`), run through the pure functions of this crate.
//!
//! Every case runs; what differs on purpose is named, with its reason, in the family's own list of exceptions, and an
//! exception that is no longer one fails as well. A family that is not complete yet has a floor instead, which only
//! rises.

#[cfg(test)]
mod vectors {
    mod aggregate;
    mod expression;
    mod find;
    mod query;
    mod update;

    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use bson::{Bson, Document};
    use millstream_query::{Error, expression::Scope};
    use millstream_value::{DocBuf, Value};

    /// A file of recorded cases.
    pub(crate) struct Family {
        /// The cases by what they were.
        pub(crate) cases: Vec<Case>,
        data: BTreeMap<String, Vec<Document>>,
    }

    /// One recorded input and its answer.
    pub(crate) struct Case {
        /// Its name in the file; a name that is there twice gets a number the second time.
        pub(crate) name: String,
        /// What was sent.
        pub(crate) input: Document,
        /// What came back.
        pub(crate) expect: Document,
    }

    impl Family {
        /// Reads `conformance/vectors/<name>.json`.
        pub(crate) fn read(name: &str) -> Self {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors");
            let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
            // Straight into a tree of BSON: a tree of JSON in between would lose the order of the fields.
            let Bson::Document(file) = serde_json::from_str(&without_placeholders(&text)).unwrap() else {
                panic!("{name} is no document")
            };
            let documents = |value: &Bson| -> Vec<Document> {
                value.as_array().unwrap().iter().map(|doc| doc.as_document().unwrap().clone()).collect()
            };
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            let cases = documents(file.get("cases").unwrap()).into_iter().map(|case| {
                let name = case.get_str("name").unwrap();
                let count = seen.entry(name.to_owned()).or_default();
                *count += 1;
                Case {
                    name: if *count == 1 { name.to_owned() } else { format!("{name} #{count}") },
                    input: case.get_document("input").unwrap().clone(),
                    expect: case.get_document("expect").unwrap().clone(),
                }
            });
            let cases = cases.collect();
            let data = file.get_document("data").unwrap();
            let data = data.iter().map(|(name, docs)| (name.clone(), documents(docs)));
            Self { cases, data: data.collect() }
        }

        /// The collection that a case names.
        pub(crate) fn set(&self, name: &str) -> Vec<DocBuf> {
            self.data[name].iter().map(millstream_value::from_bson_document).collect()
        }
    }

    /// The clock of every case, in milliseconds since the epoch.
    pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

    /// The UUID that the recording spells in hexadecimal.
    const LAST_BIT: &str = r#"{"base64": "AAAAAAAAAAAAAAAAAAAAAQ==", "subType": "04"}"#;

    /// Replaces what differs from run to run: today's date by the clock's, ids and cluster times by plain text.
    fn without_placeholders(text: &str) -> String {
        let date = format!(r#"{{"$$date": {{"$$numberLong": "{NOW_MS}"}}}}"#);
        let rules = [
            (r#"\{\s*"\$date":\s*"<now>"\s*\}"#, date.as_str()),
            (r#"\{\s*"\$oid":\s*("<oid#\d+>")\s*\}"#, "$1"),
            (r#"\{\s*"literal":\s*"0{31}1",\s*"subType":\s*4\s*\}"#, LAST_BIT),
            (r#"\{\s*"\$timestamp":\s*\{\s*"t":\s*"<rank>",\s*"i":\s*\d+\s*\}\s*\}"#, r#""<time>""#),
        ];
        rules.iter().fold(text.to_owned(), |text, (pattern, with)| {
            regex::Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned()
        })
    }

    /// A scope with a clock, for what needs one.
    pub(crate) fn scope() -> Scope {
        Scope::at(NOW_MS)
    }

    /// The raw form of a tree.
    pub(crate) fn value(bson: &Bson) -> Value<'static> {
        millstream_value::from_bson(bson)
    }

    /// Whether an error is the recorded one; the text is a guide only.
    pub(crate) fn same_error(error: &Error, code: i32) -> Result<(), String> {
        if error.code.number() == code {
            return Ok(());
        }
        Err(format!("expected code {code}, got {} {}: {}", error.code.number(), error.code.name(), error.message))
    }

    /// Runs every case and compares the failures with the exceptions, each `(case name, reason)`.
    pub(crate) fn check(family: &str, exceptions: &[(&str, &str)], run: impl Fn(&Family, &Case) -> Result<(), String>) {
        let cases = Family::read(family);
        let mut agreed = 0;
        let mut problems = Vec::new();
        for case in &cases.cases {
            let excepted = exceptions.iter().any(|(name, _)| *name == case.name);
            match run(&cases, case) {
                Ok(()) if excepted => {
                    problems.push(format!("{}: agrees, though it is listed as an exception", case.name))
                }
                Ok(()) => agreed += 1,
                Err(_) if excepted => {}
                Err(problem) => problems.push(format!("{}: {problem}", case.name)),
            }
        }
        println!("{family}: {agreed} of {} agree, {} are exceptions", cases.cases.len(), exceptions.len());
        assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    }
}
