//! The log: clock, reading, segments, retention.

use super::*;
use crate::{LogFrom, LogWindow, Retain};

/// CS-8.1.2, CS-8.1.4, CS-14.63.
#[test]
fn the_clock_never_goes_back_even_across_restarts() {
    on_both(|location| {
        let clock = TestClock::at(50_000);
        let open = || open_with(location.clone(), clock.clone(), Options::default()).unwrap();
        let tick = |store: &Store| {
            let (sender, receiver) = mpsc::channel();
            write(store, move |commit| {
                sender.send(commit.tick()).unwrap();
                Ok(())
            })
            .unwrap();
            receiver.recv().unwrap()
        };
        let at = ClusterTime::new;
        let store = open();
        assert_eq!(tick(&store), at(50, 1));
        assert_eq!(tick(&store), at(50, 2));
        clock.set(51_000);
        assert_eq!(tick(&store), at(51, 1));
        clock.set(10_000);
        assert_eq!(tick(&store), at(51, 2));
        store.close().unwrap();
        drop(store);
        if location != Location::Memory {
            let store = open();
            assert_eq!(tick(&store), at(51, 3));
            write(&store, |commit| {
                append(commit, 1);
                Ok(())
            })
            .unwrap();
            store.close().unwrap();
            drop(store);
            assert_eq!(tick(&open()), at(51, 5));
        }
    });
}

#[test]
fn a_new_log_is_empty_and_has_lost_nothing() {
    on_both_open(|store, _, _| {
        let expected = LogWindow { oldest: ClusterTime::new(0, 1), ..LogWindow::default() };
        assert_eq!(store.window(), expected);
        let batch = store.read_log(ClusterTime::ZERO, 1).unwrap();
        assert!(batch.entries.is_empty() && batch.complete && batch.next == ClusterTime::ZERO);
        assert!(store.read_log_backwards(ClusterTime::MAX, 1).unwrap().is_empty());
        assert_eq!(store.image(ClusterTime::ZERO, 0).unwrap(), None);
    });
}

/// Fills several segments of 1 MiB; every third entry has an image.
fn fill(store: &Store, numbers: std::ops::Range<i64>) -> Vec<ClusterTime> {
    let (sender, times) = mpsc::channel();
    for start in numbers.clone().step_by(7) {
        let sender = sender.clone();
        let end = numbers.end.min(start + 7);
        write(store, move |commit| {
            for number in start..end {
                let time = commit.tick();
                commit.append(time, padded(number, 60_000));
                if number % 3 == 0 {
                    commit.keep_image(time, 1, number.to_le_bytes().to_vec());
                }
                sender.send(time).unwrap();
            }
            Ok(())
        })
        .unwrap();
    }
    drop(sender);
    times.into_iter().collect()
}

/// All numbers in the log from a time on, read in whole blocks, and how many came at once at most.
fn read_blocks_from(store: &Store, from: ClusterTime) -> (Vec<i64>, usize) {
    let (mut numbers, mut most) = (Vec::new(), 0);
    let mut from = LogFrom::Within(from);
    loop {
        let batch = store.read_log_blocks(from, 250_000).unwrap();
        numbers.extend(batch.entries.iter().map(number));
        most = most.max(batch.entries.len());
        if batch.complete {
            return (numbers, most);
        }
        from = LogFrom::BlockAt(batch.next);
    }
}

/// Entries that are written where they will lie are entries like others: in their order, and undone with their write.
#[test]
fn large_entries_lie_among_small_ones() {
    let write_one = |commit: &mut Commit<'_>, number: i64, padding: usize| {
        let time = commit.tick();
        commit.append_with(time, padding + 40, |mut buffer| {
            buffer.extend_from_slice(&padded(number, padding));
            buffer
        });
        time
    };
    on_both(|location| {
        let store = open_with(location.clone(), TestClock::at(1_000_000), Options::default()).unwrap();
        write(&store, move |commit| {
            write_one(commit, 0, 10);
            write_one(commit, 1, 300_000);
            append(commit, 2);
            let point = commit.savepoint();
            write_one(commit, 3, 100_000);
            append(commit, 4);
            commit.rollback_to(point);
            write_one(commit, 5, 100_000);
            append(commit, 6);
            Ok(())
        })
        .unwrap();
        let failed = write(&store, move |commit| {
            write_one(commit, 7, 100_000);
            Err(Error::Refused)
        });
        assert!(failed.is_err());
        // Neither a time out of order nor something that is no document.
        let bad = write(&store, |commit| {
            commit.append_with(ClusterTime::MAX, 100_000, |buffer| buffer);
            Ok(())
        });
        assert!(matches!(bad, Err(Error::Bug(_))));
        write(&store, move |commit| {
            write_one(commit, 8, 70_000);
            Ok(())
        })
        .unwrap();
        let check = |store: &Store| {
            let expected = [0, 1, 2, 5, 6, 8];
            assert_eq!(read_from(store, ClusterTime::ZERO), expected);
            assert_eq!(read_blocks_from(store, ClusterTime::ZERO).0, expected);
            let entries = store.read_log(ClusterTime::ZERO, usize::MAX).unwrap().entries;
            let sizes: Vec<_> = entries.iter().map(|entry| entry.bytes.len()).collect();
            assert_eq!(sizes[1], padded(1, 300_000).len());
            assert_eq!(entries[3].bytes, padded(5, 100_000));
        };
        check(&store);
        store.close().unwrap();
        drop(store);
        if location != Location::Memory {
            check(&open_with(location, TestClock::at(1_000_000), Options::default()).unwrap());
        }
    });
}

#[test]
fn the_log_reads_from_any_time_in_both_directions() {
    on_both(|location| {
        // The age keeps everything, the size makes small segments.
        let options = Options { oplog_bytes: 16 << 20, oplog_hours: 1e6, ..Options::default() };
        let clock = TestClock::at(1_000_000);
        let store = open_with(location.clone(), clock.clone(), options.clone()).unwrap();
        let times = fill(&store, 0..100);
        let check = |store: &Store| {
            assert!(store.snapshot().log.segments.len() >= 5);
            assert_eq!(store.window().oldest, times[0]);
            assert_eq!(store.window().newest, times[99]);
            for (index, time) in times.iter().enumerate() {
                let batch = store.read_log(*time, 200_000).unwrap();
                let place = i64::try_from(index).unwrap();
                let expected: Vec<i64> = (place..100.min(place + 3)).collect();
                let found: Vec<i64> = batch.entries.iter().map(number).collect();
                assert_eq!(found, expected);
                assert_eq!(batch.entries[0].time, *time);
                assert_eq!(batch.complete, index >= 97);
                let one = store.read_log(*time, 0).unwrap();
                assert_eq!(one.entries.len(), 1);
                let before = store.read_log_backwards(*time, 4).unwrap();
                let found: Vec<i64> = before.iter().map(number).collect();
                let expected: Vec<i64> = (0..place).rev().take(4).collect();
                assert_eq!(found, expected);
                let image = store.image(*time, 1).unwrap();
                assert_eq!(image.is_some(), index % 3 == 0);
                assert_eq!(store.image(*time, 0).unwrap(), None);
            }
            for (place, time) in (0..).zip(&times) {
                let (numbers, most) = read_blocks_from(store, *time);
                assert_eq!(numbers, (place..100).collect::<Vec<_>>());
                // Four of them are a block.
                assert!(most <= 8, "{most} entries at once");
            }
            assert_eq!(read_from(store, ClusterTime::ZERO), (0..100).collect::<Vec<_>>());
            assert_eq!(read_from(store, times[40].next()), (41..100).collect::<Vec<_>>());
            let end = store.read_log(times[99].next(), 1).unwrap();
            assert!(end.entries.is_empty() && end.complete && end.next == times[99].next());
            let all = store.read_log_backwards(ClusterTime::MAX, usize::MAX).unwrap();
            assert_eq!(all.iter().rev().map(number).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        };
        check(&store);
        let window = store.window();
        store.close().unwrap();
        drop(store);
        if location != Location::Memory {
            let store = open_with(location, clock, options).unwrap();
            assert_eq!(store.window(), window);
            check(&store);
        }
    });
}

#[test]
fn history_above_the_size_is_dropped_and_said_to_be_lost() {
    on_both(|location| {
        let options = Options { oplog_bytes: 3 << 20, ..Options::default() };
        let clock = TestClock::at(1_000_000);
        let store = open_with(location.clone(), clock.clone(), options.clone()).unwrap();
        let before = store.snapshot();
        let times = fill(&store, 0..30);
        let early = store.snapshot();
        fill(&store, 30..200);
        let window = store.window();
        assert!(window.bytes <= 3 << 20 && window.bytes > 1 << 20);
        let lost = window.lost_before.unwrap();
        assert!(lost <= window.oldest && lost > times[29]);
        let check = |store: &Store| {
            for from in [ClusterTime::ZERO, times[0], times[29]] {
                match store.read_log(from, 1) {
                    Err(Error::HistoryLost { oldest }) => assert_eq!(oldest, window.oldest),
                    other => panic!("{other:?}"),
                }
            }
            // Exactly the first time that was kept can be read, the one before cannot.
            let last_lost = ClusterTime::from_u64(lost.to_u64() - 1);
            assert!(matches!(store.read_log(last_lost, 1), Err(Error::HistoryLost { .. })));
            let kept = read_from(store, lost);
            assert_eq!(kept.last(), Some(&199));
            let expected: Vec<i64> = (kept[0]..200).collect();
            assert_eq!(kept, expected);
            let back = store.read_log_backwards(ClusterTime::MAX, 1000).unwrap();
            assert_eq!(back.len(), kept.len());
            assert_eq!(store.image(times[0], 1).unwrap(), None);
        };
        check(&store);
        // Snapshots taken before still read what they held.
        let found = crate::log::read::forwards(&early.view, &early.log, times[0], usize::MAX).unwrap();
        assert_eq!(found.entries.len(), 30);
        drop((before, early));
        store.close().unwrap();
        drop(store);
        if let Location::Folder(folder) = &location {
            let store = open_with(location.clone(), clock, options).unwrap();
            assert_eq!(store.window(), window);
            check(&store);
            let tables = std::fs::read_dir(folder.join("data/keyspaces")).unwrap().count();
            // Four segments and their images, beside the spaces.
            assert!(tables <= 6 + 1 + 2 * 4, "{tables} tables");
        }
    });
}

#[test]
fn history_past_the_age_is_dropped() {
    let hour = 3_600_000;
    for (retain, size, expected) in [
        (Retain::WhicheverKeepsLess, 1 << 40, 4..40),
        (Retain::WhicheverKeepsMore, 0, 4..40),
        (Retain::WhicheverKeepsMore, 1 << 40, 0..40),
        (Retain::WhicheverKeepsLess, 0, 39..40),
    ] {
        let options = Options { oplog_bytes: size, oplog_hours: 32.0, retain, ..Options::default() };
        let clock = TestClock::at(0);
        let store = open_with(Location::Memory, clock.clone(), options).unwrap();
        for number in 0..40 {
            clock.set(hour * u64::try_from(number).unwrap());
            write(&store, move |commit| {
                append(commit, number);
                Ok(())
            })
            .unwrap();
        }
        write(&store, |_| Ok(())).unwrap();
        let from = store.window().lost_before.unwrap_or_default();
        let kept = read_from(&store, from);
        // A segment spans two hours and goes when its last entry is too old.
        let slack = kept[0].abs_diff(expected.start) <= 4;
        assert!(slack, "{retain:?} {size}: kept {kept:?}");
        assert_eq!(kept.last(), Some(&39));
    }
}

#[test]
fn the_newest_entry_stays_however_large_it_is() {
    let options = Options { oplog_bytes: 1 << 20, ..Options::default() };
    let store = open_with(Location::Memory, TestClock::at(1_000_000), options).unwrap();
    for number in 0..4 {
        write(&store, move |commit| {
            let time = commit.tick();
            commit.append(time, padded(number, 3 << 20));
            Ok(())
        })
        .unwrap();
        write(&store, |_| Ok(())).unwrap();
        assert_eq!(read_from(&store, store.window().oldest), [number]);
    }
}

#[test]
fn entries_larger_than_a_block_have_one_of_their_own() {
    on_both_open(|store, _, recorder| {
        write(&store, |commit| {
            for (number, padding) in [(1, 0), (2, 700_000), (3, 0), (4, 300_000), (5, 300_000)] {
                let time = commit.tick();
                commit.append(time, padded(number, padding));
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(read_from(&store, ClusterTime::ZERO), [1, 2, 3, 4, 5]);
        let entries = store.read_log(ClusterTime::ZERO, usize::MAX).unwrap().entries;
        assert_eq!(*recorder.groups.lock(), [entries]);
    });
}
