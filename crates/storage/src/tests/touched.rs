//! What is known not to have changed since an older state.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{get, hold, on_both_open, put, submit, write};
use crate::{Draft, Error, Result, Slice, Snapshot, Space};

fn is_untouched(snapshot: &Snapshot, key: &str) -> bool {
    snapshot.is_untouched(Space::Records, key.as_bytes())
}

#[test]
fn a_state_knows_under_which_prefixes_nothing_was_changed_since() {
    on_both_open(|store, _, _| {
        let put_one = |key: &'static str| {
            write(&store, move |commit| {
                put(commit, key, "1");
                Ok(())
            })
            .unwrap()
        };
        put_one("aaaa1");
        let old = store.snapshot();
        assert!(is_untouched(&old, "aaaa1") && is_untouched(&old, "bbbb1"));
        // One that is undone changes nothing.
        let undone = write(&store, |commit| {
            put(commit, "aaaa2", "1");
            Err(Error::Refused)
        });
        assert!(undone.is_err() && is_untouched(&old, "aaaa2"));
        put_one("aaaa2");
        // Another row with the same beginning; another space, and another prefix.
        assert!(!is_untouched(&old, "aaaa1") && is_untouched(&old, "bbbb1"));
        assert!(old.is_untouched(Space::Indexes, b"aaaa1"));
        assert!(is_untouched(&store.snapshot(), "aaaa1"));
        assert!(!is_untouched(&old.without_log(), "aaaa1") && is_untouched(&store.snapshot().without_log(), "aaaa1"));
        write(&store, |commit| {
            commit.delete(Space::Records, &b"bbbb1"[..]);
            Ok(())
        })
        .unwrap();
        assert!(!is_untouched(&old, "bbbb1"));
        let newer = store.snapshot();
        write(&store, |commit| {
            commit.delete_prefix(Space::Records, u32::from_be_bytes(*b"aaaa"));
            Ok(())
        })
        .unwrap();
        assert!(!is_untouched(&newer, "aaaa1"));
        // A draft has rows of its own, of which nobody knows.
        let mut draft = Draft::new(store.snapshot());
        draft
            .stage(0, |commit| {
                put(commit, "cccc", "1");
                Ok::<_, Error>(())
            })
            .unwrap();
        assert!(!is_untouched(&draft.view(), "cccc") && !is_untouched(&draft.view(), "dddd"));
    });
}

/// Earlier writes of the same group count, and so does what is shown before it is durable.
#[test]
fn a_write_knows_what_was_changed_before_it() {
    on_both_open(|store, _, _| {
        let old = store.snapshot();
        let ahead: Arc<Mutex<Option<Snapshot>>> = Arc::default();
        let release = hold(&store);
        let answers = [
            submit(&store, |commit| {
                put(commit, "aaaa1", "1");
                Ok(())
            }),
            submit(&store, {
                let (old, ahead) = (Arc::clone(&old), Arc::clone(&ahead));
                move |commit| {
                    let known = |key: &str| commit.is_untouched_since(&old, Space::Records, key.as_bytes());
                    assert!(!known("aaaa2") && known("bbbb2"));
                    assert!(is_untouched(&old, "aaaa2"));
                    *ahead.lock() = commit.ahead();
                    assert!(!is_untouched(&old, "aaaa2"));
                    Ok(())
                }
            }),
        ];
        drop(release);
        for answer in answers {
            answer.recv().unwrap().unwrap();
        }
        let ahead = ahead.lock().take().unwrap();
        assert_eq!(get(&ahead, "aaaa1").as_deref(), Some("1"));
        assert!(!is_untouched(&ahead, "bbbb1"));
        let now = store.snapshot();
        write(&store, move |commit| {
            assert!(commit.is_untouched_since(&now, Space::Records, b"aaaa1"));
            assert!(!commit.is_untouched_since(&old, Space::Records, b"aaaa1"));
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn rows_that_are_put_together_are_undone_together() {
    let rows = |number: u8| -> BTreeMap<Slice, Option<Slice>> {
        let row = |key: u8| (Slice::from(vec![b'a', b'a', b'a', b'a', key]), Some(Slice::from(vec![b'0' + number])));
        [b'1', b'2', b'3'].map(row).into()
    };
    on_both_open(|store, _, _| {
        let failed = write(&store, move |commit| {
            commit.put_all(Space::Records, rows(1));
            put(commit, "aaaa2", "5");
            let point = commit.savepoint();
            commit.put_all(Space::Records, rows(2));
            commit.rollback_to(point);
            assert_eq!(commit.get(Space::Records, b"aaaa2")?.as_deref(), Some(&b"5"[..]));
            assert_eq!(commit.get(Space::Records, b"aaaa3")?.as_deref(), Some(&b"1"[..]));
            Err(Error::Refused)
        });
        assert!(matches!(failed, Err(Error::Refused)));
        assert_eq!(get(&store.snapshot(), "aaaa1"), None);
        write(&store, move |commit| {
            commit.put_all(Space::Records, rows(3));
            Ok(())
        })
        .unwrap();
        assert_eq!(get(&store.snapshot(), "aaaa3").as_deref(), Some("3"));
        // What is put in this way lies behind what was there: it is found again.
        write(&store, |commit| {
            assert!(commit.has_record(b"aaaa3")? && !commit.has_record(b"aaaa4")?);
            Ok(())
        })
        .unwrap();
    });
}

/// A draft of many records knows which keys lie behind all of them.
#[test]
fn a_draft_finds_every_record_that_is_there() {
    on_both_open(|store, _, _| {
        write(&store, |commit| {
            (0..50).for_each(|number| put(commit, &format!("aaaa{:03}", number * 9), "1"));
            Ok(())
        })
        .unwrap();
        let mut draft = Draft::new(store.snapshot());
        let mut seed = 3_u64;
        for _ in 0..400 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = format!("aaaa{:03}", (seed >> 33) % 700);
            let staged = draft.stage(0, |commit| -> Result<()> {
                assert_eq!(commit.has_record(key.as_bytes())?, commit.get(Space::Records, key.as_bytes())?.is_some());
                match (seed >> 40) % 3 {
                    0 => commit.delete(Space::Records, key.clone().into_bytes()),
                    _ => put(commit, &key, "2"),
                }
                if (seed >> 50).is_multiple_of(4) { Err(Error::Refused) } else { Ok(()) }
            });
            drop(staged);
            assert_eq!(
                draft.has_changed(Space::Records, key.as_bytes()),
                draft.row(Space::Records, key.as_bytes()).is_some()
            );
        }
    });
}
