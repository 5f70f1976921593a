//! What was answered with 200 is there after a kill, a cut, a full disk and a failing sync.
//!
//! The order of the calls to the system, and what a failing one does, is tested in `src/store/journal.rs`
//! and `src/store/compaction.rs` with a disk that fails on demand; here it is the real binary, and
//! strace(1) where that is installed.
//!
//! CONTRACT §5, rule by rule.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::load::{Client, Outcome, check, ledgers, set_until_the_end};
use crate::common::{Answer, PATIENCE, Server, Wire, program};
use tempfile::TempDir;

/// Waits for a condition that nothing announces.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Kills a server with SIGKILL, and returns its folder and all that it wrote to standard error.
fn killed(mut server: Server) -> (Arc<TempDir>, String) {
    let (folder, stderr) = (Arc::clone(&server.folder), Arc::clone(&server.stderr));
    server.child.kill().unwrap();
    server.wait();
    let stderr = stderr.lock().unwrap().clone();
    (folder, stderr)
}

/// Runs the program on a data file that it must refuse, and returns its sentence.
fn refused(data: &Path) -> String {
    let mut command = assert_cmd::Command::from_std(program());
    let output = command.args(["--port", "0", "--data"]).arg(data).timeout(PATIENCE).output();
    let output = output.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(output.stdout.escape_ascii().to_string(), "", "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

fn set(wire: &mut Wire, key: &str, value: &str) -> Answer {
    wire.get(&format!("/set?{key}={value}"))
}

fn expect(wire: &mut Wire, key: &str, value: Option<&str>) {
    let answer = wire.get(&format!("/get?key={key}"));
    match value {
        Some(value) => assert_eq!((answer.status, answer.text()), (200, value), "{key}"),
        None => assert_eq!(answer.status, 404, "{key}"),
    }
}

/// Sets `key` again and again until a compaction has replaced the file.
fn set_until_compacted(server: &Server, wire: &mut Wire, key: &str) -> String {
    let inode = || fs::metadata(server.data()).unwrap().ino();
    let before = inode();
    let mut count = 0;
    wait_until("a compaction", || {
        count += 1;
        assert_eq!(set(wire, key, &count.to_string()).status, 200);
        inode() != before
    });
    count.to_string()
}

#[test]
fn sixteen_writers_lose_nothing_to_ten_kills() {
    const WRITERS: usize = 16;
    let began = Instant::now();
    let mut folder = Arc::new(tempfile::tempdir().unwrap());
    let mut ledgers = ledgers(WRITERS);
    let mut inodes = BTreeSet::new();
    for round in 0..10 {
        // A machine on which three rounds take this long has shown enough.
        if round >= 3 && began.elapsed() > Duration::from_secs(20) {
            break;
        }
        let server = Server::start_in(Arc::clone(&folder), &["--compact-over", "0"]);
        assert_eq!(names(folder.path()), ["data.jsonl"], "a left-over of the last round");
        check(&server, &mut ledgers);

        let address = server.address();
        let answered = AtomicUsize::new(0);
        let dead = AtomicBool::new(false);
        let seen = thread::scope(|scope| {
            let answered = &answered;
            for ledger in &mut ledgers {
                scope.spawn(move || set_until_the_end(address, ledger, answered));
            }
            // What anyone has read must be there after the kill as well.
            let reader = scope.spawn(|| {
                let mut seen = Vec::new();
                let Ok(mut client) = Client::connect(address) else { return seen };
                while !dead.load(SeqCst) {
                    for writer in 0..WRITERS {
                        let key = format!("key{writer}-0");
                        match client.ask(&format!("/get?key={key}")) {
                            Outcome::Answered { status: 200, body, .. } => {
                                let number = body.split('-').next().unwrap();
                                seen.push((writer, key, number.parse::<u64>().unwrap()));
                            }
                            Outcome::Answered { .. } => {}
                            Outcome::Ended { .. } => return seen,
                        }
                    }
                }
                seen
            });
            // Killed at another point each time: in the middle of appends, syncs and compactions.
            wait_until("enough sets", || answered.load(SeqCst) > 300 + 37 * round);
            inodes.insert(fs::metadata(server.data()).unwrap().ino());
            folder = server.kill();
            dead.store(true, SeqCst);
            reader.join().unwrap()
        });
        for (writer, key, number) in seen {
            let count = ledgers[writer].get_mut(&key).unwrap();
            count.kept = count.kept.max(number);
        }
    }
    assert!(inodes.len() > 1, "no compaction replaced the file");
    let server = Server::start_in(folder, &[]);
    check(&server, &mut ledgers);
    server.stop();
}

#[test]
fn without_a_sync_for_each_set_a_kill_loses_nothing_either() {
    for sync in ["never", "60m", "1ms"] {
        let server = Server::start(&["--sync", sync, "--compact-over", "0"]);
        let mut ledgers = ledgers(4);
        let answered = AtomicUsize::new(0);
        let address = server.address();
        let folder = thread::scope(|scope| {
            for ledger in &mut ledgers {
                scope.spawn(|| set_until_the_end(address, ledger, &answered));
            }
            wait_until("enough sets", || answered.load(SeqCst) > 500);
            server.kill()
        });
        let server = Server::start_in(folder, &["--sync", sync]);
        check(&server, &mut ledgers);
        server.stop();
    }
}

#[test]
fn a_file_cut_anywhere_in_its_last_lines_is_mended() {
    let keys = ["a", "b", "c", "d", "e"];
    let mut whole = String::new();
    for key in keys {
        writeln!(whole, r#"{{"key":"{key}","value":"\"é{key}"}}"#).unwrap();
    }
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let from = whole.len() - lines[2..].concat().len();
    let cuts: Vec<usize> = (from..=whole.len()).collect();
    assert!(cuts.len() > 80, "{whole}");
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(&cut) = cuts.get(next.fetch_add(1, SeqCst)) {
            let before = &whole.as_bytes()[..cut];
            let newlines = before.iter().filter(|&&byte| byte == b'\n').count();
            // A record that only lacks its line end is one.
            let complete = usize::from(whole.as_bytes().get(cut) == Some(&b'\n'));
            let torn = !before.ends_with(b"\n");

            let folder = Arc::new(tempfile::tempdir().unwrap());
            let data = folder.path().join("data.jsonl");
            fs::write(&data, before).unwrap();
            let server = Server::start_in(folder, &[]);
            let mut wire = server.connect();
            for (number, key) in keys.iter().enumerate() {
                let value = format!("\"é{key}");
                expect(&mut wire, key, (number < newlines + complete).then_some(&value));
            }
            assert_eq!(set(&mut wire, "new", "n").status, 200);
            let (folder, stderr) = killed(server);
            let place = format!("data.jsonl, line {}, ", newlines + 1);
            assert_eq!(stderr.contains(&place), torn, "cut at {cut}: {stderr}");
            assert_eq!(stderr.contains("warning"), torn, "cut at {cut}: {stderr}");
            if torn && complete == 0 {
                let at: usize = lines[..newlines].iter().map(|line| line.len()).sum();
                let size = format!("at byte {at}, was {} bytes", cut - at);
                assert!(stderr.contains(&size), "cut at {cut}: {stderr}");
            }
            let mut wanted = lines[..newlines + complete].concat();
            wanted += "{\"key\":\"new\",\"value\":\"n\"}\n";
            assert_eq!(fs::read_to_string(&data).unwrap(), wanted, "cut at {cut}");

            let server = Server::start_in(folder, &[]);
            expect(&mut server.connect(), "new", Some("n"));
            let (_folder, stderr) = killed(server);
            assert_eq!(stderr, "", "cut at {cut}");
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
}

#[test]
fn damage_in_the_middle_refuses_to_start_and_changes_nothing() {
    let good = |key: &str| format!("{{\"key\":\"{key}\",\"value\":\"v\"}}\n").into_bytes();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.jsonl");
    for (damage, line) in [
        (&b"{\"key\":\"b\",\"va\n"[..], 2),
        (b"{\"key\":\"b\",\"value\":\"v\"\n", 2),
        (b"{\"key\":\"b\",\"val\0ue\":\"v\"}\n", 2),
        (b"[\"b\",\"v\"]\n", 2),
        (b"{\"key\":\"\xFF\",\"value\":\"v\"}\n", 2),
        (b"{\"key\":\"b\"}\n", 2),
        (b"{\"key\":\"b\",\"value\":\"v\"}{\"key\":\"c\",\"value\":\"v\"}\n", 2),
        (b"\n\n<<<<<<< HEAD\n", 4),
        (b"remember the milk\n", 2),
    ] {
        for last in [good("z"), Vec::new(), b"{\"key\":\"z\",\"val".to_vec()] {
            let bytes = [&good("a")[..], damage, &last].concat();
            fs::write(&data, &bytes).unwrap();
            let sentence = refused(&data);
            let at = good("a").len() + line - 2;
            let place = format!("{}, line {line}, at byte {at}, is not a record", data.display());
            assert!(sentence.contains(&place), "{sentence}");
            assert!(sentence.contains("fix or remove that line, or give another"), "{sentence}");
            assert_eq!(fs::read(&data).unwrap(), bytes, "{sentence}");
            assert_eq!(names(folder.path()), ["data.jsonl"]);
        }
    }
}

/// Half of what we write is never whole JSON, nor anybody else's line.
#[test]
fn a_file_that_is_somebodys_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.jsonl");
    let record = r#"{"key":"a","value":"1"}"#;
    for (text, line) in [
        (r#"{"somekey":"somevalue","city":"Oslo"}"#.to_string(), 1),
        (r#"{"name":"my-app","version":"1.0.0"}"#.into(), 1),
        (r#"{"key":"a","value":1}"#.into(), 1),
        (r#"{"key":"a","val":"1"}"#.into(), 1),
        (format!("{record}\n{record}\n{{\"key\":\"b\",\"value\":2}}"), 3),
        (format!("{record}{record}"), 1),
        (format!("{record}\n{record}{record}"), 2),
        (format!("{record} // my note"), 1),
        (format!("{record}\r{record}\r"), 1),
        (format!("[{record}]"), 1),
        (format!("{record}\n[\"b\",\"v\"]"), 2),
        (format!("{record}\n{{\"key\": \"b\", \"val"), 2),
        (format!("{record}\nremember the milk"), 2),
    ] {
        fs::write(&data, &text).unwrap();
        let sentence = refused(&data);
        let at = text.rfind('\n').map_or(0, |newline| newline + 1);
        let place = format!("{}, line {line}, at byte {at}, is not a record", data.display());
        assert!(sentence.contains(&place), "{sentence}");
        assert_eq!(fs::read_to_string(&data).unwrap(), text);
        assert_eq!(names(folder.path()), ["data.jsonl"]);
    }
}

#[test]
fn what_a_loss_of_power_left_after_zeros_is_cut_off_and_kept() {
    let line = |key: &str| format!("{{\"key\":\"{key}\",\"value\":\"v\"}}\n").into_bytes();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("data.jsonl");
    let aside = folder.path().join(format!("data.jsonl.cut-at-{}", line("a").len()));
    for (key, again) in [("b", ""), ("c", "-2")] {
        let zeros_and_line = [&[0; 4096][..], &line(key)].concat();
        fs::write(&data, [&line("a")[..], &zeros_and_line].concat()).unwrap();
        let server = Server::start_in(Arc::clone(&folder), &[]);
        expect(&mut server.connect(), "a", Some("v"));
        expect(&mut server.connect(), key, None);
        let (_, stderr) = killed(server);
        let aside = PathBuf::from(format!("{}{again}", aside.display()));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(&format!("kept in {}\n", aside.display())), "{stderr}");
        assert!(stderr.contains(&format!("line 2, at byte {}", line("a").len())), "{stderr}");
        assert_eq!(fs::read(&data).unwrap(), line("a"));
        assert_eq!(fs::read(&aside).unwrap(), zeros_and_line);
        let (_, stderr) = killed(Server::start_in(Arc::clone(&folder), &[]));
        assert_eq!(stderr, "");
    }
    assert_eq!(names(folder.path()).len(), 3);
}

#[test]
fn a_file_that_was_removed_moved_or_replaced_takes_no_sets_and_is_not_overwritten() {
    let server = Server::start(&["--compact-over", "0"]);
    let (data, elsewhere) = (server.data(), server.folder.path().join("elsewhere"));
    let mut wire = server.connect();
    assert_eq!(set(&mut wire, "a", "1").status, 200);
    let sentence = "Nothing was stored: the data file was removed, moved or replaced; put it back, \
                    or start the server again.";
    for replaced in [false, true] {
        fs::rename(&data, &elsewhere).unwrap();
        if replaced {
            fs::write(&data, "a backup\n").unwrap();
        }
        for count in 0..10 {
            let answer = set(&mut wire, "a", &count.to_string());
            assert_eq!((answer.status, answer.text()), (500, sentence));
            expect(&mut wire, "a", Some("1"));
        }
        if replaced {
            assert_eq!(fs::read_to_string(&data).unwrap(), "a backup\n");
        }
        fs::rename(&elsewhere, &data).unwrap();
        assert_eq!(set(&mut wire, "a", "1").status, 200);
        let times = 1 + usize::from(replaced);
        let warnings = server.heard_times("warning", times).matches("warning").count();
        assert_eq!(warnings, times, "one for each time");
    }
    // Another server has a new file of that name, and what it answered is its own.
    fs::remove_file(&data).unwrap();
    let other = Server::start_in(Arc::clone(&server.folder), &[]);
    assert_eq!(set(&mut other.connect(), "theirs", "1").status, 200);
    for count in 0..50 {
        assert_eq!(set(&mut wire, "a", &count.to_string()).status, 500);
    }
    assert_eq!(names(server.folder.path()), ["data.jsonl"]);
    drop(wire);
    server.signal("TERM");
    let stderr = Arc::clone(&server.stderr);
    let (code, stdout) = server.wait();
    assert_eq!(code, Some(1), "{stdout}");
    let stderr = stderr.lock().unwrap().clone();
    let last = stderr.lines().last().unwrap();
    assert!(last.contains("the data file was removed, moved or replaced"), "{stderr}");
    let again = Server::start_in(killed(other).0, &[]);
    expect(&mut again.connect(), "theirs", Some("1"));
    again.stop();
}

#[test]
fn a_file_with_a_long_name_is_compacted_too() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("n".repeat(250));
    let server =
        Server::start_in(folder, &["--compact-over", "0", "--data", data.to_str().unwrap()]);
    let mut wire = server.connect();
    let before = fs::metadata(&data).unwrap().ino();
    let mut count = 0;
    wait_until("a compaction", || {
        count += 1;
        assert_eq!(set(&mut wire, "a", &count.to_string()).status, 200);
        fs::metadata(&data).unwrap().ino() != before
    });
    expect(&mut wire, "a", Some(&count.to_string()));
    drop(wire);
    let (_, stderr) = killed(server);
    assert_eq!(stderr, "");
}

/// How a full disk shows, and how there is room again.
struct FullDisk<'a> {
    server: Server,
    sentence: &'a str,
    make_room: &'a dyn Fn(&Server),
}

/// Fills the disk, checks that reads go on and nothing is lost, makes room, and goes on. Returns the
/// server, and what it must have after a restart.
fn fill(disk: FullDisk<'_>) -> (Server, Vec<(String, String)>) {
    let FullDisk { server, sentence, make_room } = disk;
    let mut wire = server.connect();
    let mut pairs = vec![("small".to_string(), "1".to_string())];
    assert_eq!(set(&mut wire, "small", "1").status, 200);
    let refusal = loop {
        let (key, value) = (format!("key{}", pairs.len()), "v".repeat(3000));
        let answer = set(&mut wire, &key, &value);
        if answer.status != 200 {
            expect(&mut wire, &key, None);
            break answer;
        }
        pairs.push((key, value));
        assert!(pairs.len() < 10_000, "the disk never filled up");
    };
    assert_eq!((refusal.status, refusal.text()), (500, sentence));
    for _ in 0..3 {
        let answer = set(&mut wire, "small", &"w".repeat(5000));
        assert_eq!((answer.status, answer.text()), (500, sentence));
        for (key, value) in &pairs {
            expect(&mut wire, key, Some(value));
        }
    }
    make_room(&server);
    for (key, value) in [("small", "2"), ("later", "1")] {
        assert_eq!(set(&mut wire, key, value).status, 200, "{key}");
    }
    pairs[0].1 = "2".into();
    pairs.push(("later".into(), "1".into()));
    (server, pairs)
}

fn expect_all(server: &Server, pairs: &[(String, String)]) {
    let mut wire = server.connect();
    for (key, value) in pairs {
        expect(&mut wire, key, Some(value));
    }
    let lines = fs::read_to_string(server.data()).unwrap();
    let records = lines.lines().count();
    // One more for the value of `small` that was replaced.
    assert_eq!(records, pairs.len() + 1, "a refused line is in the file");
}

#[test]
#[cfg(target_os = "linux")] // elsewhere nobody can change the limit of another process
fn a_file_that_may_not_grow_refuses_sets_and_loses_nothing() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut command = Command::new("sh");
    // 64 blocks, of 512 or 1024 bytes.
    command.args(["-c", "ulimit -S -f 64 && exec \"$0\" \"$@\""]);
    command.arg(program().get_program()).arg("--data").arg(folder.path().join("data.jsonl"));
    let server = Server::start_command(folder, command);
    let sentence = "Nothing was stored: the data file may not grow any larger.";
    let make_room = |server: &Server| {
        let pid = rustix::process::Pid::from_child(&server.child);
        let wide = rustix::process::Rlimit { current: None, maximum: None };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, wide).unwrap();
    };
    let (server, pairs) = fill(FullDisk { server, sentence, make_room: &make_room });
    let (folder, stderr) = killed(server);
    assert_eq!(stderr, "");
    let server = Server::start_in(folder, &[]);
    expect_all(&server, &pairs);
    server.stop();
}

#[test]
fn a_refused_set_is_not_there_after_a_restart() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 8 && exec \"$0\" \"$@\""]);
    command.arg(program().get_program()).arg("--data").arg(folder.path().join("data.jsonl"));
    let server = Server::start_command(folder, command);
    let mut wire = server.connect();
    assert_eq!(set(&mut wire, "a", "1").status, 200);
    assert_eq!(set(&mut wire, "a", &"2".repeat(20_000)).status, 500);
    assert_eq!(set(&mut wire, "b", &"2".repeat(20_000)).status, 500);
    assert_eq!(set(&mut wire, "c", "1").status, 200);
    drop(wire);
    let server = Server::start_in(killed(server).0, &[]);
    let mut wire = server.connect();
    expect(&mut wire, "a", Some("1"));
    expect(&mut wire, "b", None);
    expect(&mut wire, "c", Some("1"));
    drop(wire);
    server.stop();
}

/// A small file system, unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(folder).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then(|| Tmpfs(folder.to_path_buf()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_sets_and_loses_nothing() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let Some(tmpfs) = Tmpfs::mount(folder.path()) else {
        eprintln!(
            "skipped: no file system can be mounted here; the test with a limit on the file's size has run"
        );
        return;
    };
    let filler = folder.path().join("filler");
    fs::write(&filler, vec![b'x'; 128 << 10]).unwrap();
    let server = Server::start_in(Arc::clone(&folder), &[]);
    let sentence = "Nothing was stored: the disk is full.";
    let make_room = |_: &Server| fs::remove_file(&filler).unwrap();
    let (server, pairs) = fill(FullDisk { server, sentence, make_room: &make_room });
    let (folder, stderr) = killed(server);
    assert_eq!(stderr, "");
    let server = Server::start_in(Arc::clone(&folder), &[]);
    expect_all(&server, &pairs);
    server.stop();

    // A compaction that finds no room for its file gives up, and the old file goes on.
    let server = Server::start_in(Arc::clone(&folder), &["--compact-over", "0"]);
    let inode = fs::metadata(server.data()).unwrap().ino();
    let mut wire = server.connect();
    for count in 0..pairs.len() * 3 {
        assert_eq!(set(&mut wire, "small", &count.to_string()).status, 200);
    }
    let last = (pairs.len() * 3 - 1).to_string();
    server.heard("could not be compacted");
    assert_eq!(names(folder.path()), ["data.jsonl"]);
    assert_eq!(fs::metadata(server.data()).unwrap().ino(), inode);
    drop(wire);
    let server = Server::start_in(killed(server).0, &[]);
    expect(&mut server.connect(), "small", Some(&last));
    server.stop();
    drop(tmpfs);
}

#[test]
fn two_servers_do_not_share_a_file() {
    let server = Server::start(&["--compact-over", "0"]);
    let (data, link) = (server.data(), server.folder.path().join("link"));
    symlink(&data, &link).unwrap();
    let mut wire = server.connect();
    assert_eq!(set(&mut wire, "a", "1").status, 200);
    for _ in 0..2 {
        for name in [&data, &link] {
            let sentence = refused(name);
            let wanted = format!("another server has {} open", name.display());
            assert!(sentence.contains(&wanted), "{sentence}");
        }
        // The same again with the file that a compaction has put there.
        set_until_compacted(&server, &mut wire, "b");
    }
    expect(&mut wire, "a", Some("1"));
    drop(wire);

    // It ends with the server, however that ends.
    let server = Server::start_in(server.kill(), &[]);
    expect(&mut server.connect(), "a", Some("1"));
    server.stop();
}

#[test]
fn a_compaction_keeps_link_mode_and_pairs() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let data = elsewhere.path().join("pairs");
    fs::write(&data, "{\"key\":\"old\",\"value\":\"o\"}\n").unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&data, folder.path().join("data.jsonl")).unwrap();
    let server = Server::start_in(folder, &["--compact-over", "0"]);
    let mut wire = server.connect();
    let last = set_until_compacted(&server, &mut wire, "a");
    expect(&mut wire, "a", Some(&last));
    drop(wire);
    let (folder, stderr) = killed(server);
    assert_eq!(stderr, "");
    let metadata = fs::metadata(&data).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_eq!(fs::read_link(folder.path().join("data.jsonl")).unwrap(), data);
    let server = Server::start_in(folder, &[]);
    let mut wire = server.connect();
    expect(&mut wire, "a", Some(&last));
    expect(&mut wire, "old", Some("o"));
}

#[test]
fn a_new_file_is_for_its_owner_alone() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0 && exec \"$0\" \"$@\""]);
    command.arg(program().get_program()).arg("--data").arg(folder.path().join("data.jsonl"));
    let server = Server::start_command(folder, command);
    assert_eq!(fs::metadata(server.data()).unwrap().mode() & 0o7777, 0o600);
    server.stop();
}

#[test]
fn a_snapshot_that_a_crash_left_is_removed() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    fs::write(folder.path().join("data.jsonl"), "{\"key\":\"a\",\"value\":\"1\"}\n").unwrap();
    fs::write(folder.path().join("data.jsonl.snapshot-tmp"), "{\"key\":\"a\",\"va").unwrap();
    let server = Server::start_in(folder, &["--compact-over", "0"]);
    assert_eq!(names(server.folder.path()), ["data.jsonl"]);
    let mut wire = server.connect();
    expect(&mut wire, "a", Some("1"));
    set_until_compacted(&server, &mut wire, "b");
    drop(wire);
    server.stop();
}

/// A call to the system, as strace(1) prints it.
#[derive(Debug)]
struct Call {
    text: String,
    /// In which lines it began and ended.
    began: usize,
    ended: usize,
}

/// Starts a server under strace, and has `use_it` use it until it has ended. Returns the calls in
/// the order in which they began; none on systems that have no strace.
fn traced(options: &[&str], trace: &[&str], use_it: impl FnOnce(Server)) -> Option<Vec<Call>> {
    let works = Command::new("strace").args(["-D", "-o", "/dev/null", "true"]).output();
    if !cfg!(target_os = "linux") {
        return None;
    }
    assert!(
        works.is_ok_and(|output| output.status.success()),
        "strace(1) is missing, or may not trace"
    );
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    // -D: the server stays our child, and strace is nobody's parent.
    command.args(["-D", "-f", "-s", "200", "-o"]).arg(log.path()).args(trace);
    command.arg(program().get_program()).arg("--data").arg(folder.path().join("data.jsonl"));
    command.args(options);
    let server = Server::start_command(folder, command);
    let pid = server.child.id().to_string();
    use_it(server);
    let mut text = String::new();
    wait_until("the end of the trace", || {
        text = fs::read_to_string(log.path()).unwrap();
        let ends = text.lines().filter(|line| line.starts_with(&pid) && line.contains(" +++ "));
        ends.count() > 0 && text.ends_with('\n')
    });

    let mut calls: Vec<Call> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (thread, text) = line.split_once(' ').unwrap();
        let text = text.trim_start();
        if let Some((_, rest)) = text.split_once(" resumed>") {
            let begun =
                |call: &&mut Call| call.ended == usize::MAX && call.text.starts_with(thread);
            let call = calls.iter_mut().rev().find(begun).unwrap();
            call.text += rest;
            call.ended = number;
        } else if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            let text = format!("{thread} {}", begun.trim_end());
            calls.push(Call { text, began: number, ended: usize::MAX });
        } else {
            calls.push(Call { text: format!("{thread} {text}"), began: number, ended: number });
        }
    }
    Some(calls)
}

/// The first call from `from` on that has all of these in its text, and its place.
#[track_caller]
fn find(calls: &[Call], from: usize, parts: &[&str]) -> usize {
    let found = calls[from..].iter().position(|c| parts.iter().all(|part| c.text.contains(part)));
    let Some(found) = found else {
        let texts: Vec<_> = calls[from..].iter().map(|call| &*call.text).collect();
        panic!("no {parts:?} in\n{}", texts.join("\n"))
    };
    from + found
}

/// What comes after `call(` up to the first comma or bracket: its file descriptor.
fn descriptor(call: &Call) -> &str {
    let rest = call.text.split_once('(').unwrap().1;
    rest.split([',', ')']).next().unwrap()
}

fn result(call: &Call) -> &str {
    call.text.rsplit_once(" = ").unwrap().1.split(' ').next().unwrap()
}

const ORDER: &[&str] =
    &["-e", "trace=openat,write,writev,fsync,fdatasync,rename,renameat,renameat2,sendto,sendmsg"];

#[test]
fn a_set_is_written_then_synced_then_answered() {
    let calls = traced(&[], ORDER, |server| {
        let mut wire = server.connect();
        for (key, value) in [("somekey", "somevalue"), ("otherkey", "othervalue")] {
            assert_eq!(set(&mut wire, key, value).status, 200);
        }
        drop(wire);
        server.stop();
    });
    let Some(calls) = calls else { return };
    // The name of the new file is made durable before anybody is told that the server is there.
    let made = find(&calls, 0, &["openat(", "data.jsonl", "O_CREAT", "0600"]);
    let folder = find(&calls, made, &["fsync("]);
    let ready = find(&calls, 0, &["write(1,", "Started"]);
    assert!(calls[folder].ended < calls[ready].began, "{calls:#?}");
    assert_eq!(result(&calls[folder]), "0");

    let mut from = ready;
    for key in ["somekey", "otherkey"] {
        let write = find(&calls, from, &["write(", key]);
        let sync = find(&calls, write, &["fdatasync("]);
        let answer = find(&calls, from, &["sendto(", "HTTP/1.1 200"]);
        assert_eq!(descriptor(&calls[write]), result(&calls[made]));
        assert_eq!(descriptor(&calls[sync]), result(&calls[made]));
        assert_eq!(result(&calls[sync]), "0");
        assert!(calls[write].ended < calls[sync].began, "{calls:#?}");
        assert!(calls[sync].ended < calls[answer].began, "{calls:#?}");
        from = answer + 1;
    }
}

#[test]
fn a_snapshot_is_synced_then_renamed_and_then_the_folder_is_synced() {
    let calls = traced(&["--compact-over", "0"], ORDER, |server| {
        let mut wire = server.connect();
        set_until_compacted(&server, &mut wire, "a");
        assert_eq!(set(&mut wire, "after", "1").status, 200);
        drop(wire);
        server.stop();
    });
    let Some(calls) = calls else { return };
    let made = find(&calls, 0, &["openat(", "data.jsonl.snapshot-tmp", "O_EXCL", "0600"]);
    let file = result(&calls[made]);
    let rename = find(&calls, made, &["rename", "data.jsonl.snapshot-tmp", "data.jsonl\""]);
    let on_it = |name: &str| {
        let of_file = |call: &&Call| call.text.contains(name) && descriptor(call) == file;
        calls[made + 1..rename].iter().rfind(of_file).unwrap()
    };
    let (write, sync) = (on_it(" write("), on_it(" fdatasync("));
    assert!(write.ended < sync.began, "{write:?} {sync:?}");
    assert_eq!(result(sync), "0");
    assert!(sync.ended < calls[rename].began, "{sync:?} {:?}", calls[rename]);
    let opened = find(&calls, rename, &["openat("]);
    let folder = find(&calls, opened, &["fsync("]);
    assert_eq!(descriptor(&calls[folder]), result(&calls[opened]));
    assert!(calls[rename].ended < calls[folder].began, "{calls:#?}");
    // The next line goes to the new file, and only when its name is safe.
    let next = find(&calls, rename, &["write(", "{\\\"key\\\""]);
    assert!(calls[folder].ended < calls[next].began, "{calls:#?}");
    assert_eq!(descriptor(&calls[next]), file);
}

#[test]
fn a_sync_that_fails_is_answered_with_500_and_loses_nothing() {
    // The third sync of each thread fails, and all sets here come from one connection.
    let fail = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=3"];
    let mut folder = None;
    let calls = traced(&[], &fail, |server| {
        let mut wire = server.connect();
        for (key, status) in [("a", 200), ("b", 200), ("c", 500), ("d", 200), ("e", 200)] {
            let answer = set(&mut wire, key, "1");
            assert_eq!(answer.status, status, "{key}: {}", answer.text());
            if status == 500 {
                let said = "Nothing was stored: the disk reports an error: Input/output error";
                assert!(answer.text().starts_with(said), "{}", answer.text());
                expect(&mut wire, "a", Some("1"));
                expect(&mut wire, "c", None);
            }
        }
        drop(wire);
        folder = Some(killed(server).0);
    });
    let Some(calls) = calls else { return };
    find(&calls, 0, &["fdatasync(", "EIO"]);
    let server = Server::start_in(folder.unwrap(), &[]);
    let mut wire = server.connect();
    for key in ["a", "b", "d", "e"] {
        expect(&mut wire, key, Some("1"));
    }
    expect(&mut wire, "c", None);
}

#[test]
fn sixty_four_writers_share_syncs() {
    const WRITERS: usize = 64;
    const SETS: usize = 10;
    // Each sync takes 5 ms more, so that a disk in memory is like one that turns.
    let slow = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=5000"];
    let calls = traced(&[], &slow, |server| {
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let server = &server;
                scope.spawn(move || {
                    let mut wire = server.connect();
                    for count in 0..SETS {
                        let answer = set(&mut wire, &format!("key{writer}"), &count.to_string());
                        assert_eq!(answer.status, 200);
                    }
                });
            }
        });
        server.stop();
    });
    let Some(calls) = calls else { return };
    let syncs = calls.iter().filter(|call| call.text.contains("fdatasync(")).count();
    assert!(syncs * 4 <= WRITERS * SETS, "{syncs} syncs for {} sets", WRITERS * SETS);
}

#[test]
fn a_file_system_that_cannot_sync_folders_is_served_with_one_warning() {
    // The folder is all that is synced with this call.
    let fail = ["-e", "trace=fsync", "-e", "inject=fsync:error=EINVAL"];
    let mut stderr = None;
    let calls = traced(&["--compact-over", "0"], &fail, |server| {
        let mut wire = server.connect();
        set_until_compacted(&server, &mut wire, "a");
        assert_eq!(set(&mut wire, "after", "1").status, 200);
        drop(wire);
        stderr = Some(killed(server).1);
    });
    let Some(calls) = calls else { return };
    find(&calls, 0, &["fsync(", "EINVAL"]);
    let stderr = stderr.unwrap();
    assert_eq!(stderr.matches("cannot sync a folder").count(), 1, "{stderr}");
}
