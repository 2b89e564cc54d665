//! Routines of the host program (SQL-16.5): code in Rust, by the names that `LANGUAGE NATIVE AS '…'` gives.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bson::Bson;
use millstream_sql::SqlError;
use millstream_sql::statement::Volatility;
use mongodb::ClientSession;

/// What goes wrong in a native routine. A `SqlError` keeps its class; anything else is P0001, as of `RAISE EXCEPTION`.
pub type NativeError = Box<dyn Error + Send + Sync>;

/// What a native procedure does.
pub type NativeWork<'t> = Pin<Box<dyn Future<Output = Result<(), NativeError>> + Send + 't>>;

type Function = dyn Fn(&[Bson]) -> Result<Bson, NativeError> + Send + Sync;
type Procedure = dyn for<'t> Fn(&'t mut ClientSession, Vec<Bson>) -> NativeWork<'t> + Send + Sync;
type Outside = dyn Fn(Vec<Bson>) -> NativeWork<'static> + Send + Sync;

/// The native routines of a program: given to its sessions, where they are bound, and to its mill, which runs them.
#[derive(Clone, Default)]
pub struct Natives {
    routines: Arc<BTreeMap<String, Native>>,
}

/// One of them.
#[derive(Clone)]
pub(crate) enum Native {
    Function(Volatility, Arc<Function>),
    /// What it does is part of the transaction that it is given.
    Procedure(Arc<Procedure>),
    /// What it does cannot be undone.
    Outside(Arc<Outside>),
}

impl Natives {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a function. It is called for every row, so it should not wait for anything.
    #[must_use]
    pub fn function(
        self,
        name: &str,
        volatility: Volatility,
        code: impl Fn(&[Bson]) -> Result<Bson, NativeError> + Send + Sync + 'static,
    ) -> Self {
        self.with(name, Native::Function(volatility, Arc::new(code)))
    }

    /// With a procedure whose effects are transactional: it does them with the session that it is given, whose transaction is
    /// open, and that of a trigger's place. It may be called again after a transaction that came to nothing.
    #[must_use]
    pub fn procedure<P>(self, name: &str, code: P) -> Self
    where
        P: for<'t> Fn(&'t mut ClientSession, Vec<Bson>) -> NativeWork<'t> + Send + Sync + 'static,
    {
        self.with(name, Native::Procedure(Arc::new(code)))
    }

    /// With a procedure whose effects are elsewhere, where nothing is undone: a trigger that calls it needs
    /// `guarantee = 'at_least_once'` (SQL-15.5).
    #[must_use]
    pub fn outside_procedure<P>(self, name: &str, code: P) -> Self
    where
        P: Fn(Vec<Bson>) -> NativeWork<'static> + Send + Sync + 'static,
    {
        self.with(name, Native::Outside(Arc::new(code)))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Native> {
        self.routines.get(name)
    }

    fn with(mut self, name: &str, native: Native) -> Self {
        Arc::make_mut(&mut self.routines).insert(name.to_owned(), native);
        self
    }
}

impl fmt::Debug for Natives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.routines.keys()).finish()
    }
}

/// No such routine is registered in this program.
pub(crate) fn unregistered(name: &str) -> SqlError {
    SqlError::new("42883", format!("no native routine \"{name}\" is registered in this program"))
}

/// What a native routine says of itself, as a statement's error.
pub(crate) fn failed(error: NativeError) -> SqlError {
    match error.downcast::<SqlError>() {
        Ok(error) => *error,
        Err(error) => SqlError::new("P0001", error.to_string()),
    }
}
