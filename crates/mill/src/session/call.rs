//! `CALL` outside of triggers: in one transaction (SQL-16.2).

use bson::oid::ObjectId;
use millstream_sql::Notice;
use millstream_sql::statement::Call;
use mongodb::ClientSession;

use super::{Session, write};
use crate::answer::Answer;
use crate::checkpoint::abort;
use crate::error::{Result, of_driver};
use crate::hosted::Surroundings;
use crate::trigger::{Body, Cause, Run, plan_call};
use crate::write::Buffer;

/// How often a call is tried whose transaction is its own.
const TRIES: u32 = 6;

impl Session {
    pub(super) async fn call(&mut self, call: &Call) -> Result<Answer> {
        let mut planning = self.planning().await?;
        let body = plan_call(&mut planning, &self.deployment, call).await?;
        let surroundings = self.surroundings()?;
        let key = format!("call:{}", ObjectId::new());
        let cause = Cause::Call { key: &key };
        let notices = match &mut self.transaction {
            Some(transaction) => run(&mut transaction.session, &body, &surroundings, cause).await?,
            None => {
                let mut session = self.deployment.client().start_session().await.map_err(|error| of_driver(&error))?;
                own(&mut session, &body, &surroundings, cause).await?
            }
        };
        Ok(Answer::done("CALL", notices))
    }
}

async fn own(
    session: &mut ClientSession,
    body: &Body,
    surroundings: &Surroundings,
    cause: Cause<'_>,
) -> Result<Vec<Notice>> {
    let mut attempt = 0;
    loop {
        write::start(session).await?;
        let done = match run(session, body, surroundings, cause).await {
            Ok(notices) => write::finish(session).await.map(|()| notices),
            Err(error) => {
                abort(session).await;
                Err(error)
            }
        };
        attempt += 1;
        match done {
            Err(error) if error.state.0 == "40001" && attempt < TRIES => write::pause(attempt).await,
            done => return done,
        }
    }
}

async fn run(
    session: &mut ClientSession,
    body: &Body,
    surroundings: &Surroundings,
    cause: Cause<'_>,
) -> Result<Vec<Notice>> {
    let mut run = Run::new(Buffer::new(session), surroundings, cause);
    run.body(body, Vec::new()).await?;
    Ok(run.notices)
}
