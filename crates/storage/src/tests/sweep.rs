//! Dropped prefixes go in the background, also across restarts.

use std::time::{Duration, Instant};

use super::*;

fn fill(store: &Store, prefix: u32, count: u32) {
    write(store, move |commit| {
        for number in 0..count {
            let key = [prefix.to_be_bytes(), number.to_be_bytes()].concat();
            commit.put(Space::Records, key, vec![1; 10]);
        }
        Ok(())
    })
    .unwrap();
}

fn count(store: &Store, prefix: u32) -> usize {
    let all = keys(&store.snapshot(), Space::Records);
    all.iter().filter(|key| key.starts_with(&prefix.to_be_bytes())).count()
}

fn wait_until_gone(store: &Store, prefix: u32) {
    let start = Instant::now();
    while count(store, prefix) > 0 {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_dropped_prefix_goes_and_its_neighbours_stay() {
    on_both_open(|store, _, _| {
        for prefix in [0, 6, 7, 8, u32::MAX] {
            fill(&store, prefix, 3_500);
        }
        write(&store, |commit| {
            commit.delete_prefix(Space::Records, 7);
            commit.delete_prefix(Space::Records, u32::MAX);
            commit.delete_prefix(Space::Records, 9);
            Ok(())
        })
        .unwrap();
        wait_until_gone(&store, 7);
        wait_until_gone(&store, u32::MAX);
        assert_eq!([count(&store, 0), count(&store, 6), count(&store, 8)], [3_500; 3]);
    });
}

#[test]
fn a_sweep_goes_on_while_writes_keep_coming() {
    on_both_open(|store, _, _| {
        fill(&store, 7, 3_500);
        write(&store, |commit| {
            commit.delete_prefix(Space::Records, 7);
            Ok(())
        })
        .unwrap();
        let start = Instant::now();
        while count(&store, 7) > 0 {
            assert!(start.elapsed() < Duration::from_secs(10));
            fill(&store, 8, 1);
        }
        assert_eq!(count(&store, 8), 1);
    });
}

#[test]
fn a_sweep_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path()).unwrap();
    fill(&store, 7, 50_000);
    fill(&store, 8, 10);
    write(&store, |commit| {
        commit.delete_prefix(Space::Records, 7);
        Ok(())
    })
    .unwrap();
    store.close().unwrap();
    drop(store);
    let store = open_at(folder.path()).unwrap();
    assert!(count(&store, 7) > 0, "the test is too slow to catch the sweep half-way");
    wait_until_gone(&store, 7);
    assert_eq!(count(&store, 8), 10);
    store.close().unwrap();
    drop(store);
    let store = open_at(folder.path()).unwrap();
    assert_eq!((count(&store, 7), count(&store, 8)), (0, 10));
}
