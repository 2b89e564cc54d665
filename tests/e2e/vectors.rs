//! Recorded behaviour: every case of `conformance/vectors` against the engine.
//!
//! `VECTORS=changes/rename` runs only the cases whose `family/name` contains that text and prints
//! what was expected beside what came.

mod compare;
mod exceptions;
mod extended;
mod scenario;
mod simple;

use bson::{Bson, Document};

use crate::support::{Connection, Server, notation, root};
use exceptions::{Exception, Floors};

/// Families that must agree but for the named exceptions.
const STRICT: [&str; 3] = ["changes", "update", "command"];
/// Families that have a floor which only rises.
const COUNTED: [&str; 4] = ["query", "find", "aggregate", "expression"];

/// One recorded case: what is done and what a MongoDB answered.
struct Case {
    name: String,
    input: Bson,
    expect: Bson,
}

struct Family {
    name: &'static str,
    /// Collections that cases name, by name.
    data: Document,
    cases: Vec<Case>,
}

#[test]
fn strict_families_agree_but_for_the_named_exceptions() {
    let mut wrong = Vec::new();
    let exceptions = Exception::load();
    for name in STRICT {
        let family = Family::load(name);
        let outcome = run(&family, &exceptions);
        println!("{name}: {} agree, {} named exceptions, of {}", outcome.passed, outcome.excepted, family.cases.len());
        wrong.extend(outcome.wrong);
    }
    let unused = exceptions.iter().filter(|exception| {
        let family = exception.case.split('/').next().unwrap_or_default();
        STRICT.contains(&family) && !Family::load_names(family).contains(&exception.case)
    });
    wrong.extend(unused.map(|exception| format!("{}: no such case", exception.case)));
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn counted_families_never_fall() {
    let floors = Floors::load();
    let mut wrong = Vec::new();
    for name in COUNTED {
        let family = Family::load(name);
        let outcome = run(&family, &[]);
        println!("{name}: {} agree of {}", outcome.passed, family.cases.len());
        if std::env::var_os("VECTORS").is_none() {
            wrong.extend(floors.judge(name, outcome.passed, &outcome.wrong));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_was_recorded_agrees_with_itself() {
    for name in STRICT.into_iter().chain(COUNTED) {
        for case in Family::load(name).cases {
            let differences = compare::differences(&case.input, &case.expect, &case.expect);
            assert!(differences.is_empty(), "{name}/{}: {differences:?}", case.name);
        }
    }
}

struct Outcome {
    passed: usize,
    excepted: usize,
    wrong: Vec<String>,
}

fn run(family: &Family, exceptions: &[Exception]) -> Outcome {
    let server = Server::memory();
    let mut connection = server.connect();
    simple::load_data(&mut connection, family);
    let wanted = std::env::var("VECTORS").ok();
    let mut outcome = Outcome { passed: 0, excepted: 0, wrong: Vec::new() };
    for case in &family.cases {
        let full_name = format!("{}/{}", family.name, case.name);
        if wanted.as_ref().is_some_and(|wanted| !full_name.contains(wanted.as_str())) {
            continue;
        }
        let actual = execute(&mut connection, family.name, case);
        let exception = exceptions.iter().find(|exception| exception.case == full_name);
        let expect = exception.map_or(case.expect.clone(), |e| e.instead_of(&case.expect));
        let differences = compare::differences(&case.input, &expect, &actual);
        if wanted.is_some() {
            show(&full_name, case, &expect, &actual, &differences);
        }
        match (exception, differences.first()) {
            (None, None) => outcome.passed += 1,
            (None, Some(difference)) => outcome.wrong.push(format!("{full_name}: {difference}")),
            (Some(exception), None) if exception.records_what_comes() => outcome.excepted += 1,
            (Some(_), None) => outcome
                .wrong
                .push(format!("{full_name}: agrees now; remove it from conformance/vectors/exceptions.txt")),
            (Some(exception), Some(difference)) if exception.records_what_comes() => {
                outcome.wrong.push(format!("{full_name}: differs from what its exception records: {difference}"))
            }
            (Some(_), Some(_)) => outcome.excepted += 1,
        }
    }
    outcome
}

fn execute(connection: &mut Connection, family: &str, case: &Case) -> Bson {
    match family {
        "changes" => scenario::run(connection, &case.name, &case.input),
        "update" => simple::update(connection, &case.input),
        "command" => simple::commands(connection, &case.input),
        "query" => simple::query(connection, &case.input),
        "find" => simple::find(connection, &case.input),
        "aggregate" => simple::aggregate(connection, &case.input),
        _ => simple::expression(connection, &case.input),
    }
}

fn show(name: &str, case: &Case, expect: &Bson, actual: &Bson, differences: &[String]) {
    println!("=== {name}");
    println!("input    {}", notation::print(&case.input));
    println!("expected {}", notation::print(expect));
    println!("got      {}", notation::print(actual));
    for difference in differences {
        println!("    {difference}");
    }
}

impl Family {
    fn load(name: &'static str) -> Self {
        let file = read(name);
        let part = |document: &Document, key: &str| {
            let value = document.get(key).unwrap_or_else(|| panic!("{name}: no {key}"));
            extended::values(value)
        };
        let cases = file.get_array("cases").expect("cases");
        Self {
            name,
            data: file
                .get("data")
                .map(extended::values)
                .and_then(|data| data.as_document().cloned())
                .unwrap_or_default(),
            cases: names(cases)
                .into_iter()
                .zip(cases)
                .map(|(name, case)| {
                    let case = case.as_document().expect("a case");
                    Case { name, input: part(case, "input"), expect: part(case, "expect") }
                })
                .collect(),
        }
    }

    fn load_names(name: &str) -> Vec<String> {
        let file = read(name);
        let cases = file.get_array("cases").expect("cases");
        names(cases).iter().map(|case| format!("{name}/{case}")).collect()
    }
}

/// The names of cases. Two that differ only in the types of their numbers were recorded under one name:
/// the second of them is called `name (2)`.
fn names(cases: &[Bson]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for case in cases {
        let name = case.as_document().expect("a case").get_str("name").expect("a name");
        let again = format!("{name} (2)");
        names.push(if names.iter().any(|known| known == name) { again } else { name.to_owned() });
    }
    names
}

fn read(family: &str) -> Document {
    let path = root().join(format!("conformance/vectors/{family}.json"));
    let text = std::fs::read_to_string(&path).expect("a vector file");
    match notation::parse(&text, &|_, _| None) {
        Ok(Bson::Document(document)) => document,
        other => panic!("{}: {other:?}", path.display()),
    }
}
