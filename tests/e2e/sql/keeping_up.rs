//! Those who read the same changes and are not equally fast, or not at the same place (SQL-20.1, SQL-20.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use millstream_mill::Session;
use millstream_sql::statement::{Statement, script};

use super::views::agrees;
use super::{Lab, eventually, next};
use crate::support::receiver::Receiver;

/// About how large a document is: some hundred of them are more than waits for one consumer.
const BODY: usize = 60 << 10;

/// Lets go of who is held at the end, also where a test fails.
struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn parcels(from: i32, to: i32) -> Vec<Document> {
    (from..to).map(|n| doc! {"_id": n, "k": n % 7, "body": "x".repeat(BODY + (n % 100) as usize)}).collect()
}

async fn write(lab: &Lab, from: i32, to: i32) {
    for first in (from..to).step_by(100) {
        lab.collection("parcels").insert_many(parcels(first, to.min(first + 100))).await.unwrap();
    }
}

/// A trigger that waits for somebody else holds up nobody, whether they are where it is, come later or come from before; when
/// it goes on, it has missed nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_slow_one() {
    let mut lab = Lab::with_mill().await;
    let holds = Held(Arc::new(AtomicBool::new(true)));
    let held = Arc::clone(&holds.0);
    let receiver = Receiver::start(move |_, _| {
        while held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        "200 OK\r\ncontent-type: application/json\r\n\r\n7".into()
    });
    let query = "SELECT k, COUNT(*) AS n, SUM(LENGTH(body)) AS size FROM parcels GROUP BY k";
    lab.tag(&format!(
        "CREATE FUNCTION ask(n bigint) RETURNS bigint LANGUAGE WEBHOOK
             WITH (url = '{}', timeout = INTERVAL '10 minutes');
         CREATE MATERIALIZED VIEW before AS {query};
         CREATE MATERIALIZED VIEW beside AS {query};
         CREATE TRIGGER slow ON parcels FOR INSERT WITH (timeout = INTERVAL '10 minutes') AS BEGIN
             INSERT INTO seen (_id, size, answer) VALUES (NEW._id, LENGTH(NEW.body), ask(NEW._id));
         END;
         PAUSE MATERIALIZED VIEW before",
        receiver.url()
    ))
    .await;
    const COUNT: i32 = 500;
    write(&lab, 0, COUNT).await;
    // From where the others were long ago.
    tokio::time::sleep(Duration::from_secs(3)).await;
    lab.tag(&format!("CREATE MATERIALIZED VIEW later AS {query}; RESUME MATERIALIZED VIEW before")).await;
    write(&lab, COUNT, COUNT + 100).await;
    for view in ["beside", "before", "later"] {
        lab.tag(&format!("WAIT FOR MATERIALIZED VIEW {view} TIMEOUT INTERVAL '50 seconds'")).await;
        let rows = lab.rows(&format!("SELECT SUM(n) AS n FROM {view}")).await;
        assert_eq!(rows, [doc! {"n": i64::from(COUNT) + 100}], "{view}");
    }
    let seen = lab.collection("seen");
    assert!(seen.count_documents(doc! {}).await.unwrap() < 200, "the trigger waits");

    drop(holds);
    let all = u64::try_from(COUNT).unwrap() + 100;
    eventually("all are seen", async || seen.count_documents(doc! {}).await.unwrap() == all).await;
    assert!(lab.rows("SHOW DEAD LETTERS").await.is_empty());
    let sizes =
        lab.rows("SELECT COUNT(*) AS n FROM seen s JOIN parcels p ON p._id = s._id AND s.size = LENGTH(p.body)");
    assert_eq!(sizes.await, [doc! {"n": i64::from(COUNT) + 100}]);
    for view in ["beside", "before", "later"] {
        agrees(&mut lab, view, query).await;
    }
}

/// SQL-19.1: a state that is older by more than is held in memory catches up, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_is_computed_again() {
    let mut lab = Lab::with_mill().await;
    let query = "SELECT _id AS id, k, body FROM parcels";
    lab.tag(&format!("CREATE MATERIALIZED VIEW v AS {query}")).await;
    write(&lab, 0, 10).await;
    lab.settle().await;
    lab.stop_mill().await;
    let older = lab.copy_of_state();
    lab.start_mill().await;
    write(&lab, 10, 500).await;
    lab.collection("parcels").update_many(doc! {"k": 3}, doc! {"$set": {"k": 30}}).await.unwrap();
    lab.settle().await;
    lab.stop_mill().await;
    for ends_in_between in [true, false] {
        if ends_in_between {
            lab.set_state(&older);
        }
        let database = lab.client.database("millstream");
        let built = doc! {"$match": {"updateDescription.updatedFields.state": "building"}};
        let mut builds = database.collection::<Document>("definitions").watch().pipeline([built]).await.unwrap();
        lab.start_mill().await;
        if ends_in_between {
            tokio::time::sleep(Duration::from_millis(300)).await;
            lab.drop_mill();
            continue;
        }
        lab.settle().await;
        assert_eq!(builds.next_if_any().await.unwrap(), None, "it was built again");
    }
    agrees(&mut lab, "v", query).await;
}

/// However many come one after the other to who reads already, those are told of changes meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_holds_up_nobody() {
    let mut lab = Lab::new().await;
    let t = lab.collection("t");
    let query = "SELECT NEW.n AS n FROM t WHERE CHANGE_DETECTED() AND CHANGE_TYPE() = 'INSERT'";
    let mut rows = lab.subscribe(query).await;
    let coming = Held(Arc::new(AtomicBool::new(true)));
    let statement = script(query).unwrap().remove(0).0;
    let come = async |mut session: Session, statement: Statement, comes: Arc<AtomicBool>| {
        let mut count = 0;
        while comes.load(Ordering::SeqCst) {
            session.run(&statement).await.unwrap();
            count += 1;
        }
        count
    };
    let others: Vec<_> = (0..12)
        .map(|_| tokio::spawn(come(lab.session.another("shop"), statement.clone(), Arc::clone(&coming.0))))
        .collect();
    let began = Instant::now();
    for n in 0..40 {
        t.insert_one(doc! {"n": n}).await.unwrap();
        assert_eq!(next(&mut rows).await.get_i32("n").unwrap(), n);
    }
    let took = began.elapsed();
    drop(coming);
    for other in others {
        assert!(other.await.unwrap() > 1);
    }
    assert!(took < Duration::from_secs(10), "{took:?}");
}
