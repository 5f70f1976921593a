//! Faults: clients that come in thousands, send nonsense, never read or leave, a system that has no
//! more file descriptors, and handlers that panic. Whatever one connection does, the others are
//! served, and nothing is written that nobody set.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
#[cfg(target_os = "linux")]
use std::os::unix::fs::PermissionsExt as _;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use crate::common::program;
use crate::common::{PATIENCE, Server, Wire};
use dbserver::http::refusal::Refusal;
use dbserver::{Config, Engine as _, MemoryStore, Routes, listener, serve};
use memchr::memmem;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A request that stores nothing and is answered with 200, in a server that has `a=b`.
const GET: &str = "GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A server without a file that has `a=b` and a value that is too large for any buffer's
/// remainder.
fn server(options: &[&str]) -> Server {
    with_pairs(Server::start(&[&["--memory"], options].concat()))
}

fn with_pairs(server: Server) -> Server {
    assert_eq!(server.get("/set?a=b").status, 200);
    assert_eq!(server.get(&format!("/set?large={}", "v".repeat(60_000))).status, 200);
    server
}

/// Checks that new clients are served.
fn is_well(server: &mut Server) {
    let answer = server.get("/get?key=a");
    assert_eq!((answer.status, answer.text()), (200, "b"));
    is_quiet(server);
}

/// Checks that the server runs and has printed nothing else.
fn is_quiet(server: &mut Server) {
    assert_eq!(server.child.try_wait().unwrap(), None);
    let stderr = server.stderr.lock().unwrap();
    let is_warned_of = |line: &str| line.contains("limit on") && line.contains("leaves room for");
    assert!(stderr.lines().all(is_warned_of), "{stderr}");
}

/// Asks on new connections until one is served: others may still be on their way out.
fn becomes_well(server: &mut Server) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        // It may be closed at once, too.
        let asked = stream.write_all(GET.as_bytes());
        let _ = asked.and_then(|()| stream.shutdown(Shutdown::Write));
        let _ = stream.read_to_end(&mut answer);
        if answer.starts_with(b"HTTP/1.1 200 ") {
            assert!(answer.ends_with(b"\r\n\r\nb"), "{}", answer.escape_ascii());
            return is_quiet(server);
        }
        assert!(Instant::now() < deadline, "{}", answer.escape_ascii());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Raises the limit on open files of this process as far as it goes, and returns it. Servers that
/// are started later have the same.
fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    limit.current.unwrap_or(u64::MAX)
}

/// The processor time that a process has used.
#[cfg(target_os = "linux")]
fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The second field is a name in parentheses; utime and stime are the 14th and the 15th, in
    // hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// The resident memory of a process, in KiB.
#[cfg(target_os = "linux")]
fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A client that asks for a large value until nothing more fits between the two, and never reads.
fn deaf(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    // Otherwise it takes some ten megabytes.
    sockopt::set_socket_recv_buffer_size(&stream, 16 << 10).unwrap();
    sockopt::set_socket_send_buffer_size(&stream, 16 << 10).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let requests = GET.replace("key=a", "key=large").repeat(100);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "it takes everything");
        match stream.write(requests.as_bytes()) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return stream,
            // Turned away: those who were there before are still on their way out.
            Err(_) => {
                drop(stream);
                return deaf(address);
            }
        }
    }
}

/// So many of them.
fn deaf_ones(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let threads: Vec<_> = (0..count).map(|_| thread::spawn(move || deaf(address))).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn thousands_of_idle_connections_leave_others_alone() {
    // Some are for the other tests of this file.
    let room = usize::try_from(open_files()).unwrap_or(usize::MAX).saturating_sub(1000);
    let count = room.clamp(100, 5000);
    let mut server = server(&["--max-connections", "6000"]);
    #[cfg(target_os = "linux")]
    let before = resident_kib(server.child.id());
    let mut idle: Vec<TcpStream> = Vec::with_capacity(count);
    let mut wire = server.connect();
    for number in 0..count {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Some are idle from the beginning, some after a request.
        if number % 2 == 0 {
            stream.write_all(GET.as_bytes()).unwrap();
            let read = stream.read(&mut [0; 1024]).unwrap();
            assert!(read > 0, "connection {number} was closed");
        }
        idle.push(stream);
        if number % 50 == 0 {
            let begun = Instant::now();
            assert_eq!(wire.get("/get?key=a").text(), "b");
            assert_eq!(server.get("/get?key=a").text(), "b");
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
    }
    #[cfg(target_os = "linux")]
    {
        let each = resident_kib(server.child.id()).saturating_sub(before) / count as u64;
        assert!(each < 40, "{each} KiB for each of {count} connections");
    }
    // Nobody was closed to make room, and each of them is served when it asks.
    for (number, stream) in idle.iter_mut().enumerate() {
        stream.write_all(GET.as_bytes()).unwrap();
        let read = stream.read(&mut [0; 1024]).unwrap();
        assert!(read > 0, "connection {number} of {count} was closed");
    }
    drop(idle);
    assert_eq!(wire.get("/get?key=a").text(), "b");
    is_well(&mut server);
    server.stop();
}

#[test]
fn the_connection_longest_without_a_whole_request_makes_room() {
    for begun in [
        "",
        "\r\n",
        "GET /get?key=a HTTP/1.1\r\nHost:",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nbody",
    ] {
        let mut server = server(&["--max-connections", "3"]);
        let mut oldest = server.connect();
        // What comes in one packet is read in one: when the answer is there, the rest has been begun.
        oldest.send([GET, begun].concat());
        assert_eq!(oldest.answer().text(), "b");
        let (mut second, mut third) = (server.connect(), server.connect());
        for wire in [&mut second, &mut third] {
            assert_eq!(wire.get("/get?key=a").text(), "b");
        }
        let (mut fourth, since) = (server.connect(), Instant::now());
        assert_eq!(fourth.get("/get?key=a").text(), "b", "{begun:?}");
        for wire in [&mut second, &mut third, &mut fourth] {
            assert_eq!(wire.get("/get?key=a").text(), "b", "{begun:?}");
        }
        oldest.expect_end();
        // In the end it would be closed anyway.
        assert!(since.elapsed() < Duration::from_secs(9), "{begun:?}: {:?}", since.elapsed());
        drop(fourth);
        is_well(&mut server);
        server.stop();
    }
}

/// A client that has its last answer and is waited for, a second at most; none if it was turned away.
fn refused(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all([GET, "NONSENSE\r\n\r\n"].concat().as_bytes()).ok()?;
    let (mut answers, mut buffer) = (Vec::new(), [0; 1024]);
    while !String::from_utf8_lossy(&answers).contains(" 400 Bad Request") {
        let read = stream.read(&mut buffer).ok().filter(|&read| read > 0)?;
        answers.extend_from_slice(&buffer[..read]);
    }
    Some(stream)
}

#[test]
fn a_client_that_is_no_longer_answered_makes_room() {
    let mut server = server(&["--max-connections", "2"]);
    // On a busy machine somebody may still be on the way out, or the waiting may be over before we
    // have looked: then again.
    let made_room = (0..10).any(|_| {
        let waited_for = (refused(server.address()), refused(server.address()));
        let since = Instant::now();
        becomes_well(&mut server);
        matches!(waited_for, (Some(_), Some(_))) && since.elapsed() < Duration::from_millis(900)
    });
    assert!(made_room, "the slots were free only when the waiting was over");
    server.stop();
}

#[test]
fn where_all_are_being_answered_a_new_client_gets_503() {
    let mut server = server(&["--max-connections", "2"]);
    let deaf = deaf_ones(server.address(), 2);
    for request in ["", GET] {
        let mut wire = server.connect();
        wire.send(request);
        let answer = wire.answer();
        assert_eq!((answer.status, answer.closes()), (503, true));
        assert_eq!(answer.field("Retry-After"), Some("1"));
        wire.expect_end();
    }
    drop(deaf);
    becomes_well(&mut server);
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_that_has_asked_is_answered_however_many_come_after() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
    command.arg(program().get_program()).arg("--memory");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut server = with_pairs(Server::start_command(folder, command));
    for _ in 0..10 {
        // While it is stopped, clients queue up: three times as many as it has room for.
        server.signal("STOP");
        let mut asking: Vec<Wire> = (0..110).map(|_| server.connect()).collect();
        for wire in &mut asking {
            wire.send(GET);
        }
        server.signal("CONT");
        for (number, wire) in asking.iter_mut().enumerate() {
            // Where all of its places are taken by others who ask, one is told so.
            let status = wire.answer().status;
            assert!([200, 503].contains(&status), "client {number}: {status}");
        }
        // The queue has no room for those of the next round before these are through.
        becomes_well(&mut server);
    }
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_system_without_threads_is_met_with_fewer_connections() {
    // The limit is that of a user, so there has to be one of its own. It does not hold for root.
    let user: &[&str] = if rustix::process::getuid().is_root() {
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    } else {
        &[]
    };
    let space = ["unshare", "--user", "--map-current-user"];
    let words = [user, &space].concat();
    let may = Command::new(words[0]).args(&words[1..]).arg("true").status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("this user may not make a namespace of users: nothing is tried");
        return;
    }
    // Another user may not be allowed to read what Cargo has built.
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let copy = folder.path().join("dbserver");
    fs::copy(program().get_program(), &copy).unwrap();
    for (path, mode) in [(folder.path(), 0o755), (&copy, 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(words[0]);
    // Other programs of this user have taken forty, so that there are fewer than it counts on.
    let others = "for n in {1..40}; do sleep 60 > /dev/null 2>&1 & done";
    let script = format!("{others}; ulimit -u 60; exec \"$0\" \"$@\"");
    command.args(&words[1..]).args(["bash", "-c", &script]);
    command.arg(copy).arg("--memory");
    let mut server = Server::start_command(folder, command);
    server.heard("limit on threads leaves room for 28 connections, not 1024");
    assert_eq!(server.get("/set?a=b").status, 200);
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    for _ in 0..20 {
        becomes_well(&mut server);
    }
    drop(silent);
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_takes_no_more_mappings_than_are_counted_for_it() {
    const CONNECTIONS: usize = 200;
    let server = server(&[]);
    let mappings = || {
        let maps = fs::read_to_string(format!("/proc/{}/maps", server.child.id())).unwrap();
        maps.lines().count()
    };
    let mut wires: Vec<Wire> = Vec::new();
    let before = mappings();
    for _ in 0..CONNECTIONS {
        let mut wire = server.connect();
        assert_eq!(wire.get("/get?key=a").text(), "b");
        // Its input is as large as it gets.
        wire.send(format!("GET /{}", "x".repeat(60_000)));
        wires.push(wire);
    }
    // Of six for each; what the allocator takes besides has a share of its own.
    let each = (mappings() - before) / CONNECTIONS;
    assert!((1..=6).contains(&each), "{each}");
    drop(wires);
    server.stop();
}

#[test]
fn an_end_is_clean_where_more_is_in_the_socket_than_was_read() {
    let server = server(&[]);
    for version in ["1.0", "1.1"] {
        let head =
            format!("GET /get?key=a HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\nX: ");
        // As much as one read takes, and an empty line that does no harm elsewhere.
        let request = format!("{head}{}\r\n\r\n", "x".repeat(1024 - head.len() - 4));
        assert_eq!(request.len(), 1024);
        for stray in ["\r\n", GET] {
            for _ in 0..20 {
                assert_eq!(server.only_answer([&request, stray].concat()).text(), "b");
            }
        }
    }
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_system_without_file_descriptors_is_no_reason_to_spin_or_to_die() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
    command.arg(program().get_program()).arg("--memory");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut server = with_pairs(Server::start_command(folder, command));
    let said = server.heard("limit on open files");
    // As many deaf clients as it has room for leave no room for anybody else.
    let room = said.split("room for ").nth(1).unwrap().split(' ').next().unwrap();
    for deaf_count in [0, room.parse().unwrap()] {
        let deaf = deaf_ones(server.address(), deaf_count);
        let address = server.address();
        let clients: Vec<_> = (0..200)
            .filter_map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok())
            .collect();
        if deaf_count == 0 {
            // Idle connections make room.
            is_well(&mut server);
        }
        // This is no wait for anything: what is measured takes time.
        let (before, window) = (processor_time(server.child.id()), Duration::from_secs(2));
        thread::sleep(window);
        let used = processor_time(server.child.id()).saturating_sub(before);
        assert!(used < window / 4, "{used:?} in {window:?}, {deaf_count} deaf clients");
        drop((deaf, clients));
        becomes_well(&mut server);
    }
    server.stop();
}

#[test]
fn a_panic_in_a_handler_is_the_problem_of_one_request() {
    let routes = Routes::default()
        .and("GET", "/panic", |_, _, _| panic!("in a handler"))
        .and("GET", "/panic_with_the_lock", |engine, query, _| {
            engine.find(query, &mut |value| panic!("with the lock held on {value:?}"))?;
            Err(Refusal::NoRoute)
        })
        // What a panic carries may itself panic when it is thrown away.
        .and("GET", "/panic_twice", |_, _, _| std::panic::panic_any(Bomb));
    let store = Arc::new(MemoryStore::new());
    store.set("a", "b").unwrap();
    let listeners = listener::bind("127.0.0.1", 0).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let config = Config { routes, max_connections: 50, ..Config::default() };
    let server = serve(listeners, store.clone(), config).unwrap();

    let mut bystander = Wire::connect(address);
    assert_eq!(bystander.get("/get?key=a").text(), "b");
    for _ in 0..10 {
        for target in ["/panic", "/panic_with_the_lock?a"] {
            let mut wire = Wire::connect(address);
            let one = |target: &str| GET.replace("/get?key=a", target);
            // The requests before and after it in the same packet are answered, in order.
            wire.send([GET, &one(target), GET].concat());
            assert_eq!(wire.answer().text(), "b");
            let answer = wire.answer();
            assert_eq!(answer.status, 500);
            assert!(!answer.text().contains("lock"), "{}", answer.text());
            if !answer.closes() {
                assert_eq!(wire.answer().text(), "b");
                assert_eq!(wire.get("/set?c=d").status, 200);
            }
        }
        let mut wire = Wire::connect(address);
        wire.send(GET.replace("/get?key=a", "/panic_twice")).end();
        let rest = wire.rest();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 500 "), "{}", rest.escape_ascii());
        assert_eq!(bystander.get("/get?key=a").text(), "b");
    }
    // The lock that was held in the panic can be taken for reading and for writing.
    assert_eq!(bystander.get("/set?a=new").status, 200);
    assert_eq!(bystander.get("/set?x=y").status, 200);
    assert_eq!(bystander.get("/get?key=a").text(), "new");
    // And as many connections as there are slots are served at once: none was lost.
    let mut wires: Vec<Wire> = (1..50).map(|_| Wire::connect(address)).collect();
    for wire in wires.iter_mut().chain([&mut bystander]) {
        assert_eq!(wire.get("/get?key=x").text(), "y");
    }
    server.stop();
}

/// Something that must not be thrown away.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the drop of what a panic carried");
    }
}

#[test]
fn clients_that_leave_are_not_missed() {
    let mut server = server(&["--max-connections", "50"]);
    let stages = [
        "",
        "\r\n",
        "GET /get?k",
        "GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r",
        GET,
        &GET.repeat(20),
        "GET /get?key=large HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nbody",
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbo",
        "nonsense",
    ];
    for round in 0..300 {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(stages[round % stages.len()].as_bytes()).unwrap();
        match round / stages.len() % 3 {
            // A close; a reset; an end of one direction, then a close.
            0 => {}
            1 => sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap(),
            _ => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }
    becomes_well(&mut server);
    // None of them has kept its slot: as many as there are can be had at once, when the last one has
    // left. Until then, one of these makes room for another.
    let is_served = |mut stream: &TcpStream| {
        let mut begin = [0; 13];
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(GET.as_bytes()).and_then(|()| stream.read_exact(&mut begin)).is_ok()
            && begin == *b"HTTP/1.1 200 "
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all: Vec<_> = (0..50).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        if all.iter().all(is_served) {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    server.stop();
}

#[test]
fn garbage_is_refused_and_forgotten() {
    let mut server = server(&[]);
    let mut random = Xorshift::new(SEED);
    let mut garbage: Vec<Vec<u8>> = vec![
        // A TLS handshake, HTTP/2, HTTP/0.9, SSH, Redis, and a telnet user.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET /set?c=d\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"*3\r\n$3\r\nSET\r\n$1\r\nc\r\n$1\r\nd\r\n".to_vec(),
        b"SET c d\r\n".to_vec(),
        vec![0; 100_000],
        vec![b'\n'; 100_000],
        b"\r\n".repeat(50_000),
        vec![b'A'; 100_000],
        vec![0xFF; 100_000],
    ];
    for _ in 0..200 {
        let length = 1 + random.below(3000);
        garbage.push((0..length).map(|_| random.byte()).collect());
    }
    for bytes in &garbage {
        let mut wire = server.connect();
        let answer = wire.send(bytes).end().rest();
        let shown = || format!("seed {SEED}: {}", answer.escape_ascii());
        // What has no line end yet may still become something: then it ends as it stands.
        let status = answer.get(..13).unwrap_or_default();
        assert!(status.is_empty() || status.starts_with(b"HTTP/1.1 "), "{}", shown());
        assert!(!status.starts_with(b"HTTP/1.1 2"), "{}", shown());
    }
    assert_eq!(server.get("/get?key=c").status, 404);
    is_well(&mut server);
    server.stop();
}

#[test]
fn other_sites_write_nothing_by_any_trick() {
    let mut server = Server::start(&[]);
    assert_eq!(server.get("/set?a=b").status, 200);
    let before = fs::read(server.data()).unwrap();
    let host = format!("Host: localhost:{}", server.port);
    let set = format!("GET /set?evil=1 HTTP/1.1\r\n{host}\r\n\r\n");
    let length = set.len();
    // A page that posts a body can choose it, and these fields, freely.
    let post = format!("POST /set?evil=1 HTTP/1.1\r\n{host}\r\nContent-Type: text/plain\r\n");
    let evil = "Origin: https://evil.example\r\n";
    for (what, request, statuses) in [
        (
            "a WebSocket handshake, which is a GET that every page may make",
            format!(
                "GET /set?evil=1 HTTP/1.1\r\n{host}\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{evil}\r\n{GET}"
            ),
            &[403, 200][..],
        ),
        (
            "a body with a length",
            format!("{post}{evil}Content-Length: {length}\r\n\r\n{set}{GET}"),
            &[403, 200],
        ),
        (
            "the same from a browser that sends no Origin, and one that says what it is",
            format!(
                "{post}Content-Length: {length}\r\n\r\n{set}\
                 {post}Sec-Fetch-Site: cross-site\r\nContent-Length: {length}\r\n\r\n{set}{GET}"
            ),
            &[500, 403, 200],
        ),
        (
            "a body in chunks",
            format!(
                "{post}{evil}Transfer-Encoding: chunked\r\n\r\n\
                 {length:x}\r\n{set}\r\n0\r\n\r\n{GET}"
            ),
            &[403, 200],
        ),
        (
            "a body that is announced and comes unasked",
            format!("{post}{evil}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{set}"),
            &[403],
        ),
        (
            "a body larger than what is thrown away",
            format!("{post}{evil}Content-Length: 99999999\r\n\r\n{set}{set}"),
            &[413],
        ),
        (
            "a body that the length cuts in two",
            format!("{post}{evil}Content-Length: 5\r\n\r\nhello {set}"),
            &[403, 400],
        ),
        (
            "a body with two lengths",
            format!("{post}{evil}Content-Length: {length}\r\nContent-Length: 0\r\n\r\n{set}"),
            &[400],
        ),
        (
            "an upload, where the body has lines of the browser's around it",
            format!(
                "{post}{evil}Content-Length: {}\r\n\r\n------x\r\n\r\n{set}\r\n------x--{GET}",
                length + 22
            ),
            &[403, 200],
        ),
        (
            "a name that leads to us, as in DNS rebinding",
            format!("GET /set?evil=1 HTTP/1.1\r\nHost: evil.example\r\n\r\n{GET}"),
            &[403, 200],
        ),
        (
            "an image, a script, or a link",
            ["image", "script", "document"]
                .map(|dest| {
                    format!(
                        "GET /set?evil=1 HTTP/1.1\r\n{host}\r\nSec-Fetch-Site: cross-site\r\n\
                         Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: {dest}\r\n\r\n"
                    )
                })
                .concat(),
            &[403, 403, 403],
        ),
    ] {
        let mut wire = server.connect();
        wire.send(request).end();
        let got: Vec<u16> = statuses.iter().map(|_| wire.answer().status).collect();
        assert_eq!(got, statuses, "{what}");
        wire.expect_end();
        assert_eq!(fs::read(server.data()).unwrap(), before, "{what}");
    }
    assert_eq!(server.get("/get?key=evil").status, 404);
    is_well(&mut server);
    server.stop();
}

#[test]
fn clients_that_hold_on_do_not_keep_it_from_stopping() {
    let server = server(&[]);
    let address = server.address();
    let deaf = deaf_ones(address, 4);
    let held: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = TcpStream::connect(address).unwrap();
            let begun =
                ["", "GET /get", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"];
            stream.write_all(begun[number % begun.len()].as_bytes()).unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    server.stop();
    // Five seconds are promised; the rest is for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop((deaf, held));
}

/// How many mutated requests are sent, and how many of them in a row.
const MUTANTS: usize = 200_000;
const TOGETHER: usize = 4;

/// Requests that are about to be mutated: some are fine, others nearly so. None of them writes.
const CORPUS: &[&[u8]] = &[
    b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /get?key=large HTTP/1.1\r\nHost: localhost:4000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
    b"GET /get?key=%C3%A9+%26%3D HTTP/1.1\r\nHost: [::1]:4000\r\nAccept-Language: de,en;q=0.5\r\n\r\n",
    b"HEAD /get?key=a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET http://localhost:4000/get?key=a HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
    b"GET /get?key=a HTTP/1.0\r\n\r\n",
    b"GET /get?key=a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /get?key=a HTTP/1.2\r\nHost: localhost\r\nConnection: close, x\r\n\r\n",
    b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
    b"GET /get?key=a&key=b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /get?key=%FF HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: none\r\n\r\n",
    b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n",
    b"POST /set?p=q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nkey1=value1",
    b"POST /set?p=q HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /get?key=a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\na;b=\"c\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    b"PUT /set?p=q HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"HEAD /set?p=q HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"DELETE /set?p=q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Method: GET\r\n\r\n",
    b"CONNECT localhost:4000 HTTP/1.1\r\nHost: localhost:4000\r\n\r\n",
    b"get /set?p=q HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /set HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /Set?p=q HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: localhost\r\nCookie: a=b; c=\"d\"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// Pieces that are put in where they do the most harm: anywhere.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b"\xFF",
    b"%",
    b"%00",
    b"%c3%28",
    b"&",
    b"=",
    b"?",
    b"#",
    b":",
    b",",
    b";",
    b"/",
    b"GET ",
    b"/get?key=a",
    b" HTTP/1.1\r\n",
    b"HTTP/1.0",
    b"Host: localhost\r\n",
    b"Host: evil.example\r\n",
    b"Content-Length: 7\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Sec-Fetch-Site: cross-site\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
];

/// Sets that are refused because they have five pairs. It takes more than three changed bytes to
/// make one of them.
const FAR_FROM_A_SET: &[&[u8]] = &[
    b"GET /set?p=1&q=2&r=3&s=4&t=5 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /set?p=1&p=1&p=1&p=1&p=1 HTTP/1.0\r\n\r\n",
    b"GET http://localhost/set?p=1&q=2&r=3&s=4&t=5 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /set?%70=%31&q=%FF&=&s&t=+ HTTP/1.1\r\nHost: a.localhost\r\nX: y\r\n\r\n",
];

/// Sets that are refused as they stand, to be sent first on a connection and without a change:
/// nothing before them can give them another meaning.
const REFUSED_SETS: &[&[u8]] = &[
    b"GET /set?p=q HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET /set?p=q HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n",
    b"GET /set?p=q HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n",
    b"GET /set?p= HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /set?p=%FF HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 48\r\n\r\n\
      GET /set?p=q HTTP/1.1\r\nHost: localhost\r\nA: bc\r\n\r\n",
];

/// The requests of the row with this number, one after the other, and where each begins. No server
/// that is right stores a pair for them.
fn mutants(number: usize) -> (Vec<u8>, Vec<usize>) {
    let mut random = Xorshift::new(SEED.wrapping_add(number as u64));
    let (mut row, mut begins) = (Vec::new(), Vec::new());
    if random.below(4) == 0 {
        begins.push(0);
        row.extend_from_slice(random.pick(REFUSED_SETS));
    }
    let unchanged = row.len();
    let far_from_a_set = random.below(4) == 0;
    for _ in 0..TOGETHER {
        begins.push(row.len());
        let corpus = if far_from_a_set { FAR_FROM_A_SET } else { CORPUS };
        let mut request = random.pick(corpus).to_vec();
        // Many have one change only, and get far.
        for _ in 0..=random.below(2) * random.below(3) {
            if far_from_a_set {
                change_one_byte(&mut request, &mut random);
            } else {
                mutate(&mut request, &mut random);
            }
        }
        row.extend_from_slice(&request);
    }
    if !far_from_a_set {
        defuse(&mut row[unchanged..]);
    }
    (row, begins)
}

fn mutate(request: &mut Vec<u8>, random: &mut Xorshift) {
    let (from, to) = (random.below(request.len() + 1), random.below(request.len() + 1));
    let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 40));
    match random.below(8) {
        0..=2 => change_one_byte(request, random),
        3 => drop(request.drain(from..to)),
        4 => {
            let twice = request[from..to].to_vec();
            drop(request.splice(to..to, twice));
        }
        5 | 6 => drop(request.splice(from..from, random.pick(PIECES).iter().copied())),
        _ => {
            let other = random.pick(CORPUS);
            request.truncate(from);
            request.extend_from_slice(&other[random.below(other.len())..]);
        }
    }
}

fn change_one_byte(request: &mut Vec<u8>, random: &mut Xorshift) {
    let at = random.below(request.len().max(1));
    match random.below(4) {
        _ if request.is_empty() => request.push(random.byte()),
        0 => request[at] ^= 1 << random.below(8),
        1 => request[at] = random.byte(),
        2 => request.insert(at, b"\r\n\0 \t:,;=&%?#/+0aZ\x7F\xFF"[random.below(20)]),
        _ => drop(request.remove(at)),
    }
}

/// Takes the sense out of what mutation has made a set: a target behind `GET ` that has the path
/// of one. Everything else that might be taken for a set stays.
fn defuse(stream: &mut [u8]) {
    let sets: Vec<usize> = memmem::find_iter(stream, b"/set?").collect();
    for at in sets {
        let before = &stream[..at];
        let target = before.iter().rposition(|byte| b" \r\n".contains(byte));
        if target.is_some_and(|space| before[..=space].ends_with(b"GET ")) {
            stream[at + 2] = b'i';
        }
    }
}

/// Sends these bytes and reads to the end, which must come, and without a reset. Returns how many
/// answers came.
fn exchange(address: SocketAddr, sent: &[u8]) -> Result<usize, String> {
    let mut received = Vec::new();
    TcpStream::connect(address)
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(sent)?;
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut received)
        })
        .map_err(|error| error.to_string())
        .and_then(|_| check_answers(&received))
        .map_err(|why| {
            let (sent, received) = (sent.escape_ascii(), received.escape_ascii());
            format!("{why}\n--- sent: {sent}\n--- received: {received}\n---")
        })
}

/// Checks what was answered, and returns how many answers that were.
fn check_answers(answers: &[u8]) -> Result<usize, String> {
    let begins: Vec<usize> = memmem::find_iter(answers, b"HTTP/1.1 ")
        .filter(|&at| {
            answers.get(at + 9..at + 12).is_some_and(|it| it.iter().all(u8::is_ascii_digit))
        })
        .collect();
    if begins.first().is_some_and(|&first| first > 0) || (begins.is_empty() && !answers.is_empty())
    {
        return Err("bytes before the first answer".into());
    }
    for (number, &begin) in begins.iter().enumerate() {
        let end = begins.get(number + 1).copied().unwrap_or(answers.len());
        let answer = &answers[begin..end];
        let has = |text: &str| memmem::find(answer, text.as_bytes()).is_some();
        let status = String::from_utf8_lossy(&answer[9..12]);
        if !["200", "400", "403", "404", "413", "414", "431", "500", "501", "505"]
            .contains(&&*status)
        {
            return Err(format!("answer {number} has the status {status}"));
        }
        // Nothing but a set has a 200 without content.
        if status == "200" && has("\r\nContent-Length: 0\r\n") {
            return Err(format!("answer {number} is that to a set"));
        }
        if has("The server failed") {
            return Err(format!("answer {number} comes from a panic"));
        }
    }
    Ok(begins.len())
}

#[test]
fn two_hundred_thousand_mutated_requests_neither_crash_nor_write() {
    let mut server = with_pairs(Server::start(&[]));
    assert_eq!(server.get("/set?%C3%A9+%26%3D=1").status, 200);
    let before = fs::read(server.data()).unwrap();
    let address = server.address();
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= MUTANTS / TOGETHER {
                        return;
                    }
                    let (row, begins) = mutants(number);
                    let mut done = 0;
                    while done < begins.len() {
                        let count = exchange(address, &row[begins[done]..]).unwrap_or_else(|why| {
                            panic!("{why}; seed {SEED:#x}, row {number} from request {done}")
                        });
                        answered.fetch_add(count, Ordering::Relaxed);
                        // Where a connection ended after an error, the others come on a new one.
                        done += count.max(1);
                    }
                }
            });
        }
    });
    // Otherwise they did not get as far as they should.
    let answered = answered.into_inner();
    assert!(answered > MUTANTS * 3 / 4, "{answered} answers");
    assert_eq!(fs::read(server.data()).unwrap(), before, "seed {SEED:#x}");
    is_well(&mut server);
    #[cfg(target_os = "linux")]
    {
        let memory = resident_kib(server.child.id());
        assert!(memory < 64 << 10, "{memory} KiB");
    }
    let folder = server.stop();
    assert_eq!(fs::read(folder.path().join("data.jsonl")).unwrap(), before, "seed {SEED:#x}");
}

/// Where the random numbers begin.
const SEED: u64 = 0x5EED_0F00_DBDB_0001;

/// Random numbers that are the same each time (Marsaglia's xorshift64).
struct Xorshift(u64);

impl Xorshift {
    fn new(seed: u64) -> Self {
        // Neighbouring seeds must not begin alike, and none may be zero.
        Xorshift(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from((self.next() >> 16) % limit as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    fn pick<'t, T: ?Sized>(&mut self, table: &[&'t T]) -> &'t T {
        table[self.below(table.len())]
    }
}
