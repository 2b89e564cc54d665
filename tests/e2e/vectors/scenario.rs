//! Change stream scenarios: steps on an empty database, and what each one answered.
//!
//! Steps: a command; `[watch, s, where, options, pipeline]`; `[watchkw, …, {more}]`, the same with more
//! fields for the command (or `full`: the whole reply counts); `[drain, s]`: all events that have
//! come; `[getmore, s]`; `[pbrt, s]`; `[order, s]`; `[kill, s]`; `[quiet, …]`: commands whose replies do
//! not count unless they fail; `[on, db, command]`; `[txn, [commands], end, others]`.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};

use crate::support::Connection;

/// Runs the steps and returns `[{op, out}, …]`.
pub(super) fn run(connection: &mut Connection, name: &str, input: &Bson) -> Bson {
    let db = format!("gold_{name}");
    send(connection, &db, doc! {"dropDatabase": 1});
    let mut scenario = Scenario { connection, db, streams: BTreeMap::new(), out: Vec::new() };
    for step in input.as_array().expect("steps") {
        scenario.step(step);
    }
    Bson::Array(scenario.out)
}

/// Sends a command; an error becomes `{error: true, code, codeName, …}`.
pub(super) fn send(connection: &mut Connection, db: &str, command: Document) -> Document {
    let mut reply = connection.command(db, command).expect("a reply");
    if reply.get_f64("ok").ok() == Some(1.0) {
        return reply;
    }
    let mut error = doc! {"error": true};
    for key in ["code", "codeName", "errmsg", "keyPattern", "keyValue"] {
        if let Some(value) = reply.remove(key) {
            error.insert(key, value);
        }
    }
    error
}

struct Scenario<'a> {
    connection: &'a mut Connection,
    db: String,
    streams: BTreeMap<String, Stream>,
    out: Vec<Bson>,
}

impl Scenario<'_> {
    fn step(&mut self, step: &Bson) {
        let step = self.resolve(step);
        match &step {
            Bson::Document(command) => {
                let db = self.db.clone();
                self.command(&db, command, "");
            }
            Bson::Array(step) => self.named(step),
            other => panic!("a step is a command or a list: {other}"),
        }
    }

    fn named(&mut self, step: &[Bson]) {
        let text = |at: usize| step[at].as_str().expect("a text").to_owned();
        match text(0).as_str() {
            "watch" | "watchkw" => self.watch(step),
            "drain" => {
                let drained = match self.streams.get_mut(&text(1)) {
                    Some(stream) => stream.drain(self.connection),
                    None => doc! {"error": true, "kind": "NotOpen"},
                };
                self.report(format!("drain {}", text(1)), drained);
            }
            "getmore" => {
                let stream = self.streams.get_mut(&text(1)).expect("an open stream");
                let reply = stream.get_more(self.connection);
                self.report("getMore".to_owned(), reply);
            }
            "pbrt" => {
                let stream = &self.streams[&text(1)];
                let last = stream.events.last().and_then(|event| event.get_document("_id").ok());
                let data = |token: &Document| token.get_str("_data").unwrap_or_default().to_owned();
                let (token, last) = (stream.token.as_ref().map(data), last.map(data));
                let reply = doc! {
                    "present": token.is_some(),
                    "equalsLast": token == last,
                    "atLeastLast": token >= last,
                };
                self.report("pbrt".to_owned(), reply);
            }
            "order" => {
                let tokens: Vec<String> = self.streams[&text(1)]
                    .events
                    .iter()
                    .filter_map(|event| event.get_document("_id").ok()?.get_str("_data").ok())
                    .map(str::to_owned)
                    .collect();
                let increasing = tokens.windows(2).all(|pair| pair[0] < pair[1]);
                self.report("token order".to_owned(), doc! {"increasing": increasing});
            }
            "kill" => {
                let stream = &self.streams[&text(1)];
                let command = doc! {"killCursors": &stream.collection, "cursors": [stream.id]};
                let db = stream.db.clone();
                self.command(&db, &command, "");
            }
            "quiet" => {
                for command in &step[1..] {
                    let command = command.as_document().expect("a command").clone();
                    let reply = send(self.connection, &self.db, command);
                    if reply.contains_key("error") {
                        self.report("quiet".to_owned(), reply);
                    }
                }
            }
            "on" => {
                self.command(&text(1), step[2].as_document().expect("a command"), "");
            }
            "txn" => self.transaction(step),
            other => panic!("unknown step {other}"),
        }
    }

    fn command(&mut self, db: &str, command: &Document, prefix: &str) -> Document {
        let name = command.keys().next().expect("a command name").clone();
        let reply = send(self.connection, db, command.clone());
        self.report(format!("{prefix}{name}"), reply.clone());
        reply
    }

    fn watch(&mut self, step: &[Bson]) {
        let name = step[1].as_str().expect("a stream name").to_owned();
        let (db, collection) = match &step[2] {
            Bson::String(place) if place == "db" => (self.db.clone(), Bson::Int32(1)),
            Bson::String(place) if place == "cluster" => ("admin".to_owned(), Bson::Int32(1)),
            Bson::String(place) => (self.db.clone(), Bson::String(place.clone())),
            Bson::Array(place) => (place[0].as_str().expect("a database").to_owned(), place[1].clone()),
            other => panic!("where to watch: {other}"),
        };
        let mut options = step[3].as_document().cloned();
        if step[2].as_str() == Some("cluster") {
            options.get_or_insert_default().insert("allChangesForCluster", true);
        }
        let pipeline = step[4].as_array().expect("a pipeline").clone();
        let mut more = step.get(5).and_then(Bson::as_document).cloned().unwrap_or_default();
        let full = more.remove("full").is_some();
        let (stream, reply) = Stream::open(self.connection, &db, collection, options, &pipeline, &more);
        let report = match (&stream.opened, full) {
            (false, _) | (_, true) => reply,
            (true, false) if stream.events.is_empty() => doc! {"opened": true},
            (true, false) => doc! {"opened": true, "firstBatch": stream.events.clone()},
        };
        if stream.opened {
            self.streams.insert(name.clone(), stream);
        }
        self.report(format!("watch {name}"), report);
    }

    /// A transaction in a session of its own; `others` are steps that run before its end.
    fn transaction(&mut self, step: &[Bson]) {
        let session = doc! {"id": bson::Uuid::new()};
        let fields = doc! {"lsid": session, "txnNumber": 1_i64, "autocommit": false};
        let mut failed = false;
        for (at, command) in step[1].as_array().expect("commands").iter().enumerate() {
            let mut command = command.as_document().expect("a command").clone();
            command.extend(fields.clone());
            if at == 0 {
                command.insert("startTransaction", true);
            }
            let db = self.db.clone();
            let reply = self.command(&db, &command, "txn ");
            failed = failed || reply.contains_key("error");
        }
        for other in step.get(3).and_then(Bson::as_array).into_iter().flatten() {
            self.step(other);
        }
        let mut commit = doc! {"commitTransaction": 1};
        commit.extend(fields);
        let reply = send(self.connection, "admin", commit);
        let reply = if reply.contains_key("error") {
            reply
        } else {
            doc! {"ok": "commit"}
        };
        self.report("txn end".to_owned(), reply);
    }

    fn report(&mut self, op: String, mut out: Document) {
        plain_cursor_ids(&mut out);
        self.out.push(Bson::Document(doc! {"op": op, "out": out}));
    }

    /// Replaces `{"$ref": "s.0._id"}` by what it names.
    fn resolve(&self, value: &Bson) -> Bson {
        match value {
            Bson::Array(values) => values.iter().map(|value| self.resolve(value)).collect(),
            Bson::Document(document) => match document.get_str("$ref") {
                Ok(name) => self.named_value(name),
                Err(_) => {
                    Bson::Document(document.iter().map(|(key, value)| (key.clone(), self.resolve(value))).collect())
                }
            },
            other => other.clone(),
        }
    }

    fn named_value(&self, name: &str) -> Bson {
        if let Some(collection) = name.strip_prefix("$ns:") {
            return Bson::String(format!("{}.{collection}", self.db));
        }
        let value = if let Some(stream) = name.strip_prefix("pbrt:") {
            let stream = self.streams.get(stream);
            stream.and_then(|stream| stream.token.clone()).map(Bson::Document)
        } else {
            let mut path = name.split('.');
            let stream = path.next().and_then(|name| self.streams.get(name));
            let index = path.next().and_then(|index| index.parse::<usize>().ok());
            let event = stream.zip(index).and_then(|(stream, index)| stream.events.get(index));
            event.and_then(|event| event.get(path.next()?).cloned())
        };
        // A missing event makes the case differ rather than the test stop.
        value.unwrap_or_else(|| Bson::String(format!("missing {name}")))
    }
}

/// An open change stream, and everything that came from it.
pub(super) struct Stream {
    db: String,
    collection: String,
    id: i64,
    opened: bool,
    events: Vec<Document>,
    token: Option<Document>,
}

impl Stream {
    /// Opens a stream and returns it with the reply.
    pub(super) fn open(
        connection: &mut Connection,
        db: &str,
        collection: Bson,
        options: Option<Document>,
        pipeline: &[Bson],
        more: &Document,
    ) -> (Self, Document) {
        let mut stages = vec![Bson::Document(doc! {"$changeStream": options.unwrap_or_default()})];
        stages.extend_from_slice(pipeline);
        let mut command = doc! {"aggregate": collection, "pipeline": stages, "cursor": {}};
        command.extend(more.clone());
        let reply = send(connection, db, command);
        let mut stream = Self {
            db: db.to_owned(),
            collection: String::new(),
            id: 0,
            opened: false,
            events: Vec::new(),
            token: None,
        };
        stream.take(&reply, "firstBatch");
        (stream, reply)
    }

    /// Reads until a batch is empty or the cursor ends: `{events[, ended]}`.
    pub(super) fn drain(&mut self, connection: &mut Connection) -> Document {
        let before = self.events.len();
        let mut ended = None;
        while ended.is_none() {
            if self.id == 0 {
                ended = Some(Bson::String("cursor id 0".to_owned()));
                break;
            }
            let count = self.events.len();
            let reply = self.get_more(connection);
            if reply.contains_key("error") {
                ended = Some(Bson::Document(reply));
            } else if self.events.len() == count && self.id != 0 {
                break;
            }
        }
        let mut out = doc! {"events": self.events[before..].to_vec()};
        if let Some(ended) = ended {
            out.insert("ended", ended);
        }
        out
    }

    fn get_more(&mut self, connection: &mut Connection) -> Document {
        // The recording client sent a closed cursor's id as the smallest type that holds it.
        let id = if self.id == 0 { Bson::Int32(0) } else { Bson::Int64(self.id) };
        let command = doc! {"getMore": id, "collection": &self.collection, "maxTimeMS": 1};
        let reply = send(connection, &self.db, command);
        self.take(&reply, "nextBatch");
        reply
    }

    fn take(&mut self, reply: &Document, batch: &str) {
        let Ok(cursor) = reply.get_document("cursor") else {
            return;
        };
        self.opened = true;
        self.id = cursor.get_i64("id").expect("an int64 cursor id");
        if let Some((_, collection)) = cursor.get_str("ns").ok().and_then(|ns| ns.split_once('.')) {
            self.collection = collection.to_owned();
        }
        if let Ok(token) = cursor.get_document("postBatchResumeToken") {
            self.token = Some(token.clone());
        }
        let events = cursor.get_array(batch).cloned().unwrap_or_default();
        self.events.extend(events.into_iter().filter_map(|event| match event {
            Bson::Document(event) => Some(event),
            _ => None,
        }));
    }
}

/// Live cursor ids are 1, the ids in a `killCursors` reply `<cursor>`, as recorded.
fn plain_cursor_ids(reply: &mut Document) {
    if let Ok(cursor) = reply.get_document_mut("cursor")
        && cursor.get_i64("id").is_ok_and(|id| id != 0)
    {
        cursor.insert("id", 1_i64);
    }
    if let Ok(killed) = reply.get_array_mut("cursorsKilled") {
        for id in killed {
            *id = Bson::String("<cursor>".to_owned());
        }
    }
}
