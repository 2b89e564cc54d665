//! What expressions meet when they run: the time zone, and the functions that are no SQL (SQL-16.4, SQL-16.5).

use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};

use bson::oid::ObjectId;
use bson::{Bson, Document};
use jiff::tz::TimeZone;
use millstream_flow::{Datum, RowError};
use millstream_sql::SqlError;
use millstream_sql::expr::Context;
use millstream_sql::statement::{CreateRoutine, Kind, Options, RoutineBody};
use millstream_watch::webhook::Webhooks;
use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::sync::mpsc;

use crate::catalog::{Catalog, routine};
use crate::deployment::now_ms;
use crate::error::{Result, bug};
use crate::native::{Native, Natives, failed, unregistered};
use crate::planning::time_zone;
use crate::value::{from_bson, to_bson};
use crate::webhook;

/// What the program gives to routines that are no SQL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) natives: Natives,
    requests: Arc<OnceLock<Webhooks>>,
    caller: Arc<OnceLock<Option<Caller>>>,
}

impl Host {
    pub(crate) fn with(natives: Natives) -> Self {
        Self { natives, ..Self::default() }
    }

    /// What makes requests.
    pub(crate) fn requests(&self) -> &Webhooks {
        self.requests.get_or_init(Webhooks::new)
    }
}

/// What expressions of one object or session meet.
#[derive(Clone)]
pub(crate) struct Surroundings {
    zone: TimeZone,
    /// By their names in small letters and their numbers of arguments.
    functions: Arc<BTreeMap<(String, usize), Hosted>>,
    pub(crate) host: Host,
}

/// A function that is no SQL.
struct Hosted {
    name: String,
    arguments: Vec<String>,
    body: Body,
}

enum Body {
    /// Its registered name.
    Native(String),
    Webhook(Options),
}

impl Surroundings {
    /// Those of a database.
    pub(crate) fn new(catalog: &Catalog, database: &str, zone: &str) -> Result<Self> {
        let functions = catalog.all().filter(|known| known.kind == Kind::Function && known.database == database);
        let functions = functions.filter_map(|definition| {
            let routine = routine(definition)?;
            let key = (definition.name.to_lowercase(), routine.arguments.len());
            Some((key, Hosted::of(&definition.name, routine)?))
        });
        let functions = Arc::new(functions.collect());
        Ok(Self { zone: time_zone(zone)?, functions, host: catalog.host.clone() })
    }

    /// What a plan with these variables runs in.
    pub(crate) fn context(&self, variables: Vec<Datum>) -> Arc<Context> {
        let (functions, host) = (Arc::clone(&self.functions), self.host.clone());
        Arc::new(Context {
            variables,
            time_zone: self.zone.clone(),
            routine: Box::new(move |name, arguments| {
                let function = functions.get(&(name.to_lowercase(), arguments.len()));
                let function =
                    function.ok_or_else(|| RowError::new("0A000", format!("{name} cannot be called here")))?;
                function.call(&host, arguments).map_err(|error| RowError::new(error.state.0, error.message))
            }),
            clock: Box::new(now_ms),
        })
    }
}

impl Hosted {
    fn of(name: &str, routine: &CreateRoutine) -> Option<Self> {
        let body = match &routine.body {
            RoutineBody::Native(native) => Body::Native(native.clone()),
            RoutineBody::Webhook(options) => Body::Webhook(options.clone()),
            RoutineBody::Block(_) | RoutineBody::Expression(_) | RoutineBody::Query(_) => return None,
        };
        let arguments = routine.arguments.iter().map(|argument| argument.name.clone()).collect();
        Some(Self { name: name.to_owned(), arguments, body })
    }

    fn call(&self, host: &Host, arguments: &[Datum]) -> Result<Datum> {
        let values: Vec<Bson> = arguments.iter().map(to_bson).collect();
        match &self.body {
            Body::Native(name) => match host.natives.get(name) {
                Some(Native::Function(_, code)) => code(&values).map(|value| from_bson(&value)).map_err(failed),
                Some(Native::Outside(_) | Native::Procedure(_)) | None => Err(unregistered(name)),
            },
            Body::Webhook(options) => {
                let caller = host.caller.get_or_init(Caller::start).as_ref();
                let caller = caller.ok_or_else(|| SqlError::new("58030", "no thread for webhooks could be started"))?;
                let given: Document = self.arguments.iter().cloned().zip(values).collect();
                let answer = caller.ask(&self.name, given, options)?;
                webhook::value(&self.name, &answer).map(|value| from_bson(&value))
            }
        }
    }
}

/// A thread that makes requests for code that cannot wait as tasks do.
#[derive(Debug)]
struct Caller(mpsc::UnboundedSender<Asked>);

struct Asked {
    routine: String,
    arguments: Document,
    options: Options,
    tell: Sender<Result<String>>,
}

impl Caller {
    /// `None`: there can be no thread.
    fn start() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        // Whoever asks waits, so that there are never more than threads that evaluate.
        let (asking, mut asked) = mpsc::unbounded_channel::<Asked>();
        let work = async move {
            let requests = Webhooks::new();
            while let Some(asked) = asked.recv().await {
                let requests = requests.clone();
                drop(tokio::spawn(async move {
                    // Who has asked may be gone.
                    let _ = asked.tell.send(asked.answer(&requests).await);
                }));
            }
        };
        let thread = std::thread::Builder::new().name("webhook functions".to_owned());
        thread.spawn(move || runtime.block_on(work)).ok().map(|_| Self(asking))
    }

    fn ask(&self, routine: &str, arguments: Document, options: &Options) -> Result<String> {
        let (tell, told) = channel();
        let asked = Asked { routine: routine.to_owned(), arguments, options: options.clone(), tell };
        self.0.send(asked).map_err(|_| bug("the thread of webhooks has ended"))?;
        let wait = move || told.recv().map_err(|_| bug("a webhook's answer was lost"))?;
        // Other tasks of this thread go on elsewhere, where there is an elsewhere.
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            _ => wait(),
        }
    }
}

impl Asked {
    async fn answer(&self, requests: &Webhooks) -> Result<String> {
        let key = format!("call:{}", ObjectId::new());
        // Somebody waits for the answer, so it is tried again only if that was asked for.
        let retries = webhook::retries(&self.options)?.unwrap_or(0);
        webhook::call(requests, &self.options, retries, (&self.routine, &self.arguments, &key)).await
    }
}
