//! Pre-images: their life, and their tables.

use std::time::Duration;

use super::*;

const SECOND: u64 = 1_000;

/// One entry with an image of `bytes` bytes; its time.
fn change(store: &Store, number: i64, bytes: usize) -> ClusterTime {
    let (sender, time) = mpsc::channel();
    write(store, move |commit| {
        let time = append(commit, number);
        let mut before = number.to_le_bytes().to_vec();
        before.resize(bytes.max(8), 7);
        commit.keep_image(time, 0, before);
        sender.send(time).unwrap();
        Ok(())
    })
    .unwrap();
    time.recv().unwrap()
}

fn numbers(store: &Store) -> Vec<i64> {
    let all = store.images((ClusterTime::ZERO, 0), usize::MAX).unwrap();
    all.iter().map(|image| i64::from_le_bytes(image.before[..8].try_into().unwrap())).collect()
}

fn tables(store: &Store) -> usize {
    store.snapshot().log.images.len()
}

/// CS-9.5.1: to the millisecond for readers; on disk some time later, whole tables at a time.
#[test]
fn images_expire_exactly_and_their_tables_go_later() {
    on_both(|location| {
        let clock = TestClock::at(1_000 * SECOND);
        let store = open_with(location.clone(), clock.clone(), Options::default()).unwrap();
        store.set_image_life(Some(Duration::from_secs(32)));
        let mut times = Vec::new();
        for number in 0..100_u32 {
            clock.set((1_000 + u64::from(number)) * SECOND);
            times.push(change(&store, i64::from(number), 1_000));
        }
        // The newest was written at 1,099 s.
        let alive = |store: &Store, from: usize| {
            let expected: Vec<i64> = (from..100).map(|n| i64::try_from(n).unwrap()).collect();
            assert_eq!(numbers(store), expected);
            for (number, time) in times.iter().enumerate() {
                assert_eq!(store.image(*time, 0).unwrap().is_some(), number >= from, "{number}");
            }
        };
        alive(&store, 68);
        clock.set(1_100 * SECOND - 1);
        alive(&store, 68);
        clock.set(1_100 * SECOND);
        alive(&store, 69);
        // The housekeeping of the first is done when the second is.
        write(&store, |_| Ok(())).unwrap();
        write(&store, |_| Ok(())).unwrap();
        // A table ends when it is two seconds old, the sixteenth part of a life.
        let kept = tables(&store);
        assert!((10..=12).contains(&kept), "{kept} tables");
        let bytes = store.window().bytes;
        assert!((32_000..60_000).contains(&bytes), "{bytes} bytes");
        // The entries themselves stay.
        assert_eq!(read_from(&store, ClusterTime::ZERO).len(), 100);
        store.close().unwrap();
        drop(store);
        if location == Location::Memory {
            return;
        }
        let store = open_with(location, clock.clone(), Options::default()).unwrap();
        assert_eq!(tables(&store), kept);
        assert_eq!(store.window().bytes, bytes);
        store.set_image_life(Some(Duration::from_secs(32)));
        alive(&store, 69);
        store.set_image_life(Some(Duration::from_secs(10)));
        alive(&store, 91);
        clock.set(2_000 * SECOND);
        alive(&store, 100);
        // Whatever is written next takes the tables along, also the one that was being filled.
        write(&store, |_| Ok(())).unwrap();
        write(&store, |_| Ok(())).unwrap();
        assert_eq!(tables(&store), 0);
        let time = change(&store, 100, 8);
        assert!(store.image(time, 0).unwrap().is_some());
        assert_eq!(tables(&store), 1);
    });
}

#[test]
fn without_a_life_images_leave_with_their_entries() {
    on_both(|location| {
        let options = Options { oplog_bytes: 4 << 20, ..Options::default() };
        let clock = TestClock::at(1_000 * SECOND);
        let store = open_with(location.clone(), clock.clone(), options.clone()).unwrap();
        // The entries are small, the images are large: it is these that make the log too large.
        let times: Vec<ClusterTime> = (0..60).map(|number| change(&store, number, 200_000)).collect();
        write(&store, |_| Ok(())).unwrap();
        let window = store.window();
        assert!(window.bytes <= 4 << 20 && window.bytes > 1 << 20, "{window:?}");
        let lost = window.lost_before.unwrap();
        let check = |store: &Store| {
            for time in &times {
                assert_eq!(store.image(*time, 0).unwrap().is_some(), *time >= lost);
            }
            assert_eq!(numbers(store).len(), read_from(store, lost).len());
            assert!(tables(store) <= store.snapshot().log.segments.len());
        };
        check(&store);
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
fn images_are_read_on_from_any_place() {
    on_both_open(|store, _, _| {
        write(&store, |commit| {
            for number in 0..3 {
                let time = append(commit, number);
                for index in 0..2 {
                    commit.keep_image(time, index, vec![u8::try_from(index).unwrap(); 10]);
                }
            }
            Ok(())
        })
        .unwrap();
        let all = store.images((ClusterTime::ZERO, 0), usize::MAX).unwrap();
        let places: Vec<_> = all.iter().map(|image| (image.time, image.index)).collect();
        assert_eq!(places.len(), 6);
        assert!(places.is_sorted());
        assert!(all.iter().all(|image| image.wall_ms == 1_000_000));
        for (at, place) in places.iter().enumerate() {
            assert_eq!(store.images(*place, usize::MAX).unwrap(), all[at..]);
            assert_eq!(store.images(*place, 11).unwrap(), all[at..6.min(at + 2)]);
            assert_eq!(store.images(*place, 0).unwrap(), all[at..=at]);
        }
        assert!(store.images((places[5].0, 2), 1).unwrap().is_empty());
    });
}

/// What a warning about a watcher that falls behind is made from.
#[test]
fn the_rest_of_the_log_counts_from_the_segment() {
    let clock = TestClock::at(1_000 * SECOND);
    let options = Options { oplog_bytes: 32 << 20, ..Options::default() };
    let store = open_with(Location::Memory, clock.clone(), options).unwrap();
    let mut times = Vec::new();
    for number in 0..100_u32 {
        clock.set((1_000 + u64::from(number)) * SECOND);
        times.push(change(&store, i64::from(number), 100_000));
    }
    write(&store, |_| Ok(())).unwrap();
    let total = store.window().bytes;
    let rests: Vec<_> = times.iter().map(|time| store.log_rest(*time)).collect();
    assert_eq!(rests[0].bytes, total);
    assert_eq!(store.log_rest(ClusterTime::ZERO).bytes, total);
    assert!(rests.is_sorted_by(|a, b| a.bytes >= b.bytes && a.last_wall_ms <= b.last_wall_ms));
    for (number, rest) in rests.iter().enumerate() {
        // What was written from there on, and less than a segment of 2 MiB more.
        let least = (100 - number as u64) * 100_000;
        assert!((least..least + (3 << 20)).contains(&rest.bytes), "{number}: {rest:?} of {total}");
        assert!(rest.last_wall_ms >= (1_000 + number as u64) * SECOND);
    }
    assert_eq!(rests[99].last_wall_ms, 1_099 * SECOND);
}
