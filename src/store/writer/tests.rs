//! What others do to the file while it is open, and what is undone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::store::disk::faulty::{Fault, PAGE};
use crate::store::journal::SyncWhen;
use crate::store::journal::tests::{Rig, pairs, pairs_of};

const LOST: &str =
    "the data file was removed, moved or replaced; put it back, or start the server again";

/// As another program does.
fn append(rig: &Rig, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(rig.path()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_file_that_has_lost_its_name_takes_no_sets_until_it_has_it_again() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    let (path, elsewhere) = (rig.path(), rig.folder.path().join("elsewhere"));
    for replaced in [false, true] {
        let before = rig.in_memory();
        fs::rename(&path, &elsewhere).unwrap();
        if replaced {
            fs::write(&path, "a backup\n").unwrap();
        }
        rig.disk.take_calls();
        for _ in 0..2 {
            assert_eq!(&*rig.set("a", "2").unwrap_err(), LOST);
            assert_eq!(rig.compact().unwrap_err().to_string(), LOST);
            assert_eq!(rig.journal.close(&rig.map).unwrap_err().to_string(), LOST);
        }
        assert_eq!(rig.in_memory(), before);
        assert!(!rig.disk.calls().iter().any(|call| call == "rename" || call == "append data"));
        assert_eq!(pairs_of(&fs::read(&elsewhere).unwrap()), before);
        if replaced {
            assert_eq!(fs::read(&path).unwrap(), b"a backup\n");
        }
        fs::rename(&elsewhere, &path).unwrap();
        rig.set("b", "1").unwrap();
        rig.compact().unwrap();
        rig.expect(&[("a", "1"), ("b", "1")]);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(&*rig.set("a", "2").unwrap_err(), LOST);
    assert!(!path.exists());
}

#[test]
fn a_link_that_leads_elsewhere_now_is_a_name_that_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (link, other) = (folder.path().join("link"), folder.path().join("other"));
    let rig = Rig::new_at(SyncWhen::Always, |file| {
        symlink(file, &link).unwrap();
        link.clone()
    });
    rig.set("a", "1").unwrap();
    fs::write(&other, "").unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&other, &link).unwrap();
    assert_eq!(&*rig.set("a", "2").unwrap_err(), LOST);
    fs::remove_file(&link).unwrap();
    symlink(rig.path(), &link).unwrap();
    rig.set("a", "2").unwrap();
    rig.expect(&[("a", "2")]);
}

#[test]
fn a_file_that_is_cut_from_outside_is_written_anew_and_never_made_longer() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    rig.set("b", "1").unwrap();
    let file = fs::OpenOptions::new().write(true).open(rig.path()).unwrap();
    file.set_len(7).unwrap();
    // And the disk is full.
    rig.disk.watch(|call| call.starts_with("append").then_some(Fault::Half));
    for _ in 0..2 {
        rig.set("c", "1").unwrap_err();
        rig.pause_is_over();
        assert_eq!(fs::read(rig.path()).unwrap(), b"{\"key\":");
    }
    rig.disk.repair();
    rig.set("c", "1").unwrap();
    rig.expect(&[("a", "1"), ("b", "1"), ("c", "1")]);
}

#[test]
fn a_file_that_is_cut_while_an_append_fails_is_never_made_longer() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    let path = rig.path();
    rig.disk.watch(move |call| {
        if call == "append data" {
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        }
        call.starts_with("append").then_some(Fault::Nothing)
    });
    rig.set("b", "1").unwrap_err();
    assert_eq!(fs::read(rig.path()).unwrap(), b"");
    rig.disk.repair();
    rig.pause_is_over();
    rig.set("b", "1").unwrap();
    rig.expect(&[("a", "1"), ("b", "1")]);
}

#[test]
fn a_file_that_is_cut_from_outside_is_whole_again_when_the_server_has_ended() {
    let rig = Rig::new(SyncWhen::Never);
    rig.set("a", "1").unwrap();
    rig.set("b", "1").unwrap();
    fs::OpenOptions::new().write(true).open(rig.path()).unwrap().set_len(7).unwrap();
    rig.journal.close(&rig.map).unwrap();
    rig.expect(&[("a", "1"), ("b", "1")]);
}

#[test]
fn what_another_program_appends_is_left_alone_and_costs_none_of_our_lines() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    append(&rig, r#"{"key":"theirs","value":"1"}"#);
    rig.set("b", "1").unwrap();
    let wanted = pairs(&[("a", "1"), ("b", "1"), ("theirs", "1")]);
    assert_eq!(rig.after_a_kill(), wanted);
    rig.disk.fail("append data", Fault::Half);
    rig.set("b", "2").unwrap_err();
    assert_eq!(rig.after_a_kill(), wanted);
    rig.disk.repair();
    assert_eq!(rig.in_memory(), pairs(&[("a", "1"), ("b", "1")]));
}

/// Their line gets an end that is ours, and from then on it is no more to be cut than the line itself.
#[test]
fn a_set_that_fails_takes_nothing_of_what_another_program_has_appended() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    append(&rig, r#"{"key":"theirs","value":"1"}"#);
    let with_theirs = [&fs::read(rig.path()).unwrap()[..], b"\n"].concat();
    // The first append ends their line, the second is ours.
    let appends = AtomicUsize::new(0);
    rig.disk.watch(move |call| {
        let is_ours = call == "append data" && appends.fetch_add(1, Ordering::Relaxed) > 0;
        is_ours.then_some(Fault::Half)
    });
    rig.set("b", "1").unwrap_err();
    assert_eq!(
        fs::read(rig.path()).unwrap().escape_ascii().to_string(),
        with_theirs.escape_ascii().to_string()
    );
    rig.disk.repair();
    rig.set("b", "1").unwrap();
    assert_eq!(rig.after_a_kill(), pairs(&[("a", "1"), ("b", "1"), ("theirs", "1")]));
}

/// Otherwise their line and ours would be one, which no start can read.
#[test]
fn no_set_is_kept_while_the_line_of_another_program_can_get_no_end() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    append(&rig, r#"{"key":"theirs","value":"1"}"#);
    rig.disk.fail("append data", Fault::Nothing);
    for _ in 0..2 {
        rig.set("b", "1").unwrap_err();
    }
    rig.disk.repair();
    rig.set("c", "1").unwrap();
    assert_eq!(rig.after_a_kill(), pairs(&[("a", "1"), ("c", "1"), ("theirs", "1")]));
}

/// The map does not have it.
#[test]
fn what_another_program_appends_outlives_compactions_and_a_file_that_is_written_anew() {
    let rig = Rig::new(SyncWhen::Always);
    let appended = |key: &str| append(&rig, &format!("{{\"key\":\"{key}\",\"value\":\"1\"}}\n"));
    rig.set("a", "1").unwrap();
    appended("theirs");
    rig.set("a", "2").unwrap();
    appended("more");
    let mut wanted = pairs(&[("a", "2"), ("more", "1"), ("theirs", "1")]);
    for key in ["b", "c", "d"] {
        for _ in 0..2 {
            let why = rig.compact().unwrap_err().to_string();
            assert!(why.contains("another program has written to it"), "{why}");
        }
        assert_eq!(rig.after_a_kill(), wanted);
        rig.disk.fail_once("sync data", Fault::Nothing);
        rig.set(key, "1").unwrap_err();
        assert!(rig.disk.take_calls().iter().any(|call| call == "rename"), "{:?}", rig.disk);
        assert_eq!(rig.after_a_kill(), wanted);
        rig.set(key, "1").unwrap();
        wanted.insert(key.into(), "1".into());
        assert_eq!(rig.after_a_kill(), wanted);
        assert_eq!(rig.journal.size().bytes, fs::metadata(rig.path()).unwrap().len());
    }
    // Others have cut off what others had written.
    fs::OpenOptions::new().write(true).open(rig.path()).unwrap().set_len(7).unwrap();
    rig.set("a", "3").unwrap();
    rig.compact().unwrap();
    rig.expect(&[("a", "3"), ("b", "1"), ("c", "1"), ("d", "1")]);
}

/// What could not be cut off at once makes the file longer than it should be, and nobody else did.
#[test]
fn what_was_refused_is_cut_off_as_soon_as_that_is_possible() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    rig.disk.watch(|call| match call {
        "append data" => Some(Fault::All),
        "truncate data" | "append new" => Some(Fault::Nothing),
        _ => None,
    });
    rig.set("b", "1").unwrap_err();
    assert_eq!(rig.after_a_kill(), pairs(&[("a", "1"), ("b", "1")]), "it could not be cut off");
    // There is no room for a new file yet.
    rig.disk.fail("append new", Fault::Nothing);
    rig.pause_is_over();
    rig.set("c", "1").unwrap_err();
    assert_eq!(rig.after_a_kill(), pairs(&[("a", "1")]));
}

/// The lines are in memory when the sync fails, and may stay there: the next start would read them,
/// sync "fine", and serve what was refused.
#[test]
fn what_is_refused_after_a_failed_sync_is_cut_off_before_anything_else() {
    for fault in [Fault::Nothing, Fault::Half, Fault::All] {
        let rig = Rig::new(SyncWhen::Always);
        rig.set("a", "1").unwrap();
        rig.disk.take_calls();
        let path = rig.path();
        // Whatever comes after the cut may be where the process is killed.
        let synced = fs::read(&path).unwrap();
        rig.disk.watch(move |call| match call {
            "append data" | "truncate data" => None,
            "sync data" => Some(fault),
            _ => {
                assert_eq!(fs::read(&path).unwrap(), synced, "at {call}");
                Some(Fault::Nothing)
            }
        });
        rig.set("a", "2").unwrap_err();
        let calls = rig.disk.take_calls();
        assert_eq!(calls[..4], ["append data", "sync data", "truncate data", "append new"]);
        assert_eq!(rig.after_a_kill(), pairs(&[("a", "1")]));
    }
}

#[test]
fn a_large_batch_is_synced_in_pieces_and_kept_or_refused_as_a_whole() {
    let rig = Rig::new(SyncWhen::Always);
    rig.set("a", "1").unwrap();
    let value = "v".repeat(100 << 10);
    let keys: Vec<_> = (0..25).map(|number| format!("key{number}")).collect();
    let batch = || keys.iter().map(|key| (&**key, &*value));
    for failing in 1..=3 {
        let mut syncs = 0;
        let syncs_until = std::sync::Mutex::new(move || {
            syncs += 1;
            syncs == failing
        });
        rig.disk.watch(move |call| {
            let is_it = call == "sync data" && (syncs_until.lock().unwrap())();
            is_it.then_some(Fault::Nothing)
        });
        rig.journal.keep_all(batch(), &rig.map).unwrap_err();
        rig.expect(&[("a", "1")]);
    }
    rig.disk.repair();
    rig.disk.take_calls();
    rig.journal.keep_all(batch(), &rig.map).unwrap();
    let calls = rig.disk.take_calls();
    assert_eq!(calls, ["append data", "sync data"].repeat(3));
    assert_eq!(rig.after_a_kill().len(), 26);
    rig.expect_its_size();
    assert!(rig.journal.size().bytes > 2 * super::MOST_UNSYNCED as u64 + PAGE as u64);
}
