//! A query of ours: as a view that follows changes, and answered once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bson::Document;
use millstream_flow::{Change, Circuit, Datum, Delta, Row, Store, key};
use millstream_sql::expr::{Context, to_text};
use millstream_sql::plan::{Catalog, Plan, Purpose, Relation, Routine, Settings};
use millstream_sql::statement::{Statement, script};
use millstream_value::from_bson_document;

use super::history::{Event, Tables};

pub(crate) struct View {
    plan: Plan,
    circuit: Circuit,
    context: Arc<Context>,
    rows: BTreeMap<Vec<u8>, Row>,
}

impl View {
    /// The view over the rows that there are.
    pub(crate) fn start(query: &str, tables: &Tables) -> Self {
        let mut view = Self::new(query, Purpose::View);
        let inputs = view.inputs(tables);
        view.step(inputs);
        view
    }

    /// The query's answer.
    pub(crate) fn query(query: &str, tables: &Tables) -> Vec<Vec<Option<String>>> {
        let mut view = Self::new(query, Purpose::Batch);
        let inputs = view.inputs(tables);
        view.step(inputs);
        let mut rows: Vec<Row> = view.rows.values().cloned().collect();
        view.plan.sort(&mut rows);
        rows.iter().map(|row| view.text(row)).collect()
    }

    fn new(query: &str, purpose: Purpose) -> Self {
        let mut statements = script(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let Some((Statement::Query(parsed), _)) = statements.pop() else { panic!("no query: {query}") };
        let settings = Settings {
            parameters: Vec::new(),
            shown: std::collections::BTreeMap::new(),
            database: "test".to_owned(),
            strict_tables: false,
            strict_columns: false,
            unbounded_state: false,
            lateness: None,
            idle_timeout_ms: 60_000,
            by_paths: false,
            time_zone: jiff::tz::TimeZone::UTC,
            now_ms: 0,
        };
        let plan =
            Plan::query(&parsed, purpose, &[], &Both, &settings).unwrap_or_else(|error| panic!("{query}: {error}"));
        let context = Arc::new(Context {
            variables: Vec::new(),
            time_zone: jiff::tz::TimeZone::UTC,
            routine: Box::new(|name, _| panic!("no such routine: {name}")),
            clock: Box::new(|| 0),
        });
        let (nodes, output) = plan.circuit(&context).unwrap_or_else(|error| panic!("{query}: {error}"));
        let circuit = Circuit::new(nodes, output, Store::memory()).expect("a circuit");
        Self { plan, circuit, context, rows: BTreeMap::new() }
    }

    fn inputs(&self, tables: &Tables) -> Vec<(usize, Delta)> {
        let all = self.plan.sources.iter().enumerate().map(|(at, source)| {
            let rows = if source.collection == "a" { &tables.a } else { &tables.b };
            let change =
                |document: &Document| Change { row: source.row(from_bson_document(document).as_doc()), weight: 1 };
            (at, rows.values().map(change).collect())
        });
        all.collect()
    }

    /// Follows what happened.
    pub(crate) fn follow(&mut self, events: &[Event]) {
        let inputs = self.plan.sources.iter().enumerate().map(|(at, source)| {
            let of_source = events.iter().filter(|event| event.table == source.collection);
            let delta = of_source.flat_map(|event| {
                let change = |document: &Option<Document>, weight| {
                    document.as_ref().map(|d| Change { row: source.row(from_bson_document(d).as_doc()), weight })
                };
                change(&event.old, -1).into_iter().chain(change(&event.new, 1))
            });
            (at, delta.collect())
        });
        let inputs = inputs.collect();
        self.step(inputs);
    }

    fn step(&mut self, inputs: Vec<(usize, Delta)>) {
        let output = self.circuit.step(inputs, 0).expect("a step");
        assert!(output.failures.is_empty(), "{:?}", output.failures);
        let (gone, come): (Vec<_>, Vec<_>) = output.rows.into_iter().partition(|change| change.weight < 0);
        for change in gone {
            let was = self.rows.remove(&key::of_all(change.row.key.iter()));
            assert_eq!(was.as_ref(), Some(&change.row), "what goes was there");
        }
        for change in come {
            assert_eq!(change.weight, 1);
            let before = self.rows.insert(key::of_all(change.row.key.iter()), change.row.clone());
            assert!(before.is_none(), "keys are unique: {before:?} and {:?}", change.row);
        }
    }

    /// What it shows, in no order.
    pub(crate) fn rows(&self) -> Vec<Vec<Option<String>>> {
        self.rows.values().map(|row| self.text(row)).collect()
    }

    fn text(&self, row: &Row) -> Vec<Option<String>> {
        let value = |at: usize| match row.value(at) {
            value if value.is_null() => None,
            Datum::Bool(value) => Some(if *value { "t" } else { "f" }.to_owned()),
            value => Some(super::plain(&to_text(value, &self.context.time_zone))),
        };
        (0..self.plan.columns.len()).map(value).collect()
    }
}

/// The two collections.
struct Both;

impl Catalog for Both {
    fn relation(&self, _: &str, _: &str) -> Relation {
        Relation::Collection { exists: true }
    }

    fn routine(&self, _: &str, _: &str, _: usize) -> Option<Routine> {
        None
    }

    fn relations(&self, _: &str) -> Vec<String> {
        vec!["a".to_owned(), "b".to_owned()]
    }

    fn routines(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}
