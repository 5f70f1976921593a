//! Slow clients: those who take their time over a request, and those who never read an answer.
//!
//! The ten seconds for a head are waited for with the real binary and five hundred clients at a
//! time. The longer times would make the tests long, so there a server in this process has them
//! shortened; `the_times_are_those_of_the_contract` says what they are otherwise.
//!
//! CONTRACT §2.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Server, Wire};
use dbserver::{Config, Engine as _, Limits, MemoryStore, listener, serve};
use rustix::net::sockopt;

/// How long an answer may take while others are slow, on a slow and busy machine.
const PROMPT: Duration = Duration::from_secs(5);

#[test]
fn the_times_are_those_of_the_contract() {
    let limits = Limits::default();
    let times = [limits.head_time, limits.body_time, limits.idle_time, limits.write_time];
    assert_eq!(times.map(|time| time.as_secs()), [10, 30, 60, 30]);
}

/// Sends the beginning of a head, and then one of these bytes each second until the server has
/// something to say. Returns all that it says, and how long it took from the first byte.
fn trickle(address: SocketAddr, head: &str, mut bytes: &str) -> (String, Duration) {
    let mut stream = TcpStream::connect(address).unwrap();
    // A read that waits for an answer is the pause between two bytes.
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let started = Instant::now();
    stream.write_all(head.as_bytes()).unwrap();
    let mut received = vec![0; 4096];
    let count = loop {
        match stream.read(&mut received) {
            Ok(count) => break count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        assert!(started.elapsed() < PATIENCE, "no answer to {head:?}");
        if let Some((byte, rest)) = bytes.split_at_checked(1) {
            stream.write_all(byte.as_bytes()).unwrap();
            bytes = rest;
        }
    };
    let took = started.elapsed();
    received.truncate(count);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_to_end(&mut received).unwrap();
    (String::from_utf8(received).unwrap(), took)
}

#[test]
fn five_hundred_heads_that_never_end_are_cut_off_with_408_and_delay_nobody() {
    let server = Server::start(&["--memory"]);
    assert_eq!(server.get("/set?a=b").status, 200);
    let address = server.address();
    let endless = "x".repeat(100);
    let heads = [
        ("GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n", &*endless),
        ("GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nX: ", &endless),
        ("\r\nGET /set?c=", &endless),
        ("G", "ET /set?c=d HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("GET /set?c=d HTTP/1.1\r\nHost: localhost\r\n\r", ""),
    ];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let slow: Vec<_> = (0..500)
            .map(|number| {
                let slow = thread::Builder::new().stack_size(64 << 10);
                let (head, bytes) = heads[number % heads.len()];
                slow.spawn_scoped(scope, move || trickle(address, head, bytes)).unwrap()
            })
            .collect();
        // Meanwhile one client keeps its connection, and another comes anew each time.
        let others = [true, false].map(|keeps| {
            let done = &done;
            scope.spawn(move || {
                let mut wire = Wire::connect(address);
                let (mut slowest, mut rounds) = (Duration::ZERO, 0);
                while !done.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    if !keeps {
                        wire = Wire::connect(address);
                    }
                    let answer = wire.get("/get?key=a");
                    assert_eq!((answer.status, answer.text()), (200, "b"));
                    slowest = slowest.max(begun.elapsed());
                    rounds += 1;
                    // Some hundred rounds are enough.
                    let read = Duration::from_millis(20);
                    wire.stream.set_read_timeout(Some(read)).unwrap();
                    assert_eq!(
                        wire.stream.peek(&mut [0]).unwrap_err().kind(),
                        ErrorKind::WouldBlock
                    );
                    wire.stream.set_read_timeout(Some(PATIENCE)).unwrap();
                }
                (slowest, rounds)
            })
        });
        let slow: Vec<_> = slow.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        for (number, outcome) in slow.into_iter().enumerate() {
            let (answer, took) = outcome.unwrap();
            assert!(answer.starts_with("HTTP/1.1 408 "), "{number}: {answer:?} after {took:?}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{number}: {answer:?}");
            assert_eq!(answer.matches("HTTP/1.1 4").count(), 1, "{number}: {answer:?}");
            assert!(took >= Duration::from_secs(10), "{number}: {took:?}");
            assert!(took < Duration::from_secs(40), "{number}: {took:?}");
        }
        for other in others {
            let (slowest, rounds) = other.join().unwrap();
            assert!(slowest < PROMPT && rounds > 10, "{slowest:?} in {rounds} rounds");
        }
    });
    assert_eq!(server.get("/get?key=c").status, 404);
    server.stop();
}

/// A server in this process, with one time shortened, and a pair `a=b` in its store.
fn with(shorten: impl FnOnce(&mut Limits)) -> (dbserver::Server, SocketAddr) {
    let mut limits = Limits::default();
    shorten(&mut limits);
    let listeners = listener::bind("127.0.0.1", 0).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let store = Arc::new(MemoryStore::new());
    store.set("a", "b").unwrap();
    (serve(listeners, store, Config { limits, ..Config::default() }).unwrap(), address)
}

const SHORT: Duration = Duration::from_secs(2);

#[test]
fn a_body_that_never_ends_is_cut_off_with_408() {
    let (server, address) = with(|limits| limits.body_time = SHORT);
    thread::scope(|scope| {
        for (fields, body) in [
            ("Content-Length: 100", &b"x"[..]),
            ("Content-Length: 1", b""),
            ("Transfer-Encoding: chunked", b"1;"),
            ("Transfer-Encoding: chunked", b"ff\r\nGET /set?c=d HTTP/1.1\r\n"),
            ("Transfer-Encoding: chunked", b"0\r\nX: y\r\n"),
        ] {
            scope.spawn(move || {
                let mut wire = Wire::connect(address);
                let started = Instant::now();
                wire.send(format!("POST / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n"));
                wire.send(body);
                let answer = wire.answer();
                let took = started.elapsed();
                assert_eq!((answer.status, answer.closes()), (408, true), "{fields}");
                wire.expect_end();
                assert!(took >= SHORT && took < SHORT + PROMPT, "{fields}: {took:?}");
            });
        }
        // It has no more time if it keeps on coming, byte by byte.
        scope.spawn(move || {
            let mut wire = Wire::connect(address);
            wire.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n");
            let (started, mut sent) = (Instant::now(), 0);
            wire.stream.set_read_timeout(Some(SHORT / 10)).unwrap();
            while wire.stream.peek(&mut [0]).is_err() {
                wire.send("x");
                sent += 1;
                assert!(sent < 100, "a body of 100 bytes was waited for");
            }
            assert!(started.elapsed() < SHORT + PROMPT);
            wire.stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(wire.answer().status, 408);
        });
    });
    server.stop();
}

#[test]
fn a_head_or_a_body_within_its_time_is_answered_however_slow_it_is() {
    let (server, address) = with(|limits| {
        limits.head_time = PATIENCE;
        limits.body_time = PATIENCE;
        // Neither is idle time, nor time that the client takes to read.
        limits.idle_time = SHORT;
        limits.write_time = SHORT;
    });
    let mut wire = Wire::connect(address);
    // A quarter of a second for each piece, which is more than SHORT for all.
    wire.stream.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    for piece in
        ["GET /get", "?key=a HT", "TP/1.1\r\n", "Host: local", "host\r\nContent-", "Length: 6"]
    {
        wire.send(piece);
        assert_eq!(wire.stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    wire.send("\r\n\r\n");
    for piece in ["b", "o", "d", "i", "e"] {
        wire.send(piece);
        assert_eq!(wire.stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    wire.send("s").stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text()), (200, "b"));
    wire.end().expect_end();
    server.stop();
}

#[test]
fn no_limit_on_time_is_too_long() {
    let (server, address) = with(|limits| {
        for time in [
            &mut limits.head_time,
            &mut limits.body_time,
            &mut limits.idle_time,
            &mut limits.write_time,
        ] {
            *time = Duration::MAX;
        }
    });
    let value = "v".repeat(60_000);
    let mut wire = Wire::connect(address);
    assert_eq!(wire.get(&format!("/set?large={value}")).status, 200);
    for _ in 0..100 {
        // Head, body, and the next wait each have a deadline of their own.
        wire.send("POST / HTTP/1.1\r\nHost: local");
        wire.send("host\r\nContent-Length: 4\r\n\r\nbo").send("dy");
        assert_eq!(wire.answer().status, 500);
    }
    // More than the system takes at once.
    wire.send("GET /get?key=large HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200));
    for _ in 0..200 {
        assert_eq!(wire.answer().text(), value);
    }
    wire.end().expect_end();
    server.stop();
}

#[test]
fn a_connection_that_is_idle_too_long_is_closed_without_an_answer() {
    let (server, address) = with(|limits| limits.idle_time = SHORT);
    thread::scope(|scope| {
        for before in ["", "\r\n", "GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            scope.spawn(move || {
                let mut wire = Wire::connect(address);
                // The time begins again with each answer.
                let mut started = Instant::now();
                wire.send(before);
                if before.len() > 2 {
                    assert_eq!(wire.answer().text(), "b");
                    wire.stream.set_read_timeout(Some(SHORT / 2)).unwrap();
                    assert!(wire.stream.peek(&mut [0]).is_err());
                    wire.stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    started = Instant::now();
                    assert_eq!(wire.get("/get?key=x").status, 404);
                }
                wire.expect_end();
                let took = started.elapsed();
                assert!(took >= SHORT && took < 2 * SHORT + PROMPT, "{before:?}: {took:?}");
            });
        }
    });
    server.stop();
}

#[test]
fn a_client_that_never_reads_is_closed_and_disturbs_nobody() {
    let (server, address) = with(|limits| limits.write_time = SHORT);
    let value = "v".repeat(60_000);
    assert_eq!(Wire::connect(address).get(&format!("/set?large={value}")).status, 200);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let deaf: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || {
                    let mut deaf = TcpStream::connect(address).unwrap();
                    deaf.set_write_timeout(Some(PATIENCE)).unwrap();
                    // Otherwise it takes some ten megabytes before anything blocks.
                    sockopt::set_socket_recv_buffer_size(&deaf, 64 << 10).unwrap();
                    let requests =
                        b"GET /get?key=large HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
                    let started = Instant::now();
                    // All that is on its way fits into buffers of some size; then a write blocks,
                    // until the server has had enough.
                    let error = loop {
                        assert!(started.elapsed() < PATIENCE, "it is still served");
                        if let Err(error) = deaf.write_all(&requests) {
                            break error;
                        }
                    };
                    assert!(
                        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                        "{error}"
                    );
                    assert!(started.elapsed() >= SHORT);
                })
            })
            .collect();
        let other = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(Wire::connect(address).get("/get?key=large").text(), value);
                assert_eq!(Wire::connect(address).get("/get?key=a").text(), "b");
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        });
        let deaf: Vec<_> = deaf.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(other.join().unwrap() < PROMPT);
        assert!(deaf.iter().all(Result::is_ok));
    });
    server.stop();
}
