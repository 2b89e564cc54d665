//! Crashes: whatever happens to the end of the journal, whole groups come back.

use std::{fs, path::PathBuf};

use super::*;

/// A folder as a crash leaves it after some groups. Group `n` puts
/// `n` under "left" and "right" and logs `n`.
struct Crash {
    folder: tempfile::TempDir,
    /// Where the journal ended before the first group and after each one.
    ends: Vec<u64>,
}

impl Crash {
    fn after(groups: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open_at(folder.path()).unwrap();
        let journal = only_journal(folder.path());
        let mut ends = vec![used(&journal)];
        for number in 1..=groups {
            write(&store, move |commit| {
                put(commit, "left", &number.to_string());
                let time = commit.tick();
                commit.append(time, padded(number, 5_000));
                put(commit, "right", &number.to_string());
                Ok(())
            })
            .unwrap();
            ends.push(used(&journal));
        }
        abandon(store);
        // Fewer zeros at the end, so that copies are quick.
        let file = fs::OpenOptions::new().write(true).open(&journal).unwrap();
        file.set_len(used(&journal) + 100).unwrap();
        Self { folder, ends }
    }

    /// Opens a copy with a changed journal; returns the last group that is there.
    fn reopen(&self, change: impl FnOnce(&mut Vec<u8>)) -> Result<i64> {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        let journal = only_journal(copy.path());
        let mut bytes = fs::read(&journal).unwrap();
        change(&mut bytes);
        fs::write(&journal, bytes).unwrap();

        let last = look(&open_at(copy.path())?);
        // It can be written to, and what is written is there after the next crash too.
        let store = open_at(copy.path())?;
        assert_eq!(look(&store), last);
        write(&store, move |commit| {
            let next = (last + 1).to_string();
            put(commit, "left", &next);
            put(commit, "right", &next);
            append(commit, last + 1);
            Ok(())
        })
        .unwrap();
        abandon(store);
        // Once after the crash, once after the clean stop at the end of that.
        assert_eq!(look(&open_at(copy.path())?), last + 1);
        assert_eq!(look(&open_at(copy.path())?), last + 1);
        Ok(last)
    }
}

/// A large transaction is several entries, each larger than a document can be, and more together than a journal is long:
/// all of it comes back, and can be read entry by entry.
#[test]
fn a_group_larger_than_a_journal_survives() {
    const ENTRIES: i64 = 5;
    const ENTRY_BYTES: usize = (16 << 20) + 40_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path()).unwrap();
    write(&store, |commit| {
        for number in 1..=ENTRIES {
            let time = commit.tick();
            commit.append(time, padded(number, ENTRY_BYTES));
            commit.keep_image(time, 0, vec![1; 1_000]);
        }
        Ok(())
    })
    .unwrap();
    let check = |store: &Store| {
        assert_eq!(read_from(store, ClusterTime::ZERO), (1..=ENTRIES).collect::<Vec<_>>());
        let last = store.read_log_backwards(ClusterTime::MAX, 1).unwrap().remove(0);
        assert_eq!((number(&last), last.bytes.len() > ENTRY_BYTES), (ENTRIES, true));
        assert_eq!(store.image(last.time, 0).unwrap().map(|image| image.len()), Some(1_000));
    };
    check(&store);
    abandon(store);
    // Once after the crash, once after the clean stop at the end of that.
    check(&open_at(folder.path()).unwrap());
    check(&open_at(folder.path()).unwrap());
}

/// Ends a store as a crash would: a store that has failed leaves its files as they are.
fn abandon(store: Store) {
    store.shared().failed.store(true, Ordering::Release);
    store.close().unwrap();
}

fn look(store: &Store) -> i64 {
    let now = store.snapshot();
    assert_eq!(get(&now, "left"), get(&now, "right"));
    let last = get(&now, "left").map_or(0, |left| left.parse().unwrap());
    assert_eq!(read_from(store, ClusterTime::ZERO), (1..=last).collect::<Vec<_>>());
    last
}

fn only_journal(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder.join("data")).unwrap();
    let mut journals: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .collect();
    assert_eq!(journals.len(), 1);
    journals.remove(0)
}

/// Bytes of a journal before its zeros.
fn used(journal: &Path) -> u64 {
    let bytes = fs::read(journal).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Places worth breaking in the last group: its borders, its first and last bytes, its middle.
fn places(crash: &Crash) -> Vec<usize> {
    let [.., start, end] = crash.ends[..] else { panic!("too few groups") };
    let (start, end) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
    let mut places = vec![start, (start + end) / 2, end - 1];
    places.extend([1, 5, 13, 14, 20, 34, 40].map(|offset| start + offset));
    places.extend([2, 4, 5, 12, 13, 60].map(|offset| end - offset));
    places
}

#[test]
fn an_untouched_journal_brings_everything_back() {
    let crash = Crash::after(3);
    assert_eq!(crash.reopen(|_| ()).unwrap(), 3);
    assert_eq!(crash.reopen(|bytes| bytes.resize(1 << 20, 0)).unwrap(), 3);
}

#[test]
fn a_truncated_journal_brings_back_whole_groups() {
    let crash = Crash::after(3);
    for place in places(&crash) {
        assert_eq!(crash.reopen(|bytes| bytes.truncate(place)).unwrap(), 2, "at {place}");
        // The same, but the file keeps its length.
        assert_eq!(crash.reopen(|bytes| bytes[place..].fill(0)).unwrap(), 2, "zeros at {place}");
    }
    for (group, end) in (0_i64..).zip(&crash.ends) {
        let end = usize::try_from(*end).unwrap();
        assert_eq!(crash.reopen(|bytes| bytes.truncate(end)).unwrap(), group);
    }
}

#[test]
fn a_hole_in_the_last_group_drops_that_group() {
    let crash = Crash::after(3);
    let start = usize::try_from(crash.ends[2]).unwrap();
    // The journal's checksum does not cover the batch's number (bytes 5 to 12): a torn page can only
    // turn it into zeros.
    assert_eq!(crash.reopen(|bytes| bytes[start + 5..start + 13].fill(0)).unwrap(), 2);
    for place in places(&crash) {
        if place == start + 5 {
            continue;
        }
        let reopened = crash.reopen(|bytes| bytes[place] ^= 0x55);
        assert_eq!(reopened.unwrap(), 2, "at {place}");
    }
    assert_eq!(crash.reopen(|bytes| bytes[start + 100..start + 4_000].fill(0)).unwrap(), 2);
}

#[test]
fn garbage_after_the_last_group_is_cut() {
    let crash = Crash::after(2);
    let end = usize::try_from(crash.ends[2]).unwrap();
    let mut random = 12_345_u64;
    for first in 0..=255 {
        let mut garbage = vec![first];
        for _ in 0..200 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            garbage.push(random.to_be_bytes()[0]);
        }
        // Opening is enough here: `reopen` is slow.
        if first % 32 < 5 {
            let garbage = garbage.clone();
            let reopened = crash.reopen(|bytes| bytes.splice(end.., garbage).for_each(drop));
            assert_eq!(reopened.unwrap(), 2, "garbage {first}");
        }
    }
}

#[test]
fn damage_before_whole_groups_is_reported_not_cut() {
    let crash = Crash::after(4);
    let inside = usize::try_from(crash.ends[1]).unwrap() + 200;
    let reopened = crash.reopen(|bytes| bytes[inside] ^= 0x55);
    assert!(matches!(reopened, Err(Error::Corrupt(_))), "{reopened:?}");
}

#[test]
fn everything_comes_back_after_a_clean_stop_too() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5_i64 {
        let store = open_at(folder.path()).unwrap();
        let before = read_from(&store, ClusterTime::ZERO);
        assert_eq!(before, (0..round).collect::<Vec<_>>());
        write(&store, move |commit| {
            put(commit, &round.to_string(), "x");
            append(commit, round);
            Ok(())
        })
        .unwrap();
        assert_eq!(keys(&store.snapshot(), Space::Records).len(), usize::try_from(round).unwrap() + 1);
        store.close().unwrap();
    }
}

#[test]
fn many_small_groups_become_files_while_more_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let options =
        Options { memtable_bytes: 64 << 10, flush: crate::Flush::Never, oplog_bytes: 1, ..Options::default() };
    let clock = TestClock::at(1_000_000);
    let store = open_with(location.clone(), clock.clone(), options.clone()).unwrap();
    let answers: Vec<_> = (0..20_000)
        .map(|number| {
            submit(&store, move |commit| {
                put(commit, &format!("{number:06}"), &"x".repeat(200));
                append(commit, number);
                Ok(())
            })
        })
        .collect();
    answers.iter().for_each(|answer| answer.recv().unwrap().unwrap());
    for number in 20_000..24_000 {
        write(&store, move |commit| {
            put(commit, &format!("{number:06}"), &"x".repeat(200));
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(keys(&store.snapshot(), Space::Records).len(), 24_000);
    store.close().unwrap();
    drop(store);
    assert_eq!(used(&only_journal(folder.path())), 0);
    let store = open_with(location, clock, options).unwrap();
    assert_eq!(keys(&store.snapshot(), Space::Records).len(), 24_000);
}
