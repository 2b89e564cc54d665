//! The six reference statements, as they stand (SQL-23).

use sqlparser::ast;

use super::super::{BodyStatement, Name, Statement, TriggerAction, TriggerEvent, script, statement};

const REFERENCE: &str = include_str!("reference.sql");

fn reference() -> Vec<Statement> {
    script(REFERENCE).unwrap().into_iter().map(|(statement, _)| statement).collect()
}

#[test]
fn all_six_read_and_print() {
    let all = reference();
    assert_eq!(all.len(), 6);
    for parsed in all {
        assert_eq!(statement(&parsed.to_string()).unwrap(), parsed);
    }
}

/// SQL-23.1, SQL-15
#[test]
fn r1_is_a_trigger_with_nested_ifs() {
    let Statement::CreateTrigger(trigger) = &reference()[0] else { panic!() };
    assert_eq!(trigger.table, Name { name: "orders".to_owned(), ..Name::default() });
    assert_eq!(trigger.events, [TriggerEvent::Insert, TriggerEvent::Update(vec![]), TriggerEvent::Delete]);
    let TriggerAction::Block(block) = &trigger.action else { panic!() };
    let [BodyStatement::If { branches, otherwise }] = block.statements.as_slice() else { panic!() };
    assert!(otherwise.is_empty());
    let names: Vec<Vec<&str>> = branches.iter().map(|(_, body)| body.iter().map(kind).collect()).collect();
    assert_eq!(names, [vec!["insert", "update"], vec!["insert", "if"], vec!["update"]]);
    let BodyStatement::If { branches, .. } = &branches[1].1[1] else { panic!() };
    let BodyStatement::Call(call) = &branches[0].1[1] else { panic!() };
    assert_eq!((call.name.name.as_str(), call.arguments.len()), ("NOTIFY_CUSTOMER", 3));
}

fn kind(statement: &BodyStatement) -> &'static str {
    match statement {
        BodyStatement::If { .. } => "if",
        BodyStatement::Insert(_) => "insert",
        BodyStatement::Update(_) => "update",
        _ => "other",
    }
}

/// SQL-23.2, SQL-14.1
#[test]
fn r2_is_a_materialized_view() {
    let Statement::CreateView(view) = &reference()[1] else { panic!() };
    assert!(view.materialized && view.with_data && !view.or_replace);
    let ast::SetExpr::Select(select) = &*view.query.body else { panic!() };
    assert_eq!(select.projection.len(), 6);
}

/// SQL-23.3, SQL-23.5, SQL-23.6
#[test]
fn r3_r5_and_r6_are_queries() {
    for index in [2, 4, 5] {
        assert!(matches!(reference()[index], Statement::Query(_)));
    }
    let Statement::Query(query) = &reference()[2] else { panic!() };
    assert_eq!(query.with.as_ref().unwrap().cte_tables.len(), 2);
}

/// SQL-23.4
#[test]
fn r4_is_a_view() {
    let Statement::CreateView(view) = &reference()[3] else { panic!() };
    assert!(view.or_replace && !view.materialized);
}
