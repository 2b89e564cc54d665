//! A group of real processes that are killed, stopped, and started, and a server that is killed with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bson::doc;
use millstream_watch::{Backoff, ChangeStreams, Event, Fence, Group, GroupStatus, Settings};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{key, orders, version};
use crate::support::Server;
use crate::support::server::signal;

const URI: &str = "GROUP_MEMBER_URI";
const LOG: &str = "GROUP_MEMBER_LOG";
const KEYS: i32 = 60;

/// What a member did. The clock is the machine's, which all processes share.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Act {
    at: u128,
    begins: bool,
    fence: Fence,
    key: i32,
    version: i32,
    member: String,
}

/// Run by itself this does nothing; the test below starts it as the processes of a group.
#[test]
fn member_process() {
    let (Ok(uri), Ok(log)) = (std::env::var(URI), std::env::var(LOG)) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let name = Path::new(&log).file_name().unwrap().to_string_lossy().into_owned();
        let file = Arc::new(File::options().create(true).append(true).open(&log).unwrap());
        let streams = ChangeStreams::connect(&uri).await.unwrap();
        let settings =
            Settings { concurrency: 3, save_every: Duration::from_millis(300), queue: 200, ..Settings::default() };
        let watch = streams.watch_collection("shop", "orders").settings(settings);
        let watch = watch.backoff(Backoff { longest: Duration::from_millis(300), ..Backoff::default() });
        let handle = watch
            .group(Group::new("billing", "teams").member(&name))
            .for_each_fenced(move |event: Event, fence: Fence| {
                let file = Arc::clone(&file);
                async move {
                    act(&file, "begins", &event, fence);
                    tokio::time::sleep(Duration::from_millis(rand::random::<u64>() % 8)).await;
                    act(&file, "ends", &event, fence);
                    Ok::<_, String>(())
                }
            })
            .await
            .unwrap();
        // A word, or the end of the one who started this.
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
        handle.stop();
        handle.join().await.unwrap();
    });
}

/// The clock is read first: what a stopped process writes later was done when it says.
fn act(mut file: &File, what: &str, event: &Event, fence: Fence) {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let Fence { partition, epoch } = fence;
    let line = format!("{at} {what} {partition} {epoch} {} {}\n", key(event), version(event));
    file.write_all(line.as_bytes()).unwrap();
}

struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Process {
    fn start(server: &Server, folder: &Path, number: usize) -> Self {
        let name = format!("member-{number:02}");
        let errors = File::create(folder.join(format!("errors-{number:02}"))).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["groups::faults::member_process", "--exact", "--nocapture"])
            .env(URI, server.uri())
            .env(LOG, folder.join(&name))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        Self { name, child, stdin }
    }

    fn end(&mut self) -> bool {
        self.stdin = None;
        self.child.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Until these have all partitions, in fair shares; says how long that took.
async fn until_owned(streams: &ChangeStreams, members: &[&Process]) -> Duration {
    let began = Instant::now();
    let mut last = None;
    while began.elapsed() < Duration::from_secs(30) {
        let Ok(Some(status)) = GroupStatus::read(streams.connection(), "teams", "billing").await else { continue };
        let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
        for owner in status.partitions.iter().filter_map(|partition| partition.owner.as_deref()) {
            *shares.entry(owner.split(':').next().unwrap()).or_default() += 1;
        }
        let fair = |count: &usize| (64 / members.len()..=64_usize.div_ceil(members.len())).contains(count);
        let all = members.iter().all(|member| shares.get(member.name.as_str()).is_some_and(fair));
        if all && shares.len() == members.len() {
            return began.elapsed();
        }
        last = Some(status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    panic!("{names:?} never had all partitions: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_done_by_two_at_a_time_whatever_happens_to_members() {
    let seed = std::env::var("GROUP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("GROUP_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::durable();
    let folder = tempfile::tempdir().unwrap();
    let streams = ChangeStreams::connect(&server.uri()).await.unwrap();
    let mut started = 0;
    let mut start = |server: &Server| {
        started += 1;
        Process::start(server, folder.path(), started)
    };
    let mut members: Vec<Process> = (0..4).map(|_| start(&server)).collect();
    until_owned(&streams, &members.iter().collect::<Vec<_>>()).await;

    // Many keys, each with versions that count up, whatever happens meanwhile.
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, collection) = (Arc::clone(&stop), orders(streams.connection()));
    let writer = tokio::spawn(async move {
        let mut versions = vec![-1; KEYS as usize];
        while !stopped.load(Ordering::SeqCst) {
            let key = rand::random::<u32>() % KEYS as u32;
            let version = &mut versions[key as usize];
            *version += 1;
            // With its `_id`, so that what was written and not acknowledged changes nothing when it comes again.
            let replacement = doc! {"_id": key as i32, "n": *version};
            while collection.replace_one(doc! {"_id": key as i32}, replacement.clone()).upsert(true).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        versions
    });

    let mut figures = Vec::new();
    for fault in ["kill", "stop", "restart", "kill", "leave", "kill and stop"] {
        tokio::time::sleep(Duration::from_millis(random.random_range(200..900))).await;
        let mut victim = members.remove(random.random_range(0..members.len()));
        match fault {
            "kill" => {
                victim.child.kill().unwrap();
                figures.push(until_owned(&streams, &members.iter().collect::<Vec<_>>()).await);
                members.push(start(&server));
            }
            "stop" => {
                signal(&victim.child, "-STOP");
                until_owned(&streams, &members.iter().collect::<Vec<_>>()).await;
                tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await;
                signal(&victim.child, "-CONT");
                members.push(victim);
            }
            "restart" => {
                members.push(victim);
                server.kill();
                // Sometimes for longer than a lease.
                tokio::time::sleep(Duration::from_millis(random.random_range(0..4_000))).await;
                server.start_again();
            }
            "leave" => {
                members.push(start(&server));
                assert!(victim.end(), "{} did not end well", victim.name);
            }
            _ => {
                let other = members.remove(random.random_range(0..members.len()));
                signal(&other.child, "-STOP");
                victim.child.kill().unwrap();
                figures.push(until_owned(&streams, &members.iter().collect::<Vec<_>>()).await);
                signal(&other.child, "-CONT");
                members.push(other);
                members.push(start(&server));
            }
        }
        until_owned(&streams, &members.iter().collect::<Vec<_>>()).await;
    }
    println!("all partitions were owned again after {figures:?}");
    assert!(figures.iter().all(|figure| *figure < Duration::from_secs(15)), "{figures:?}");

    stop.store(true, Ordering::SeqCst);
    let written = writer.await.unwrap();
    let expected: usize = written.iter().map(|last| usize::try_from(last + 1).unwrap()).sum();
    let mut acts = Vec::new();
    for _ in 0..600 {
        acts = read_acts(folder.path());
        let ends = acts.iter().filter(|act| !act.begins).map(|act| (act.key, act.version));
        if ends.collect::<BTreeSet<_>>().len() == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for member in &mut members {
        assert!(member.end(), "{} did not end well", member.name);
    }
    check(&acts, &written);
}

fn read_acts(folder: &Path) -> Vec<Act> {
    let mut acts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let member = path.file_name().unwrap().to_string_lossy().into_owned();
        if !member.starts_with("member") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // A member that was killed may have left half a line.
        for line in text.lines().filter(|line| line.split(' ').count() == 6) {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<i64>().unwrap();
            acts.push(Act {
                at: words[0].parse().unwrap(),
                begins: words[1] == "begins",
                fence: Fence { partition: number(2) as u32, epoch: number(3) },
                key: number(4) as i32,
                version: number(5) as i32,
                member: member.clone(),
            });
        }
    }
    acts.sort_by_key(|act| act.at);
    acts
}

/// Who has a partition.
#[derive(Debug, Clone, Copy)]
struct Hand<'a> {
    epoch: i64,
    member: &'a str,
    works_on: Option<(i32, i32)>,
}

fn check(acts: &[Act], written: &[i32]) {
    // Everything was done.
    let done: BTreeSet<(i32, i32)> = acts.iter().filter(|act| !act.begins).map(|act| (act.key, act.version)).collect();
    for (key, last) in (0..).zip(written) {
        for version in 0..=*last {
            assert!(done.contains(&(key, version)), "key {key} version {version} was never done");
        }
    }
    println!("{} events, {} times done", done.len(), acts.iter().filter(|act| !act.begins).count());
    // A partition is in one hand at a time, and nobody acts for it again after another did: so never two on one key.
    let mut hands: BTreeMap<u32, Hand<'_>> = BTreeMap::new();
    for act in acts {
        let Fence { partition, epoch } = act.fence;
        let new = Hand { epoch, member: &act.member, works_on: None };
        let hand = hands.entry(partition).or_insert(new);
        assert!(hand.epoch <= epoch, "an earlier owner acts again: {act:?} after {hand:?}");
        if hand.epoch < epoch {
            *hand = new;
        }
        assert_eq!(hand.member, act.member, "two owners with one number: {act:?}");
        let expected = if act.begins { None } else { Some((act.key, act.version)) };
        assert_eq!(hand.works_on, expected, "one at a time: {act:?}");
        hand.works_on = act.begins.then_some((act.key, act.version));
    }
    // In each hand a key's versions come one after the other, and no hand begins behind something that was not done.
    let mut last: BTreeMap<(i32, i64), i32> = BTreeMap::new();
    let mut highest: BTreeMap<i32, i32> = BTreeMap::new();
    for act in acts {
        if !act.begins {
            let highest = highest.entry(act.key).or_insert(-1);
            *highest = act.version.max(*highest);
            continue;
        }
        let highest = highest.get(&act.key).copied().unwrap_or(-1);
        assert!(act.version <= highest + 1, "something was skipped: {act:?}, {highest} was done");
        if let Some(before) = last.insert((act.key, act.fence.epoch), act.version) {
            let same: Vec<_> = acts.iter().filter(|other| other.key == act.key).collect();
            assert_eq!(act.version, before + 1, "out of order: {act:?} in {same:#?}");
        }
    }
}
