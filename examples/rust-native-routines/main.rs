//! SQL that calls code in Rust: a function in a view, a procedure in a trigger.

use std::error::Error;

use bson::{Bson, Document, doc};
use millstream_mill::{Mill, MillOptions, Natives, Outcome, Session, SessionOptions, Volatility};
use millstream_sql::statement::script;

const URI: &str = "mongodb://127.0.0.1:27017/?replicaSet=rs0";

/// How many letters lie between two words that are nearly the same.
fn distance(a: &str, b: &str) -> i32 {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<i32> = (0..).take(b.len() + 1).collect();
    for (i, letter) in (1..).zip(a.chars()) {
        let mut corner = std::mem::replace(&mut row[0], i);
        for (j, other) in b.iter().enumerate() {
            let cost = corner + i32::from(letter != *other);
            corner = row[j + 1];
            row[j + 1] = cost.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn natives() -> Natives {
    Natives::new()
        .function("distance", Volatility::Immutable, |arguments| match arguments {
            [Bson::String(a), Bson::String(b)] => Ok(distance(a, b).into()),
            _ => Ok(Bson::Null),
        })
        .procedure("count", |session, arguments| {
            Box::pin(async move {
                let counts = session.client().database("library").collection::<Document>("counts");
                let which = doc! {"_id": arguments.first()};
                counts.update_one(which, doc! {"$inc": {"n": 1}}).upsert(true).session(session).await?;
                Ok(())
            })
        })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = std::env::var("CHANGE_STREAM_DB").or_else(|_| std::env::var("MONGO_URL")).unwrap_or_else(|_| URI.into());
    let folder = tempfile::tempdir()?;
    let mut options = MillOptions::new(folder.path());
    options.natives = natives();
    let mill = Mill::start(&uri, options).await?;
    let mut session = Session::connect(&uri, SessionOptions { database: Some("library".to_owned()) }).await?;
    session.set_natives(natives());

    let statements = "
        CREATE OR REPLACE FUNCTION distance(a text, b text) RETURNS integer LANGUAGE NATIVE AS 'distance';
        CREATE OR REPLACE PROCEDURE count_author(author any) LANGUAGE NATIVE AS 'count';
        CREATE OR REPLACE MATERIALIZED VIEW near_rust AS SELECT _id, title FROM books WHERE distance(title, 'Rust') <= 1;
        CREATE OR REPLACE TRIGGER counting ON books FOR INSERT AS BEGIN CALL count_author(NEW.author); END;
        WAIT FOR ALL;
        INSERT INTO books (title, author) VALUES ('Rust', 'Ann'), ('Dust', 'Bob'), ('Trust', 'Ann'), ('Sand', 'Ann');
        WAIT FOR ALL;
        SELECT title FROM near_rust ORDER BY title;
        SELECT _id AS author, n FROM counts ORDER BY author;";
    for (statement, _) in script(statements)? {
        if let Outcome::Rows(mut rows) = session.run(&statement).await?.outcome {
            while let Some(row) = rows.next().await? {
                println!("{}", Document::try_from(row.as_ref() as &bson::RawDocument)?);
            }
        }
    }
    mill.stop().await?;
    Ok(())
}
