//! Planning with what is known of names, again where a database had to be looked up first.

use jiff::tz::TimeZone;
use millstream_sql::SqlError;
use millstream_sql::plan::{Plan, Purpose, Settings, Variable};
use sqlparser::ast;

use crate::catalog::Catalog;
use crate::definition::{Definition, Kept};
use crate::deployment::{Deployment, now_ms};
use crate::error::Result;

/// What planning depends on.
pub(crate) struct Planning {
    pub(crate) catalog: Catalog,
    pub(crate) settings: Settings,
}

impl Planning {
    /// In a database, with settings.
    pub(crate) fn new(catalog: Catalog, database: &str, kept: &Kept) -> Result<Self> {
        let settings = Settings {
            database: database.to_owned(),
            strict_tables: kept.strict_tables,
            strict_columns: kept.strict_columns,
            unbounded_state: false,
            lateness: None,
            idle_timeout_ms: 60_000,
            by_paths: false,
            parameters: Vec::new(),
            shown: std::collections::BTreeMap::new(),
            time_zone: time_zone(&kept.time_zone)?,
            now_ms: now_ms(),
        };
        Ok(Self { catalog, settings })
    }

    /// As a definition says.
    pub(crate) fn of(definition: &Definition, catalog: &Catalog) -> Result<Self> {
        let mut planning = Self::new(catalog.clone(), &definition.database, &definition.settings)?;
        planning.options(&definition.options)?;
        Ok(planning)
    }

    /// Takes over the options that planning depends on (SQL-18.8).
    pub(crate) fn options(&mut self, options: &millstream_sql::statement::Options) -> Result<()> {
        crate::options::refuse_unoffered(options)?;
        self.settings.by_paths = options.text("images")? == Some("lookup");
        self.settings.unbounded_state = options.boolean("unbounded_state")?.unwrap_or(false);
        if let Some(millstream_sql::statement::Literal::Number(number)) = options.get("lateness") {
            self.settings.lateness = number.parse().ok();
        } else if let Some(text) = options.interval("lateness")? {
            self.settings.lateness = Some(crate::interval::millis(text)?);
        }
        if let Some(text) = options.interval("idle_timeout")? {
            self.settings.idle_timeout_ms = crate::interval::millis(text)?;
        }
        Ok(())
    }

    /// Plans a query.
    pub(crate) async fn query(
        &mut self,
        deployment: &Deployment,
        query: &ast::Query,
        purpose: Purpose,
        variables: &[Variable],
    ) -> Result<Plan> {
        self.plan(deployment, |catalog, settings| Plan::query(query, purpose, variables, catalog, settings)).await
    }

    /// Plans something. What it asks of databases that are not yet known is looked up, and it is tried again.
    pub(crate) async fn plan<T>(
        &mut self,
        deployment: &Deployment,
        plan: impl Fn(&Catalog, &Settings) -> Result<T>,
    ) -> Result<T> {
        loop {
            let planned = plan(&self.catalog, &self.settings);
            if !self.catalog.look_again(deployment).await? {
                return planned;
            }
        }
    }
}

/// A time zone by its name.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| SqlError::new("22023", format!("there is no time zone \"{name}\"")))
}
