//! What can happen to a compaction: failures at each step, sets meanwhile, modes, links.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use super::*;
use crate::store::disk::faulty::Fault;
use crate::store::journal::SyncWhen;
use crate::store::journal::tests::{Pairs, Rig, pairs};
use crate::store::map::SHARDS;

fn names(rig: &Rig) -> Vec<String> {
    let names = fs::read_dir(rig.folder.path()).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn inode(rig: &Rig) -> u64 {
    fs::metadata(rig.path()).unwrap().ino()
}

/// Has a pair set at each call for the new file that sets need not wait for, and returns the
/// last pairs that were.
fn set_meanwhile(rig: &Arc<Rig>, fault: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static) {
    let watching = Arc::downgrade(rig);
    let count = AtomicU32::new(0);
    rig.disk.watch(move |call| {
        let rig = watching.upgrade().unwrap();
        let failing = fault(call);
        if call.ends_with(" new") && failing.is_none() && !rig.journal.is_busy() {
            let count = count.fetch_add(1, SeqCst).to_string();
            rig.set("a", &count).unwrap();
            rig.set(&format!("new{count}"), "1").unwrap();
        }
        failing
    });
}

#[test]
fn is_due_when_more_lines_are_dead_than_live() {
    for (bytes, records, live, due) in [
        (1001, 3, 1, true),
        (1000, 3, 1, false),
        (1001, 2, 1, false),
        (1001, 1, 1, false),
        (1001, 21, 10, true),
        (1001, 20, 10, false),
        (0, 0, 0, false),
    ] {
        assert_eq!(is_due(Size { bytes, records }, live, 1000), due, "{bytes} {records} {live}");
    }
}

#[test]
fn leaves_one_line_for_each_key() {
    let rig = Rig::new(SyncWhen::Always);
    for number in 0..300 {
        rig.set(&format!("key{}", number % 3), &number.to_string()).unwrap();
    }
    rig.compact().unwrap();
    rig.expect(&[("key0", "297"), ("key1", "298"), ("key2", "299")]);
    assert_eq!(rig.journal.size().records, 3);
    rig.set("key0", "300").unwrap();
    rig.expect(&[("key0", "300"), ("key1", "298"), ("key2", "299")]);
}

#[test]
fn the_new_file_is_synced_then_renamed_then_the_folder_is_synced() {
    let rig = Arc::new(Rig::new(SyncWhen::Always));
    rig.set("a", "1").unwrap();
    rig.set("b", "1").unwrap();
    set_meanwhile(&rig, |_| None);
    rig.disk.take_calls();
    rig.compact().unwrap();
    rig.disk.note("done");
    let calls = rig.disk.take_calls();
    let last_write = calls.iter().rposition(|call| call == "append new").unwrap();
    let mut end = calls[last_write..].to_vec();
    end.dedup();
    assert_eq!(end, ["append new", "sync new", "rename", "sync folder", "done"], "{calls:?}");
    rig.disk.repair();
    rig.set("c", "1").unwrap();
    assert_eq!(rig.disk.take_calls(), ["append data", "sync data"]);
}

#[test]
fn what_is_set_meanwhile_is_in_the_new_file() {
    let rig = Arc::new(Rig::new(SyncWhen::Always));
    for number in 0..100 {
        rig.set(["a", "b"][number % 2], &number.to_string()).unwrap();
    }
    let before = inode(&rig);
    set_meanwhile(&rig, |_| None);
    rig.compact().unwrap();
    assert_ne!(inode(&rig), before);
    let found = rig.in_memory();
    // At the snapshot, at the first copy, and at their syncs.
    assert!(found.len() > 4, "{found:?}");
    let last = (found.len() - 3).to_string();
    assert_eq!((&*found["a"], &*found["b"]), (&*last, "99"));
    let found: Vec<_> = found.iter().map(|(key, value)| (&**key, &**value)).collect();
    rig.expect(&found);
}

/// More than is copied in one go, and more than may be left to the end.
#[test]
fn however_much_is_set_meanwhile_is_in_the_new_file() {
    let rig = Rig::new(SyncWhen::Never);
    rig.set("a", "1").unwrap();
    let value = "v".repeat(3 * LITTLE);
    let calls = Cell::new(0);
    let go_on = || {
        calls.set(calls.get() + 1);
        assert!(calls.get() < 2 * SHARDS, "it does not end");
        // By now most of the map is in the snapshot.
        if calls.get() == SHARDS {
            for key in ["b", "c", "d"] {
                rig.set(key, &value).unwrap();
            }
        }
        Ok(())
    };
    run(&rig.journal, &rig.map, go_on).unwrap();
    rig.expect(&[("a", "1"), ("b", &value), ("c", &value), ("d", &value)]);
}

#[test]
fn a_compaction_that_fails_leaves_the_old_file_and_no_other() {
    for call in ["append new", "sync new", "rename"] {
        for fault in [Fault::Nothing, Fault::Half, Fault::All] {
            let rig = Arc::new(Rig::new(SyncWhen::Always));
            rig.set("a", "x").unwrap();
            rig.set("b", "x").unwrap();
            let before = inode(&rig);
            let count = AtomicU32::new(0);
            // The second time, so that something was set meanwhile.
            set_meanwhile(&rig, move |now| {
                let failing = now == call && (call == "rename" || count.fetch_add(1, SeqCst) > 0);
                failing.then_some(fault)
            });
            rig.compact().unwrap_err();
            assert_eq!(names(&rig), ["data.jsonl"], "{call}");
            assert_eq!(inode(&rig), before, "{call}");
            rig.disk.repair();
            let found = rig.in_memory();
            assert!(found.len() > 2, "{call}: {found:?}");
            let found: Vec<_> = found.iter().map(|(key, value)| (&**key, &**value)).collect();
            rig.expect(&found);

            rig.compact().unwrap();
            rig.expect(&found);
            assert_ne!(inode(&rig), before);
        }
    }
}

#[test]
fn a_rename_that_may_not_last_is_made_sure_of_before_the_next_answer() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    rig.disk.fail_once("sync folder", Fault::Nothing);
    rig.compact().unwrap_err();
    rig.expect(&[("a", "1")]);
    rig.disk.take_calls();
    rig.set("a", "2").unwrap();
    rig.disk.note("answered");
    let calls = rig.disk.take_calls();
    let folder = calls.iter().position(|call| call == "sync folder");
    assert!(folder.is_some(), "{calls:?}");
    rig.expect(&[("a", "2")]);
}

#[test]
fn a_sync_of_the_old_file_that_fails_meanwhile_ends_it() {
    let rig = Arc::new(Rig::new(SyncWhen::Always));
    rig.set("a", "1").unwrap();
    let watching = Arc::downgrade(&rig);
    let once = AtomicBool::new(true);
    rig.disk.watch(move |call| {
        if call == "append new" && once.swap(false, SeqCst) {
            watching.upgrade().unwrap().set("a", "2").unwrap_err();
        }
        (call == "sync data").then_some(Fault::Nothing)
    });
    rig.compact().unwrap_err();
    assert_eq!(rig.in_memory(), pairs(&[("a", "1")]));
    assert_eq!(rig.after_a_kill(), pairs(&[("a", "1")]));
    assert_eq!(names(&rig), ["data.jsonl"]);
    rig.disk.repair();
    rig.pause_is_over();
    rig.set("a", "3").unwrap();
    rig.expect(&[("a", "3")]);
}

#[test]
fn ends_when_it_is_told_to() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    let stop = || Err(io::Error::other("the server stops"));
    run(&rig.journal, &rig.map, stop).unwrap_err();
    assert_eq!(names(&rig), ["data.jsonl"]);
    rig.expect(&[("a", "1")]);
}

#[test]
fn mode_and_symbolic_link_stay() {
    let rig = Rig::new(SyncWhen::Always);
    let link = rig.folder.path().join("link");
    symlink(rig.path(), &link).unwrap();
    rig.set("a", "1").unwrap();
    for mode in [0o640, 0o600, 0o664] {
        fs::set_permissions(rig.path(), fs::Permissions::from_mode(mode)).unwrap();
        rig.compact().unwrap();
        assert_eq!(fs::metadata(rig.path()).unwrap().mode() & 0o7777, mode);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&link).unwrap(), fs::read(rig.path()).unwrap());
    }
}

#[test]
fn many_compactions_under_many_writers_lose_nothing() {
    let rig = Rig::new(SyncWhen::Always);
    let ended = AtomicBool::new(false);
    let kept: Vec<Pairs> = std::thread::scope(|scope| {
        let writers = (0..4).map(|writer| {
            let (rig, ended) = (&rig, &ended);
            scope.spawn(move || {
                let mut kept = Pairs::new();
                for count in 0.. {
                    let (key, value) = (format!("{writer}-{}", count % 7), count.to_string());
                    rig.set(&key, &value).unwrap();
                    kept.insert(key, value);
                    if count > 20 && ended.load(SeqCst) {
                        break;
                    }
                }
                kept
            })
        });
        let writers: Vec<_> = writers.collect();
        for _ in 0..30 {
            rig.compact().unwrap();
        }
        ended.store(true, SeqCst);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let kept: Pairs = kept.into_iter().flatten().collect();
    let kept: Vec<_> = kept.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(kept.iter().collect::<BTreeSet<_>>().len(), 28);
    rig.expect(&kept);
}

/// The name may be another server's by now, or a backup's.
#[test]
fn a_name_that_was_lost_meanwhile_is_not_taken() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    let (path, elsewhere) = (rig.path(), rig.folder.path().join("elsewhere"));
    let once = AtomicBool::new(true);
    let (from, to) = (path.clone(), elsewhere.clone());
    rig.disk.watch(move |call| {
        if call == "append new" && once.swap(false, SeqCst) {
            fs::rename(&from, &to).unwrap();
            fs::write(&from, "a backup\n").unwrap();
        }
        None
    });
    rig.compact().unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"a backup\n");
    assert!(!rig.disk.calls().iter().any(|call| call == "rename"), "{:?}", rig.disk);
    let mut found = names(&rig);
    found.sort();
    assert_eq!(found, ["data.jsonl", "elsewhere"]);
    fs::rename(&elsewhere, &path).unwrap();
    rig.compact().unwrap();
    rig.expect(&[("a", "1")]);
}

#[test]
fn a_file_to_which_another_program_appends_meanwhile_goes_on() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    let once = AtomicBool::new(true);
    let path = rig.path();
    rig.disk.watch(move |call| {
        if call == "append new" && once.swap(false, SeqCst) {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(b"{\"key\":\"theirs\",\"value\":\"1\"}\n").unwrap();
        }
        None
    });
    rig.compact().unwrap_err();
    assert_eq!(names(&rig), ["data.jsonl"]);
    rig.set("b", "1").unwrap();
    assert_eq!(rig.after_a_kill(), pairs(&[("a", "1"), ("b", "1"), ("theirs", "1")]));
}

#[test]
fn a_file_with_the_longest_name_is_compacted_too() {
    let name = "n".repeat(255);
    let rig = Rig::new_at(SyncWhen::Always, |path| path.with_file_name(&name));
    for number in 0..10 {
        rig.set("a", &number.to_string()).unwrap();
    }
    rig.compact().unwrap();
    assert_eq!(names(&rig), [&*name]);
    let line = fs::read(rig.folder.path().join(&name)).unwrap();
    assert_eq!(line, b"{\"key\":\"a\",\"value\":\"9\"}\n");
}
