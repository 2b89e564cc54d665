//! Drafts: changes that nobody sees until they are committed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::{on_both_open, write};
use crate::{Draft, Error, Result, Slice, Snapshot, Space};

fn all(snapshot: &Snapshot) -> Vec<(Slice, Slice)> {
    snapshot.range(Space::Records, Bound::Unbounded, Bound::Unbounded).collect::<Result<_>>().unwrap()
}

fn stage(draft: &mut Draft, key: &str, value: Option<&str>) {
    let (key, value) = (key.to_owned(), value.map(str::to_owned));
    let change = draft.stage(0, |commit| {
        match value {
            Some(value) => commit.put(Space::Records, key.into_bytes(), value.into_bytes()),
            None => commit.delete(Space::Records, key.into_bytes()),
        }
        Ok::<_, Error>(())
    });
    change.unwrap();
}

#[test]
fn a_draft_shows_its_changes_to_its_owner_only() {
    on_both_open(|store, _, _| {
        write(&store, |commit| {
            commit.put(Space::Records, &b"a"[..], &b"1"[..]);
            commit.put(Space::Records, &b"b"[..], &b"1"[..]);
            Ok(())
        })
        .unwrap();
        let mut draft = Draft::new(store.snapshot());
        stage(&mut draft, "a", None);
        stage(&mut draft, "c", Some("2"));
        let before = draft.view();
        stage(&mut draft, "b", Some("3"));
        let row = |key: &'static str, value: &'static str| (Slice::from(key), Slice::from(value));
        assert_eq!(all(&draft.view()), [row("b", "3"), row("c", "2")]);
        assert_eq!(all(&before), [row("b", "1"), row("c", "2")]);
        assert_eq!(all(&store.snapshot()), [row("a", "1"), row("b", "1")]);
        assert_eq!(draft.view().get(Space::Records, b"a").unwrap(), None);
        assert!(draft.touches(Space::Records, b"c") && !draft.touches(Space::Records, b"d"));
    });
}

#[test]
fn a_change_that_fails_leaves_the_draft_as_it_was() {
    on_both_open(|store, _, _| {
        let mut draft = Draft::new(store.snapshot());
        stage(&mut draft, "a", Some("1"));
        let failed = draft.stage(0, |commit| {
            commit.put(Space::Records, &b"a"[..], &b"2"[..]);
            commit.put(Space::Records, &b"b"[..], &b"2"[..]);
            Err::<(), _>(Error::Refused)
        });
        assert!(matches!(failed, Err(Error::Refused)));
        let logged = draft.stage(0, |commit| {
            commit.tick();
            Ok::<_, Error>(())
        });
        assert!(matches!(logged, Err(Error::Bug(_))));
        assert_eq!(all(&draft.view()), [(Slice::from("a"), Slice::from("1"))]);
    });
}

#[test]
fn a_change_that_panics_leaves_the_draft_as_it_was() {
    on_both_open(|store, _, _| {
        let mut draft = Draft::new(store.snapshot());
        stage(&mut draft, "a", Some("1"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            draft.stage(0, |commit| -> Result<()> {
                commit.put(Space::Records, &b"a"[..], &b"2"[..]);
                panic!("in the middle");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(all(&draft.view()), [(Slice::from("a"), Slice::from("1"))]);
        assert_eq!(draft.bytes(), 2);
    });
}

/// Random changes, read in both directions and from both ends at once, against a plain map.
#[test]
fn a_draft_reads_as_if_its_changes_were_stored() {
    on_both_open(|store, _, _| {
        let mut seed = 7_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut model = BTreeMap::new();
        // The first time a draft over the store, then one over the draft before.
        let mut base = Arc::new(store.snapshot().without_log());
        for round in 0..60 {
            let mut draft = Draft::new(Arc::clone(&base));
            for _ in 0..next(12) {
                let (key, value) = (format!("{:02}", next(20)), (next(3) > 0).then(|| format!("{round}{}", next(9))));
                stage(&mut draft, &key, value.as_deref());
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            base = draft.view();
            let (low, high) = (format!("{:02}", next(20)), format!("{:02}", next(20)));
            let bounds = (Bound::Included(low.as_bytes()), Bound::Excluded(high.as_bytes()));
            let mut range = base.range(Space::Records, bounds.0, bounds.1);
            let mut wanted: VecDeque<_> = model.iter().filter(|(key, _)| **key >= low && **key < high).collect();
            loop {
                let (found, expected) = match next(2) {
                    0 => (range.next_back(), wanted.pop_back()),
                    _ => (range.next(), wanted.pop_front()),
                };
                let expected = expected.map(|(key, value)| (Slice::from(key.clone()), Slice::from(value.clone())));
                assert_eq!(found.transpose().unwrap(), expected);
                if expected.is_none() {
                    break;
                }
            }
            // Now and then the store itself moves on.
            if round % 7 == 6 {
                let rows: Vec<_> = model.clone().into_iter().collect();
                write(&store, move |commit| {
                    for number in 0..20 {
                        commit.delete(Space::Records, format!("{number:02}").into_bytes());
                    }
                    for (key, value) in &rows {
                        commit.put(Space::Records, key.clone().into_bytes(), value.clone().into_bytes());
                    }
                    Ok(())
                })
                .unwrap();
                base = store.snapshot();
            }
        }
    });
}
