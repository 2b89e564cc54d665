//! A trigger's body with everything in it planned, once (SQL-15.10).
//!
//! All variables of a body have a slot in one list: the change's own (`NEW`, `OLD`, …) first, then arguments, then what is
//! declared. A procedure that is called is planned again for its caller, whose change it may use (SQL-16.2).

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_sql::plan::{Computed, Plan, Purpose, Variable, Write, in_order};
use millstream_sql::statement::{
    Block, BodyStatement, Call, CreateRoutine, CreateTrigger, Kind, Name, Options, RaiseLevel, RoutineBody,
    TriggerAction, TriggerEvent,
};
use millstream_sql::{Expr, Notice, SqlError, Type};
use sqlparser::ast;

use crate::answer::not_offered;
use crate::catalog::Catalog;
use crate::deployment::Deployment;
use crate::error::Result;
use crate::planning::Planning;
use crate::syntax::{Uses, used};

/// The variables of a change, in the order of their slots.
pub(crate) static OF_CHANGE: &[(&str, Option<Type>)] = &[
    ("NEW", Some(Type::Document)),
    ("OLD", Some(Type::Document)),
    ("TRIGGER_ACTION", Some(Type::Text(None))),
    ("TG_OP", Some(Type::Text(None))),
    ("CHANGE_TYPE()", Some(Type::Text(None))),
    ("CHANGE_TIMESTAMP()", Some(Type::Timestamptz)),
    ("CHANGE_TOKEN()", Some(Type::Text(None))),
    ("CHANGE_KEY()", Some(Type::Document)),
    ("CHANGE_FIELDS()", Some(Type::Array(None))),
    ("CHANGE_EVENT()", Some(Type::Document)),
];

/// Procedures that call procedures, at most.
const CALLS_MAX: usize = 16;
/// SQL-22.1
const STATEMENTS_MAX: usize = 256;

/// A planned trigger.
pub(crate) struct Planned {
    pub(crate) database: String,
    pub(crate) collection: String,
    pub(crate) events: Vec<TriggerEvent>,
    pub(crate) when: Option<Computed>,
    /// That as it was written, if it asks nothing of tables.
    pub(crate) condition: Option<Expr>,
    pub(crate) body: Body,
    pub(crate) uses: Uses,
    pub(crate) notices: Vec<Notice>,
}

/// A planned body.
#[derive(Default)]
pub(crate) struct Body {
    /// How many variables it has.
    pub(crate) slots: usize,
    pub(crate) steps: Vec<Step>,
    /// The native procedures in it whose effects no transaction can take back.
    pub(crate) outside: BTreeSet<String>,
    /// The collections that it writes.
    pub(crate) written: BTreeSet<(String, String)>,
    pub(crate) uses: Uses,
    pub(crate) notices: Vec<Notice>,
}

/// One planned statement.
pub(crate) enum Step {
    Assign(usize, Option<Type>, Computed),
    Call(Box<Body>, Vec<(usize, Option<Type>, Computed)>),
    For(usize, Arc<Plan>, Vec<Step>),
    If(Vec<(Computed, Vec<Step>)>, Vec<Step>),
    Perform(Arc<Plan>),
    Raise(RaiseLevel, String, Vec<Computed>),
    Return,
    SelectInto(Arc<Plan>, Vec<usize>),
    /// A native procedure by its registered name, and its arguments.
    Native(String, Vec<(Option<Type>, Computed)>),
    Webhook(Box<Webhook>),
    Write(Box<Write>),
}

/// The call of a procedure that is a webhook.
pub(crate) struct Webhook {
    pub(crate) name: String,
    /// The id of its definition.
    pub(crate) procedure: String,
    pub(crate) options: Options,
    pub(crate) arguments: Vec<(String, Option<Type>, Computed)>,
}

/// Plans a trigger.
pub(crate) async fn plan(planning: &mut Planning, deployment: &Deployment, create: &CreateTrigger) -> Result<Planned> {
    let (database, collection) = name(&create.table, &planning.settings.database)?;
    let variables: Vec<Variable> = OF_CHANGE.iter().map(|(name, kind)| Variable::new(*name, kind.clone())).collect();
    let own = planning.settings.database.clone();
    let planned = planning.plan(deployment, |catalog, settings| {
        let mut maker = Maker { catalog, settings, variables: variables.clone(), depth: 0, body: Body::default() };
        let when = create.when.as_ref().map(|when| maker.computed(when)).transpose()?;
        let (when, condition) = match when {
            Some(Computed::Plain(when)) => (Some(Computed::Plain(in_order(when.clone()))), Some(when)),
            other => (other, None),
        };
        match &create.action {
            TriggerAction::Block(block) => maker.block(block)?,
            TriggerAction::Execute(call) => {
                let step = maker.call(call)?;
                maker.body.steps.push(step);
            }
        }
        maker.body.slots = maker.variables.len();
        Ok((when, condition, maker.body))
    });
    let (when, condition, mut body) = planned.await?;
    let mut uses = std::mem::take(&mut body.uses);
    uses.0.insert((Some(create.table.database.clone().unwrap_or(own)), collection.clone()));
    let notices = std::mem::take(&mut body.notices);
    let events = create.events.clone();
    Ok(Planned { database, collection, events, when, condition, body, uses, notices })
}

/// Plans a procedure by itself, as `CALL` outside of triggers runs it.
pub(crate) async fn plan_procedure(
    planning: &mut Planning,
    deployment: &Deployment,
    create: &CreateRoutine,
    block: &Block,
) -> Result<Body> {
    let mut variables = Vec::new();
    for argument in &create.arguments {
        variables.push(Variable::new(&argument.name, type_of(&argument.data_type)?));
    }
    let planned = planning.plan(deployment, |catalog, settings| {
        let mut maker = Maker { catalog, settings, variables: variables.clone(), depth: 0, body: Body::default() };
        maker.block(block)?;
        maker.body.slots = maker.variables.len();
        Ok(maker.body)
    });
    planned.await
}

/// Plans the call of a procedure outside of triggers.
pub(crate) async fn plan_call(planning: &mut Planning, deployment: &Deployment, call: &Call) -> Result<Body> {
    let planned = planning.plan(deployment, |catalog, settings| {
        let mut maker = Maker { catalog, settings, variables: Vec::new(), depth: 0, body: Body::default() };
        let step = maker.call(call)?;
        maker.body.steps.push(step);
        maker.body.slots = maker.variables.len();
        Ok(maker.body)
    });
    planned.await
}

struct Maker<'m> {
    catalog: &'m Catalog,
    settings: &'m millstream_sql::plan::Settings,
    variables: Vec<Variable>,
    depth: usize,
    body: Body,
}

impl Maker<'_> {
    fn block(&mut self, block: &Block) -> Result<()> {
        let steps = self.inner(block)?;
        self.body.steps.extend(steps);
        Ok(())
    }

    fn inner(&mut self, block: &Block) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for declaration in &block.declarations {
            let kind = type_of(&declaration.data_type)?;
            let value = declaration.value.as_ref().map(|value| self.computed(value)).transpose()?;
            self.variables.push(Variable::new(&declaration.name, kind.clone()));
            let slot = self.variables.len() - 1;
            steps.extend(value.map(|value| Step::Assign(slot, kind, value)));
        }
        steps.extend(self.statements(&block.statements)?);
        Ok(steps)
    }

    fn statements(&mut self, statements: &[BodyStatement]) -> Result<Vec<Step>> {
        if statements.len() > STATEMENTS_MAX {
            return Err(SqlError::new("54000", format!("a body has at most {STATEMENTS_MAX} statements")));
        }
        let mut steps = Vec::with_capacity(statements.len());
        for statement in statements {
            steps.extend(self.statement(statement)?);
        }
        Ok(steps)
    }

    fn statement(&mut self, statement: &BodyStatement) -> Result<Vec<Step>> {
        let step = match statement {
            BodyStatement::Assign { variable, value } => {
                let slot = self.slot(variable)?;
                Step::Assign(slot, self.kind(slot), self.computed(value)?)
            }
            BodyStatement::Block(block) => return self.inner(block),
            BodyStatement::Call(call) => self.call(call)?,
            BodyStatement::Delete(delete) => {
                self.body.uses.0.insert((delete.table.database.clone(), delete.table.name.clone()));
                let write = Write::delete(delete, &self.variables, self.catalog, self.settings)?;
                self.write(write)
            }
            BodyStatement::For { variable, query, body } => {
                let plan = self.query(query)?;
                // The variable is new in the loop, and may be called as one outside is.
                self.variables.push(Variable::new(variable, Some(Type::Document)));
                let slot = self.variables.len() - 1;
                let steps = self.statements(body)?;
                self.hide(slot);
                Step::For(slot, plan, steps)
            }
            BodyStatement::If { branches, otherwise } => {
                let mut planned = Vec::with_capacity(branches.len());
                for (condition, statements) in branches {
                    planned.push((self.computed(condition)?, self.statements(statements)?));
                }
                Step::If(planned, self.statements(otherwise)?)
            }
            BodyStatement::Insert(insert) => {
                self.body.uses.0.insert((insert.table.database.clone(), insert.table.name.clone()));
                let write = Write::insert(insert, &self.variables, self.catalog, self.settings)?;
                self.write(write)
            }
            BodyStatement::Perform(query) => Step::Perform(self.query(query)?),
            BodyStatement::Raise { level, format, arguments } => {
                let arguments = arguments.iter().map(|argument| self.computed(argument)).collect::<Result<_>>()?;
                Step::Raise(*level, format.clone(), arguments)
            }
            BodyStatement::Return => Step::Return,
            BodyStatement::SelectInto { query, variables } => {
                let plan = self.query(query)?;
                if plan.columns.len() != variables.len() {
                    let message = format!("{} columns INTO {} variables", plan.columns.len(), variables.len());
                    return Err(SqlError::new("42601", message));
                }
                let slots = variables.iter().map(|variable| self.slot(variable)).collect::<Result<_>>()?;
                Step::SelectInto(plan, slots)
            }
            BodyStatement::Update(update) => {
                self.body.uses.0.insert((update.table.database.clone(), update.table.name.clone()));
                let write = Write::update(update, &self.variables, self.catalog, self.settings)?;
                self.write(write)
            }
        };
        Ok(vec![step])
    }

    fn write(&mut self, write: Write) -> Step {
        self.body.written.insert((write.database.clone(), write.collection.clone()));
        let uses = &write.plan.uses;
        let relations = uses.relations.iter();
        self.body.uses.0.extend(relations.map(|(database, name)| (Some(database.clone()), name.clone())));
        self.body.uses.1.extend(uses.routines.iter().cloned());
        self.body.notices.extend(write.plan.notices.iter().cloned());
        Step::Write(Box::new(write))
    }

    fn query(&mut self, query: &ast::Query) -> Result<Arc<Plan>> {
        self.note(query);
        let plan = Plan::query(query, Purpose::Batch, &self.variables, self.catalog, self.settings)?;
        if plan.changes {
            return Err(SqlError::new("0A000", "a body cannot wait for changes"));
        }
        self.body.notices.extend(plan.notices.iter().cloned());
        Ok(Arc::new(plan))
    }

    fn computed(&mut self, expression: &ast::Expr) -> Result<Computed> {
        self.note(expression);
        Computed::plan(expression, &self.variables, self.catalog, self.settings)
    }

    fn note<V: ast::Visit>(&mut self, tree: &V) {
        let (relations, functions) = used(tree);
        self.body.uses.0.extend(relations);
        self.body.uses.1.extend(functions);
    }

    fn call(&mut self, call: &Call) -> Result<Step> {
        let (database, name) = name(&call.name, &self.settings.database)?;
        let count = call.arguments.len();
        self.body.uses.1.insert((name.to_lowercase(), count));
        let Some((definition, routine)) = self.catalog.called(&database, Kind::Procedure, &name, count) else {
            let others = self.catalog.overloads(&database, Kind::Procedure, &name);
            let others: Vec<String> = others.iter().map(|(_, other)| other.arguments.len().to_string()).collect();
            let error = SqlError::new("42883", format!("there is no procedure {name} of {count} argument(s)"));
            return Err(error.hint(if others.is_empty() {
                format!("CREATE PROCEDURE {name}(…) makes it")
            } else {
                format!("{name} takes {} argument(s)", others.join(" or "))
            }));
        };
        let mut given = Vec::with_capacity(routine.arguments.len());
        for (number, argument) in routine.arguments.iter().enumerate() {
            let value = call.arguments.get(number).or(argument.default.as_ref());
            let value = value.ok_or_else(|| SqlError::new("42883", "an argument is missing"))?;
            given.push((argument.name.clone(), type_of(&argument.data_type)?, self.computed(value)?));
        }
        match &routine.body {
            RoutineBody::Webhook(options) => {
                let (name, procedure) = (definition.name.clone(), definition.id.clone());
                Ok(Step::Webhook(Box::new(Webhook { name, procedure, options: options.clone(), arguments: given })))
            }
            RoutineBody::Native(native) => {
                if definition.options.boolean("transactional")? != Some(true) {
                    self.body.outside.insert(name);
                }
                let given = given.into_iter().map(|(_, kind, value)| (kind, value)).collect();
                Ok(Step::Native(native.clone(), given))
            }
            RoutineBody::Block(block) => {
                if self.depth >= CALLS_MAX {
                    return Err(SqlError::new("42P19", format!("procedure {name} calls itself")));
                }
                // Its own variables stand behind those of the change, if there is one.
                let change = self.variables.iter().take(OF_CHANGE.len());
                let change: Vec<Variable> = change
                    .zip(OF_CHANGE)
                    .take_while(|(variable, (name, _))| variable.name == *name)
                    .map(|(variable, _)| variable.clone())
                    .collect();
                let first = change.len();
                let mut variables = change;
                variables.extend(given.iter().map(|(name, kind, _)| Variable::new(name, kind.clone())));
                let mut inner = Maker {
                    catalog: self.catalog,
                    settings: self.settings,
                    variables,
                    depth: self.depth + 1,
                    body: Body::default(),
                };
                inner.block(block)?;
                let mut body = inner.body;
                body.slots = inner.variables.len();
                self.body.uses.0.append(&mut body.uses.0);
                self.body.uses.1.append(&mut body.uses.1);
                self.body.outside.append(&mut body.outside);
                self.body.written.append(&mut body.written);
                self.body.notices.append(&mut body.notices);
                let given =
                    given.into_iter().enumerate().map(|(number, (_, kind, value))| (first + number, kind, value));
                Ok(Step::Call(Box::new(body), given.collect()))
            }
            RoutineBody::Query(_) | RoutineBody::Expression(_) => {
                Err(SqlError::new("42809", format!("{name} answers like a function: use it in a query")))
            }
        }
    }

    /// Variables are compared without case; the innermost counts.
    fn slot(&self, name: &str) -> Result<usize> {
        let first = self.variables.iter().position(|variable| variable.name.eq_ignore_ascii_case(name));
        match first {
            Some(slot) if slot >= OF_CHANGE.len() || self.variables.first().is_none_or(|v| v.name != "NEW") => Ok(slot),
            Some(_) => Err(SqlError::new("0A000", format!("{name} cannot be changed here"))),
            None => Err(SqlError::new("42703", format!("there is no variable {name}"))),
        }
    }

    fn kind(&self, slot: usize) -> Option<Type> {
        self.variables.get(slot).and_then(|variable| variable.kind.clone())
    }

    /// A variable that is over.
    fn hide(&mut self, slot: usize) {
        if let Some(variable) = self.variables.get_mut(slot) {
            variable.name = format!("({slot})");
        }
    }
}

/// A declared type; `any` is none.
pub(crate) fn type_of(data_type: &ast::DataType) -> Result<Option<Type>> {
    if data_type.to_string().eq_ignore_ascii_case("any") {
        return Ok(None);
    }
    Type::from_ast(data_type).map(Some)
}

/// A name's database and own part.
pub(crate) fn name(name: &Name, database: &str) -> Result<(String, String)> {
    if name.connection.is_some() {
        return Err(not_offered("a table of another deployment"));
    }
    Ok((name.database.clone().unwrap_or_else(|| database.to_owned()), name.name.clone()))
}
