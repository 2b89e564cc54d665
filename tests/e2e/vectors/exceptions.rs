//! The named exceptions and the floors, as text files beside the vectors.

use bson::Bson;

use super::extended;
use crate::support::{notation, root};

/// A case that differs, why, and where possible what comes instead.
pub(super) struct Exception {
    /// `family/name of the case`.
    pub(super) case: String,
    /// Parts of the expectation that are replaced: a dotted path and a value.
    instead: Vec<(String, Bson)>,
}

impl Exception {
    /// Reads `conformance/vectors/exceptions.txt`; its head describes the format.
    pub(super) fn load() -> Vec<Self> {
        let text = read("exceptions.txt");
        let mut exceptions: Vec<Self> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            if let Some(part) = line.strip_prefix("  ") {
                let (path, value) = part.split_once(" = ").expect("  path = value");
                let value = notation::parse(value, &extended::placeholder).expect(part);
                let last = exceptions.last_mut().expect("a case before its parts");
                last.instead.push((path.trim().to_owned(), value));
            } else {
                let (case, reason) = line.split_once(" -- ").expect("family/case -- reason");
                assert!(!reason.trim().is_empty(), "{case}: a reason is missing");
                exceptions.push(Self { case: case.trim().to_owned(), instead: Vec::new() });
            }
        }
        exceptions
    }

    /// Whether the exception says what comes, rather than only that something else does.
    pub(super) fn records_what_comes(&self) -> bool {
        !self.instead.is_empty()
    }

    /// The expectation with the exception's parts in place.
    pub(super) fn instead_of(&self, expect: &Bson) -> Bson {
        let mut expect = expect.clone();
        for (path, value) in &self.instead {
            *at(&mut expect, path) = value.clone();
        }
        expect
    }
}

fn at<'a>(value: &'a mut Bson, path: &str) -> &'a mut Bson {
    path.split('.').fold(value, |value, step| match value {
        Bson::Array(values) => {
            let index: usize = step.parse().expect("an index");
            values.get_mut(index).expect("an index in range")
        }
        Bson::Document(document) => document.entry(step.to_owned()).or_insert(Bson::Null),
        _ => panic!("{path}: nothing at {step}"),
    })
}

/// The number of cases of a family that must agree at least.
pub(super) struct Floors(Vec<(String, usize)>);

impl Floors {
    pub(super) fn load() -> Self {
        let text = read("floors.txt");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        Self(pairs.map(|(name, floor)| (name.to_owned(), floor.trim().parse().expect("a number"))).collect())
    }

    /// What is wrong with this number of agreeing cases, if anything is.
    pub(super) fn judge(&self, family: &str, passed: usize, wrong: &[String]) -> Option<String> {
        let floor = self.0.iter().find(|(name, _)| name == family);
        let floor = floor.map_or(0, |(_, floor)| *floor);
        match passed.cmp(&floor) {
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Less => {
                Some(format!("{family}: {passed} cases agree, {floor} did before:\n  {}", wrong.join("\n  ")))
            }
            std::cmp::Ordering::Greater => Some(format!(
                "{family}: {passed} cases agree, more than {floor}: raise the floor in conformance/vectors/floors.txt"
            )),
        }
    }
}

fn read(name: &str) -> String {
    let path = root().join("conformance/vectors").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
