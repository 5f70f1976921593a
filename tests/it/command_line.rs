//! The command line: what it prints, where, and with which exit code.
//!
//! Commands that end are run with `assert_cmd`; a server that keeps running is one of
//! [`crate::common`]. A file that can't be read is a folder, a path below a file, or a device: the
//! tests may be run by root, who may read whatever is a file.
//!
//! CONTRACT §4; its options are tried here, and what they do elsewhere.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Server, Wire, program};
use crate::contract;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, starts_with};

/// The program with these arguments, to be run to its end.
fn run(arguments: &[&str]) -> assert_cmd::assert::Assert {
    assert_cmd::Command::from_std(program()).args(arguments).timeout(PATIENCE).assert()
}

/// What a start that failed says: one sentence on standard error, nothing on standard output.
fn one_sentence() -> impl Predicate<str> {
    starts_with("dbserver: ").and(predicate::function(|text: &str| {
        text.ends_with('\n') && text.lines().count() == 1 && !text.contains("panicked")
    }))
}

#[test]
fn help_is_the_text_of_the_contract() {
    for arguments in [&["--help"][..], &["-h"], &["--log", "-h", "--port", "x"]] {
        run(arguments).success().stdout(contract::help()).stderr(is_empty());
    }
}

#[test]
fn version_is_that_of_the_package() {
    let version = concat!("dbserver ", env!("CARGO_PKG_VERSION"), "\n");
    for arguments in [["--version"], ["-V"]] {
        run(&arguments).success().stdout(version).stderr(is_empty());
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2_and_names_the_flag() {
    for (arguments, named) in [
        (&["--port"][..], "--port"),
        (&["--port", ""], "--port"),
        (&["--port", "http"], "--port: \"http\""),
        (&["--port", "-1"], "--port"),
        (&["--port", "65536"], "--port: \"65536\""),
        (&["--port", "4000x"], "--port: \"4000x\""),
        (&["-p", "99999999999999999999"], "--port: \"99999999999999999999\""),
        (&["--host"], "--host"),
        (&["--host", ""], "--host"),
        (&["--data"], "--data"),
        (&["--data", ""], "--data"),
        (&["-d"], "--data"),
        (&["--memory", "--data", "a"], "--memory and --data"),
        (&["-d", "a", "--memory"], "--memory and --data"),
        (&["--memory", "--sync", "always"], "--memory and --sync"),
        (&["--memory=yes"], "memory"),
        (&["--sync"], "--sync"),
        (&["--sync", ""], "--sync"),
        (&["--sync", "sometimes"], "--sync: \"sometimes\""),
        (&["--sync", "100"], "--sync: \"100\""),
        (&["--sync", "0ms"], "--sync: \"0ms\""),
        (&["--sync", "-1s"], "--sync"),
        (&["--sync", "1.5s"], "--sync: \"1.5s\""),
        (&["--sync", "99999999999999999999s"], "--sync"),
        (&["--allow-host"], "--allow-host"),
        (&["--allow-host", ""], "--allow-host"),
        (&["--allow-host", "http://db.test/"], "--allow-host: \"http://db.test/\""),
        (&["--allow-host", "db.test:4000"], "--allow-host: \"db.test:4000\""),
        (&["--max-connections"], "--max-connections"),
        (&["--max-connections", "0"], "--max-connections: \"0\""),
        (&["--max-connections", "many"], "--max-connections: \"many\""),
        (&["--max-connections", "-5"], "--max-connections"),
        (&["--log=yes"], "log"),
        (&["--verbose"], "--verbose"),
        (&["-x"], "-x"),
        (&["data.jsonl"], "\"data.jsonl\""),
        (&["--", "4000"], "\"4000\""),
    ] {
        run(arguments).code(2).stdout(is_empty()).stderr(
            starts_with("dbserver: ").and(contains(named)).and(contains("Try 'dbserver --help'.")),
        );
    }
}

#[test]
fn what_is_not_text_is_a_wrong_command_line_too() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    for flag in ["--port", "--host", "--sync", "--allow-host", "--max-connections"] {
        assert_cmd::Command::from_std(program())
            .arg(flag)
            .arg(OsStr::from_bytes(b"\xFF"))
            .timeout(PATIENCE)
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(contains(flag));
    }
}

#[test]
fn a_port_in_use_is_exit_code_1_and_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for host in ["localhost", "127.0.0.1"] {
        run(&["--memory", "--host", host, "--port", &port])
            .code(1)
            .stdout(is_empty())
            .stderr(one_sentence().and(contains(format!("{host}:{port}"))).and(contains("--port")));
    }
    // Half of `localhost` is not enough either: some clients would reach somebody else.
    if let Ok(taken) = TcpListener::bind("[::1]:0") {
        let port = taken.local_addr().unwrap().port().to_string();
        run(&["--memory", "--port", &port])
            .code(1)
            .stdout(is_empty())
            .stderr(one_sentence().and(contains(format!("localhost:{port}"))));
    }
}

#[test]
fn a_host_that_is_not_there_is_exit_code_1_and_is_named() {
    // The last one is an address for documentation, which no machine has (RFC 5737).
    for host in ["256.1.1.1", "not a name", "192.0.2.1"] {
        run(&["--memory", "--port", "0", "--host", host])
            .code(1)
            .stdout(is_empty())
            .stderr(one_sentence().and(contains(host)));
    }
}

#[test]
fn a_file_that_can_not_be_used_is_exit_code_1_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    fs::write(path("file"), "").unwrap();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    std::os::unix::fs::symlink(path("round"), path("round")).unwrap();
    for (file, why) in [
        (path(""), "directory"),
        (path("file/below"), "Not a directory"),
        (path("missing/data.jsonl"), "No such file"),
        (path("fifo"), "not a plain file"),
        (path("round"), "symbolic link"),
        (path(&"x".repeat(300)), "too long"),
        ("/dev/null".to_string(), "not a plain file"),
    ] {
        run(&["--port", "0", "--data", &file])
            .code(1)
            .stdout(is_empty())
            .stderr(one_sentence().and(contains(&*file)).and(contains(why)));
    }
    assert_eq!(fs::read(path("file")).unwrap(), b"");
}

#[test]
fn a_file_that_another_server_has_open_is_exit_code_1_and_is_named() {
    let server = Server::start(&[]);
    let link = server.folder.path().join("link");
    std::os::unix::fs::symlink(server.data(), &link).unwrap();
    for path in [server.data(), link] {
        let path = path.to_str().unwrap();
        run(&["--port", "0", "--data", path])
            .code(1)
            .stdout(is_empty())
            .stderr(one_sentence().and(contains(path)).and(contains("another server")));
    }
    assert_eq!(server.get("/set?a=b").status, 200);
    // The lock ends with the process, however that ends.
    Server::start_in(server.kill(), &[]).stop();
}

#[test]
fn a_damaged_file_is_exit_code_1_and_names_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.jsonl");
    let good = "{\"key\":\"a\",\"value\":\"b\"}\n";
    for (damage, line) in [
        ("{\"key\":\"a\",\"val\n", 3),
        ("what is this?\n", 3),
        ("\n{\"key\":\"a\"}\n", 4),
        ("{\"key\":\"a\",\"value\":7}\n", 3),
        ("\0\0\0\n", 3),
    ] {
        let content = [good, good, damage, good].concat();
        fs::write(&file, &content).unwrap();
        run(&["--port", "0", "--data", file.to_str().unwrap()])
            .code(1)
            .stdout(is_empty())
            .stderr(one_sentence().and(contains(format!("{}, line {line},", file.display()))));
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
}

#[test]
fn standard_output_has_exactly_two_lines() {
    for signal in ["TERM", "INT", "HUP"] {
        let server = Server::start(&["--memory"]);
        assert_ne!(server.port, 0);
        assert_eq!(server.get("/set?a=b").status, 200);
        let lines = format!(
            "Started Simple DB server on http://localhost:{}/\nStopped Simple DB server\n",
            server.port
        );
        server.signal(signal);
        assert_eq!(server.wait(), (Some(0), lines), "{signal}");
    }
}

#[test]
fn localhost_is_one_port_on_both_loopback_addresses() {
    let server = Server::start(&["--memory"]);
    assert_eq!(server.get("/set?a=b").status, 200);
    if TcpListener::bind("[::1]:0").is_ok() {
        let mut wire = Wire::connect((Ipv6Addr::LOCALHOST, server.port).into());
        assert_eq!(wire.get("/get?key=a").text(), "b");
    }
    server.stop();
}

#[test]
fn host_is_the_one_address_that_is_listened_on() {
    let (v4, v6) = ("127.0.0.1", "[::1]");
    for (host, shown, there, not_there) in [
        (v4, v4, v4, v6),
        ("::1", v6, v6, v4),
        (v6, v6, v6, v4),
        ("127.0.0.2", "127.0.0.2", "127.0.0.2", v4),
    ] {
        if there == v6 && TcpListener::bind("[::1]:0").is_err() {
            continue;
        }
        let refused_elsewhere = || {
            let server = Server::start(&["--memory", "--host", host]);
            let port = server.port;
            let address = |ip: &str| format!("{ip}:{port}").parse::<SocketAddr>().unwrap();
            assert_eq!(Wire::connect(address(there)).get("/get?key=a").status, 404, "{host}");
            let refused = TcpStream::connect(address(not_there)).is_err();
            server.signal("TERM");
            let stderr = Arc::clone(&server.stderr);
            let lines = format!("Started Simple DB server on http://{shown}:{port}/\n");
            assert_eq!(server.wait(), (Some(0), lines + "Stopped Simple DB server\n"));
            assert_eq!(*stderr.lock().unwrap(), "");
            refused
        };
        // Somebody else may have the same port at the other address, but not three times.
        assert!((0..3).any(|_| refused_elsewhere()), "{host}");
    }
}

#[test]
fn an_address_that_others_can_reach_is_warned_of() {
    let server = Server::start(&["--memory", "--host", "0.0.0.0"]);
    let (port, stderr) = (server.port, Arc::clone(&server.stderr));
    assert_eq!(server.get("/get?key=a").status, 404);
    server.signal("TERM");
    let lines = format!("Started Simple DB server on http://0.0.0.0:{port}/\n");
    assert_eq!(server.wait(), (Some(0), lines + "Stopped Simple DB server\n"));
    let stderr = stderr.lock().unwrap();
    assert!(stderr.starts_with("dbserver: warning: 0.0.0.0 is not a loopback address"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn allow_host_adds_names_and_takes_none_away() {
    let options = ["--memory", "--allow-host", "db.test", "--allow-host=Other.Test."];
    let server = Server::start(&options);
    for (host, status) in [
        ("localhost", 404),
        ("db.test", 404),
        ("DB.test:80", 404),
        ("other.test", 404),
        ("sub.db.test", 403),
        ("db.test.evil.example", 403),
        ("evil.example", 403),
    ] {
        let mut wire = server.connect();
        wire.send(format!("GET /get?key=a HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(wire.answer().status, status, "{host}");
    }
    server.stop();
}

#[test]
fn a_request_that_a_reset_cuts_short_is_not_logged() {
    let server = Server::start(&["--memory", "--log"]);
    let mut client = TcpStream::connect(server.address()).unwrap();
    client.write_all(b"GET /get?key=a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /ge").unwrap();
    // The answer to the first shows that the second was begun.
    assert!(client.read(&mut [0; 1024]).unwrap() > 0);
    // With this, a close resets the connection.
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    let stderr = Arc::clone(&server.stderr);
    server.stop();
    let stderr = stderr.lock().unwrap();
    assert!(stderr.contains("\" 404 0\n") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn log_prints_a_line_for_each_request_in_the_common_log_format() {
    let server = Server::start(&["--memory", "--log"]);
    let mut wire = server.connect();
    for target in ["/set?a=12345", "/get?key=a", "/get?key=x", "/"] {
        wire.get(target);
    }
    wire.send("GET /get?key=\"\x1B[2J\n");
    wire.answer();
    wire.expect_end();
    let stderr = Arc::clone(&server.stderr);
    server.stop();

    let day = r"\d{2}/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4}";
    let stderr = stderr.lock().unwrap();
    let mut lines = stderr.lines();
    for (request, status, bytes) in [
        (r"GET /set\?a=12345 HTTP/1\.1", "200", "0"),
        (r"GET /get\?key=a HTTP/1\.1", "200", "5"),
        (r"GET /get\?key=x HTTP/1\.1", "404", "0"),
        (r"GET / HTTP/1\.1", "500", r"\d+"),
        // What a client sends is escaped: it writes no lines of its own, and nothing that a
        // terminal would obey.
        (r#"GET /get\?key=\\"\\x1b\[2J"#, "400", r"\d+"),
    ] {
        let wanted = format!(
            r#"^127\.0\.0\.1 - - \[{day}:\d{{2}}:\d{{2}}:\d{{2}} \+0000\] "{request}" {status} {bytes}$"#
        );
        let line = lines.next().unwrap_or_default();
        assert!(predicate::str::is_match(&wanted).unwrap().eval(line), "{wanted}\n{stderr}");
    }
    assert_eq!(lines.next(), None, "{stderr}");
}

#[test]
fn without_log_nothing_is_printed_for_a_request() {
    let server = Server::start(&["--memory"]);
    for target in ["/set?a=b", "/get?key=a", "/"] {
        server.get(target);
    }
    let stderr = Arc::clone(&server.stderr);
    server.stop();
    assert_eq!(*stderr.lock().unwrap(), "");
}

#[test]
fn memory_writes_no_file() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut command = program();
    command.arg("--memory").current_dir(folder.path());
    let server = Server::start_command(folder, command);
    assert_eq!(server.get("/set?a=b").status, 200);
    assert_eq!(server.get("/get?key=a").text(), "b");
    let folder = server.stop();
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn the_default_file_is_data_jsonl_in_the_working_folder() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut command = program();
    command.current_dir(folder.path());
    let server = Server::start_command(folder, command);
    assert_eq!(server.get("/set?a=b").status, 200);
    let folder = server.stop();
    let kept = fs::read_to_string(folder.path().join("data.jsonl")).unwrap();
    assert_eq!(kept, "{\"key\":\"a\",\"value\":\"b\"}\n");
}

#[test]
fn max_connections_is_how_many_are_open_at_a_time() {
    let server = Server::start(&["--memory", "--max-connections", "3"]);
    let (mut first, mut second, mut third) = (server.connect(), server.connect(), server.connect());
    // Many times, so that the first is certain to be the one that has waited longest.
    for wire in [&mut first, &mut second, &mut third] {
        for _ in 0..50 {
            assert_eq!(wire.get("/get?key=a").status, 404);
        }
    }
    let (mut fourth, begun) = (server.connect(), Instant::now());
    assert_eq!(fourth.get("/get?key=a").status, 404);
    for wire in [&mut second, &mut third, &mut fourth] {
        assert_eq!(wire.get("/get?key=a").status, 404);
    }
    first.expect_end();
    // After a minute it would be closed anyway.
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn more_connections_than_the_system_has_room_for_are_warned_of() {
    let server = Server::start(&["--memory", "--max-connections", "1000000"]);
    let said = server.heard("not 1000000\n");
    let warning = r"^dbserver: warning: the system's limit on (open files|threads|memory mappings) leaves room for \d+ connections, not 1000000\n$";
    assert!(predicate::str::is_match(warning).unwrap().eval(&said), "{said}");
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn the_limit_on_open_files_is_raised_as_far_as_the_system_lets_us() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -S -n 64; exec \"$0\" \"$@\""]);
    command.arg(program().get_program()).args(["--memory", "--max-connections", "100"]);
    let server = Server::start_command(Arc::new(tempfile::tempdir().unwrap()), command);
    let stderr = Arc::clone(&server.stderr);
    server.stop();
    assert_eq!(*stderr.lock().unwrap(), "");
}

/// A server whose standard streams are not all there.
struct Closed {
    child: std::process::Child,
    address: SocketAddr,
}

impl Closed {
    /// Starts one with these redirections of a shell. It can't tell its port, so the system is
    /// asked.
    #[cfg(target_os = "linux")]
    fn start(redirections: &str, options: &[&str]) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec \"$0\" \"$@\" {redirections}")])
            .arg(program().get_program())
            .args(["--memory", "--port", "0", "--host", "127.0.0.1"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert_eq!(child.try_wait().unwrap(), None, "{redirections}");
            assert!(Instant::now() < deadline, "{redirections}: it does not listen");
            if let Some(port) = listening_port(child.id()) {
                return Closed { child, address: ([127, 0, 0, 1], port).into() };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(mut self) -> Option<i32> {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port on which this process listens: one of its descriptors is a socket that
/// `/proc/net/tcp` lists in the state "listen".
#[cfg(target_os = "linux")]
fn listening_port(process: u32) -> Option<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .ok()?
        .filter_map(|entry| {
            fs::read_link(entry.ok()?.path()).ok()?.into_os_string().into_string().ok()
        })
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_string()))
        .collect();
    let table = fs::read_to_string(format!("/proc/{process}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (state, inode) = (*fields.get(3)?, *fields.get(9)?);
        let port = fields.get(1)?.rsplit(':').next()?;
        (state == "0A" && sockets.iter().any(|socket| socket == inode))
            .then(|| u16::from_str_radix(port, 16).ok())?
    })
}

#[cfg(target_os = "linux")]
#[test]
fn closed_standard_streams_never_end_it() {
    for redirections in [">&-", "2>&-", "<&-", "<&- >&- 2>&-"] {
        let server = Closed::start(redirections, &["--log"]);
        let mut wire = Wire::connect(server.address);
        // A descriptor that was free must not have become that of a socket: what is printed would
        // be sent to somebody.
        assert_eq!(wire.get("/set?a=b").status, 200, "{redirections}");
        assert_eq!(wire.get("/get?key=a").text(), "b", "{redirections}");
        assert_eq!(wire.get("/").status, 500, "{redirections}");
        wire.end().expect_end();
        assert_eq!(server.stop(), Some(0), "{redirections}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_as_standard_output_or_error_never_ends_it() {
    let server = Closed::start(">/dev/full 2>/dev/full", &["--log"]);
    let mut wire = Wire::connect(server.address);
    assert_eq!(wire.get("/set?a=b").status, 200);
    assert_eq!(wire.get("/get?key=a").text(), "b");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn readers_of_its_output_that_leave_never_end_it() {
    let mut child = program()
        .args(["--memory", "--log", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    drop(child.stderr.take());
    let port = ready.trim_end().trim_end_matches('/').rsplit(':').next().unwrap();
    let server = Closed { child, address: ([127, 0, 0, 1], port.parse().unwrap()).into() };
    let mut wire = Wire::connect(server.address);
    assert_eq!(wire.get("/set?a=b").status, 200);
    assert_eq!(wire.get("/get?key=a").text(), "b");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn exit_codes_are_the_same_where_nobody_reads() {
    for (redirections, arguments, code) in [
        (">&-", &["--help"][..], 0),
        (">&- 2>&-", &["--version"], 0),
        #[cfg(target_os = "linux")]
        (">/dev/full", &["--help"], 0),
        ("2>&-", &["--port", "x"], 2),
        ("2>&-", &["--port", "0", "--data", "/dev/null"], 1),
    ] {
        assert_cmd::Command::new("sh")
            .args(["-c", &format!("exec \"$0\" \"$@\" {redirections}")])
            .arg(program().get_program())
            .args(arguments)
            .timeout(PATIENCE)
            .assert()
            .code(code);
    }
}
