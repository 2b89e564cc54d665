//! What becomes of defined objects (SQL-18).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use millstream_sql::SqlError;
use millstream_sql::statement::{
    Alteration, DeadLetters, From, Kind, Name, Object, Options, Statement, Which, statement,
};
use sqlparser::ast;

use super::Session;
use super::define::found;
use crate::answer::{Answer, Outcome};
use crate::checkpoint::{CHECKPOINTS, DATABASE};
use crate::dead_letters::DEAD_LETTERS;
use crate::definition::{DEFINITIONS, Definition, State, kind_words, type_name};
use crate::error::{Result, bug, of_driver};
use crate::outbox::OUTBOX;
use crate::planning::Planning;
use crate::run::target;
use crate::trigger::type_of;
use crate::{interval, wait};

/// How long `WAIT FOR` waits unless it says otherwise (SQL-18.5).
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A type as arguments are told apart by it: without its lengths.
fn named_type(data_type: &ast::DataType) -> Result<Option<&'static str>> {
    Ok(type_of(data_type)?.as_ref().and_then(type_name))
}

impl Session {
    pub(super) async fn drop_object(&mut self, object: &Object, if_exists: bool, cascade: bool) -> Result<Answer> {
        let tag = format!("DROP {}", kind_words(object.kind));
        self.not_in_transaction(&tag)?;
        let definition = match self.object(object).await {
            Err(error) if if_exists && error.state.0 == "42704" => return Ok(Answer::done(tag, Vec::new())),
            definition => definition?,
        };
        for definition in self.with_dependants(&definition.id, cascade)?.iter().rev().chain([&definition]) {
            self.remove(definition).await?;
        }
        Ok(Answer::done(tag, Vec::new()))
    }

    /// What uses something, and what uses that, in the order in which it was found; without CASCADE there may be nothing.
    pub(super) fn with_dependants(&self, id: &str, cascade: bool) -> Result<Vec<Arc<Definition>>> {
        let mut all: Vec<Arc<Definition>> = Vec::new();
        let mut ids = vec![id.to_owned()];
        let mut seen: BTreeSet<String> = ids.iter().cloned().collect();
        while let Some(id) = ids.pop() {
            for dependant in self.catalog.dependants(&id) {
                if seen.insert(dependant.id.clone()) {
                    ids.push(dependant.id.clone());
                    // A materialized view is read as a collection, too.
                    all.push(Arc::clone(dependant));
                }
            }
        }
        if !cascade && !all.is_empty() {
            let names: Vec<String> = all
                .iter()
                .map(|dependant| format!("{} {}", kind_words(dependant.kind).to_lowercase(), dependant.name))
                .collect();
            let message = format!("it is used by {}", names.join(", "));
            return Err(SqlError::new("2BP01", message).hint("CASCADE removes them as well"));
        }
        Ok(all)
    }

    /// Removes an object and what it holds.
    pub(super) async fn remove(&self, definition: &Definition) -> Result<()> {
        let client = self.deployment.client();
        let own = client.database(DATABASE);
        own.collection::<Document>(DEFINITIONS)
            .delete_one(doc! {"_id": &definition.id})
            .await
            .map_err(|error| of_driver(&error))?;
        // Whoever runs it can commit nothing from here on.
        own.collection::<Document>(CHECKPOINTS)
            .delete_many(doc! {"_id": {"$in": definition.checkpoints()}})
            .await
            .map_err(|error| of_driver(&error))?;
        own.collection::<Document>(DEAD_LETTERS)
            .delete_many(doc! {"_id.object": &definition.id})
            .await
            .map_err(|error| of_driver(&error))?;
        if definition.kind == Kind::Procedure {
            // Nobody would know where to call.
            let calls = own.collection::<Document>(OUTBOX);
            calls.delete_many(doc! {"procedure": &definition.id}).await.map_err(|error| of_driver(&error))?;
        }
        if definition.kind == Kind::MaterializedView {
            let (database, collection) = target(definition)?;
            let rows = client.database(&database).collection::<Document>(&collection);
            rows.drop().await.map_err(|error| of_driver(&error))?;
        }
        Ok(())
    }

    pub(super) async fn alter(&mut self, object: &Object, alteration: &Alteration) -> Result<Answer> {
        let tag = format!("ALTER {}", kind_words(object.kind));
        self.not_in_transaction(&tag)?;
        let definition = self.object(object).await?;
        match alteration {
            Alteration::Rename(to) => self.rename(&definition, to, &tag).await,
            Alteration::Set(options) => {
                super::define::check_options(definition.kind, options)?;
                if options.get("parallel").is_some()
                    && crate::options::lanes(options) != crate::options::lanes(&definition.options)
                {
                    return Err(super::define::other_lanes());
                }
                // Only what reads changes has a place to start.
                super::define::check_images(options.text("images")?, definition.start.is_some())?;
                self.prepare_images(&definition, options).await?;
                let mut set = Document::new();
                for (name, value) in crate::options::to_document(options) {
                    set.insert(format!("options.{name}"), value);
                }
                self.change(&definition, doc! {"$set": set, "$inc": {"version": 1_i64}}).await?;
                Ok(Answer::done(tag, Vec::new()))
            }
        }
    }

    /// Makes sure that images are there from where they are to come from now on.
    async fn prepare_images(&mut self, definition: &Definition, options: &Options) -> Result<()> {
        let Some(wanted) = options.text("images")? else { return Ok(()) };
        match definition.statement.as_ref() {
            Statement::CreateTrigger(create) => {
                let mut all = definition.options.clone();
                all.0.extend(options.0.clone());
                let mut planning = Planning::of(definition, &self.catalog)?;
                let planned = crate::trigger::plan(&mut planning, &self.deployment, create).await?;
                planned.prepare(&self.deployment, &all).await
            }
            Statement::CreateView(_) if definition.start.is_some() => {
                let is_copied = definition.options.text("images")? == Some("mirror");
                if is_copied == (wanted == "mirror") {
                    return Ok(());
                }
                // Its copy would have to be of when it began.
                let error =
                    SqlError::new("0A000", "whether a collection of outputs has a mirror is said when it is created");
                Err(error.hint("CREATE OR REPLACE MATERIALIZED VIEW makes it anew"))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn refresh_view(&mut self, name: &Name) -> Result<Answer> {
        self.not_in_transaction("REFRESH")?;
        let object = Object { kind: Kind::MaterializedView, name: name.clone(), arguments: None };
        let definition = self.object(&object).await?;
        let again = doc! {
            "$set": {"generation": ObjectId::new(), "state": State::Building.name()},
            "$inc": {"version": 1_i64},
        };
        self.change(&definition, again).await?;
        wait::wait_for(&self.deployment, std::slice::from_ref(&definition.id), WAIT_MAX).await?;
        Ok(Answer::done("REFRESH MATERIALIZED VIEW", Vec::new()))
    }

    pub(super) async fn pause(&mut self, which: &Which) -> Result<Answer> {
        self.not_in_transaction("PAUSE")?;
        for definition in self.which(which).await? {
            if definition.state != State::Defined {
                let change = doc! {"$set": {"state": State::Paused.name()}, "$inc": {"version": 1_i64}};
                self.change(&definition, change).await?;
            }
        }
        Ok(Answer::done("PAUSE", Vec::new()))
    }

    pub(super) async fn resume(&mut self, which: &Which, from: Option<&From>) -> Result<Answer> {
        self.not_in_transaction("RESUME")?;
        for definition in self.which(which).await? {
            if definition.state == State::Defined {
                continue;
            }
            let mut set = doc! {"state": State::Running.name()};
            if let Some(from) = from {
                let start: Bson = match from {
                    From::Now => {
                        self.deployment.time().await?.map_or(Bson::Null, |time| crate::deployment::after(time).into())
                    }
                    From::Snapshot => "snapshot".into(),
                    From::Token(token) => {
                        let token = millstream_watch::Token::parse(token);
                        let token = token.map_err(|error| SqlError::new("22023", error.to_string()))?;
                        crate::commit::Place::Token(token).to_bson()
                    }
                };
                set.insert("start", start);
                // What it had is of no use any more.
                set.insert("generation", ObjectId::new());
            }
            let change = doc! {"$set": set, "$unset": {"error": 1}, "$inc": {"version": 1_i64}};
            self.change(&definition, change).await?;
        }
        Ok(Answer::done("RESUME", Vec::new()))
    }

    pub(super) async fn wait_for(&mut self, object: Option<&Object>, timeout: Option<&str>) -> Result<Answer> {
        let timeout = timeout.map(interval::duration).transpose()?.unwrap_or(WAIT_MAX);
        let objects: Vec<String> = match object {
            Some(object) => vec![self.object(object).await?.id.clone()],
            None => {
                self.planning().await?;
                let running = self.catalog.all();
                running
                    .filter(|definition| matches!(definition.state, State::Building | State::Running))
                    .map(|definition| definition.id.clone())
                    .collect()
            }
        };
        wait::wait_for(&self.deployment, &objects, timeout).await?;
        Ok(Answer::done("WAIT", Vec::new()))
    }

    pub(super) async fn delete_dead_letters(&mut self, letters: &DeadLetters) -> Result<Answer> {
        let which = self.letters(letters).await?;
        let rows = self.deployment.client().database(DATABASE).collection::<Document>(DEAD_LETTERS);
        let deleted = rows.delete_many(which).await.map_err(|error| of_driver(&error))?;
        let tag = format!("DELETE {}", deleted.deleted_count);
        Ok(Answer::written(tag, deleted.deleted_count, None, Vec::new()))
    }

    pub(super) async fn retry_dead_letters(&mut self, letters: &DeadLetters) -> Result<Answer> {
        let which = self.letters(letters).await?;
        let rows = self.deployment.client().database(DATABASE).collection::<Document>(DEAD_LETTERS);
        let of = |kind: &str| doc! {"$and": [which.clone(), {"kind": kind}]};
        // The trigger sees the mark among the changes, and runs them again.
        let marked = rows.update_many(of("trigger"), doc! {"$inc": {"retry": 1}}).await;
        let mut count = marked.map_err(|error| of_driver(&error))?.modified_count;
        // Calls of webhooks wait for their delivery again.
        let mut calls = rows.find(of("procedure")).await.map_err(|error| of_driver(&error))?;
        while let Some(letter) = calls.try_next().await.map_err(|error| of_driver(&error))? {
            let client = self.deployment.client();
            let outbox = client.database(DATABASE).collection::<Document>(OUTBOX);
            let Ok(mut call) = letter.get_document("row").cloned() else { continue };
            call.insert("attempts", 0_i64);
            let id = doc! {"_id": call.get("_id").cloned().unwrap_or(Bson::Null)};
            // Twice in the outbox is once; so the letter goes last.
            outbox.replace_one(id, call).upsert(true).await.map_err(|error| of_driver(&error))?;
            let id = doc! {"_id": letter.get("_id").cloned().unwrap_or(Bson::Null)};
            rows.delete_one(id).await.map_err(|error| of_driver(&error))?;
            count += 1;
        }
        Ok(Answer::written(format!("RETRY {count}"), count, None, Vec::new()))
    }

    async fn letters(&mut self, letters: &DeadLetters) -> Result<Document> {
        let mut which = match &letters.object {
            None => doc! {},
            Some(object) => doc! {"_id.object": &self.object(object).await?.id},
        };
        if let Some(filter) = &letters.filter {
            let text = format!("SELECT _id FROM \"{DATABASE}\".\"{DEAD_LETTERS}\" WHERE {filter}");
            let Statement::Query(query) = statement(&text)? else { return Err(bug("a query that is none")) };
            let Outcome::Rows(rows) = self.query(&query).await?.outcome else {
                return Err(SqlError::new("0A000", "dead letters are chosen by what they are, not by changes"));
            };
            let ids = rows.all().await?.into_iter().map(|row| crate::difference::id(&row)).collect::<Vec<_>>();
            which.insert("_id", doc! {"$in": ids});
        }
        Ok(which)
    }

    /// The object of a name.
    pub(super) async fn object(&mut self, object: &Object) -> Result<Arc<Definition>> {
        let (database, name) = self.resolve(&object.name)?;
        self.planning().await?;
        if !matches!(object.kind, Kind::Function | Kind::Procedure) {
            return found(self.catalog.get(&database, object.kind, &name).cloned(), object.kind, &name);
        }
        let mut overloads = self.catalog.overloads(&database, object.kind, &name);
        if let Some(types) = &object.arguments {
            let types = types.iter().map(named_type).collect::<Result<Vec<_>>>()?;
            overloads.retain(|(_, routine)| {
                let own: Result<Vec<_>> = routine.arguments.iter().map(|own| named_type(&own.data_type)).collect();
                own.is_ok_and(|own| own == types)
            });
        }
        if overloads.len() > 1 {
            let message = format!("{} {name} is not unique", kind_words(object.kind).to_lowercase());
            let hint =
                format!("say which by the types of its arguments, as SHOW {}S shows them", kind_words(object.kind));
            return Err(SqlError::new("42725", message).hint(hint));
        }
        found(overloads.first().map(|(definition, _)| Arc::clone(definition)), object.kind, &name)
    }

    async fn which(&mut self, which: &Which) -> Result<Vec<Arc<Definition>>> {
        let kind = match which {
            Which::Object(object) => return Ok(vec![self.object(object).await?]),
            Which::Kind(kind) => Some(*kind),
            Which::All => None,
        };
        self.planning().await?;
        let wanted = |definition: &&Arc<Definition>| kind.is_none_or(|kind| definition.kind == kind);
        Ok(self.catalog.all().filter(wanted).cloned().collect())
    }

    async fn change(&self, definition: &Definition, change: Document) -> Result<()> {
        let rows = self.deployment.client().database(DATABASE).collection::<Document>(DEFINITIONS);
        let changed = rows.update_one(doc! {"_id": &definition.id}, change).await.map_err(|error| of_driver(&error))?;
        if changed.matched_count == 0 {
            return Err(SqlError::new("42704", format!("{} is gone", definition.name)));
        }
        Ok(())
    }
}
