//! One object that runs: from its definition to what does it.

use std::sync::Arc;

use millstream_flow::Stores;
use millstream_sql::SqlError;
use millstream_sql::plan::{Plan, Purpose};
use millstream_sql::statement::Statement;

use crate::catalog::Catalog;
use crate::definition::Definition;
use crate::deployment::Deployment;
use crate::error::Result;
use crate::hosted::Surroundings;
use crate::hub::Hub;
use crate::planning::Planning;
use crate::run::{End, Stop};
use crate::view::View;

/// What an object runs with.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) deployment: Deployment,
    pub(crate) hub: Hub,
    pub(crate) stores: Stores,
    pub(crate) host: String,
    pub(crate) catalog: Catalog,
    pub(crate) definition: Arc<Definition>,
    pub(crate) stop: Stop,
}

impl Object {
    /// What its expressions meet.
    pub(crate) fn surroundings(&self) -> Result<Surroundings> {
        Surroundings::new(&self.catalog, &self.definition.database, &self.definition.settings.time_zone)
    }
}

/// Runs an object until it is asked to stop, or cannot go on.
pub(crate) async fn run(object: Object) -> Result<End> {
    match object.definition.statement.as_ref() {
        Statement::CreateView(view) => {
            let mut planning = Planning::of(&object.definition, &object.catalog)?;
            let plan = planning.query(&object.deployment, &view.query, Purpose::View, &[]).await?;
            view_of(object, plan).await
        }
        Statement::CreateTrigger(_) => crate::trigger::run(object).await,
        _ => Err(SqlError::new("55000", "this kind of object does not run")),
    }
}

async fn view_of(object: Object, plan: Plan) -> Result<End> {
    let context = object.surroundings()?.context(Vec::new());
    let view = View {
        definition: object.definition,
        deployment: object.deployment,
        hub: object.hub,
        stores: object.stores,
        plan: Arc::new(plan),
        context,
        stop: object.stop,
        host: object.host,
    };
    view.run().await
}
