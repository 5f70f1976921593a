//! The store as a whole: what is compacted, synced and closed when.

use std::fs;
use std::time::Instant;

use super::*;
use crate::store::disk::faulty::{Fault, FaultyDisk};

/// A store on a new file that is compacted as soon as most of it is dead.
fn store(sync: SyncWhen) -> (tempfile::TempDir, Arc<FaultyDisk>, FileStore) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let path = folder.path().join("data.jsonl");
    let keeping = Keeping { sync, compact_over: 0 };
    let store = FileStore::open_on(&(Arc::clone(&disk) as Arc<dyn Disk>), &path, keeping).unwrap();
    disk.take_calls();
    (folder, disk, store)
}

fn wait_for(disk: &FaultyDisk, call: &str, count: usize) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while disk.calls().iter().filter(|&found| found == call).count() < count {
        assert!(Instant::now() < deadline, "{call} never came: {disk:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn wait_for_compaction(store: &FileStore) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while lock(&store.0.last_compaction).thread.as_ref().is_some_and(|it| !it.is_finished()) {
        assert!(Instant::now() < deadline, "the compaction never ended");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_file_that_is_mostly_dead_is_compacted() {
    let (folder, disk, store) = store(SyncWhen::Always);
    for number in 0..200 {
        store.set("a", &number.to_string()).unwrap();
    }
    wait_for(&disk, "rename", 1);
    store.close().unwrap();
    drop((store, disk));
    let path = folder.path().join("data.jsonl");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let store = FileStore::open(&path, Keeping::default()).unwrap();
    assert_eq!(store.0.map.value("a").as_deref(), Some("199"));
    assert_eq!(store.len(), 1);
}

#[test]
fn pairs_that_are_set_together_share_a_write_and_a_sync() {
    let (folder, disk, store) = store(SyncWhen::Always);
    store.set_all([]).unwrap();
    assert_eq!(disk.take_calls(), [""; 0]);
    assert!(store.is_empty());
    store.set_all([("a", "1"), ("b", "1"), ("a", "2")]).unwrap();
    assert!(!store.is_empty());
    assert_eq!(disk.take_calls(), ["append data", "sync data"]);
    assert_eq!(store.0.map.value("a").as_deref(), Some("2"));
    disk.fail("append data", Fault::Half);
    let refused = store.set_all([("a", "3"), ("c", "1")]).unwrap_err();
    assert_eq!(refused, Failed::NotKept("the disk is full".into()));
    disk.repair();
    drop((store, disk));
    let path = folder.path().join("data.jsonl");
    let store = FileStore::open(&path, Keeping::default()).unwrap();
    assert_eq!(store.0.map.value("a").as_deref(), Some("2"));
    assert_eq!(store.len(), 2);
}

#[test]
fn a_compaction_that_failed_is_not_tried_again_at_once() {
    let (folder, disk, store) = store(SyncWhen::Always);
    disk.fail("append new", Fault::Half);
    for number in 0..100 {
        store.set("a", &number.to_string()).unwrap();
    }
    wait_for(&disk, "append new", 1);
    wait_for_compaction(&store);
    for number in 100..200 {
        store.set("a", &number.to_string()).unwrap();
    }
    // If there is another one, close() may end it before it gets as far.
    wait_for_compaction(&store);
    store.close().unwrap();
    assert_eq!(disk.calls().iter().filter(|&call| call == "append new").count(), 1);
    let bytes = fs::read(folder.path().join("data.jsonl")).unwrap();
    assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 200);
}

#[test]
fn an_interval_syncs_as_long_as_there_is_something_to_sync() {
    let (folder, disk, store) = store(SyncWhen::Every(Duration::from_millis(1)));
    store.set("a", "1").unwrap();
    wait_for(&disk, "sync data", 1);
    disk.fail("sync data", Fault::Nothing);
    store.set("b", "1").unwrap();
    // The sync fails, so the file is rewritten.
    wait_for(&disk, "sync folder", 1);
    // The rewrite has begun: this waits for its end.
    store.close().unwrap();
    drop(store);
    let path = folder.path().join("data.jsonl");
    for bytes in disk.after_power_loss(&path) {
        assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 2);
    }
}

#[test]
fn what_a_killed_server_left_is_on_the_disk_before_it_is_read() {
    let (folder, disk, store) = store(SyncWhen::Never);
    store.set("a", "1").unwrap();
    assert!(!disk.calls().iter().any(|call| call == "sync data"));
    drop((store, disk));
    let disk = Arc::new(FaultyDisk::default());
    let path = folder.path().join("data.jsonl");
    let again = Arc::clone(&disk) as Arc<dyn Disk>;
    let _store = FileStore::open_on(&again, &path, Keeping::default()).unwrap();
    assert_eq!(disk.calls(), ["sync folder", "sync data"]);
}

#[test]
fn closing_says_when_the_disk_may_lack_something() {
    let (_folder, disk, store) = store(SyncWhen::Never);
    store.set("a", "1").unwrap();
    disk.watch(|call| matches!(call, "sync data" | "rename").then_some(Fault::Nothing));
    for _ in 0..2 {
        let error = format!("{:#}", store.close().unwrap_err());
        assert!(error.contains("cannot sync the data file"), "{error}");
    }
    disk.repair();
    store.close().unwrap();
}
