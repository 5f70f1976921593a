//! The example `event_loop`: the checker's full marks, and what an event loop can get wrong that a
//! thread per connection can't. What happens to a kill, dbcheck tries under load.

use std::io::{ErrorKind, Read as _, Write as _};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Server, Wire, example};
use serde_json::Value;
use tempfile::TempDir;

/// The example, with these arguments and `--port 0`.
fn start_in(folder: Arc<TempDir>, arguments: &[&str]) -> Server {
    let mut command = Command::new(example("event_loop"));
    command.args(arguments);
    Server::start_command(folder, command)
}

fn start(arguments: &[&str]) -> Server {
    start_in(Arc::new(tempfile::tempdir().unwrap()), arguments)
}

/// On a file, like [`Server::start_in`].
fn start_on_file(folder: Arc<TempDir>) -> Server {
    let data = folder.path().join("data.jsonl");
    start_in(folder, &["--data", data.to_str().unwrap()])
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// What dbcheck says of it, and which checks it does not pass.
fn score(arguments: &str, tiers: &[&str]) -> (u64, Vec<Value>) {
    let command = format!("'{}' --port {{port}} {arguments}", example("event_loop").display());
    let mut dbcheck = Command::new(assert_cmd::cargo::cargo_bin!("dbcheck"));
    dbcheck.args(["--format", "json", "--cmd", &command]);
    dbcheck.args(tiers.iter().flat_map(|tier| ["--tier", tier]));
    let output = dbcheck.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("{}", String::from_utf8_lossy(&output.stderr));
    });
    let wanting = report["checks"].as_array().unwrap().iter();
    let wanting = wanting.filter(|check| check["verdict"] != "passed").cloned().collect();
    (report["passed"].as_u64().unwrap(), wanting)
}

#[test]
fn it_gets_full_marks_in_four_tiers_from_memory_and_in_all_with_a_file() {
    let (passed, wanting) = score("", &["brief", "conventions", "http", "robust"]);
    assert!(passed >= 60 && wanting.is_empty(), "{passed}: {wanting:#?}");
    let (passed, wanting) = score("--data '{data}'", &[]);
    assert!(passed >= 71 && wanting.is_empty(), "{passed}: {wanting:#?}");
}

#[test]
fn a_request_in_pieces_is_answered_as_if_it_came_whole() {
    let server = start(&[]);
    let mut wire = server.connect();
    let body = "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                3;a=b\r\nGET\r\n0\r\nA: b\r\n\r\n";
    for byte in (get("/set?a=b") + body + &get("/get?key=a")).bytes() {
        wire.send([byte]);
    }
    assert_eq!([wire.answer(), wire.answer()].map(|it| it.status), [200, 500]);
    assert_eq!(wire.answer().text(), "b");
    server.stop();
}

/// More than any buffer here holds, so that requests lie across its end; sets among them, each of
/// which the later gets must see.
#[test]
fn pipelined_requests_are_answered_in_order_across_every_buffer() {
    let server = start_on_file(Arc::new(tempfile::tempdir().unwrap()));
    let mut wire = server.connect();
    let long = "x".repeat(701);
    let one =
        |i: usize| get(&format!("/set?a={i}{long}")) + &get("/get?key=a") + &get("/get?key=b");
    wire.send((0..200).map(one).collect::<String>());
    for i in 0..200 {
        assert_eq!(wire.answer().status, 200, "{i}");
        assert_eq!(wire.answer().text(), format!("{i}{long}"));
        assert_eq!(wire.answer().status, 404, "{i}");
    }
    // All of it was acknowledged, so none of it is lost.
    let server = start_on_file(server.kill());
    assert_eq!(server.get("/get?key=a").text(), format!("199{long}"));
    server.stop();
}

#[test]
fn a_client_that_reads_nothing_is_not_read_from_and_delays_nobody() {
    let server = start(&[]);
    let value = "v".repeat(60_000);
    assert_eq!(server.get(&format!("/set?a={value}")).status, 200);
    let mut deaf = server.connect();
    let request = get("/get?key=a");
    let requests = request.repeat(1000);
    // It takes a while to fill all buffers on the way. Then the server must stop reading.
    deaf.stream.set_nonblocking(true).unwrap();
    let (mut sent, mut full_since) = (0, Instant::now());
    while full_since.elapsed() < Duration::from_secs(1) {
        match (&deaf.stream).write(&requests.as_bytes()[sent % requests.len()..]) {
            Ok(count) => (sent, full_since) = (sent + count, Instant::now()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                assert_eq!(server.get("/get?key=none").status, 404);
            }
        }
        assert!(sent < 256 << 20, "the server takes whatever comes");
    }
    // Nothing is lost on it, once it reads.
    deaf.stream.set_nonblocking(false).unwrap();
    for i in 0..(sent / request.len()).min(100) {
        assert!(deaf.answer().text() == value, "{i}");
    }
    server.stop();
}

#[test]
fn a_head_without_an_end_is_408_and_idle_clients_make_room() {
    let server = start(&["--max-connections", "4"]);
    let mut slow = server.connect();
    slow.send("GET /get?key=a HTTP/1.1\r\nHost: ");
    let begun = Instant::now();
    slow.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    // One byte is sent after the other, in time for each read but not for the head.
    let mut buffer = [0; 4096];
    let received = loop {
        match slow.stream.read(&mut buffer) {
            Ok(count) => break String::from_utf8_lossy(&buffer[..count]).into_owned(),
            Err(_) => assert!(slow.stream.write_all(b"a").is_ok() && begun.elapsed() < PATIENCE),
        }
    };
    assert!(received.starts_with("HTTP/1.1 408 ") && begun.elapsed() >= Duration::from_secs(9));

    // Twice as many clients as there are slots: of those that wait, four are ended, long before they
    // have been idle for too long.
    let wires: Vec<Wire> = (0..8)
        .map(|_| {
            let mut wire = server.connect();
            assert_eq!(wire.get("/get?key=a").status, 404);
            wire.stream.set_nonblocking(true).unwrap();
            wire
        })
        .collect();
    let has_ended = |wire: &&Wire| wire.stream.peek(&mut [0]).is_ok_and(|count| count == 0);
    let begun = Instant::now();
    while wires.iter().filter(has_ended).count() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody made room");
    }
    assert!(!has_ended(&&wires[7]), "the last one made room for itself");
}

/// Each of the two threads has half of the places, and neither may take more than that for its own.
#[test]
fn as_many_clients_as_there_are_places_are_all_kept() {
    let server = start(&["--max-connections", "64"]);
    let mut wires: Vec<Wire> = (0..64).map(|_| server.connect()).collect();
    for _ in 0..2 {
        for wire in &mut wires {
            assert_eq!(wire.get("/get?key=a").status, 404);
        }
    }
    drop(wires);
    server.stop();
}

/// No thread is needed for a client, so open files are all that counts.
#[test]
fn there_are_as_many_places_as_open_files_leave_and_a_client_that_waits_makes_room() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(example("event_loop"));
    let server = Server::start_command(Arc::new(tempfile::tempdir().unwrap()), command);
    server.heard("limit on open files leaves room for 32 connections, not 1024");
    let mut wires: Vec<Wire> = Vec::new();
    for _ in 0..100 {
        wires.push(server.connect());
        assert_eq!(wires.last_mut().unwrap().get("/get?key=a").status, 404);
    }
    drop(wires);
    server.stop();
}

#[test]
fn a_set_that_can_not_be_stored_is_500_and_leaves_the_old_value() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ && ulimit -f 8 && exec \"$0\" \"$@\""]);
    command.arg(example("event_loop")).arg("--data").arg(folder.path().join("data.jsonl"));
    let server = Server::start_command(folder, command);
    let mut wire = server.connect();
    assert_eq!(wire.get("/set?a=1").status, 200);
    // The answer before it goes out all the same.
    wire.send(get("/get?key=a") + &get(&format!("/set?a={}", "2".repeat(20_000))));
    assert_eq!(wire.answer().text(), "1");
    let refusal = wire.answer();
    assert_eq!(refusal.status, 500);
    assert!(refusal.text().starts_with("Nothing was stored: "), "{}", refusal.text());
    wire.expect_end();
    assert_eq!(server.get("/get?key=a").text(), "1");
    server.stop();
}

#[test]
fn a_stop_answers_what_has_come_and_ends_the_idle() {
    let server = start(&[]);
    let mut begun = server.connect();
    begun.send("GET /get?key=a HTTP/1.1\r\n");
    // The two threads share their clients fairly: each of them has an idle one.
    let mut idle = [(); 3].map(|()| {
        let mut wire = server.connect();
        assert_eq!(wire.get("/get?key=a").status, 404);
        wire
    });
    // Not read yet when the signal comes: the process is stopped meanwhile.
    server.signal("STOP");
    let mut late = server.connect();
    late.send(get("/get?key=a").repeat(100));
    server.signal("TERM");
    server.signal("CONT");
    for i in 0..100 {
        assert_eq!(late.answer().status, 404, "{i}");
    }
    late.expect_end();
    // Each thread knows of the stop when it has ended these.
    idle.iter_mut().for_each(Wire::expect_end);
    begun.send("Host: localhost\r\n\r\n");
    let last = begun.answer();
    assert!(last.status == 404 && last.closes(), "{last:?}");
    begun.expect_end();
    assert_eq!(server.wait().0, Some(0));
}
