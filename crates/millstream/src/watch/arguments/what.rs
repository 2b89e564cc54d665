//! What to watch, and what an event shows.

use bson::{Document, doc};
use clap::{Args, ValueEnum};
use millstream_watch::{BeforeMode, FullDocumentMode, OPERATIONS, Options, Scope, Source};

use super::{DEFAULT_DATABASE, OwnCollection};
use crate::{exit, parse};

/// The flags that say what to watch.
#[derive(Debug, Clone, Args)]
pub(crate) struct What {
    /// The server to watch; else MONGO_URL, else CHANGE_STREAM_DB, else the local default
    #[arg(long, value_name = "URI")]
    pub(crate) uri: Option<String>,
    /// The database to watch
    #[arg(long, value_name = "NAME")]
    pub(crate) db: Option<String>,
    /// One collection, or several (`-c a -c b`, `-c a,b`); without it the whole database
    #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
    pub(crate) collection: Vec<String>,
    /// All databases
    #[arg(long, conflicts_with_all = ["db", "collection"])]
    pub(crate) all: bool,
    /// Only these kinds of changes, such as insert update replace delete
    #[arg(long, value_name = "KIND", num_args = 1.., value_delimiter = ',', value_parser = operation)]
    pub(crate) operations: Vec<String>,
    /// Stages that the server applies to the events: a JSON array, or one stage
    #[arg(long, value_name = "JSON", value_parser = parse::pipeline)]
    pub(crate) pipeline: Option<std::vec::Vec<Document>>,
    /// What an update shows of the document after it
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub(crate) full_document: AfterMode,
    /// What an event shows of the document before it
    #[arg(long, value_name = "MODE", default_value = "off")]
    pub(crate) before: ImageMode,
    /// Also show created collections, indexes and changed options (MongoDB 6.0)
    #[arg(long)]
    pub(crate) expanded: bool,
}

/// What an update shows of the document after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum AfterMode {
    /// Nothing
    Default,
    /// The document as it is now
    UpdateLookup,
    /// The document as it was just after, if images are kept, else null
    WhenAvailable,
    /// The same, or an error
    Required,
}

/// What an event shows of the document before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub(crate) enum ImageMode {
    /// Nothing
    Off,
    /// The document, if images are kept, else null
    WhenAvailable,
    /// The document, or an error
    Required,
}

impl What {
    /// What to watch. Collections of our own in its reach are left out: their changes would only beget more of them.
    pub(crate) fn source(&self, of_uri: Option<&str>, own: &[OwnCollection]) -> Source {
        let scope = self.scope(of_uri);
        let reached = own.iter().filter(|own| match &scope {
            Scope::Cluster => true,
            Scope::Database(database) => self.collection.is_empty() && *database == own.database,
            Scope::Collection { .. } => false,
        });
        let leave_out = reached.map(|own| (own.database.clone(), own.collection.clone())).collect();
        let mut pipeline = Vec::new();
        if self.collection.len() > 1 {
            pipeline.push(doc! {"$match": {"ns.coll": {"$in": &self.collection}}});
        }
        pipeline.extend(self.pipeline.iter().flatten().cloned());
        let options = Options {
            full_document: match self.full_document {
                AfterMode::Default => FullDocumentMode::Default,
                AfterMode::UpdateLookup => FullDocumentMode::UpdateLookup,
                AfterMode::WhenAvailable => FullDocumentMode::WhenAvailable,
                AfterMode::Required => FullDocumentMode::Required,
            },
            before: match self.before {
                ImageMode::Off => BeforeMode::Off,
                ImageMode::WhenAvailable => BeforeMode::WhenAvailable,
                ImageMode::Required => BeforeMode::Required,
            },
            operations: self.operations.clone(),
            expanded_events: self.expanded,
            leave_out,
            ..Options::default()
        };
        Source { scope, pipeline, options }
    }

    /// The scope in words.
    pub(crate) fn words(&self, of_uri: Option<&str>) -> String {
        match self.collection.as_slice() {
            [_, _, ..] => format!("collections {} of {}", self.collection.join(", "), self.database(of_uri)),
            _ => self.scope(of_uri).to_string(),
        }
    }

    /// The database that is watched, or would be.
    pub(crate) fn database(&self, of_uri: Option<&str>) -> String {
        self.db.as_deref().or(of_uri).unwrap_or(DEFAULT_DATABASE).to_owned()
    }

    fn scope(&self, of_uri: Option<&str>) -> Scope {
        let database = self.database(of_uri);
        match self.collection.as_slice() {
            _ if self.all => Scope::Cluster,
            [collection] => Scope::Collection { database, collection: collection.clone() },
            // Several are one stream over their database, so that their changes have one order.
            _ => Scope::Database(database),
        }
    }

    /// What the types of the flags cannot say.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.db.as_ref().is_some_and(String::is_empty) || self.collection.iter().any(String::is_empty) {
            return Err(exit::misuse("a database and a collection need a name"));
        }
        Ok(())
    }
}

fn operation(text: &str) -> Result<String, String> {
    let names = || OPERATIONS.iter().map(|operation| operation.name);
    if names().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    let known = match parse::nearest(text, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(format!("there is no such kind of change: {known}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        what: What,
    }

    fn read(text: &[&str]) -> Result<What, clap::Error> {
        Cli::try_parse_from([&["watch"], text].concat()).map(|cli| cli.what)
    }

    #[test]
    fn scopes_are_chosen_from_narrow_to_wide() {
        let scope = |text: &[&str], of_uri| read(text).unwrap().words(of_uri);
        assert_eq!(scope(&[], None), "database test");
        assert_eq!(scope(&[], Some("shop")), "database shop");
        assert_eq!(scope(&["--db", "x"], Some("shop")), "database x");
        assert_eq!(scope(&["--collection", "c"], Some("shop")), "collection shop.c");
        assert_eq!(scope(&["-c", "c", "-c", "d"], Some("shop")), "collections c, d of shop");
        assert_eq!(scope(&["--all"], Some("shop")), "the whole cluster");
        assert!(read(&["--all", "--db", "x"]).is_err());
    }

    #[test]
    fn several_collections_are_one_stream() {
        let source = read(&["--collection", "a,b", "--db", "shop"]).unwrap().source(None, &[]);
        assert_eq!(source.scope, Scope::Database("shop".into()));
        assert_eq!(source.pipeline, [doc! {"$match": {"ns.coll": {"$in": ["a", "b"]}}}]);
    }

    #[test]
    fn collections_of_our_own_are_left_out_where_they_would_be_seen() {
        let own = [OwnCollection { database: "shop".into(), collection: "change_stream_tokens".into() }];
        let left_out = |text: &[&str]| read(text).unwrap().source(None, &own).options.leave_out;
        let tokens = ("shop".to_owned(), "change_stream_tokens".to_owned());
        assert_eq!(left_out(&["--db", "shop"]), std::slice::from_ref(&tokens));
        assert_eq!(left_out(&["--all"]), [tokens]);
        assert_eq!(left_out(&["--db", "other"]), []);
        assert_eq!(left_out(&["--db", "shop", "-c", "orders"]), []);
        assert_eq!(left_out(&["--db", "shop", "-c", "orders,items"]), [], "the names alone");
    }

    #[test]
    fn operations_are_many_and_checked() {
        let given = read(&["--operations", "insert", "update", "--db", "x"]).unwrap();
        assert_eq!(given.operations, ["insert", "update"]);
        assert_eq!(read(&["--operations", "drop,delete"]).unwrap().operations, ["drop", "delete"]);
        let text = read(&["--operations", "inserts"]).unwrap_err().to_string();
        assert!(text.contains("did you mean `insert`?"), "{text}");
    }

    #[test]
    fn modes_have_the_names_of_the_protocol() {
        let given = read(&["--full-document", "updateLookup", "--before", "whenAvailable"]).unwrap();
        assert_eq!((given.full_document, given.before), (AfterMode::UpdateLookup, ImageMode::WhenAvailable));
    }

    #[test]
    fn pipelines_are_arrays_or_stages() {
        let given = read(&["--pipeline", r#"{"$match": {}}"#]).unwrap();
        assert_eq!(given.pipeline.unwrap().len(), 1);
        let text = read(&["--pipeline", "[{"]).unwrap_err().to_string();
        assert!(text.contains("pipeline"), "{text}");
    }
}
