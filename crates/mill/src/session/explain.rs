//! `EXPLAIN` (SQL-18.7).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use millstream_sql::SqlError;
use millstream_sql::expr::Context;
use millstream_sql::plan::{Held, Operator, Plan, Purpose, Pushed, Source, Write};
use millstream_sql::statement::{CreateTrigger, Explain, ExplainFormat, Explained, Statement, TriggerEvent};

use super::Session;
use crate::answer::Answer;
use crate::checkpoint::{CHECKPOINTS, DATABASE};
use crate::definition::Definition;
use crate::error::{Result, of_driver};
use crate::held;
use crate::hub::Name;
use crate::images::{Images, kept};
use crate::live::imaged;
use crate::read::{Find, Pipeline};
use crate::trigger;
use crate::wants::{Interest, Wants};

impl Session {
    pub(super) async fn explain(&mut self, explain: &Explain) -> Result<Answer> {
        let (variables, values) = self.variables();
        let mut planning = self.planning().await?;
        let statement = match &explain.subject {
            Explained::Statement(statement) => statement.clone(),
            Explained::Object(object) => self.object(object).await?.statement.as_ref().clone(),
        };
        let running = match &explain.subject {
            Explained::Statement(_) => None,
            Explained::Object(object) => Some(self.object(object).await?),
        };
        let context = self.surroundings()?.context(values);
        let mut streamed = Vec::new();
        let plan: Option<Plan> = match &statement {
            Statement::Query(query) => Some(planning.query(&self.deployment, query, Purpose::Batch, &variables).await?),
            Statement::CreateView(view) => {
                planning.options(&view.options)?;
                let purpose = if view.materialized { Purpose::View } else { Purpose::Batch };
                let plan = planning.query(&self.deployment, &view.query, purpose, &variables).await?;
                if view.materialized {
                    let kept = kept(self.deployment.client(), &plan, &view.options).await?;
                    streamed = of_sources(&plan, &context, &kept, Images::of(&view.options)?);
                }
                Some(plan)
            }
            Statement::CreateTrigger(create) => {
                planning.options(&create.options)?;
                let planned = trigger::plan(&mut planning, &self.deployment, create).await?;
                let name = (planned.database.clone(), planned.collection.clone());
                streamed.push((
                    name,
                    planned.interest(&self.surroundings()?.context(Vec::new()), Images::of(&create.options)?),
                ));
                None
            }
            Statement::Insert(insert) => {
                let planned = planning
                    .plan(&self.deployment, |catalog, settings| Write::insert(insert, &variables, catalog, settings));
                Some(planned.await?.plan)
            }
            Statement::Update(update) => {
                let planned = planning
                    .plan(&self.deployment, |catalog, settings| Write::update(update, &variables, catalog, settings));
                Some(planned.await?.plan)
            }
            Statement::Delete(delete) => {
                let planned = planning
                    .plan(&self.deployment, |catalog, settings| Write::delete(delete, &variables, catalog, settings));
                Some(planned.await?.plan)
            }
            _ => None,
        };
        if let (Statement::Query(_), Some(plan)) = (&statement, plan.as_ref().filter(|plan| plan.changes)) {
            streamed = of_sources(plan, &context, &BTreeSet::new(), Images::Kept);
        }
        let ran = if explain.analyze { Some(self.ran(&statement, plan.as_ref(), &context).await?) } else { None };
        let held = match (&running, &plan) {
            (Some(definition), Some(plan)) => self.held(definition, plan, &context).await?,
            (Some(definition), None) => self.copied(definition).await?.map(|bytes| (Held::new(), bytes)),
            _ => None,
        };
        let images = match (&running, &statement) {
            (Some(definition), _) => Images::of(&definition.options)?,
            (None, Statement::CreateTrigger(create)) => Images::of(&create.options)?,
            (None, Statement::CreateView(create)) => Images::of(&create.options)?,
            _ => Images::Kept,
        };
        let pushed = match (&statement, &plan) {
            (Statement::Query(_), Some(plan)) if self.transaction.is_none() => plan.pushed(&context),
            _ => Vec::new(),
        };
        let told =
            Told { statement: &statement, plan: plan.as_ref(), context: &context, images, held, pushed, streamed, ran };
        let rows = match explain.format {
            ExplainFormat::Json => vec![doc! {"plan": told.document()}],
            ExplainFormat::Text => told.lines().into_iter().map(|line| doc! {"plan": line}).collect(),
        };
        let mut answer = super::show::table(&["plan"], rows)?;
        answer.notices = plan.map(|plan| plan.notices).unwrap_or_default();
        Ok(answer)
    }

    /// How much the operators of what runs hold, as it tells with each of its epochs.
    async fn held(&self, definition: &Definition, plan: &Plan, context: &Arc<Context>) -> Result<Option<(Held, i64)>> {
        let rows = self.deployment.client().database(DATABASE).collection::<Document>(CHECKPOINTS);
        let of_it = doc! {"_id": &definition.id, "generation": definition.generation};
        let checkpoint = rows.find_one(of_it).await.map_err(|error| of_driver(&error))?;
        let nodes = plan.owners(context)?.len();
        Ok(checkpoint.and_then(|checkpoint| held::from_checkpoint(&checkpoint, nodes)))
    }

    /// The bytes of a trigger's copy of its table.
    async fn copied(&mut self, definition: &Definition) -> Result<Option<i64>> {
        let row = self.describe_object(definition).await?;
        Ok(row.get_i64("state_bytes").ok())
    }

    /// Runs a batch query: how many rows it answers, and how long that took.
    async fn ran(
        &mut self,
        statement: &Statement,
        plan: Option<&Plan>,
        context: &Arc<Context>,
    ) -> Result<(usize, Duration)> {
        let (Statement::Query(query), Some(false)) = (statement, plan.map(|plan| plan.changes)) else {
            return Err(SqlError::new("0A000", "EXPLAIN (ANALYZE) is for queries that are answered once"));
        };
        let (variables, _) = self.variables();
        let since = Instant::now();
        let mut planning = self.planning().await?;
        let plan = Arc::new(planning.query(&self.deployment, query, Purpose::Batch, &variables).await?);
        let rows = self.rows(&plan, context).await?;
        Ok((rows.len(), since.elapsed()))
    }
}

/// What is told of a statement.
struct Told<'t> {
    statement: &'t Statement,
    plan: Option<&'t Plan>,
    context: &'t Context,
    /// Where the documents before and after changes come from.
    images: Images,
    /// What its operators hold, and the bytes of the copies of its sources.
    held: Option<(Held, i64)>,
    /// What the deployment computes.
    pushed: Vec<Pushed>,
    /// What is asked of the stream of changes.
    streamed: Vec<(Name, Interest)>,
    ran: Option<(usize, Duration)>,
}

impl Told<'_> {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.statement.to_string()];
        if let Some(plan) = self.plan {
            lines.extend(plan.explain(self.operators_held()).lines().map(str::to_owned));
            for source in &plan.sources {
                let name = format!("{}.{}", source.database, source.collection);
                if let Some(filter) = self.filter(source) {
                    lines.push(format!("asked of {name}: {}", Bson::from(filter).into_relaxed_extjson()));
                }
                lines.extend(self.images_line(&name, &images(source)));
            }
            for pushed in &self.pushed {
                let Some(source) = plan.sources.get(pushed.source) else { continue };
                let stages = Bson::from(Pipeline::of(source, pushed).stages).into_relaxed_extjson();
                lines.push(format!(
                    "computed by {}.{}, unless its types are mixed: {stages}",
                    source.database, source.collection
                ));
            }
        }
        if let Statement::CreateTrigger(create) = self.statement {
            lines.extend(self.images_line(&create.table.to_string(), &images_of_trigger(create)));
        }
        lines.extend(self.streamed_lines());
        if let Some((_, bytes)) = &self.held {
            lines.push(format!("copies of what is read: {bytes} bytes"));
        }
        if let Some(plan) = self.plan.filter(|plan| !plan.key.is_empty()) {
            lines.push(format!("key: {}", plan.key.join(", ")));
        }
        if let Some((rows, time)) = self.ran {
            lines.push(format!("{rows} row(s) in {:.3} ms", time.as_secs_f64() * 1_000.0));
        }
        lines
    }

    fn document(&self) -> Document {
        let mut out = doc! {"statement": self.statement.to_string()};
        if let Some(plan) = self.plan {
            let pipeline = |at: usize, source: &Source| {
                let of_it = self.pushed.iter().find(|pushed| pushed.source == at);
                of_it.map_or(Bson::Null, |pushed| Pipeline::of(source, pushed).stages.into())
            };
            let source = |(at, source): (usize, &Source)| {
                let fields = source.fields.clone().map_or(Bson::Null, Bson::from);
                let filter = self.filter(source).map_or(Bson::Null, Bson::from);
                let images: Vec<Bson> = images(source).into_iter().map(Bson::from).collect();
                let name = format!("{}.{}", source.database, source.collection);
                let pipeline = pipeline(at, source);
                Bson::from(
                    doc! {"table": name, "fields": fields, "filter": filter, "pipeline": pipeline, "images": images},
                )
            };
            out.insert("operators", operator(&plan.operators(self.operators_held())));
            out.insert("copies_bytes", self.held.as_ref().map_or(Bson::Null, |(_, bytes)| Bson::from(*bytes)));
            out.insert("sources", plan.sources.iter().enumerate().map(source).collect::<Vec<_>>());
            out.insert("key", plan.key.clone());
            out.insert("notices", plan.notices.iter().map(|notice| notice.message.clone()).collect::<Vec<_>>());
        }
        let streamed = |(name, interest): &(Name, Interest)| {
            let filter = Some(interest.filter()).filter(|filter| !filter.is_empty());
            let fields = interest.fields().map(|fields| fields.collect::<Vec<_>>());
            doc! {"table": format!("{}.{}", name.0, name.1), "filter": filter, "fields": fields}
        };
        out.insert("changes", self.streamed.iter().map(streamed).collect::<Vec<_>>());
        if let Some((rows, time)) = self.ran {
            out.insert("rows", i64::try_from(rows).unwrap_or(i64::MAX));
            out.insert("milliseconds", time.as_secs_f64() * 1_000.0);
        }
        out
    }

    /// Which images of a table are needed, and from where they come.
    fn images_line(&self, table: &str, images: &[&str]) -> Option<String> {
        let from = match self.images {
            Images::Kept => "",
            Images::Lookup => " (looked up)",
            Images::Mirror => " (from an own copy)",
        };
        (!images.is_empty()).then(|| format!("images of {table}: {}{from}", images.join(", ")))
    }

    fn streamed_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ((database, collection), interest) in &self.streamed {
            let filter = interest.filter();
            let filter = if filter.is_empty() {
                "all".to_owned()
            } else {
                Bson::from(filter).into_relaxed_extjson().to_string()
            };
            let fields =
                interest.fields().map_or("all fields".to_owned(), |fields| fields.collect::<Vec<_>>().join(", "));
            lines.push(format!("asked of the changes of {database}.{collection} ({fields}): {filter}"));
        }
        lines
    }

    fn operators_held(&self) -> Option<&Held> {
        self.held.as_ref().map(|(operators, _)| operators)
    }

    /// The condition that a deployment evaluates: for what is read once.
    fn filter(&self, source: &Source) -> Option<Document> {
        let once = !matches!(self.statement, Statement::CreateView(_)) && source.driven.is_none();
        once.then(|| Find::of(source, Some(self.context)).filter).filter(|filter| !filter.is_empty())
    }
}

fn operator(of: &Operator) -> Document {
    let text = |text: Option<&str>| text.map_or(Bson::Null, Bson::from);
    let inputs: Vec<Bson> = of.inputs.iter().map(|input| operator(input).into()).collect();
    let mut out = doc! {"operator": &of.what, "keeps": text(of.keeps), "growth": text(of.growth)};
    if let Some(held) = of.held {
        out.insert("entries", i64::try_from(held.rows).unwrap_or(i64::MAX));
        out.insert("bytes", i64::try_from(held.bytes).unwrap_or(i64::MAX));
    }
    out.insert("inputs", inputs);
    out
}

/// The documents that changes have to bring to a trigger (SQL-12.7).
fn images_of_trigger(create: &CreateTrigger) -> Vec<&'static str> {
    let has = |wanted: fn(&TriggerEvent) -> bool| create.events.iter().any(wanted);
    let old = has(|event| *event != TriggerEvent::Insert);
    let new = has(|event| matches!(event, TriggerEvent::Update(_)));
    [("old", old), ("new", new)].into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}

/// What a plan asks of the changes of its sources, of which some have images and the others copies.
fn of_sources(plan: &Plan, context: &Arc<Context>, kept: &BTreeSet<Name>, images: Images) -> Vec<(Name, Interest)> {
    let mut wants = Wants::default();
    let copied = if images == Images::Mirror && plan.changes { imaged(plan) } else { BTreeSet::new() };
    for source in &plan.sources {
        let name = (source.database.clone(), source.collection.clone());
        let interest = if copied.contains(&name) {
            Interest::new(None, None)
        } else if source.driven.is_some() || kept.contains(&name) {
            Interest::of(source, context)
        } else {
            Interest::new(None, source.fields.as_ref().map(|fields| fields.iter().cloned().collect()))
        };
        wants.add(name, &interest);
    }
    wants.collections.into_iter().collect()
}

/// The documents that changes have to bring (SQL-12.7).
fn images(source: &Source) -> Vec<&'static str> {
    let Some(driven) = source.driven else { return Vec::new() };
    [("old", driven.old), ("new", driven.new)].into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}
