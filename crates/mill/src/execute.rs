//! A plan that is answered once (SQL-9.2): its sources are read at one moment, and its circuit takes one step.

mod first;
mod pushed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_flow::{Change, Circuit, Delta, Row, SourceId, Store};
use millstream_sql::SqlError;
use millstream_sql::expr::Context;
use millstream_sql::plan::{Answered, Plan};
use millstream_value::Doc;
use mongodb::Client;

use crate::deployment::now_ms;
use crate::error::{Result, bug, of_flow};
use crate::read::{Find, Moment};

/// With so few rows nothing is gained by computing elsewhere.
const ROWS_FEW: usize = 2_000;

/// The rows of an answer, in their order.
pub(crate) async fn rows(
    client: &Client,
    moment: &mut Moment<'_>,
    plan: &Arc<Plan>,
    context: &Arc<Context>,
) -> Result<Vec<Row>> {
    if let Some(rows) = first::rows(client, moment, plan, context).await? {
        return Ok(rows);
    }
    let (known, answered) = pushed::answers(client, moment, plan, context).await;
    let (inputs, count) = read(client, moment, plan, context, &known).await?;
    // Of joins, series and rounds any number of rows may come.
    if count <= ROWS_FEW && !plan.may_multiply() {
        return step(plan, context, inputs, answered, Store::memory());
    }
    let (plan, context) = (Arc::clone(plan), Arc::clone(context));
    let wanted = Wanted::default();
    let store = Store::memory_until(Arc::clone(&wanted.over));
    let done = tokio::task::spawn_blocking(move || step(&plan, &context, inputs, answered, store)).await;
    done.map_err(|error| bug(&format!("a computation ended: {error}")))?
}

/// Somebody waits for an answer. When this is dropped nobody does, and its computation ends.
#[derive(Default)]
struct Wanted {
    over: Arc<AtomicBool>,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The same of a plan that is not shared; computed here.
pub(crate) async fn rows_of(
    client: &Client,
    moment: &mut Moment<'_>,
    plan: &Plan,
    context: &Arc<Context>,
) -> Result<Vec<Row>> {
    if let Some(rows) = plan.values(context)? {
        return Ok(rows);
    }
    let (inputs, _) = read(client, moment, plan, context, &[]).await?;
    step(plan, context, inputs, Vec::new(), Store::memory())
}

/// Reads the sources but for those that need not be.
async fn read(
    client: &Client,
    moment: &mut Moment<'_>,
    plan: &Plan,
    context: &Arc<Context>,
    known: &[usize],
) -> Result<(Vec<(SourceId, Delta)>, usize)> {
    let mut inputs: Vec<(SourceId, Delta)> = Vec::with_capacity(plan.sources.len());
    let mut count = 0;
    for (number, source) in plan.sources.iter().enumerate().filter(|(number, _)| !known.contains(number)) {
        let mut delta = Delta::new();
        let find = Find::of(source, Some(context));
        find.each(client, moment, |document| {
            delta.push(Change { row: source.row(Doc::new(document.as_bytes())), weight: 1 });
            Ok(())
        })
        .await?;
        count += delta.len();
        inputs.push((number, delta));
    }
    Ok((inputs, count))
}

fn step(
    plan: &Plan,
    context: &Arc<Context>,
    inputs: Vec<(SourceId, Delta)>,
    answered: Vec<Answered>,
    store: Store,
) -> Result<Vec<Row>> {
    let (nodes, output) = plan.circuit_over(context, answered)?;
    let mut circuit = Circuit::new(nodes, output, store).map_err(|error| of_flow(&error))?;
    let output = circuit.step(inputs, now_ms()).map_err(|error| of_flow(&error))?;
    // SQL-19.6: one row that cannot be evaluated fails the query.
    if let Some(failure) = output.failures.into_iter().find(|failure| failure.weight > 0) {
        return Err(SqlError::from(failure.error));
    }
    let mut rows: Vec<Row> = output.rows.into_iter().map(|change| change.row).collect();
    plan.sort(&mut rows);
    Ok(rows)
}
