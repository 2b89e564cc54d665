//! The extended protocol: statements that are prepared, bound to values, described and executed.

use std::collections::hash_map::Entry;
use std::sync::{Arc, OnceLock};

use millstream_flow::Datum;
use millstream_mill::Parameter;
use millstream_sql::statement::{self, Statement};
use millstream_sql::{SqlError, Type};
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};

use crate::connection::{Client, Connection, Failure};
use crate::execute::{Outgoing, Sent};
use crate::limits::NAMES_MAX;
use crate::shape::{self, Field};
use crate::{parameter, types};

/// A prepared statement.
pub(crate) struct Prepared {
    /// `None`: there was none in the text.
    statement: Option<Statement>,
    /// The types of its parameters: as the client says, or else as the text does; 0: unsaid.
    parameters: Vec<u32>,
    /// Its columns as the client was told; `None`: it has none.
    told: OnceLock<Option<Vec<Field>>>,
}

/// A statement with values for its parameters.
pub(crate) struct Portal {
    prepared: Arc<Prepared>,
    values: Vec<Parameter>,
    forms: Vec<i16>,
    /// What is left to send, once it runs.
    running: Option<Outgoing>,
    is_over: bool,
}

impl Connection {
    pub(crate) fn parse(&mut self, client: &mut Client, parse: Parse) -> Result<(), Failure> {
        let mut script = statement::Script::new(&parse.query)?;
        let statement = script.next().transpose()?.map(|(statement, _)| statement);
        if script.next().is_some() {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new("42601", message).into());
        }
        let written = statement::parameters(&parse.query)?;
        let count = written.len().max(parse.type_oids.len());
        let number = |at: usize| match parse.type_oids.get(at) {
            Some(said) if *said != 0 && *said != types::UNKNOWN => *said,
            _ => written.get(at).and_then(Option::as_ref).map_or(0, |kind| Type::postgres_number(Some(kind))),
        };
        let parameters = (0..count).map(number).collect();
        let prepared = Prepared { statement, parameters, told: OnceLock::new() };
        let name = parse.name.unwrap_or_default();
        if self.statements.len() >= NAMES_MAX {
            return Err(too_many("prepared statements"));
        }
        match self.statements.entry(name) {
            Entry::Occupied(known) if !known.key().is_empty() => {
                let message = format!("prepared statement \"{}\" already exists", known.key());
                return Err(SqlError::new("42P05", message).into());
            }
            Entry::Occupied(mut unnamed) => drop(unnamed.insert(Arc::new(prepared))),
            Entry::Vacant(place) => drop(place.insert(Arc::new(prepared))),
        }
        Ok(client.output.put(&ParseComplete::new())?)
    }

    pub(crate) fn bind(&mut self, client: &mut Client, bind: Bind) -> Result<(), Failure> {
        let prepared = Arc::clone(self.prepared(bind.statement_name.as_deref())?);
        let expected = prepared.parameters.len();
        if bind.parameters.len() != expected {
            let message =
                format!("there are {} values, but the statement has {expected} parameters", bind.parameters.len());
            return Err(SqlError::new("08P01", message).into());
        }
        let forms = &bind.parameter_format_codes;
        if forms.len() > 1 && forms.len() != expected {
            return Err(SqlError::new("08P01", "there are not as many forms as values").into());
        }
        let zone = self.zone();
        let mut values = Vec::with_capacity(expected);
        for (at, value) in bind.parameters.iter().enumerate() {
            let form = forms.get(at).or(forms.first().filter(|_| forms.len() == 1)).copied().unwrap_or(0);
            let number = prepared.parameters.get(at).copied().unwrap_or(0);
            values.push(match value {
                None => Parameter::Value(Datum::Null),
                Some(bytes) => parameter::decode(bytes, number, form == 1, &zone)?,
            });
        }
        let name = bind.portal_name.unwrap_or_default();
        if self.portals.len() >= NAMES_MAX {
            return Err(too_many("portals"));
        }
        let portal = Portal { prepared, values, forms: bind.result_column_format_codes, running: None, is_over: false };
        match self.portals.entry(name) {
            Entry::Occupied(known) if !known.key().is_empty() => {
                return Err(SqlError::new("42P03", format!("portal \"{}\" already exists", known.key())).into());
            }
            Entry::Occupied(mut unnamed) => drop(unnamed.insert(portal)),
            Entry::Vacant(place) => {
                place.insert(portal);
            }
        }
        Ok(client.output.put(&BindComplete::new())?)
    }

    pub(crate) async fn describe(&mut self, client: &mut Client, describe: &Describe) -> Result<(), Failure> {
        if describe.target_type == b'S' {
            return self.describe_statement(client, describe.name.as_deref()).await;
        }
        let name = describe.name.clone().unwrap_or_default();
        let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let done = self.describe_portal(client, &mut portal).await;
        self.portals.insert(name, portal);
        done
    }

    async fn describe_statement(&mut self, client: &mut Client, name: Option<&str>) -> Result<(), Failure> {
        let prepared = Arc::clone(self.prepared(name)?);
        let shown = prepared.parameters.iter().map(|number| if *number == 0 { types::TEXT } else { *number });
        client.output.put(&ParameterDescription::new(shown.collect()))?;
        let fields = match prepared.told.get() {
            Some(told) => told.clone(),
            None => {
                let fields = self.fields(client, &prepared).await?;
                prepared.told.get_or_init(|| fields).clone()
            }
        };
        match fields {
            Some(fields) => client.output.put(&shape::description(&fields))?,
            None => client.output.put(&NoData::new())?,
        }
        Ok(())
    }

    /// The columns of a statement that is not run.
    async fn fields(&mut self, client: &mut Client, prepared: &Prepared) -> Result<Option<Vec<Field>>, Failure> {
        let Some(statement) = &prepared.statement else { return Ok(None) };
        let kinds: Vec<Option<Type>> =
            prepared.parameters.iter().map(|number| parameter::kind(*number)).collect::<Result<_, _>>()?;
        let columns = client.cancellable(&self.control, self.session.columns(statement, &kinds)).await?;
        Ok(columns.map(|columns| shape::known(&columns)).transpose()?)
    }

    async fn describe_portal(&mut self, client: &mut Client, portal: &mut Portal) -> Result<(), Failure> {
        let prepared = Arc::clone(&portal.prepared);
        let fields = match (&prepared.statement, prepared.told.get()) {
            (_, Some(told)) => told.clone(),
            // A query is run now: which columns it has may depend on its rows.
            (Some(statement), None) if is_query(statement) => {
                self.start(client, portal).await?;
                match &portal.running {
                    Some(Outgoing::Rows(sending)) => Some(sending.fields.clone()),
                    _ => None,
                }
            }
            _ => self.fields(client, &prepared).await?,
        };
        match fields {
            Some(fields) => client.output.put(&shape::description(&shape::in_forms(fields, &portal.forms)?))?,
            None => client.output.put(&NoData::new())?,
        }
        Ok(())
    }

    pub(crate) async fn execute(&mut self, client: &mut Client, execute: &Execute) -> Result<(), Failure> {
        let name = execute.name.clone().unwrap_or_default();
        let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let most = u64::try_from(execute.max_rows).ok().filter(|most| *most > 0);
        let done = self.execute_portal(client, &mut portal, most).await;
        // The statement may have dropped all of them.
        self.portals.insert(name, portal);
        done
    }

    async fn execute_portal(
        &mut self,
        client: &mut Client,
        portal: &mut Portal,
        most: Option<u64>,
    ) -> Result<(), Failure> {
        let Some(statement) = &portal.prepared.statement else {
            return Ok(client.output.put(&EmptyQueryResponse::new())?);
        };
        if let Statement::Deallocate(name) = statement {
            self.deallocate(name.as_deref())?;
            return Ok(client.output.put(&CommandComplete::new("DEALLOCATE".to_owned()))?);
        }
        if portal.is_over {
            return Err(SqlError::new("55000", "the portal has been run").into());
        }
        self.start(client, portal).await?;
        let zone = self.zone();
        match &mut portal.running {
            Some(Outgoing::Rows(sending)) => match sending.send(client, self, &zone, most).await? {
                Sent::Some => return Ok(client.output.put(&PortalSuspended::new())?),
                Sent::All => {}
            },
            Some(Outgoing::Done(tag)) => client.output.put(&CommandComplete::new(std::mem::take(tag)))?,
            None => {}
        }
        portal.is_over = true;
        portal.running = None;
        Ok(())
    }

    /// Runs a portal's statement, if it does not yet run.
    async fn start(&mut self, client: &mut Client, portal: &mut Portal) -> Result<(), Failure> {
        let (None, Some(statement)) = (&portal.running, &portal.prepared.statement) else { return Ok(()) };
        self.session.set_values(portal.values.clone());
        let mut outgoing = self.run(client, statement).await;
        if let Ok(Outgoing::Rows(sending)) = &mut outgoing {
            // What was said of the columns holds.
            let fields = match portal.prepared.told.get() {
                Some(Some(told)) => told.clone(),
                _ => std::mem::take(&mut sending.fields),
            };
            sending.fields = shape::in_forms(fields, &portal.forms)?;
        }
        portal.running = Some(outgoing?);
        Ok(())
    }

    pub(crate) fn close(&mut self, client: &mut Client, close: &Close) -> Result<(), Failure> {
        let name = close.name.as_deref().unwrap_or_default();
        // What is not there is closed.
        if close.target_type == b'S' {
            self.statements.remove(name);
        } else {
            self.portals.remove(name);
        }
        Ok(client.output.put(&CloseComplete::new())?)
    }

    /// `DEALLOCATE name`, `DEALLOCATE ALL`.
    pub(crate) fn deallocate(&mut self, name: Option<&str>) -> Result<(), Failure> {
        let Some(name) = name else {
            self.statements.clear();
            return Ok(());
        };
        self.statements.remove(name).map(drop).ok_or_else(|| no_statement(name))
    }

    fn prepared(&self, name: Option<&str>) -> Result<&Arc<Prepared>, Failure> {
        let name = name.unwrap_or_default();
        self.statements.get(name).ok_or_else(|| no_statement(name))
    }
}

/// Whether running it changes nothing.
fn is_query(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Describe(_)
            | Statement::Explain(_)
            | Statement::Fetch { .. }
            | Statement::Query(_)
            | Statement::Show(_)
            | Statement::Subscribe(_)
    )
}

fn no_statement(name: &str) -> Failure {
    Failure::Refused(SqlError::new("26000", format!("prepared statement \"{name}\" does not exist")))
}

fn no_portal(name: &str) -> Failure {
    Failure::Refused(SqlError::new("34000", format!("portal \"{name}\" does not exist")))
}

fn too_many(what: &str) -> Failure {
    Failure::Refused(SqlError::new("54000", format!("a connection has {NAMES_MAX} {what} at most")))
}
