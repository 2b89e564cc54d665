//! Groups of writes: atomic, ordered, visible when durable.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::*;

#[test]
fn a_group_is_one_batch_and_reads_itself() {
    on_both_open(|store, _, recorder| {
        let release = hold(&store);
        let first = submit(&store, |commit| {
            put(commit, "a", "1");
            append(commit, 1);
            Ok(())
        });
        let second = submit(&store, |commit| {
            let seen = commit.get(Space::Records, b"a")?.unwrap();
            assert_eq!(&seen[..], b"1");
            assert!(commit.any_with_prefix(Space::Records, b"a")?);
            assert!(!commit.any_with_prefix(Space::Records, b"b")?);
            commit.delete(Space::Records, b"a".to_vec());
            assert!(commit.get(Space::Records, b"a")?.is_none());
            assert!(!commit.any_with_prefix(Space::Records, b"a")?);
            put(commit, "b", "2");
            append(commit, 2);
            Ok(())
        });
        assert_eq!(get(&store.snapshot(), "b"), None);
        drop(release);
        first.recv().unwrap().unwrap();
        second.recv().unwrap().unwrap();
        let now = store.snapshot();
        assert_eq!((get(&now, "a"), get(&now, "b")), (None, Some("2".into())));
        let groups = recorder.groups.lock();
        let numbers: Vec<Vec<i64>> = groups.iter().map(|group| group.iter().map(number).collect()).collect();
        assert_eq!(numbers, [[1, 2]]);
    });
}

#[test]
fn a_failing_write_leaves_nothing() {
    on_both_open(|store, _, _| {
        write(&store, |commit| {
            put(commit, "a", "old");
            append(commit, 1);
            Ok(())
        })
        .unwrap();
        let newest = store.window().newest;
        let release = hold(&store);
        let refused = submit(&store, |commit| {
            put(commit, "a", "new");
            put(commit, "x", "new");
            let time = append(commit, 2);
            commit.keep_image(time, 0, b"before".to_vec());
            commit.delete_prefix(Space::Records, 7);
            Err(Error::Refused)
        });
        let panicked = submit(&store, |commit| {
            put(commit, "x", "new");
            append(commit, 3);
            panic!("on purpose");
        });
        let long = submit(&store, |commit| {
            put(commit, "x", "new");
            commit.put(Space::Records, vec![0; crate::KEY_BYTES_MAX + 1], vec![]);
            Ok(())
        });
        let not_bson = submit(&store, |commit| {
            put(commit, "x", "new");
            let time = commit.tick();
            commit.append(time, [6, 0, 0, 0, 0]);
            Ok(())
        });
        let twice = submit(&store, |commit| {
            let time = append(commit, 4);
            commit.append(time, entry(5));
            Ok(())
        });
        let good = submit(&store, |commit| {
            append(commit, 6);
            Ok(())
        });
        drop(release);
        assert!(matches!(refused.recv().unwrap(), Err(Error::Refused)));
        assert!(matches!(panicked.recv().unwrap(), Err(Error::Bug(_))));
        assert!(matches!(long.recv().unwrap(), Err(Error::KeyTooLong { .. })));
        assert!(matches!(not_bson.recv().unwrap(), Err(Error::Bug(_))));
        assert!(matches!(twice.recv().unwrap(), Err(Error::Bug(_))));
        good.recv().unwrap().unwrap();
        let now = store.snapshot();
        assert_eq!((get(&now, "a"), get(&now, "x")), (Some("old".into()), None));
        assert_eq!(read_from(&store, ClusterTime::ZERO), [1, 6]);
        assert_eq!(store.window().newest, newest.next());
        assert_eq!(store.image(newest.next(), 0).unwrap(), None);
    });
}

#[test]
fn a_savepoint_undoes_one_document() {
    on_both_open(|store, _, _| {
        write(&store, |commit| {
            put(commit, "a", "1");
            append(commit, 1);
            let point = commit.savepoint();
            put(commit, "a", "2");
            put(commit, "b", "2");
            commit.delete(Space::Records, b"a".to_vec());
            let undone = append(commit, 2);
            commit.keep_image(undone, 0, b"2".to_vec());
            commit.put(Space::Records, vec![0; crate::KEY_BYTES_MAX + 1], vec![]);
            commit.rollback_to(point);
            assert_eq!(&commit.get(Space::Records, b"a")?.unwrap()[..], b"1");
            assert!(commit.get(Space::Records, b"b")?.is_none());
            let again = append(commit, 3);
            assert_eq!(again, undone);
            Ok(())
        })
        .unwrap();
        let now = store.snapshot();
        assert_eq!((get(&now, "a"), get(&now, "b")), (Some("1".into()), None));
        assert_eq!(read_from(&store, ClusterTime::ZERO), [1, 3]);
        assert_eq!(store.image(store.window().newest, 0).unwrap(), None);
    });
}

#[test]
fn a_savepoint_reaches_over_blocks() {
    on_both_open(|store, _, _| {
        write(&store, |commit| {
            append(commit, 1);
            let point = commit.savepoint();
            for number in 2..10 {
                let time = commit.tick();
                commit.append(time, padded(number, 100_000));
            }
            commit.rollback_to(point);
            append(commit, 10);
            Ok(())
        })
        .unwrap();
        assert_eq!(read_from(&store, ClusterTime::ZERO), [1, 10]);
    });
}

#[test]
fn first_of_a_range_merges_the_group_with_the_store() {
    on_both_open(|store, _, _| {
        write(&store, |commit| {
            ["b", "d", "f"].into_iter().for_each(|key| put(commit, key, "stored"));
            Ok(())
        })
        .unwrap();
        write(&store, |commit| {
            let first = |commit: &Commit<'_>, low: &str| {
                let low = Bound::Excluded(low.as_bytes());
                let row = commit.range_first(Space::Records, low, Bound::Excluded(b"g"))?;
                Ok::<_, Error>(row.map(|(key, value)| (String::from_utf8(key.to_vec()).unwrap(), value.len())))
            };
            put(commit, "a", "x");
            put(commit, "d", "xx");
            put(commit, "g", "x");
            commit.delete(Space::Records, b"b".to_vec());
            assert_eq!(first(commit, "")?, Some(("a".into(), 1)));
            assert_eq!(first(commit, "a")?, Some(("d".into(), 2)));
            assert_eq!(first(commit, "d")?, Some(("f".into(), 6)));
            assert_eq!(first(commit, "f")?, None);
            assert_eq!(first(commit, "x")?, None);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn ranges_go_both_ways_and_outlive_their_snapshot() {
    on_both_open(|store, _, _| {
        write(&store, |commit| {
            (0_u8..9).for_each(|key| commit.put(Space::Indexes, vec![key], vec![key]));
            Ok(())
        })
        .unwrap();
        let range = |low, high| store.snapshot().range(Space::Indexes, low, high);
        let all = |range: crate::Range| range.map(|row| row.unwrap().0[0]).collect::<Vec<_>>();
        assert_eq!(all(range(Bound::Included(&[2]), Bound::Excluded(&[5]))), [2, 3, 4]);
        assert_eq!(all(range(Bound::Excluded(&[2]), Bound::Included(&[5]))), [3, 4, 5]);
        assert!(all(range(Bound::Included(&[5]), Bound::Included(&[2]))).is_empty());
        assert!(all(range(Bound::Excluded(&[5]), Bound::Excluded(&[5]))).is_empty());
        let mut ends = range(Bound::Unbounded, Bound::Unbounded);
        write(&store, |commit| {
            (0_u8..9).for_each(|key| commit.delete(Space::Indexes, vec![key]));
            Ok(())
        })
        .unwrap();
        let mut seen = Vec::new();
        while let Some(front) = ends.next() {
            seen.push(front.unwrap().0[0]);
            seen.extend(ends.next_back().map(|row| row.unwrap().0[0]));
        }
        assert_eq!(seen, [0, 8, 1, 7, 2, 6, 3, 5, 4]);
        std::thread::spawn(move || drop(ends)).join().unwrap();
    });
}

#[test]
fn snapshots_stay_as_they_were() {
    on_both_open(|store, _, _| {
        let mut taken = vec![store.snapshot()];
        for round in 1..=50 {
            write(&store, move |commit| {
                put(commit, "n", &round.to_string());
                put(commit, &format!("key {round}"), "x");
                Ok(())
            })
            .unwrap();
            taken.push(store.snapshot());
        }
        for (round, snapshot) in taken.iter().enumerate() {
            let expected = (round > 0).then(|| round.to_string());
            assert_eq!(get(snapshot, "n"), expected);
            let count = keys(snapshot, Space::Records).len();
            assert_eq!(count, if round == 0 { 0 } else { round + 1 });
        }
    });
}

#[test]
fn a_group_is_visible_before_it_is_acknowledged_and_never_in_part() {
    on_both_open(|store, _, _| {
        let stop = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (store, stop) = (store.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Acquire) {
                    let now = store.snapshot();
                    assert_eq!(get(&now, "left"), get(&now, "right"));
                    let entries = store.read_log(ClusterTime::ZERO, usize::MAX).unwrap().entries;
                    assert!(entries.len() % 2 == 0);
                }
            }
        });
        for round in 0..200 {
            write(&store, move |commit| {
                put(commit, "left", &round.to_string());
                append(commit, round);
                put(commit, "right", &round.to_string());
                append(commit, round);
                Ok(())
            })
            .unwrap();
            assert_eq!(get(&store.snapshot(), "left"), Some(round.to_string()));
        }
        stop.store(true, Ordering::Release);
        reader.join().unwrap();
    });
}

#[test]
fn a_failed_flush_refuses_everything_after() {
    on_both(|location| {
        let open = || open_with(location.clone(), TestClock::at(1_000_000), Options::default());
        let store = open().unwrap();
        write(&store, |commit| {
            put(commit, "a", "1");
            Ok(())
        })
        .unwrap();
        store.shared().fail_next_flush.store(true, Ordering::Release);
        let release = hold(&store);
        let lost = submit(&store, |commit| {
            put(commit, "a", "2");
            append(commit, 2);
            Ok(())
        });
        let refused = submit(&store, |_| Err(Error::Refused));
        drop(release);
        assert!(matches!(lost.recv().unwrap(), Err(Error::Failed)));
        assert!(matches!(refused.recv().unwrap(), Err(Error::Refused)));
        assert!(store.failed());
        assert!(matches!(write(&store, |_| Ok(())), Err(Error::Failed)));
        assert_eq!(get(&store.snapshot(), "a"), Some("1".into()));
        assert!(read_from(&store, ClusterTime::ZERO).is_empty());
        store.close().unwrap();
        drop(store);
        let store = open().unwrap();
        assert!(!store.failed());
        write(&store, |_| Ok(())).unwrap();
    });
}

#[test]
fn a_full_queue_answers_busy() {
    let options = Options { queue_max: 2, ..Options::default() };
    let store = open_with(Location::Memory, TestClock::at(0), options).unwrap();
    let release = hold(&store);
    let queued = [submit(&store, |_| Ok(())), submit(&store, |_| Ok(()))];
    assert!(matches!(write(&store, |_| Ok(())), Err(Error::Busy)));
    drop(release);
    queued.iter().for_each(|answer| answer.recv().unwrap().unwrap());
    write(&store, |_| Ok(())).unwrap();
}

#[test]
fn closing_finishes_what_is_queued() {
    on_both(|location| {
        let store = open_with(location, TestClock::at(0), Options::default()).unwrap();
        let release = hold(&store);
        let queued: Vec<_> = (0..100)
            .map(|number| {
                submit(&store, move |commit| {
                    append(commit, number);
                    Ok(())
                })
            })
            .collect();
        let closing = std::thread::spawn({
            let store = store.clone();
            move || store.close()
        });
        drop(release);
        queued.iter().for_each(|answer| answer.recv().unwrap().unwrap());
        closing.join().unwrap().unwrap();
        store.close().unwrap();
        assert!(matches!(store.snapshot().get(Space::Records, b"a"), Err(Error::Closed)));
        assert!(matches!(store.read_log(ClusterTime::ZERO, 1), Err(Error::Closed)));
    });
}

#[test]
fn the_last_clone_may_go_on_the_commit_thread() {
    let store = open_with(Location::Memory, TestClock::at(0), Options::default()).unwrap();
    let release = hold(&store);
    let (sender, done) = mpsc::channel();
    let inside = store.clone();
    let finish = move |outcome: Result<()>| {
        drop(inside);
        sender.send(outcome).unwrap();
    };
    store.submit(Box::new(Job { apply: |_: &mut Commit<'_>| Ok(()), finish }));
    drop(store);
    drop(release);
    done.recv().unwrap().unwrap();
}

#[test]
fn a_large_group_is_cut_by_its_bytes() {
    let options = Options { group_bytes_max: 1_000, ..Options::default() };
    let recorder = Arc::new(Recorder::default());
    let store = Store::open(Location::Memory, TestClock::at(0), options, recorder.clone()).unwrap();
    let release = hold(&store);
    let queued: Vec<_> = (0..10)
        .map(|number| {
            submit(&store, move |commit| {
                let time = commit.tick();
                commit.append(time, padded(number, 500));
                Ok(())
            })
        })
        .collect();
    drop(release);
    queued.iter().for_each(|answer| answer.recv().unwrap().unwrap());
    assert!(recorder.groups.lock().iter().all(|group| group.len() == 2));
}
