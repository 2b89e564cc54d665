//! A journal that ends in the middle of a commit, or in garbage, opens at the last whole commit.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bson::doc;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::crash::read_all;
use crate::support::Server;

/// Inserts before the damage, and documents in each: one commit that is there as a whole or not at all.
const WRITES: i32 = 60;
const DOCUMENTS: i32 = 3;
/// A fixed seed: each run tears at the same places of the last commits.
const SEED: u64 = 7;

enum Damage {
    /// The last bytes never reached the disk.
    Cut(u64),
    /// The last bytes are garbage.
    Garbage(u64),
    /// Garbage follows the last commit.
    Appended(u64),
}

#[test]
fn a_torn_journal_recovers_to_the_last_whole_commit() {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut damages = vec![Damage::Cut(1), Damage::Garbage(1), Damage::Appended(1)];
    for _ in 0..4 {
        damages.push(Damage::Cut(random.random_range(2..4000)));
        damages.push(Damage::Garbage(random.random_range(2..4000)));
        damages.push(Damage::Appended(random.random_range(2..4000)));
    }
    for damage in damages {
        tear_once(&damage, &mut random);
    }
}

fn tear_once(damage: &Damage, random: &mut StdRng) {
    let mut server = Server::durable();
    let mut connection = server.connect();
    for write in 0..WRITES {
        let ids = write * DOCUMENTS..(write + 1) * DOCUMENTS;
        let documents: Vec<_> = ids.map(|id| doc! {"_id": id, "pad": "x".repeat(50)}).collect();
        let reply = connection.command("torn", doc! {"insert": "c", "documents": documents}).expect("a reply");
        assert_eq!(reply.get_i32("n").ok(), Some(DOCUMENTS), "{reply}");
    }
    drop(connection);
    server.kill();
    let journal = journal(&server.data());
    let what = apply(damage, &journal, random);
    server.start_again();

    let mut connection = server.connect();
    let stored = read_all(&mut connection, "torn", doc! {"find": "c", "sort": {"_id": 1}});
    let logged = read_all(&mut connection, "local", doc! {"find": "oplog.rs", "filter": {"op": "i", "ns": "torn.c"}});
    let stored: Vec<_> = stored.iter().filter_map(|d| d.get_i32("_id").ok()).collect();
    let logged: Vec<_> = logged.iter().filter_map(|entry| entry.get_document("o").ok()?.get_i32("_id").ok()).collect();
    let whole = i32::try_from(stored.len()).expect("a count");
    assert_eq!(stored, (0..whole).collect::<Vec<_>>(), "{what}: a prefix of the writes");
    assert_eq!(logged, stored, "{what}: the log and the documents end together");
    assert_eq!(whole % DOCUMENTS, 0, "{what}: a commit is there as a whole or not at all");
    match damage {
        Damage::Appended(_) => assert_eq!(whole, WRITES * DOCUMENTS, "{what}: no commit was touched"),
        Damage::Cut(_) | Damage::Garbage(_) => assert!(whole < WRITES * DOCUMENTS, "{what}: the last commit is gone"),
    }
    assert!(whole > 0, "{what}: the first commits are far from the damage");
    // It goes on from there.
    let insert = doc! {"insert": "c", "documents": [{"_id": 1000}]};
    let reply = connection.command("torn", insert).expect("a reply");
    assert_eq!(reply.get_i32("n").ok(), Some(1), "{what}: {reply}");
}

fn apply(damage: &Damage, journal: &Path, random: &mut StdRng) -> String {
    let end = written_bytes(journal);
    let mut file = OpenOptions::new().write(true).open(journal).expect("open the journal");
    let (what, from, count) = match *damage {
        Damage::Cut(count) => {
            file.set_len(end.saturating_sub(count)).expect("cut the journal");
            return format!("{count} bytes cut");
        }
        Damage::Garbage(count) => ("bytes of garbage", end.saturating_sub(count), count.min(end)),
        Damage::Appended(count) => ("bytes appended", end, count),
    };
    let mut garbage = vec![0; usize::try_from(count).expect("a size")];
    random.fill_bytes(&mut garbage);
    file.seek(SeekFrom::Start(from)).expect("seek");
    file.write_all(&garbage).expect("write garbage");
    format!("{count} {what}")
}

/// The journal file that was written last.
fn journal(data: &Path) -> PathBuf {
    let mut found = Vec::new();
    collect(data, &mut found);
    found
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).expect("a time"))
        .expect("a journal below the data folder")
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// How much of the journal holds data: it may be longer, filled with zeros ahead of use.
fn written_bytes(journal: &Path) -> u64 {
    let bytes = std::fs::read(journal).expect("read the journal");
    let last = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    u64::try_from(last).expect("a size")
}
