//! What the disk can do to the journal, on a disk that fails on demand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::store::compaction;
use crate::store::disk::Disk;
use crate::store::disk::faulty::{Fault, FaultyDisk, PAGE};
use crate::store::map::SHARDS;
use crate::store::replay::replay;

pub(crate) type Pairs = BTreeMap<String, String>;

/// A journal on a new file, and the map that it fills.
pub(crate) struct Rig {
    pub(crate) disk: Arc<FaultyDisk>,
    pub(crate) journal: Journal,
    pub(crate) map: Map,
    pub(crate) folder: TempDir,
}

impl Rig {
    pub(crate) fn new(when: SyncWhen) -> Self {
        Self::new_at(when, Path::to_path_buf)
    }

    /// The same, where the file is opened by the name that `name` makes of its path.
    pub(crate) fn new_at(when: SyncWhen, name: impl FnOnce(&Path) -> PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let path = name(&folder.path().join("data.jsonl"));
        let data = DataFile::open(&path, &(Arc::clone(&disk) as Arc<dyn Disk>)).unwrap();
        let journal = Journal::new(data, &Replayed::default(), when);
        disk.take_calls();
        Rig { disk, journal, map: Map::default(), folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("data.jsonl")
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Result<(), NotKept> {
        self.journal.keep(key, value, &self.map).map(drop)
    }

    pub(crate) fn compact(&self) -> io::Result<()> {
        compaction::run(&self.journal, &self.map, || Ok(()))
    }

    pub(crate) fn in_memory(&self) -> Pairs {
        let mut lines = Vec::new();
        for shard in 0..SHARDS {
            self.map.write_shard(shard, &mut lines);
        }
        pairs_of(&lines)
    }

    /// What a server finds that starts after this one was killed.
    pub(crate) fn after_a_kill(&self) -> Pairs {
        pairs_of(&fs::read(self.path()).unwrap())
    }

    /// What a server may find that starts after a loss of power.
    pub(crate) fn after_power_loss(&self) -> Vec<Pairs> {
        self.disk.after_power_loss(&self.path()).iter().map(|bytes| pairs_of(bytes)).collect()
    }

    /// Checks that memory, file and disk hold these pairs and no others.
    #[track_caller]
    pub(crate) fn expect(&self, wanted: &[(&str, &str)]) {
        let wanted = pairs(wanted);
        assert_eq!(self.in_memory(), wanted, "in memory\n{:?}", self.disk);
        assert_eq!(self.after_a_kill(), wanted, "in the file\n{:?}", self.disk);
        for found in self.after_power_loss() {
            assert_eq!(found, wanted, "on the disk\n{:?}", self.disk);
        }
        self.expect_its_size();
    }

    /// Checks that the writer knows how large the file is.
    #[track_caller]
    pub(crate) fn expect_its_size(&self) {
        let bytes = fs::read(self.path()).unwrap();
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        let size = self.journal.size();
        assert_eq!((size.bytes, size.records), (bytes.len() as u64, lines as u64));
    }

    /// Waits until so many sets wait; or long enough, and leaves it to the test to fail: who
    /// waits here leads, and would keep all others waiting by a panic.
    fn wait_for_waiting(&self, sets: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let open = || lock(&self.journal.open).as_ref().map_or(0, |batch| batch.sets.len());
        while open() < sets && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sets each of `keys` at the same time: the first alone, and the others once it is on its way to
    /// the disk, which a watcher of the disk can hold up until they wait.
    fn set_first_and_others(
        &self,
        keys: &[impl AsRef<str>],
        value: &str,
    ) -> Vec<thread::Result<Result<(), NotKept>>> {
        let number = self.journal.batches.load(Ordering::Relaxed);
        let has_left = || {
            let open = lock(&self.journal.open).is_some();
            !open && self.journal.batches.load(Ordering::Relaxed) > number
        };
        thread::scope(|scope| {
            let start = |key| scope.spawn(move || self.set(key, value));
            let mut keys = keys.iter().map(AsRef::as_ref);
            let mut sets: Vec<_> = keys.next().map(start).into_iter().collect();
            while !has_left() {
                thread::sleep(Duration::from_millis(1));
            }
            sets.extend(keys.map(start));
            sets.into_iter().map(thread::ScopedJoinHandle::join).collect()
        })
    }

    /// As if the pause after a rewrite that failed were over.
    pub(crate) fn pause_is_over(&self) {
        self.journal.writer().hurry();
    }
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect()
}

/// What a start makes of these bytes.
pub(crate) fn pairs_of(bytes: &[u8]) -> Pairs {
    static KNOWN: Mutex<BTreeMap<Vec<u8>, Pairs>> = Mutex::new(BTreeMap::new());
    let mut pairs = Pairs::new();
    if bytes.contains(&0) || !(bytes.is_empty() || bytes.ends_with(b"\n")) {
        // Some come ten thousand times.
        if let Some(pairs) = lock(&KNOWN).get(bytes) {
            return pairs.clone();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        fs::write(&path, bytes).unwrap();
        let disk = Arc::new(FaultyDisk::default()) as Arc<dyn Disk>;
        let data = DataFile::open(&path, &disk).unwrap();
        let replayed = replay(&data, |record| {
            pairs.insert(record.key.to_string(), record.value.to_string());
        });
        replayed.unwrap_or_else(|error| panic!("{error:#} in {}", bytes.escape_ascii()));
        lock(&KNOWN).insert(bytes.to_vec(), pairs.clone());
        return pairs;
    }
    // The same, for the many that are in order.
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        match record::read(line) {
            Ok(Some(record)) => pairs.insert(record.key.into(), record.value.into()),
            other => panic!("{other:?} in {}", bytes.escape_ascii()),
        };
    }
    pairs
}

impl Journal {
    /// Whether somebody has the writer, so that a set would have to wait.
    pub(crate) fn is_busy(&self) -> bool {
        self.writer.try_lock().is_err()
    }
}

#[test]
fn a_set_is_appended_then_synced_then_read_then_answered() {
    let rig = Arc::new(Rig::new(SyncWhen::Always));
    rig.set("a", "1").unwrap();
    rig.disk.take_calls();
    let watching = Arc::downgrade(&rig);
    rig.disk.watch(move |_| {
        let rig = watching.upgrade().unwrap();
        assert!(rig.map.value("a").as_deref() == Some("1"), "read before it was safe");
        None
    });
    rig.set("a", "2").unwrap();
    rig.disk.note("answered");
    assert_eq!(rig.disk.take_calls(), ["append data", "sync data", "answered"]);
    rig.expect(&[("a", "2")]);
}

#[test]
fn without_sync_a_set_is_in_the_file_when_it_is_answered() {
    for when in [SyncWhen::Never, SyncWhen::Every(Duration::from_hours(1))] {
        let rig = Rig::new(when);
        rig.set("a", "1").unwrap();
        rig.disk.note("answered");
        assert_eq!(rig.disk.take_calls(), ["append data", "answered"]);
        assert_eq!(rig.after_a_kill(), pairs(&[("a", "1")]));
        rig.journal.sync(&rig.map).unwrap();
        // With nothing new there is nothing to sync.
        rig.journal.sync(&rig.map).unwrap();
        assert_eq!(rig.disk.take_calls(), ["sync data"]);
        rig.expect(&[("a", "1")]);
    }
}

#[test]
fn an_append_that_fails_leaves_no_trace() {
    for when in [SyncWhen::Always, SyncWhen::Never] {
        for fault in [Fault::Nothing, Fault::Half, Fault::All] {
            let rig = Rig::new(when);
            rig.set("a", "1").unwrap();
            rig.journal.sync(&rig.map).unwrap();
            rig.disk.fail("append data", fault);
            for (key, value) in [("a", "2"), ("b", "1")] {
                assert_eq!(&*rig.set(key, value).unwrap_err(), "the disk is full");
            }
            if when == SyncWhen::Never {
                rig.journal.sync(&rig.map).unwrap();
            }
            rig.expect(&[("a", "1")]);
            rig.disk.repair();
            rig.set("c", "1").unwrap();
            rig.journal.sync(&rig.map).unwrap();
            rig.expect(&[("a", "1"), ("c", "1")]);
        }
    }
}

#[test]
fn what_cannot_be_cut_off_is_not_built_on() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    rig.disk.watch(|call| match call {
        "append data" => Some(Fault::Half),
        "truncate data" => Some(Fault::Nothing),
        _ => None,
    });
    rig.set("a", "2").unwrap_err();
    rig.expect(&[("a", "1")]);
    rig.disk.repair();
    rig.set("b", "1").unwrap();
    rig.expect(&[("a", "1"), ("b", "1")]);
}

/// What this must not do is sync again, hear "fine", and answer 200 to a set whose line is
/// after a hole.
#[test]
fn after_a_sync_that_failed_the_file_is_rewritten() {
    for fault in [Fault::Nothing, Fault::Half, Fault::All] {
        let rig = Rig::new(SyncWhen::Always);
        rig.set("a", "1").unwrap();
        rig.set("b", "1").unwrap();
        rig.disk.take_calls();
        rig.disk.fail_once("sync data", fault);
        let error = rig.set("a", "2").unwrap_err();
        assert!(error.starts_with("the disk reports an error"), "{error}");
        rig.expect(&[("a", "1"), ("b", "1")]);
        rig.set("c", "1").unwrap();
        rig.expect(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let mut calls = rig.disk.take_calls();
        calls.dedup();
        assert_eq!(
            calls,
            [
                "append data",
                "sync data",
                "truncate data",
                "append new",
                "sync new",
                "rename",
                "sync folder",
                "append data",
                "sync data"
            ]
        );
    }
}

#[test]
fn a_file_that_is_not_trusted_is_not_written_until_it_could_be_replaced() {
    for obstacle in ["append new", "sync new", "rename", "sync folder"] {
        for fault in [Fault::Nothing, Fault::Half, Fault::All] {
            let rig = Rig::new(SyncWhen::Always);
            rig.set("a", "1").unwrap();
            rig.disk.watch(move |call| match call {
                "sync data" => Some(fault),
                call => (call == obstacle).then_some(fault),
            });
            rig.set("a", "2").unwrap_err();
            rig.disk.take_calls();
            for pause in [false, true] {
                if pause {
                    rig.pause_is_over();
                }
                rig.set("b", "1").unwrap_err();
                let calls = rig.disk.take_calls();
                let tried = calls.iter().any(|call| call == obstacle);
                assert_eq!(tried, pause, "{obstacle}: {calls:?}");
                assert!(!calls.iter().any(|call| call == "append data"), "{calls:?}");
                // A server that is killed now does not come back with what was refused.
                assert_eq!(rig.in_memory(), pairs(&[("a", "1")]), "{obstacle}");
                assert_eq!(rig.after_a_kill(), pairs(&[("a", "1")]), "{obstacle}");
            }
            rig.disk.repair();
            rig.pause_is_over();
            rig.set("b", "2").unwrap();
            rig.expect(&[("a", "1"), ("b", "2")]);
            assert_eq!(fs::read_dir(rig.folder.path()).unwrap().count(), 1);
        }
    }
}

#[test]
fn a_sync_that_failed_between_sets_is_made_good_by_the_next() {
    let rig = Rig::new(SyncWhen::Never);
    rig.set("a", "1").unwrap();
    rig.disk.watch(|call| matches!(call, "sync data" | "rename").then_some(Fault::Nothing));
    // Not "fine" the second time either: the pair is still not on the disk.
    rig.journal.sync(&rig.map).unwrap_err();
    rig.journal.sync(&rig.map).unwrap_err();
    assert_eq!(rig.after_a_kill(), pairs(&[("a", "1")]));
    rig.disk.repair();
    rig.pause_is_over();
    rig.journal.sync(&rig.map).unwrap();
    rig.expect(&[("a", "1")]);

    rig.set("b", "1").unwrap();
    rig.disk.fail_once("sync data", Fault::Nothing);
    rig.journal.sync(&rig.map).unwrap();
    rig.expect(&[("a", "1"), ("b", "1")]);
}

/// Goes through sets and compactions with a disk on which calls fail, `first` and, if there is
/// one, `second`, counted from 0, and checks after each step that nothing is lost. Returns
/// whether the last of the calls came.
fn survives(fault: Fault, first: usize, second: Option<usize>) -> bool {
    let rig = Rig::new(SyncWhen::Always);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    rig.disk.watch(move |_| {
        let call = counted.fetch_add(1, SeqCst);
        (call == first || Some(call) == second).then_some(fault)
    });
    let mut kept = Pairs::new();
    let mut refused: Vec<(String, String)> = Vec::new();
    for step in 0..9 {
        if step % 4 == 3 {
            let _ = rig.compact();
        } else {
            let pair = (["a", "b"][step % 2].to_string(), step.to_string());
            match rig.set(&pair.0, &pair.1) {
                Ok(()) => {
                    refused.retain(|(key, _)| *key != pair.0);
                    kept.extend([pair]);
                }
                Err(_) => refused.push(pair),
            }
        }
        let context = format!("{fault:?} at {first} and {second:?}: {:?}", rig.disk);
        assert_eq!(rig.in_memory(), kept, "{context}");
        assert_eq!(rig.after_a_kill(), kept, "{context}");
        for found in rig.after_power_loss() {
            if second.is_none() {
                assert_eq!(found, kept, "{context}");
            }
            // Where a sync failed and so did what should have made up for it, a value that was
            // refused may be there. One that was answered may not be gone.
            for key in kept.keys().chain(found.keys()) {
                let value = found.get(key);
                let is_refused = |pair: &(String, String)| (&pair.0, Some(&pair.1)) == (key, value);
                assert!(
                    value == kept.get(key) || refused.iter().any(is_refused),
                    "{key}: {value:?} and not {:?}, {context}",
                    kept.get(key)
                );
            }
        }
    }
    rig.disk.repair();
    rig.pause_is_over();
    rig.set("c", "1").unwrap();
    kept.insert("c".into(), "1".into());
    let kept: Vec<_> = kept.iter().map(|(key, value)| (&**key, &**value)).collect();
    rig.expect(&kept);
    assert_eq!(fs::read_dir(rig.folder.path()).unwrap().count(), 1);
    calls.load(SeqCst) > second.unwrap_or(first)
}

/// More calls than there are.
const MANY: usize = 99;

#[test]
fn every_call_may_fail_and_nothing_is_lost() {
    for fault in [Fault::Nothing, Fault::Half, Fault::All] {
        let calls = (0..MANY).take_while(|&call| survives(fault, call, None)).count();
        assert!((20..MANY).contains(&calls), "{calls}");
    }
}

#[test]
fn every_two_calls_may_fail_and_nothing_is_lost() {
    // Side by side, as most of the time it is the disk that is waited for.
    const THREADS: usize = 3;
    for fault in [Fault::Nothing, Fault::Half, Fault::All] {
        let pairs = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let pairs = &pairs;
                scope.spawn(move || {
                    for first in (number..MANY).step_by(THREADS) {
                        let second = first + 1..MANY;
                        let survived =
                            second.take_while(|&call| survives(fault, first, Some(call)));
                        pairs.fetch_add(survived.count(), SeqCst);
                    }
                });
            }
        });
        let pairs = pairs.into_inner();
        assert!(pairs > 200, "{pairs}");
    }
}

#[test]
fn sets_that_wait_at_the_same_time_share_a_sync() {
    const WRITERS: usize = 64;
    let rig = Arc::new(Rig::new(SyncWhen::Always));
    let watching = Arc::downgrade(&rig);
    rig.disk.watch(move |call| {
        // The first sync takes until all others wait.
        let rig = watching.upgrade().unwrap();
        if call == "sync data" && rig.map.len() == 0 {
            rig.wait_for_waiting(WRITERS - 1);
        }
        None
    });
    let keys: Vec<_> = (0..WRITERS).map(|number| format!("key{number}")).collect();
    let outcomes = rig.set_first_and_others(&keys, "1");
    assert!(outcomes.iter().flatten().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(
        rig.disk.take_calls(),
        ["append data", "sync data", "append data", "sync data"],
        "one for the first, one for the other 63"
    );
    assert_eq!(rig.after_a_kill().len(), WRITERS);
    assert!(rig.after_power_loss().iter().all(|pairs| pairs.len() == WRITERS));
}

#[test]
fn at_64_writers_there_are_far_fewer_syncs_than_sets() {
    const ROUNDS: usize = 10;
    let rig = Arc::new(Rig::new(SyncWhen::Always));
    rig.disk.watch(|call| {
        if call == "sync data" {
            // What a disk takes.
            thread::sleep(Duration::from_millis(5));
        }
        None
    });
    thread::scope(|scope| {
        for writer in 0..64 {
            let rig = &rig;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let (key, value) = (format!("key{writer}"), round.to_string());
                    rig.set(&key, &value).unwrap();
                    assert!(rig.map.value(&key).as_deref() == Some(&*value));
                }
            });
        }
    });
    let calls = rig.disk.take_calls();
    let syncs = calls.iter().filter(|&call| call == "sync data").count();
    assert!(syncs * 8 <= 64 * ROUNDS, "{syncs} syncs for {} sets", 64 * ROUNDS);
    assert_eq!(rig.in_memory(), rig.after_a_kill());
    rig.expect_its_size();
}

#[test]
fn all_that_share_a_failing_write_are_refused() {
    let rig = Arc::new(Rig::new(SyncWhen::Always));
    let appends = AtomicUsize::new(0);
    let watching = Arc::downgrade(&rig);
    rig.disk.watch(move |call| {
        let rig = watching.upgrade().unwrap();
        if call != "append data" {
            return None;
        }
        // The second append is that of the other seven; half of their lines get written.
        let appends = appends.fetch_add(1, SeqCst);
        if appends == 0 {
            rig.wait_for_waiting(7);
        }
        (appends == 1).then_some(Fault::Half)
    });
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let outcomes = rig.set_first_and_others(&keys, "1");
    let kept: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().unwrap().is_ok()).collect();
    assert_eq!(kept, keys.map(|key| key == "a"), "{outcomes:?}");
    rig.expect(&[("a", "1")]);
}

/// The batch is in the file when its leader panics: it must neither stay there nor keep those waiting
/// that have joined it.
#[test]
fn a_batch_whose_leader_panics_is_refused_and_undone() {
    let rig = Arc::new(Rig::new(SyncWhen::Always));
    rig.set("a", "1").unwrap();
    let watching = Arc::downgrade(&rig);
    let appends = AtomicUsize::new(0);
    rig.disk.watch(move |call| {
        let rig = watching.upgrade().unwrap();
        match call {
            // The first sync takes until the other three wait, and theirs is where the panic comes.
            "sync data" if appends.fetch_add(1, SeqCst) == 0 => rig.wait_for_waiting(3),
            "sync data" if appends.load(SeqCst) == 2 => panic!("on purpose"),
            _ => {}
        }
        None
    });
    let outcomes = rig.set_first_and_others(&["a", "b", "c", "d"], "2");
    assert!(matches!(outcomes[0], Ok(Ok(()))), "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1, "{outcomes:?}");
    let refused: Vec<_> =
        outcomes.iter().flatten().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(refused.len(), 2, "{outcomes:?}");
    assert!(refused.iter().all(|why| &***why == "the server failed on it"), "{outcomes:?}");
    assert_eq!(rig.in_memory(), pairs(&[("a", "2")]));
    let found = rig.after_a_kill();
    assert_eq!(found, pairs(&[("a", "2")]), "what was refused is found at the next start");
    rig.disk.repair();
    rig.set("e", "1").unwrap();
    assert_eq!(rig.after_a_kill(), pairs(&[("a", "2"), ("e", "1")]));
    rig.expect_its_size();
}

#[test]
fn sets_go_on_while_the_background_syncs() {
    let rig = Arc::new(Rig::new(SyncWhen::Every(Duration::from_hours(1))));
    rig.set("a", "1").unwrap();
    let watching = Arc::downgrade(&rig);
    rig.disk.watch(move |call| {
        let rig = watching.upgrade().unwrap();
        if call == "sync data" && rig.map.len() == 1 {
            assert!(!rig.journal.is_busy(), "a set would wait for the disk");
            rig.set("b", "1").unwrap();
        }
        None
    });
    rig.journal.sync(&rig.map).unwrap();
    assert_eq!(rig.in_memory(), pairs(&[("a", "1"), ("b", "1")]));
    // What came meanwhile is the next one's.
    rig.disk.take_calls();
    rig.journal.sync(&rig.map).unwrap();
    assert_eq!(rig.disk.take_calls(), ["sync data"]);
    rig.expect(&[("a", "1"), ("b", "1")]);
}

#[test]
fn a_background_sync_that_fails_loses_nothing_that_was_set_meanwhile() {
    let rig = Arc::new(Rig::new(SyncWhen::Never));
    rig.set("a", "1").unwrap();
    let watching = Arc::downgrade(&rig);
    rig.disk.watch(move |call| {
        let rig = watching.upgrade().unwrap();
        if call == "sync data" {
            rig.set("b", "1").unwrap();
            return Some(Fault::Nothing);
        }
        (call == "rename").then_some(Fault::Nothing)
    });
    rig.journal.sync(&rig.map).unwrap_err();
    let both = pairs(&[("a", "1"), ("b", "1")]);
    assert_eq!((rig.in_memory(), rig.after_a_kill()), (both.clone(), both));
    rig.disk.repair();
    rig.pause_is_over();
    rig.journal.sync(&rig.map).unwrap();
    rig.expect(&[("a", "1"), ("b", "1")]);
}

/// Pages of one append reach the disk in any order.
#[test]
fn a_loss_of_power_inside_a_batch_loses_no_more_than_the_batch() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("before", "1").unwrap();
    // One that was answered, and then three pages of short and long lines.
    let batch: Vec<_> = (0..40)
        .map(|number| (format!("key{number}"), "v".repeat([9, 300, 20, 450][number % 4])))
        .collect();
    let before = fs::read(rig.path()).unwrap();
    let images = Arc::new(Mutex::new(Vec::new()));
    let (seen, disk, path) = (Arc::clone(&images), Arc::downgrade(&rig.disk), rig.path());
    rig.disk.watch(move |call| {
        if call == "sync data" {
            *lock(&seen) = disk.upgrade().unwrap().after_power_loss(&path);
        }
        None
    });
    rig.journal.keep_all(batch.iter().map(|(key, value)| (&**key, &**value)), &rig.map).unwrap();
    let whole = fs::read(rig.path()).unwrap();
    assert_eq!(whole.len().div_ceil(PAGE), 3);
    let images = std::mem::take(&mut *lock(&images));
    // All and none, the other subsets of three pages, and three lengths.
    assert_eq!(images.len(), 2 + 7 + 3);
    let mut asides = 0;
    for image in images {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        fs::write(&path, &image).unwrap();
        let start = || {
            let disk = Arc::new(FaultyDisk::default()) as Arc<dyn Disk>;
            let data = DataFile::open(&path, &disk).unwrap();
            let mut keys = Vec::new();
            let replayed = replay(&data, |record| keys.push(record.key.to_string())).unwrap();
            (keys, replayed.warnings)
        };
        let (keys, warnings) = start();
        let wanted = ["before".to_string()].into_iter();
        let wanted: Vec<_> = wanted.chain(batch.iter().map(|(key, _)| key.clone())).collect();
        assert!(!keys.is_empty() && wanted.starts_with(&keys), "{keys:?}");
        let after = fs::read(&path).unwrap();
        assert!(after.starts_with(&before) && whole.starts_with(&after));
        // What came after the zeros is kept.
        for entry in fs::read_dir(folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some(offset) = name.strip_prefix("data.jsonl.cut-at-") else { continue };
            let offset = offset.parse::<usize>().unwrap();
            assert_eq!(fs::read(folder.path().join(&name)).unwrap(), image[offset..]);
            assert_eq!(image.iter().position(|&byte| byte == 0), Some(offset));
            assert!(warnings[0].contains(&name), "{warnings:?}");
            asides += 1;
        }
        assert_eq!(start(), (keys, Vec::new()), "the second start has nothing to say");
    }
    // A page is missing and a later one is there: 2, 3, 2 and 3, 1 and 3.
    assert_eq!(asides, 4);
}
