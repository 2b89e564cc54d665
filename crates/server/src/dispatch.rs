//! From a request to its row, through the checks that all commands share.

use std::sync::Arc;

use millstream_db::Api;
use millstream_value::{Code, Doc, kind, type_name};
use millstream_wire::Request;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::arguments::{Arguments, check_fields, wrong_type};
use crate::commands::{self, Command, Database, Fields, Handler};
use crate::context::{Connection, Context};
use crate::engine::SessionId;
use crate::fail_point::{Labels, Then};
use crate::failure::{Failure, Result};
use crate::own;
use crate::reply::{self, Afterwards, Repeat, Reply};
use crate::server::Server;
use crate::transaction::{self, Numbers};

/// Longest database name, in bytes: MongoDB's limit.
const DATABASE_NAME_BYTES_MAX: usize = 63;

/// What to send back.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) document: Vec<u8>,
    pub(crate) repeat: Repeat,
    /// Whether the reply may be compressed.
    pub(crate) compressible: bool,
    pub(crate) afterwards: Afterwards,
}

/// Why a wait ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// The server stops: say so.
    Shutdown,
    /// Nobody is there to be answered.
    Disconnected,
}

/// Runs a request to its reply. None: the client is gone.
///
/// `interrupted` ends commands that may wait long, by dropping them.
pub(crate) async fn run(
    server: &Arc<Server>,
    connection: &Connection,
    request: &Request,
    interrupted: impl Future<Output = Interrupt>,
) -> Option<Outcome> {
    let body = Doc::new(&request.body);
    let name = body.elements().next().map(|element| element.key()).unwrap_or_default();
    let found = commands::find(name);
    let compressible = found.is_none_or(|(_, command)| !command.uncompressed);
    let struck = match found {
        Some(_) if server.options.test_commands => server.fail_point.strike(name, connection.app_name()),
        _ => None,
    };
    let failing = match struck {
        None => None,
        Some(strike) => {
            tokio::time::sleep(strike.block).await;
            match strike.then {
                Then::Run => None,
                Then::Fail(failure, labels) => Some((failure, labels)),
                Then::Close => return None,
            }
        }
    };
    let result = match prepare(server, connection, request, name, found.map(|(_, row)| row)) {
        Ok(context) if failing.is_some() => Ok(Err(failing.map_or_else(Failure::shutdown, |(failure, labels)| {
            if labels == Labels::Given { failure } else { failure.labelled(context.command, context.wants_labels()) }
        }))),
        Ok(context) => {
            let wants = context.wants_labels();
            let done = in_turn(context, interrupted).await;
            done.map(|result| result.map_err(|failure| failure.labelled(context.command, wants)))
        }
        Err(failure) => Ok(Err(failure)),
    };
    let Ok(result) = result else { return None };
    if let Some((row, command)) = found {
        server.counters.command(row, command, result.is_err());
    }
    Some(match result {
        Ok(reply) => {
            let Reply { document, operation_time, repeat, afterwards } = reply;
            Outcome { document: reply::success(server, document, operation_time), repeat, compressible, afterwards }
        }
        Err(failure) => {
            tracing::debug!(
                connection = connection.id,
                command = name,
                code = failure.code.number(),
                "{}",
                failure.message
            );
            let document = reply::failure(server, &failure);
            Outcome { document, repeat: Repeat::No, compressible, afterwards: Afterwards::default() }
        }
    })
}

/// The checks that come before a handler.
fn prepare<'a>(
    server: &'a Arc<Server>,
    connection: &'a Connection,
    request: &'a Request,
    name: &'a str,
    command: Option<&'static Command>,
) -> Result<Context<'a>> {
    let body = Doc::new(&request.body);
    let database = match &request.legacy {
        Some(namespace) => legacy_database(namespace, name, command)?,
        None => database(body)?,
    };
    let command = command.ok_or_else(|| Failure::new(Code::CommandNotFound, format!("no such command: '{name}'")))?;
    if command.database == Database::Admin && database != "admin" {
        let message = format!("{name} may only be run against the admin database.");
        return Err(Failure::new(Code::Unauthorized, message));
    }
    if command.writes {
        own::check(connection, database)?;
    }
    if let Fields::Only(fields) = command.fields {
        check_fields(command.name, fields, request)?;
    }
    let arguments = Arguments::new(command.name, body);
    let session = arguments.document("lsid")?.map(|lsid| session_id("lsid", lsid)).transpose()?;
    let Numbers { retry, membership } = transaction::numbers(&arguments, command, session, database)?;
    if let Some(session) = session {
        server.engine.session_used(session);
    }
    let api = api(&arguments)?;
    Ok(Context {
        server,
        connection,
        request,
        command,
        name,
        database,
        session,
        api,
        transaction_number: retry,
        transaction: membership,
        turn: None,
    })
}

/// Runs a command, as a statement of its transaction if it is part of one: an error ends that.
async fn in_turn(
    context: Context<'_>,
    interrupted: impl Future<Output = Interrupt>,
) -> std::result::Result<Result<Reply>, Interrupt> {
    match context.transaction {
        None => execute(&context, interrupted).await,
        // In a box, so that connections which make no transactions are no larger for it.
        Some(_) => Box::pin(in_transaction(context, interrupted)).await,
    }
}

async fn in_transaction(
    context: Context<'_>,
    interrupted: impl Future<Output = Interrupt>,
) -> std::result::Result<Result<Reply>, Interrupt> {
    let turn = match transaction::enter(&context).await {
        Ok(turn) => turn,
        Err(failure) => return Ok(Err(failure)),
    };
    let mut done = execute(&Context { turn: turn.as_ref(), ..context }, interrupted).await;
    if let Some(turn) = &turn
        && let Some(failure) = transaction::until_durable(turn).await
    {
        done = Ok(Err(failure));
    }
    if let Some(turn) = turn.as_ref().filter(|_| !matches!(done, Ok(Ok(_)))) {
        turn.lock().fail();
    }
    done
}

async fn execute(
    context: &Context<'_>,
    interrupted: impl Future<Output = Interrupt>,
) -> std::result::Result<Result<Reply>, Interrupt> {
    match context.command.handler {
        Handler::Inline(handle) => Ok(handle(context)),
        Handler::Blocking(handle) => Ok(blocking(|| handle(context))),
        Handler::Async(handle) if !context.command.waits => Ok(handle(context).await),
        Handler::Async(handle) => {
            tokio::select! {
                biased;
                result = handle(context) => Ok(result),
                interrupt = interrupted => match interrupt {
                    Interrupt::Shutdown => Ok(Err(Failure::shutdown())),
                    Interrupt::Disconnected => Err(interrupt),
                },
            }
        }
    }
}

/// Runs what computes or reads for long without holding up the other tasks of this thread.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        // One thread has nobody to hand the other tasks to.
        _ => work(),
    }
}

/// An `OP_QUERY` is understood as far as the handshake needs it (CS-13.12).
fn legacy_database<'a>(namespace: &'a str, name: &str, command: Option<&Command>) -> Result<&'a str> {
    match (namespace.strip_suffix(".$cmd"), command) {
        (Some(database), Some(command)) if command.legacy => Ok(database),
        _ => Err(Failure::new(
            Code::UnsupportedOpQueryCommand,
            format!(
                "Unsupported OP_QUERY command: {name}. The client driver may require an upgrade. \
                 For more details see https://dochub.mongodb.org/core/legacy-opcode-removal"
            ),
        )),
    }
}

fn database(body: Doc<'_>) -> Result<&str> {
    let element = body
        .element("$db")
        .ok_or_else(|| Failure::new(Code::Location(40571), "OP_MSG requests require a $db argument"))?;
    let database = element.as_str().ok_or_else(|| wrong_type("$db", element.kind(), "string"))?;
    let invalid = database.is_empty()
        || database.len() > DATABASE_NAME_BYTES_MAX
        || database.contains(['/', '\\', '.', ' ', '"', '$', '\0']);
    // `$external` is where drivers send some logins.
    if invalid && database != "$external" {
        let message = format!("Invalid database name: '{database}'");
        return Err(Failure::new(Code::InvalidNamespace, message));
    }
    Ok(database)
}

/// The `id` of a session document such as `lsid`.
pub(crate) fn session_id(path: &str, document: Doc<'_>) -> Result<SessionId> {
    const UUID: u8 = 4;
    let id = document.element("id").ok_or_else(|| {
        let message = format!("BSON field '{path}.id' is missing but a required field");
        Failure::new(Code::IDLFailedToParse, message)
    })?;
    // The value of a binary is its length, its subtype and its bytes.
    match (id.kind(), id.bytes()) {
        (kind::BINARY, [16, 0, 0, 0, UUID, bytes @ ..]) => <[u8; 16]>::try_from(bytes).ok(),
        _ => None,
    }
    .map(SessionId)
    .ok_or_else(|| {
        let found = type_name(id.kind());
        let message = format!("BSON field '{path}.id' is the wrong type '{found}', expected type 'UUID'");
        Failure::new(Code::TypeMismatch, message)
    })
}

/// `apiVersion` and its companions.
fn api(arguments: &Arguments<'_>) -> Result<Option<Api>> {
    match arguments.str("apiVersion")? {
        None => Ok(None),
        Some("1") => Ok(Some(Api {
            strict: arguments.bool("apiStrict")?.unwrap_or(false),
            deprecation_errors: arguments.bool("apiDeprecationErrors")?.unwrap_or(false),
        })),
        Some(_) => Err(Failure::new(Code::APIVersionError, "API version must be \"1\"")),
    }
}
