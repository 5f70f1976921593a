//! How the server ends: what has begun is answered, nothing that was answered is lost.
//!
//! CONTRACT §4.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::load::{Outcome, check, ledgers, set_until_the_end};
use crate::common::{PATIENCE, Server, Wire, program};
use dbserver::{Config, Engine as _, MemoryStore, listener, serve};

/// Twice what the server promises, and more than a busy machine needs on top.
const SOON: Duration = Duration::from_secs(10);

/// A connection whose second request is begun for certain: its first bytes came in one packet with
/// a request that has been answered.
fn begin(server: &Server, half: &str) -> Wire {
    let mut wire = server.connect();
    let whole = "GET /get?key=nothing HTTP/1.1\r\nHost: localhost\r\n\r\n";
    wire.send(format!("{whole}{half}"));
    assert_eq!(wire.answer().status, 404);
    wire
}

/// Asks the server to stop, and returns when it is about to.
fn ask_to_stop(server: &Server, signal: &str) {
    let mut idle = server.connect();
    assert_eq!(idle.get("/get?key=nothing").status, 404);
    server.signal(signal);
    idle.expect_end();
}

/// Waits for the end of a server that was asked to stop, which must be in order.
fn ends_in_order(server: Server) {
    let wanted = format!(
        "Started Simple DB server on http://localhost:{}/\nStopped Simple DB server\n",
        server.port
    );
    let stderr = Arc::clone(&server.stderr);
    let (code, stdout) = server.wait();
    assert_eq!((code, stdout), (Some(0), wanted), "{}", stderr.lock().unwrap());
    assert_eq!(*stderr.lock().unwrap(), "");
}

#[test]
fn under_load_all_that_was_begun_is_answered_and_nothing_is_lost() {
    for signal in ["TERM", "INT", "HUP"] {
        let server = Server::start(&["--compact-over", "0"]);
        let (address, folder) = (server.address(), Arc::clone(&server.folder));
        let mut ledgers = ledgers(16);
        let answered = AtomicUsize::new(0);
        let (stopped_at, ends) = thread::scope(|scope| {
            let answered = &answered;
            let writers = ledgers
                .iter_mut()
                .map(|ledger| scope.spawn(move || set_until_the_end(address, ledger, answered)));
            let writers: Vec<_> = writers.collect();
            let deadline = Instant::now() + PATIENCE;
            while answered.load(SeqCst) < 300 {
                assert!(Instant::now() < deadline, "too few sets");
                thread::sleep(Duration::from_millis(1));
            }
            let stopped_at = Instant::now();
            server.signal(signal);
            ends_in_order(server);
            assert!(stopped_at.elapsed() < SOON, "{signal}: {:?}", stopped_at.elapsed());
            let ends = writers.into_iter().map(|writer| writer.join().unwrap());
            (stopped_at, ends.collect::<Vec<_>>())
        });
        for end in ends.into_iter().flatten() {
            // A client can't know that it should not have sent this one.
            let Outcome::Ended { received, sent_at } = end else { unreachable!() };
            assert_eq!(received, "", "{signal}: part of an answer");
            let late = sent_at.is_none_or(|sent_at| sent_at > stopped_at);
            assert!(late, "{signal}: a request from before the signal has no answer");
        }
        let server = Server::start_in(folder, &[]);
        check(&server, &mut ledgers);
        server.stop();
    }
}

#[test]
fn an_idle_connection_is_closed_at_once() {
    let server = Server::start(&[]);
    let mut fresh = server.connect();
    let mut used = server.connect();
    assert_eq!(used.get("/get?key=a").status, 404);
    // Somebody else is in the middle of a request, and keeps the server from ending.
    let mut slow = begin(&server, "GET /get?key=a HTTP/1.1\r\n");
    server.signal("TERM");
    fresh.expect_end();
    used.expect_end();
    slow.send("Host: localhost\r\n\r\n");
    assert_eq!(slow.answer().status, 404);
    ends_in_order(server);
}

#[test]
fn a_request_that_was_begun_may_be_finished() {
    for (half, rest, status) in [
        ("G", "ET /set?half=done HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET /set?half=done HT", "TP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET /set?half=done HTTP/1.1\r\nHost: localhost\r\n\r", "\n", 200),
        (
            "GET /set?half=done HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345",
            "67890",
            200,
        ),
        (
            "POST /set?half=done HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
            "12345\r\n0\r\n\r\n",
            500,
        ),
    ] {
        let server = Server::start(&[]);
        let folder = Arc::clone(&server.folder);
        let mut wire = begin(&server, half);
        ask_to_stop(&server, "TERM");
        wire.send(rest);
        let answer = wire.answer();
        assert_eq!(answer.status, status, "{half:?}");
        assert!(answer.closes(), "{}", answer.head);
        wire.expect_end();
        ends_in_order(server);
        let server = Server::start_in(folder, &[]);
        let kept = server.get("/get?key=half");
        assert_eq!(kept.status, if status == 200 { 200 } else { 404 }, "{half:?}");
        server.stop();
    }
}

#[test]
fn a_request_that_was_begun_may_be_finished_where_no_slot_is_free() {
    // What wakes the listener's threads at the stop must not take the slot of who is there.
    let server = Server::start(&["--max-connections", "1"]);
    let mut wire = begin(&server, "GET /get?key=half HTTP/1.1\r\n");
    server.signal("TERM");
    // Nothing tells when a server without a free slot has begun to stop. If it needs longer than
    // this, there is less to see; that the connection goes on is to be seen in any case.
    wire.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert_eq!(wire.stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    wire.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    wire.send("Host: localhost\r\n\r\n");
    assert_eq!(wire.answer().status, 404);
    wire.expect_end();
    ends_in_order(server);
}

#[test]
fn requests_that_came_together_are_all_answered() {
    const SETS: usize = 40;
    let set = |number: usize, padding: &str, body: &str| {
        let length = body.len();
        let padding = if padding.is_empty() { String::new() } else { format!("X: {padding}\r\n") };
        format!(
            "GET /set?key{number:02}=1 HTTP/1.1\r\nHost: localhost\r\n{padding}\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    // With 128 bytes each, a read of 1,024 ends where a request does.
    let fill = "x".repeat(128 - set(0, "x", "").len() + 1);
    assert_eq!(set(0, &fill, "").len(), 128);
    for (padding, body) in [("", ""), (&*fill, ""), ("", "body"), ("", &"b".repeat(2000))] {
        let server = Server::start(&[]);
        let mut wire = server.connect();
        assert_eq!(wire.get("/get?key=nothing").status, 404);
        // A stopped process has all of them in its socket when the signal comes.
        server.signal("STOP");
        wait_until_stopped(&server, true);
        wire.send((0..SETS).map(|number| set(number, padding, body)).collect::<String>());
        server.signal("TERM");
        server.signal("CONT");
        for number in 0..SETS {
            let answer = wire.answer();
            assert_eq!(answer.status, 200, "{padding:?}, {body:?}, request {number}");
            let last = number == SETS - 1;
            assert!(!answer.closes() || last, "{padding:?}, {body:?}, request {number}");
        }
        wire.expect_end();
        ends_in_order(server);
    }
}

#[test]
fn a_client_that_never_finishes_does_not_keep_it() {
    let server = Server::start(&[]);
    let mut wire = begin(&server, "GET /set?a=1 HTTP/1.1\r\n");
    let mut body =
        begin(&server, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1");
    let began = Instant::now();
    server.signal("TERM");
    ends_in_order(server);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    wire.expect_end();
    body.expect_end();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("HUP", "INT")] {
        let server = Server::start(&[]);
        let wanted = format!("Started Simple DB server on http://localhost:{}/\n", server.port);
        let folder = Arc::clone(&server.folder);
        assert_eq!(server.get("/set?a=1").status, 200);
        // Alone, this would hold up the end for some seconds, and the end would be in order.
        let slow = begin(&server, "GET /get?key=a HTTP/1.1\r\n");
        ask_to_stop(&server, first);
        // What comes within a second is taken for the same wish, so this is no wait for anything.
        thread::sleep(Duration::from_millis(1100));
        server.signal(second);
        assert_eq!(server.wait(), (None, wanted), "{first}, {second}");
        drop(slow);
        let server = Server::start_in(folder, &[]);
        assert_eq!(server.get("/get?key=a").text(), "1");
        server.stop();
    }
}

#[test]
fn a_signal_that_comes_twice_is_one_wish() {
    for (first, second) in [("HUP", "HUP"), ("TERM", "TERM"), ("INT", "HUP")] {
        let server = Server::start(&[]);
        let mut slow = begin(&server, "GET /get?key=a HTTP/1.1\r\n");
        // As when a window is closed: the system sends one, and the shell another.
        server.signal(first);
        server.signal(second);
        slow.send("Host: localhost\r\n\r\n");
        assert_eq!(slow.answer().status, 404, "{first}, {second}");
        ends_in_order(server);
    }
}

/// A server without a file that a shell starts after this command.
fn started_after(command: &str) -> Server {
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("{command} \"$0\" \"$@\"")]);
    shell.arg(program().get_program()).arg("--memory");
    Server::start_command(Arc::new(tempfile::tempdir().unwrap()), shell)
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_ignored() {
    for command in ["exec nohup", "trap '' HUP; exec"] {
        let server = started_after(command);
        let mut idle = server.connect();
        assert_eq!(idle.get("/get?key=a").status, 404, "{command}");
        server.signal("HUP");
        // Nothing tells that a signal was ignored. A stop closes what is idle, within milliseconds.
        idle.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        assert_eq!(idle.stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        idle.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(idle.get("/get?key=a").status, 404, "{command}");
        ask_to_stop(&server, "TERM");
        ends_in_order(server);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_the_parent_has_blocked_is_heard() {
    for signal in ["TERM", "INT", "HUP"] {
        let server = started_after(&format!("exec env --block-signal={signal}"));
        server.signal(signal);
        ends_in_order(server);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn as_process_1_it_ends_with_an_exit_code() {
    // Whoever may not make a namespace of processes may do so in a namespace of users.
    let server = started_after("exec unshare --user --map-root-user --pid --fork --kill-child");
    let id = server.child.id();
    let path = format!("/proc/{id}/task/{id}/children");
    let first: u32 = fs::read_to_string(path).unwrap().trim().parse().unwrap();
    let signal = |name: &str| {
        let status = Command::new("kill").args([format!("-{name}"), first.to_string()]).status();
        assert!(status.unwrap().success());
    };
    let slow = begin(&server, "GET /get?key=a HTTP/1.1\r\n");
    let mut idle = server.connect();
    assert_eq!(idle.get("/get?key=nothing").status, 404);
    signal("TERM");
    idle.expect_end();
    thread::sleep(Duration::from_millis(1100));
    signal("TERM");
    // What a shell says of a process that SIGTERM has ended.
    assert_eq!(server.wait().0, Some(128 + 15));
    drop(slow);
}

#[test]
fn a_signal_while_the_file_is_read_ends_it() {
    // What is left at the end is what was there: nothing of it was read in that time.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    let lines: String = (0..1_000_000)
        .map(|number| format!("{{\"key\":\"key{number}\",\"value\":\"{number}\"}}\n"))
        .collect();
    fs::write(&path, &lines).unwrap();
    let mut command = program();
    command.arg("--data").arg(&path);
    is_stopped_before_it_has_started(command);
    assert!(fs::read_to_string(&path).unwrap() == lines);
}

/// A pipe is open when both of its ends are.
#[test]
fn a_signal_while_nobody_reads_the_pipe_of_the_trace_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["--memory", "--trace-file"]).arg(pipe_in(folder.path()));
    is_stopped_before_it_has_started(command);
}

/// Runs the command on port 0, and sends it a signal while it opens something.
fn is_stopped_before_it_has_started(mut command: Command) {
    let command = command.args(["--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // The thread that waits for signals is there before the one that opens.
    while !has_thread(child.id(), "open") {
        assert_eq!(child.try_wait().unwrap(), None);
        in_time(&mut child, deadline);
    }
    let status = Command::new("kill").arg(child.id().to_string()).status();
    assert!(status.unwrap().success());
    while child.try_wait().unwrap().is_none() {
        in_time(&mut child, deadline);
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = (text(&output.stdout), text(&output.stderr));
    assert_eq!(said, ("Stopped Simple DB server\n".into(), String::new()));
    assert_eq!(output.status.code(), Some(0));
}

/// Waits a moment, and fails after the deadline, with the child gone.
fn in_time(child: &mut Child, deadline: Instant) {
    if Instant::now() > deadline {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("it takes too long");
    }
    thread::sleep(Duration::from_millis(1));
}

/// A named pipe.
fn pipe_in(folder: &Path) -> PathBuf {
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    pipe
}

/// Each of the two alone is waited for almost as long as a stop may take.
#[test]
fn a_client_that_never_finishes_and_a_trace_that_nobody_reads_are_not_waited_for_one_by_one() {
    let stops_in_time = |_| {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let pipe = pipe_in(folder.path());
        let _unread = fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let options = ["--memory", "--trace-file", pipe.to_str().unwrap()];
        let server = Server::start_in(folder, &options);
        // More events than a pipe takes.
        let mut wire = server.connect();
        for _ in 0..2000 {
            assert_eq!(wire.get("/get?key=nothing").status, 404);
        }
        let _begun = begin(&server, "GET /get");
        let began = Instant::now();
        server.signal("TERM");
        ends_in_order(server);
        // 5 s, and half a second for a busy machine.
        began.elapsed() < Duration::from_millis(5500)
    };
    assert!((0..3).any(stops_in_time));
}

/// Whether the process has a thread of this name, where the system can be asked.
fn has_thread(process: u32, name: &str) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return !cfg!(target_os = "linux");
    };
    threads.flatten().any(|thread| {
        let found = fs::read_to_string(thread.path().join("comm"));
        found.is_ok_and(|found| found.trim() == name)
    })
}

/// Waits until the system says that the process is stopped, or is not, where it can be asked.
fn wait_until_stopped(server: &Server, stopped: bool) {
    let path = format!("/proc/{}/stat", server.child.id());
    let deadline = Instant::now() + PATIENCE;
    while let Ok(stat) = std::fs::read_to_string(&path) {
        if stat.rsplit(") ").next().unwrap().starts_with('T') == stopped {
            break;
        }
        assert!(Instant::now() < deadline, "{stat}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn being_stopped_and_continued_breaks_no_connection() {
    let server = Server::start(&[]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/get?key=a").status, 404);
    let mut head = begin(&server, "GET /set?a=1 HTTP/1.1\r\n");
    let mut body = begin(
        &server,
        "GET /set?b=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345",
    );
    // One that is being answered with more than fits between the two, and reads nothing yet.
    let mut deaf = server.connect();
    assert_eq!(deaf.get(&format!("/set?large={}", "v".repeat(60_000))).status, 200);
    deaf.send("GET /get?key=large HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(400));
    deaf.stream.peek(&mut [0]).unwrap();
    for _ in 0..5 {
        server.signal("STOP");
        wait_until_stopped(&server, true);
        server.signal("CONT");
        wait_until_stopped(&server, false);
        // The listener goes on as well.
        assert_eq!(server.get("/get?key=c").status, 404);
    }
    assert_eq!(head.send("Host: localhost\r\n\r\n").answer().status, 200);
    assert_eq!(body.send("67890").answer().status, 200);
    assert_eq!(idle.get("/get?key=a").text(), "1");
    for _ in 0..400 {
        assert_eq!(deaf.answer().body.len(), 60_000);
    }

    // What comes while it is stopped is answered when it goes on.
    server.signal("STOP");
    wait_until_stopped(&server, true);
    idle.send("GET /get?key=b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    server.signal("CONT");
    assert_eq!(idle.answer().text(), "1");
    drop((idle, head, body));
    server.stop();
}

#[test]
fn what_came_while_it_was_stopped_is_read_before_a_deadline_counts() {
    let server = Server::start(&[]);
    let mut head = begin(&server, "GET /set?a=1 HTTP/1.1\r\n");
    let mut late = begin(&server, "GET /set?b=1 HTTP/1.1\r\n");
    server.signal("STOP");
    wait_until_stopped(&server, true);
    head.send("Host: localhost\r\n\r\n");
    // A head has ten seconds: this is no wait for anything, but that time.
    thread::sleep(Duration::from_millis(10_500));
    server.signal("CONT");
    assert_eq!(head.answer().status, 200);
    // One that has not come is late all the same.
    assert_eq!(late.answer().status, 408);
    late.expect_end();
    drop(head);
    server.stop();
}

#[test]
fn what_came_while_it_was_stopped_is_answered_when_the_last_requests_have_had_their_time() {
    let server = Server::start(&[]);
    let mut slow = begin(&server, "GET /get?key=a HTTP/1.1\r\n");
    ask_to_stop(&server, "TERM");
    server.signal("STOP");
    wait_until_stopped(&server, true);
    slow.send("Host: localhost\r\n\r\n");
    // The last requests have four seconds.
    thread::sleep(Duration::from_millis(4500));
    server.signal("CONT");
    assert_eq!(slow.answer().status, 404);
    slow.expect_end();
    ends_in_order(server);
}

#[test]
fn nobody_is_served_who_connects_after_the_stop() {
    let server = Server::start(&[]);
    let mut slow = begin(&server, "GET /get?key=a HTTP/1.1\r\n");
    ask_to_stop(&server, "TERM");
    // Somebody is still being waited for, and nothing listens any more.
    let deadline = Instant::now() + Duration::from_secs(3);
    while TcpStream::connect(server.address()).is_ok() {
        assert!(Instant::now() < deadline, "new clients still find somebody");
    }
    slow.send("Host: localhost\r\n\r\n");
    assert_eq!(slow.answer().status, 404);
    ends_in_order(server);
}

#[test]
fn nothing_listens_when_stop_has_returned_and_nobody_is_served() {
    const ANSWERS: usize = 400;
    let listeners = listener::bind("localhost", 0).unwrap();
    let addresses: Vec<_> = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
    let store = Arc::new(MemoryStore::new());
    store.set("large", &"v".repeat(60_000)).unwrap();
    let server = serve(listeners, store, Config::default()).unwrap();
    let mut wires: Vec<_> = addresses.iter().map(|&address| Wire::connect(address)).collect();
    for wire in &mut wires {
        assert_eq!(wire.get("/get?key=a").status, 404);
        // Its thread is there for as long as it is waited for.
        wire.send("GET /get?key=a HTTP/1.1\r\n");
    }
    // One that is being answered, and reads nothing.
    let mut deaf = Wire::connect(addresses[0]);
    deaf.send("GET /get?key=large HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(ANSWERS));
    deaf.stream.peek(&mut [0]).unwrap();
    server.stop();
    for address in addresses {
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{address}");
    }
    for wire in &mut wires {
        wire.expect_end();
    }
    // What was on its way to it, and no more.
    let mut received = Vec::new();
    let _ = deaf.stream.read_to_end(&mut received);
    assert!(received.len() < ANSWERS * 60_000, "{}", received.len());
}

#[test]
fn a_client_in_the_queue_is_answered() {
    for round in 0..5 {
        let server = Server::start(&[]);
        let folder = Arc::clone(&server.folder);
        let mut idle = server.connect();
        assert_eq!(idle.get("/get?key=nothing").status, 404);
        // A stopped process accepts nobody: the system takes the connections for it.
        server.signal("STOP");
        wait_until_stopped(&server, true);
        let waiting: Vec<_> = (0..20)
            .map(|number| {
                let mut wire = server.connect();
                let target = format!("/set?key{number}=1");
                wire.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
                wire
            })
            .collect();
        idle.send("GET /set?idle=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        server.signal("TERM");
        server.signal("CONT");
        for (number, mut wire) in waiting.into_iter().enumerate() {
            assert_eq!(wire.answer().status, 200, "round {round}, connection {number}");
        }
        // So is a request that came on an open connection before the signal.
        assert_eq!(idle.answer().status, 200, "round {round}");
        ends_in_order(server);
        let server = Server::start_in(folder, &[]);
        assert_eq!(server.get("/get?key=key19").text(), "1");
        assert_eq!(server.get("/get?key=idle").text(), "1");
        server.stop();
    }
}

#[test]
fn a_client_in_the_queue_after_slow_ones_is_answered() {
    for round in 0..5 {
        let server = Server::start(&[]);
        server.signal("STOP");
        wait_until_stopped(&server, true);
        let request =
            |number| format!("GET /set?key{number}=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let waiting: Vec<_> = (0..20)
            .map(|number| {
                let mut slow = server.connect();
                slow.send(&request(number)[..9]);
                let mut quick = server.connect();
                quick.send(request(number + 100));
                (slow, quick)
            })
            .collect();
        server.signal("TERM");
        server.signal("CONT");
        // Whether a slow one is answered depends on whether its first bytes were read in time.
        for (number, (slow, mut quick)) in waiting.into_iter().enumerate() {
            assert_eq!(quick.answer().status, 200, "round {round}, connection {number}");
            drop(slow);
        }
        ends_in_order(server);
    }
}
