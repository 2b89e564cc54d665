//! Runs one session.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use bson::{Bson, Document};
use jiff::tz::TimeZone;
use millstream_flow::{Change, Circuit, Delta, Output, Row, Store};
use millstream_sql::expr::Context;
use millstream_sql::plan::{Catalog, DrivenChange, Plan, Purpose, Relation, Routine, Settings, Source};
use millstream_sql::statement::{Statement, script};
use millstream_value::{Doc, DocBuf, from_bson_document, to_bson_document};

/// Runs the commands of a file; the error shows every answer that differs.
pub(crate) fn run(file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut session = Session::default();
    let mut failed = String::new();
    for paragraph in paragraphs(&text) {
        let Paragraph { line, command, expected } = paragraph;
        let got = session.command(&command, &expected);
        if got != expected {
            let _ = writeln!(
                failed,
                "{}:{line}: {command}\n  expected:\n    {}\n  got:\n    {}",
                file.file_name().unwrap().to_string_lossy(),
                expected.join("\n    "),
                got.join("\n    ")
            );
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed) }
}

struct Paragraph {
    line: usize,
    command: String,
    expected: Vec<String>,
}

/// A command begins a paragraph; lines that are indented go on with it.
fn paragraphs(text: &str) -> Vec<Paragraph> {
    let mut out: Vec<Paragraph> = Vec::new();
    let mut fresh = true;
    for (at, line) in text.lines().enumerate() {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            fresh = true;
            continue;
        }
        match out.last_mut() {
            Some(last) if !fresh && line.starts_with("  ") && last.expected.is_empty() => {
                last.command.push('\n');
                last.command.push_str(line.trim());
            }
            Some(last) if !fresh => last.expected.push(line.to_owned()),
            _ => out.push(Paragraph { line: at + 1, command: line.to_owned(), expected: Vec::new() }),
        }
        fresh = false;
    }
    out
}

#[derive(Default)]
struct Session {
    tables: BTreeMap<String, BTreeMap<Vec<u8>, Document>>,
    running: Option<Running>,
    clock_ms: i64,
    tokens: usize,
    views: BTreeMap<String, String>,
    functions: BTreeMap<String, Routine>,
    options: Options,
}

#[derive(Clone, Copy, Default)]
struct Options {
    unbounded: bool,
    lateness: Option<i64>,
    strict_columns: bool,
    strict_tables: bool,
}

struct Running {
    plan: Plan,
    circuit: Circuit,
    context: Arc<Context>,
    rows: BTreeMap<Vec<u8>, Document>,
}

const DEFAULT_CLOCK: &str = "2025-09-05T12:00:00Z";

impl Session {
    fn command(&mut self, command: &str, expected: &[String]) -> Vec<String> {
        if self.clock_ms == 0 {
            self.clock_ms = instant(DEFAULT_CLOCK);
        }
        let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match word {
            "table" => {
                let documents = expected.iter().map(|line| {
                    let document = document(line);
                    (key(document.get("_id").unwrap()), document)
                });
                self.tables.insert(rest.trim().to_owned(), documents.collect());
                expected.to_vec()
            }
            ">" => self.query(rest).unwrap_or_else(|error| vec![error]),
            "view" => self.start(rest, false).unwrap_or_else(|error| vec![error]),
            "changes" => self.start(rest, true).unwrap_or_else(|error| vec![error]),
            "define" => {
                let (name, text) = rest.trim().split_once(char::is_whitespace).unwrap();
                self.views.insert(name.to_owned(), text.to_owned());
                Vec::new()
            }
            "notices" => match self.plan(rest, Purpose::Batch) {
                Ok(plan) => plan.notices.iter().map(|notice| notice.message.clone()).collect(),
                Err(error) => vec![error],
            },
            "needs" => self.plan(rest, Purpose::Batch).map_or_else(|error| vec![error], |plan| needs(&plan)),
            "explain" => match self.plan(rest, Purpose::View) {
                Ok(plan) => plan.explain(None).lines().map(str::to_owned).collect(),
                Err(error) => vec![error],
            },
            "filter" => match self.plan(rest, Purpose::Batch) {
                Ok(plan) => plan.sources.iter().map(|source| self.pushed(source)).collect(),
                Err(error) => vec![error],
            },
            "streamed" => match self.plan(rest, Purpose::View) {
                Ok(plan) => plan.sources.iter().map(|source| self.streamed(source)).collect(),
                Err(error) => vec![error],
            },
            "set" => {
                match rest.trim() {
                    "unbounded" => self.options.unbounded = true,
                    "bounded" => self.options.unbounded = false,
                    "strict columns" => self.options.strict_columns = true,
                    "strict tables" => self.options.strict_tables = true,
                    "loose" => (self.options.strict_columns, self.options.strict_tables) = (false, false),
                    other => panic!("no such option: {other}"),
                }
                Vec::new()
            }
            "put" => {
                let (table, text) = rest.trim().split_once(' ').unwrap();
                let new = document(text);
                let table_name = table.to_owned();
                let rows = self.tables.entry(table_name).or_default();
                let old = rows.insert(key(new.get("_id").unwrap()), new.clone());
                self.changed(table, old, Some(new))
            }
            "remove" => {
                let (table, text) = rest.trim().split_once(' ').unwrap();
                let id: Bson = serde_json::from_str::<serde_json::Value>(text).unwrap().try_into().unwrap();
                let old = self.tables.entry(table.to_owned()).or_default().remove(&key(&id));
                self.changed(table, old, None)
            }
            "at" => {
                self.clock_ms = instant(rest.trim());
                Vec::new()
            }
            "clock" => {
                self.clock_ms = instant(rest.trim());
                self.step(Vec::new(), self.clock_ms)
            }
            other => panic!("no such command: {other}"),
        }
    }

    fn plan(&self, text: &str, purpose: Purpose) -> Result<Plan, String> {
        let mut statements = script(text).map_err(|error| format!("ERROR {}", error.state))?;
        let Some((Statement::Query(query), _)) = statements.pop() else { panic!("no query: {text}") };
        let settings = self.settings();
        Plan::query(&query, purpose, &[], &Tables(self), &settings).map_err(|error| {
            if std::env::var("SESSION_ERRORS").is_ok() {
                eprintln!("{text}\n    {error} ({:?})", error.hint);
            }
            format!("ERROR {}", error.state)
        })
    }

    fn settings(&self) -> Settings {
        Settings {
            parameters: Vec::new(),
            shown: std::collections::BTreeMap::new(),
            database: "test".to_owned(),
            strict_tables: self.options.strict_tables,
            strict_columns: self.options.strict_columns,
            unbounded_state: self.options.unbounded,
            lateness: self.options.lateness,
            idle_timeout_ms: 60_000,
            by_paths: false,
            time_zone: TimeZone::UTC,
            now_ms: self.clock_ms,
        }
    }

    fn context(&self) -> Arc<Context> {
        let now = self.clock_ms;
        Arc::new(Context {
            variables: Vec::new(),
            time_zone: TimeZone::UTC,
            routine: Box::new(|name, _| Err(millstream_flow::RowError::new("42883", name))),
            clock: Box::new(move || now),
        })
    }

    /// What is asked of a source's deployment.
    fn pushed(&self, source: &Source) -> String {
        let filter = source.filter(&self.context()).map_or("everything".to_owned(), |filter| shown(filter.as_doc()));
        let fields = source.fields.as_ref().map_or("all fields".to_owned(), |fields| fields.join(", "));
        format!("{} ({fields}): {filter}", source.collection)
    }

    /// What is asked of the changes of a source's collection.
    fn streamed(&self, source: &Source) -> String {
        let filter = source.streamed(&self.context()).map_or("all".to_owned(), |filter| shown(filter.as_doc()));
        let fields = source.streamed_fields.as_ref().map_or("all fields".to_owned(), |fields| fields.join(", "));
        format!("{} ({fields}): {filter}", source.collection)
    }

    /// The rows of every source, as they are now.
    fn inputs(&self, plan: &Plan) -> Vec<(usize, Delta)> {
        let all = plan.sources.iter().enumerate().filter(|(_, source)| source.driven.is_none()).map(|(at, source)| {
            let rows = self.tables.get(&source.collection).into_iter().flat_map(BTreeMap::values);
            let row =
                |document: &Document| Change { row: source.row(from_bson_document(document).as_doc()), weight: 1 };
            (at, rows.map(row).collect())
        });
        all.collect()
    }

    fn query(&mut self, text: &str) -> Result<Vec<String>, String> {
        let plan = self.plan(text, Purpose::Batch)?;
        let context = self.context();
        let (nodes, output) = plan.circuit(&context).map_err(|error| format!("ERROR {}", error.state))?;
        let mut circuit = Circuit::new(nodes, output, Store::memory()).unwrap();
        let out = circuit.step(self.inputs(&plan), self.clock_ms).map_err(|error| format!("FAILED {error}"))?;
        if let Some(failure) = out.failures.first() {
            return Ok(vec![format!("ERROR {}", failure.error.state)]);
        }
        let mut rows: Vec<Row> = out.rows.into_iter().map(|change| change.row).collect();
        plan.sort(&mut rows);
        Ok(rows.iter().map(|row| shown(plan.result(row, &context).as_doc())).collect())
    }

    fn start(&mut self, text: &str, changes: bool) -> Result<Vec<String>, String> {
        let plan = self.plan(text, Purpose::View)?;
        if plan.changes != changes {
            return Err(format!("a change query: {}", plan.changes));
        }
        if !changes {
            plan.check_stored().map_err(|error| format!("ERROR {}", error.state))?;
        }
        let context = self.context();
        let (nodes, output) = plan.circuit(&context).map_err(|error| format!("ERROR {}", error.state))?;
        let circuit = Circuit::new(nodes, output, Store::memory()).unwrap();
        let inputs = self.inputs(&plan);
        self.tokens = 0;
        self.running = Some(Running { plan, circuit, context, rows: BTreeMap::new() });
        Ok(self.step(inputs, self.clock_ms))
    }

    /// Tells what runs of a change.
    fn changed(&mut self, table: &str, old: Option<Document>, new: Option<Document>) -> Vec<String> {
        let Some(running) = &self.running else { return Vec::new() };
        self.tokens += 1;
        let token = format!("t{}", self.tokens);
        let old = old.as_ref().map(from_bson_document);
        let new = new.as_ref().map(from_bson_document);
        let mut inputs: Vec<(usize, Delta)> = Vec::new();
        for (at, source) in running.plan.sources.iter().enumerate().filter(|(_, source)| source.collection == table) {
            let row = |document: Doc<'_>, weight| Change { row: source.row(document), weight };
            let delta = match source.driven {
                None => {
                    let gone = old.as_ref().map(|old| row(old.as_doc(), -1));
                    let come = new.as_ref().map(|new| row(new.as_doc(), 1));
                    gone.into_iter().chain(come).collect()
                }
                Some(_) => {
                    let operation = match (&old, &new) {
                        (None, _) => "INSERT",
                        (_, None) => "DELETE",
                        _ => "UPDATE",
                    };
                    let empty = DocBuf::new();
                    let change = DrivenChange {
                        operation,
                        old: old.as_ref().map(DocBuf::as_doc),
                        new: new.as_ref().map(DocBuf::as_doc),
                        time_ms: self.clock_ms,
                        token: &token,
                        key: empty.as_doc(),
                        fields: &[],
                        event: empty.as_doc(),
                    };
                    vec![Change { row: source.change_row(&change), weight: 1 }]
                }
            };
            inputs.push((at, delta));
        }
        self.step(inputs, self.clock_ms)
    }

    fn step(&mut self, inputs: Vec<(usize, Delta)>, clock_ms: i64) -> Vec<String> {
        let Some(running) = &mut self.running else { return Vec::new() };
        let Output { rows, failures, .. } = match running.circuit.step(inputs, clock_ms) {
            Ok(output) => output,
            Err(error) => return vec![format!("FAILED {error}")],
        };
        let mut out = Vec::new();
        if running.plan.changes {
            for change in rows {
                out.push(shown(running.plan.document(&change.row, &running.context).as_doc()));
            }
        } else {
            let mut touched: BTreeMap<Vec<u8>, (Option<Document>, Option<Document>)> = BTreeMap::new();
            for change in rows {
                let stored = running.plan.document(&change.row, &running.context);
                let document = to_bson_document(stored.as_doc());
                let key = millstream_value::key::of(&stored.as_doc().get("_id").unwrap());
                let entry = touched.entry(key).or_default();
                if change.weight > 0 { entry.1 = Some(document) } else { entry.0 = Some(document) }
            }
            for (key, (gone, come)) in touched {
                assert_eq!(running.rows.remove(&key), gone, "what goes is what was there");
                match (gone, come) {
                    (None, Some(new)) => {
                        out.push(format!("+ {}", shown(from_bson_document(&new).as_doc())));
                        running.rows.insert(key, new);
                    }
                    (Some(old), Some(new)) => {
                        let mut different = Document::new();
                        different.insert("_id", new.get("_id").unwrap());
                        different.extend(
                            new.iter()
                                .filter(|(name, value)| old.get(name) != Some(value))
                                .map(|(n, v)| (n.clone(), v.clone())),
                        );
                        if different.len() > 1 {
                            out.push(format!("~ {}", shown(from_bson_document(&different).as_doc())));
                        }
                        running.rows.insert(key, new);
                    }
                    (Some(old), None) => out.push(format!("- {}", value(old.get("_id").unwrap()))),
                    (None, None) => {}
                }
            }
        }
        for failure in failures {
            let sign = if failure.weight > 0 { "!" } else { "=" };
            out.push(format!("{sign} {}", failure.error.state));
        }
        out
    }
}

/// What the changes that drive a plan have to bring.
fn needs(plan: &Plan) -> Vec<String> {
    let driven = plan.sources.iter().filter_map(|source| Some((source, source.driven?)));
    let told = driven.map(|(source, driven)| {
        let operations = ["INSERT", "UPDATE", "DELETE"].into_iter().zip(driven.operations);
        let mut words: Vec<&str> = operations.filter(|(_, passes)| *passes).map(|(name, _)| name).collect();
        words.extend([("old", driven.old), ("new", driven.new)].iter().filter(|(_, is)| *is).map(|(name, _)| *name));
        format!("{}: {}", source.collection, words.join(" "))
    });
    told.collect()
}

struct Tables<'s>(&'s Session);

impl Catalog for Tables<'_> {
    fn relation(&self, _: &str, name: &str) -> Relation {
        if let Some(text) = self.0.views.get(name) {
            let Some((Statement::Query(query), _)) = script(text).unwrap().pop() else { panic!("no query: {text}") };
            return Relation::View { query, columns: Vec::new() };
        }
        Relation::Collection { exists: self.0.tables.contains_key(name) }
    }

    fn routine(&self, _: &str, name: &str, _: usize) -> Option<Routine> {
        self.0.functions.get(&name.to_ascii_lowercase()).cloned()
    }

    fn relations(&self, _: &str) -> Vec<String> {
        self.0.tables.keys().cloned().collect()
    }

    fn routines(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fn document(text: &str) -> Document {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    match Bson::try_from(value).unwrap() {
        Bson::Document(document) => document,
        other => panic!("no document: {other}"),
    }
}

fn key(id: &Bson) -> Vec<u8> {
    millstream_value::key::of(&millstream_value::from_bson(id))
}

fn instant(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{error}: {text}")).as_millisecond()
}

fn shown(document: Doc<'_>) -> String {
    value(&Bson::Document(to_bson_document(document)))
}

fn value(value: &Bson) -> String {
    // One line, with a blank after each comma and colon, as people write it.
    fn text(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::Object(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}: {}", text(value))).collect();
                format!("{{{}}}", fields.join(", "))
            }
            serde_json::Value::Array(values) => format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", ")),
            other => other.to_string(),
        }
    }
    text(&value.clone().into_relaxed_extjson())
}
