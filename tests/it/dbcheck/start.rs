//! When a server is up, where it is found, and what is not it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{dbcheck, our_server, run};
use crate::free_port::FreePort;

fn our_program() -> String {
    assert_cmd::cargo::cargo_bin!("dbserver").display().to_string()
}

/// What stands in front of a server that starts: it closes, then it says that nobody is there.
/// Begins when the command, which makes the file, runs.
fn front(port: u16, begin: &Path) {
    let (begin, mut seen) = (begin.to_path_buf(), 0);
    thread::spawn(move || {
        while !begin.exists() {
            thread::yield_now();
        }
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let mut pair = (String::new(), String::new());
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut request).is_ok_and(|read| read > 2) {}
            seen += 1;
            let target = request.split(' ').nth(1).unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let (key, value) = query.split_once('=').unwrap_or_default();
            let (status, body) = match (seen, path) {
                (..6, _) => continue,
                (..12, _) => ("503 Service Unavailable", ""),
                (_, "/set") => {
                    pair = (key.into(), value.into());
                    ("200 OK", "")
                }
                _ if value == pair.0 => ("200 OK", pair.1.as_str()),
                _ => ("404 Not Found", ""),
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
}

#[test]
fn a_front_that_closes_or_answers_503_is_not_up() {
    let folder = tempfile::tempdir().unwrap();
    let (port, begin) = (FreePort::find().unwrap(), folder.path().join("begin"));
    front(port.number, &begin);
    let command = format!("touch '{}'; exec sleep 600", begin.display());
    let port = port.number.to_string();
    let (code, stdout, stderr) =
        run(&["--cmd", &command, "--port", &port, "--only", "set-then-get,missing-is-404"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}

#[test]
fn a_server_on_another_port_than_told_is_found_and_that_is_said() {
    let free = FreePort::find().unwrap();
    let port = free.number.to_string();
    let command = format!("'{}' --port 0 --data {{data}}", our_program());
    let arguments = ["--cmd", &command, "--port", &port, "--only", "set-then-get,storm-starts"];
    let (code, stdout, stderr) = run(&[&arguments[..], &["--rounds", "1"]].concat());
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let said = stdout.split_once("The server listens on port ").unwrap().1;
    assert!(said.contains(&format!("not on {port}.")), "{stdout}");
}

#[test]
fn a_stranger_that_was_faster_at_the_port_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (here, server) = (folder.path().display(), our_program());
    // The first start meets a program that has nothing of the checker's environment, and that goes
    // on afterwards.
    let command = format!(
        "cd '{here}'; test -e pid || {{ env -i setsid '{server}' --port {{port}} --memory > log & \
         echo $! > pid; until grep -q Started log; do sleep 0.02; done; }}; \
         exec '{server}' --port {{port}} --memory"
    );
    let (code, stdout, stderr) = run(&["--cmd", &command, "--only", "set-then-get,overwrite"]);
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let kill = |name: &str| Command::new("kill").args([name, pid.trim()]).status().unwrap();
    let is_left_alone = kill("-0").success();
    kill("-KILL");
    assert_eq!((code, is_left_alone), (Some(0), true), "{stdout}{stderr}");
}

/// Keeps its pairs in a file, closes after each answer, and does not set `SO_REUSEADDR`.
const WITHOUT_REUSE: &str = r#"
import socket, sys
port, name = int(sys.argv[1]), sys.argv[2]
try: pairs = dict(line.rstrip("\n").split("=", 1) for line in open(name))
except FileNotFoundError: pairs = {}
s = socket.socket(); s.bind(("127.0.0.1", port)); s.listen(200)
while True:
    c, _ = s.accept()
    try:
        head = b""
        while b"\r\n\r\n" not in head:
            more = c.recv(4096)
            if not more: break
            head += more
        path, _, query = head.split(b" ")[1].decode().partition("?")
        key, _, value = query.partition("=")
        status, body = "404 Not Found", ""
        if path == "/set":
            with open(name, "a") as file: file.write(query + "\n")
            pairs[key] = value; status = "200 OK"
        elif value in pairs: status, body = "200 OK", pairs[value]
        c.sendall(f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    except Exception: pass
    finally: c.close()
"#;

#[test]
fn a_server_that_does_not_set_reuseaddr_is_checked_on_a_fixed_port_without_minutes_of_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("server.py");
    fs::write(&script, WITHOUT_REUSE).unwrap();
    let free = FreePort::find().unwrap();
    let port = free.number.to_string();
    let command = format!("exec python3 '{}' {port} {{data}}", script.display());
    let only = "restart-sigterm,restarts-add-up,kill-keeps-answered,kill-storm,storm-starts";
    let begun = Instant::now();
    let arguments = ["--cmd", &command, "--port", &port, "--only", only, "--rounds", "5"];
    let (code, stdout, stderr) = run(&arguments);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    // There are sixteen starts, and the system remembers a connection for a minute.
    assert!(begun.elapsed() < Duration::from_secs(150), "{:?}", begun.elapsed());
}

#[test]
fn a_temporary_folder_with_a_space_in_its_name_is_one_word_of_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("my files; it's");
    fs::create_dir(&inner).unwrap();
    let bare = our_server().replace("'{data}'", "{data}");
    for command in [our_server(), bare, our_server().replace("'{data}'", "\"{data}\"")] {
        let mut checker = dbcheck();
        checker.args(["--cmd", &command, "--only", "restart-sigterm,torn-line"]);
        checker.env("TMPDIR", &inner).stdin(Stdio::null());
        let output = checker.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{command}: {text}");
        assert!(!text.contains("skipped"), "{command}: {text}");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0, "{command}");
    }
}
