//! Views whose mill is killed, whenever that happens (SQL-19.1).

use std::collections::BTreeSet;
use std::time::Duration;

use bson::{Document, doc};
use mongodb::Collection;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::views::agrees;
use super::{Lab, column};

/// Mills that are started and killed.
const ROUNDS: usize = 8;

const VIEWS: [(&str, &str); 5] = [
    ("grouped", "SELECT k, COUNT(*) AS n, SUM(v) AS s, MIN(v) AS least, MAX(v) AS most FROM a GROUP BY k"),
    ("joined", "SELECT a.v AS av, b.v AS bv FROM a LEFT JOIN b ON a.k = b.k AND b.v < 50"),
    ("kinds", "SELECT DISTINCT k, v % 3 AS rest FROM a"),
    ("running", "SELECT k, v, SUM(v) OVER (PARTITION BY k ORDER BY v, _id) AS sum FROM b"),
    ("top", "SELECT k, v FROM a ORDER BY v DESC, _id LIMIT 5"),
];

/// SQL-1.2, SQL-19.1, SQL-19.3, SQL-14.8: the mill is killed again and again while documents change, and sometimes its state
/// is an older one; what the views show is what their queries answer, and each change is put out once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_views_stay_right() {
    let seed = std::env::var("RESTARTS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = StdRng::seed_from_u64(seed);
    let mut lab = Lab::with_mill().await;
    // Of this one no copy is made (SQL-12.6).
    let images = doc! {"create": "b", "changeStreamPreAndPostImages": {"enabled": true}};
    lab.client.database("shop").run_command(images).await.unwrap();
    for (name, query) in VIEWS {
        lab.tag(&format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await;
    }
    let inserted = "SELECT CHANGE_KEY() AS id, LAG(v) OVER (PARTITION BY k ORDER BY CHANGE_TIMESTAMP()) AS before
                    FROM a WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT'";
    lab.tag(&format!("CREATE MATERIALIZED VIEW inserted AS {inserted}")).await;
    lab.settle().await;
    let mut writer = Writer { a: lab.collection("a"), b: lab.collection("b"), next: 0 };
    let mut older = None;
    for round in 0..ROUNDS {
        let pause = Duration::from_millis(random.random_range(0..150));
        let (written, ()) = tokio::join!(writer.write(&mut random), tokio::time::sleep(pause));
        written.unwrap();
        match round % 4 {
            1 => {
                lab.stop_mill().await;
                older = Some(lab.copy_of_state());
            }
            3 => {
                lab.stop_mill().await;
                older.iter().for_each(|older| lab.set_state(older));
            }
            _ => lab.drop_mill(),
        }
        lab.start_mill().await;
    }
    for (name, query) in VIEWS {
        agrees(&mut lab, name, query).await;
    }
    let rows = lab.rows("SELECT id FROM inserted").await;
    let ids: BTreeSet<String> = column(&rows, "id").iter().map(ToString::to_string).collect();
    assert_eq!((rows.len(), ids.len()), (writer.next, writer.next), "RESTARTS_SEED={seed}");
}

/// Who changes the documents.
struct Writer {
    a: Collection<Document>,
    b: Collection<Document>,
    /// Documents of `a` so far.
    next: usize,
}

impl Writer {
    async fn write(&mut self, random: &mut StdRng) -> mongodb::error::Result<()> {
        for _ in 0..60 {
            let new = |random: &mut StdRng| doc! {"k": random.random_range(0..9), "v": random.random_range(0..100)};
            let id = i64::try_from(self.next).unwrap_or(0);
            let some = doc! {"_id": random.random_range(0..=id)};
            match random.random_range(0..10) {
                0..4 => {
                    let documents = (0..random.random_range(1..4)).map(|n| {
                        let mut document = new(random);
                        document.insert("_id", id + n);
                        document
                    });
                    let documents: Vec<Document> = documents.collect();
                    self.next += documents.len();
                    self.a.insert_many(documents).await?;
                }
                4 => self.a.update_one(some, doc! {"$inc": {"v": 1}, "$set": {"other": 1}}).await.map(drop)?,
                5 => self.a.replace_one(some, new(random)).await.map(drop)?,
                6 => self.a.delete_one(some).await.map(drop)?,
                7 => {
                    let (k, v) = (random.random_range(0..9), random.random_range(0..100));
                    self.b.update_many(doc! {"k": k}, doc! {"$set": {"v": v}}).await?;
                }
                8 => self.b.delete_one(doc! {"k": random.random_range(0..9)}).await.map(drop)?,
                _ => self.b.insert_one(new(random)).await.map(drop)?,
            }
        }
        Ok(())
    }
}
