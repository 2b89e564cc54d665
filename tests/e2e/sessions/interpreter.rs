//! Runs one line of a session and returns the lines that it prints.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};

use super::transactions::Transactions;
use crate::support::normal::Seen;
use crate::support::{Connection, notation};

/// Fields of replies that only repeat the server's state for drivers.
const HIDDEN: [&str; 4] = ["$clusterTime", "operationTime", "electionId", "opTime"];

pub(super) struct Interpreter {
    connection: Connection,
    db: String,
    /// Databases that this session has emptied on first use.
    emptied: Vec<String>,
    seen: Seen,
    streams: BTreeMap<String, Stream>,
    /// The ids of cursors that whole commands left open, in order.
    cursors: Vec<i64>,
    /// Fields of events to print; empty: all.
    shown: Vec<String>,
    transactions: Transactions,
    /// What every command gets besides: the fields of the transaction that it runs in.
    besides: Document,
}

struct Stream {
    db: String,
    collection: String,
    id: i64,
    token: Option<Bson>,
}

impl Interpreter {
    pub(super) fn connect(address: &str) -> Self {
        let mut interpreter = Self {
            connection: Connection::open(address).expect("connect"),
            db: String::new(),
            emptied: Vec::new(),
            seen: Seen::default(),
            streams: BTreeMap::new(),
            cursors: Vec::new(),
            shown: Vec::new(),
            transactions: Transactions::default(),
            besides: Document::new(),
        };
        interpreter.enter("test");
        interpreter
    }

    pub(super) fn run(&mut self, line: &str) -> Vec<String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "begin" => {
                let (name, values) = self.collection_and_values(rest);
                let fields = values.first().and_then(Bson::as_document).cloned().unwrap_or_default();
                self.transactions.begin(&name, fields);
                Vec::new()
            }
            "in" | "with" => {
                let (name, line) = rest.split_once(' ').expect("in <transaction> <line>");
                let fields = match word {
                    "in" => self.transactions.inside(name),
                    _ => self.transactions.beside(name),
                };
                self.besides = fields;
                let lines = self.run(line);
                self.besides.clear();
                lines
            }
            "commit" | "abort" => {
                let (name, values) = self.collection_and_values(rest);
                let mut command = doc! {format!("{word}Transaction"): 1};
                command.extend(values.first().and_then(Bson::as_document).cloned().unwrap_or_default());
                self.besides = self.transactions.inside(&name);
                let lines = self.print_reply("admin", command, false);
                self.besides.clear();
                lines
            }
            "kill" => {
                let (command, names) = rest.split_once(' ').expect("kill <command> <session> …");
                let ids: Vec<Bson> = names.split_whitespace().map(|name| self.transactions.lsid(name)).collect();
                self.print_reply("admin", doc! {command: ids}, false)
            }
            "use" => {
                self.enter(rest);
                Vec::new()
            }
            "show" => {
                self.shown = rest.split_whitespace().map(str::to_owned).collect();
                self.shown.retain(|field| field != "all");
                Vec::new()
            }
            "on" => {
                let (db, command) = rest.split_once(' ').expect("on <db> <command>");
                let command = self.document(command);
                self.print_reply(db, command, false)
            }
            "text" => {
                let command = self.document(rest);
                self.print_reply(&self.db.clone(), command, true)
            }
            "insert" => {
                let (collection, documents) = self.collection_and_values(rest);
                self.print_failure(doc! {"insert": collection, "documents": documents})
            }
            "update" => self.update(rest),
            "delete" => {
                let (collection, values) = self.collection_and_values(rest);
                let filter = values.first().cloned();
                self.print_failure(doc! {"delete": collection, "deletes": [{"q": filter, "limit": 1}]})
            }
            "find" => self.find(rest),
            "watch" => self.watch(rest),
            "next" => {
                let (name, size) = rest.split_once(' ').unwrap_or((rest, "0"));
                self.next(name, size.trim().parse().expect("a batch size")).1
            }
            "drain" => self.drain(rest),
            "token" => {
                let token = self.streams[rest].token.clone().unwrap_or(Bson::Null);
                vec![notation::print(&self.seen.normal(&token))]
            }
            "stop" => {
                let stream = &self.streams[rest];
                let command = doc! {"killCursors": &stream.collection, "cursors": [stream.id]};
                self.print_reply(&stream.db.clone(), command, false)
            }
            _ if line.starts_with('{') => {
                let command = self.document(line);
                self.print_reply_here(command)
            }
            _ => panic!("unknown command: {line}"),
        }
    }

    /// Makes a database the current one. It is emptied the first time.
    fn enter(&mut self, db: &str) {
        self.db = db.to_owned();
        if !self.emptied.contains(&self.db) {
            self.emptied.push(self.db.clone());
            self.send(db, doc! {"dropDatabase": 1});
        }
    }

    fn update(&mut self, rest: &str) -> Vec<String> {
        let (rest, multi) = rest.strip_suffix(" multi").map_or((rest, false), |rest| (rest, true));
        let (rest, upsert) = rest.strip_suffix(" upsert").map_or((rest, false), |rest| (rest, true));
        let (collection, values) = self.collection_and_values(rest);
        let mut statement = doc! {"q": values[0].clone(), "u": values[1].clone()};
        for (flag, name) in [(multi, "multi"), (upsert, "upsert")] {
            if flag {
                statement.insert(name, true);
            }
        }
        if let Some(filters) = values.get(2) {
            statement.insert("arrayFilters", filters.clone());
        }
        self.print_failure(doc! {"update": collection, "updates": [statement]})
    }

    fn find(&mut self, rest: &str) -> Vec<String> {
        let (collection, values) = self.collection_and_values(rest);
        let mut command = doc! {"find": collection};
        for (name, value) in ["filter", "sort", "projection"].iter().zip(values) {
            command.insert(*name, value);
        }
        let reply = self.send(&self.db.clone(), command);
        let Ok(cursor) = reply.get_document("cursor") else {
            return vec![error(&reply, false)];
        };
        let found = cursor.get_array("firstBatch").cloned().unwrap_or_default();
        found.iter().map(|value| notation::print(&self.seen.normal(value))).collect()
    }

    fn watch(&mut self, rest: &str) -> Vec<String> {
        let (name, rest) = rest.split_once(' ').expect("watch <name> <where>");
        let (place, values) = self.collection_and_values(rest);
        let mut options = values.first().and_then(Bson::as_document).cloned().unwrap_or_default();
        let (db, collection) = match place.as_str() {
            "." => (self.db.clone(), Bson::Int32(1)),
            "*" => {
                options.insert("allChangesForCluster", true);
                ("admin".to_owned(), Bson::Int32(1))
            }
            _ => (self.db.clone(), Bson::String(place)),
        };
        let mut cursor = Document::new();
        if let Some(size) = options.remove("batchSize") {
            cursor.insert("batchSize", size);
        }
        let collation = options.remove("collation");
        let mut pipeline = vec![Bson::Document(doc! {"$changeStream": options})];
        pipeline.extend(values.into_iter().skip(1));
        let mut command = doc! {"aggregate": collection, "pipeline": pipeline, "cursor": cursor};
        command.extend(collation.map(|collation| ("collation".to_owned(), collation)));
        let reply = self.send(&db, command);
        let stream = Stream { db, collection: String::new(), id: 0, token: None };
        self.streams.insert(name.to_owned(), stream);
        self.take(name, &reply, "firstBatch").1
    }

    /// One `getMore`: how many events came, and the lines.
    fn next(&mut self, name: &str, batch_size: i32) -> (usize, Vec<String>) {
        let stream = &self.streams[name];
        let mut command = doc! {"getMore": stream.id, "collection": &stream.collection, "maxTimeMS": 1};
        if batch_size > 0 {
            command.insert("batchSize", batch_size);
        }
        let reply = self.send(&stream.db.clone(), command);
        let (count, mut lines) = self.take(name, &reply, "nextBatch");
        if lines.is_empty() {
            lines.push("nothing".to_owned());
        }
        (count, lines)
    }

    fn drain(&mut self, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let (count, lines) = self.next(name, 0);
            let more = count > 0 && self.streams[name].id != 0;
            if more || all.is_empty() || lines != ["nothing"] {
                all.extend(lines);
            }
            if !more {
                return all;
            }
        }
    }

    fn take(&mut self, name: &str, reply: &Document, batch: &str) -> (usize, Vec<String>) {
        let Ok(cursor) = reply.get_document("cursor") else {
            return (0, vec![error(reply, false)]);
        };
        let events = cursor.get_array(batch).cloned().unwrap_or_default();
        let mut lines: Vec<String> = events.iter().map(|event| self.print_event(event)).collect();
        let stream = self.streams.get_mut(name).expect("a stream");
        stream.id = cursor.get_i64("id").expect("an int64 cursor id");
        stream.token = cursor.get("postBatchResumeToken").cloned();
        if let Some((_, collection)) = cursor.get_str("ns").ok().and_then(|ns| ns.split_once('.')) {
            stream.collection = collection.to_owned();
        }
        if stream.id == 0 {
            // The reply that ends a stream says so (CS-7.3).
            let invalidated = cursor.get_bool("invalidated").unwrap_or(false);
            lines.push(if invalidated { "closed" } else { "closed, and not invalidated" }.to_owned());
        }
        (events.len(), lines)
    }

    /// What is hidden gets no placeholder either.
    fn print_event(&mut self, event: &Bson) -> String {
        let shown = |key: &str| self.shown.is_empty() || self.shown.iter().any(|field| field == key);
        let event: Document = event
            .as_document()
            .into_iter()
            .flatten()
            .filter(|(key, _)| shown(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        notation::print(&self.seen.normal(&Bson::Document(event)))
    }

    fn print_reply_here(&mut self, command: Document) -> Vec<String> {
        self.print_reply(&self.db.clone(), command, false)
    }

    /// Prints the reply of a write only if something went wrong.
    fn print_failure(&mut self, command: Document) -> Vec<String> {
        let reply = self.send(&self.db.clone(), command);
        let errors = reply.get_array("writeErrors").cloned().unwrap_or_default();
        if reply.get_f64("ok").ok() != Some(1.0) {
            return vec![error(&reply, false)];
        }
        let code = |error: &Bson| error.as_document().and_then(|e| e.get_i32("code").ok());
        errors.iter().map(|e| format!("write error {}", code(e).unwrap_or(-1))).collect()
    }

    fn print_reply(&mut self, db: &str, command: Document, with_text: bool) -> Vec<String> {
        let mut reply = self.send(db, command);
        if reply.get_f64("ok").ok() != Some(1.0) {
            return vec![error(&reply, with_text)];
        }
        reply.remove("ok");
        if reply.is_empty() {
            return vec!["ok".to_owned()];
        }
        if let Ok(cursor) = reply.get_document_mut("cursor")
            && let Ok(id) = cursor.get_i64("id")
        {
            let state = if id == 0 { "closed" } else { "live" };
            if id != 0 && !self.cursors.contains(&id) {
                self.cursors.push(id);
            }
            cursor.insert("id", Bson::Symbol(state.to_owned()));
        }
        if let Ok(errors) = reply.get_array_mut("writeErrors") {
            for error in errors.iter_mut().filter_map(Bson::as_document_mut) {
                if !with_text {
                    error.remove("errmsg");
                }
            }
        }
        for killed in ["cursorsKilled", "cursorsNotFound"] {
            if let Ok(ids) = reply.get_array_mut(killed) {
                ids.fill(Bson::Symbol("id".to_owned()));
            }
        }
        let normal = self.seen.normal(&Bson::Document(reply));
        vec![notation::print(&normal)]
    }

    fn send(&mut self, db: &str, mut command: Document) -> Document {
        command.extend(self.besides.clone());
        let mut reply = self.connection.command(db, command).expect("a reply");
        for field in HIDDEN {
            reply.remove(field);
        }
        reply
    }

    /// What `token(1)` stands for. One that was never printed is a text, so that the session goes on
    /// and shows what came instead.
    fn placeholder(&self, kind: &str, number: usize) -> Option<Bson> {
        let known = ["cursor", "token", "time", "oid", "uuid"].contains(&kind);
        let missing = || Bson::String(format!("missing {kind}({number})"));
        let cursor = || self.cursors.get(number.checked_sub(1)?).map(|id| Bson::Int64(*id));
        let value = || if kind == "cursor" { cursor() } else { self.seen.value(kind, number) };
        known.then(|| value().unwrap_or_else(missing))
    }

    fn document(&self, text: &str) -> Document {
        match notation::parse(text, &|kind, number| self.placeholder(kind, number)) {
            Ok(Bson::Document(document)) => document,
            other => panic!("a document, not {other:?}: {text}"),
        }
    }

    /// `orders {…} {…}`.
    fn collection_and_values(&self, text: &str) -> (String, Vec<Bson>) {
        let (collection, values) = text.split_once(' ').unwrap_or((text, ""));
        let values = notation::parse_all(values, &|kind, number| self.placeholder(kind, number));
        (collection.to_owned(), values.unwrap_or_else(|error| panic!("{text}: {error}")))
    }
}

/// `error 43 CursorNotFound`, with its labels and, if asked for, its text.
fn error(reply: &Document, with_text: bool) -> String {
    let code = reply.get_i32("code").unwrap_or(-1);
    let name = reply.get_str("codeName").unwrap_or("?");
    let mut line = format!("error {code} {name}");
    for label in reply.get_array("errorLabels").into_iter().flatten() {
        line.push_str(&format!(" [{}]", label.as_str().unwrap_or_default()));
    }
    if with_text {
        line.push_str(&format!(": {}", reply.get_str("errmsg").unwrap_or_default()));
    }
    line
}
