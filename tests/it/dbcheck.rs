//! dbcheck from the outside: our own server gets full marks, a wrong command line says what is
//! wrong, and no server, whatever it sends, makes the checker hang or panic.

mod care;
mod report;
mod start;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

fn dbcheck() -> Command {
    crate::common::hear_signals();
    Command::new(assert_cmd::cargo::cargo_bin!("dbcheck"))
}

/// Runs it to its end, and returns its exit code, what it printed, and its complaints.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = dbcheck().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The command that starts our own server.
fn our_server() -> String {
    let program = assert_cmd::cargo::cargo_bin!("dbserver");
    format!("'{}' --port {{port}} --data '{{data}}'", program.display())
}

#[test]
fn our_server_gets_full_marks_in_all_tiers() {
    let (code, stdout, stderr) = run(&["--cmd", &our_server(), "--format", "json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    let checks = report["checks"].as_array().unwrap();
    let wanting: Vec<&Value> = checks.iter().filter(|check| check["verdict"] != "passed").collect();
    // Not even loosely: what the checker only tolerates, our server does right.
    assert!(wanting.is_empty(), "{wanting:#?}");
    assert_eq!((code, &report["all_passed"]), (Some(0), &Value::Bool(true)));
    assert_eq!(report["tiers"].as_array().unwrap().len(), 5);
    assert!(report["passed"].as_u64().unwrap() >= 60);
}

#[test]
fn a_server_that_forgets_fails_the_durable_tier_and_shows_the_bytes() {
    let command = our_server().replace("--data '{data}'", "--memory");
    let (code, stdout, _) = run(&["--cmd", &command, "--only", "restart-sigterm,overwrite"]);
    assert_eq!(code, Some(1), "{stdout}");
    for part in [
        "  ✗ restart-sigterm",
        "kept in memory alone",
        "  curl      curl -i 'http://localhost:4000/get?key=dbcheck",
        "  sent      GET /get?key=",
        "  received  HTTP/1.1 404 Not Found\\r\\n",
        "chapter 10",
        "brief         1/1\n",
        "durable       0/1\n",
        "total         1/2\n",
        "Next: restart-sigterm",
    ] {
        assert!(stdout.contains(part), "{part:?} in\n{stdout}");
    }
    // Not a terminal: no colour, no counter.
    assert!(!stdout.contains(['\x1b', '\r']), "{stdout:?}");
}

#[test]
fn checks_a_server_that_runs_already_and_leaves_out_restarts() {
    let mut server = Command::new(assert_cmd::cargo::cargo_bin!("dbserver"));
    server.args(["--port", "0", "--memory"]).stdout(std::process::Stdio::piped());
    let mut server = server.spawn().unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(server.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let address = line.trim().trim_end_matches('/').rsplit('/').next().unwrap().to_string();
    let (code, stdout, stderr) =
        run(&["--addr", &address, "--only", "set-then-get,same-process,kill-storm"]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(code, Some(0), "{line} {stdout} {stderr}");
    assert!(stdout.contains("total         2/2, 1 skipped"), "{stdout}");
    assert!(stdout.contains("skipped: needs --cmd"), "{stdout}");
}

#[test]
fn lists_and_explains_every_check() {
    let (code, list, _) = run(&["--list"]);
    assert_eq!(code, Some(0));
    let names: Vec<&str> = list
        .lines()
        .filter(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() >= 60, "{list}");
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len(), "a name stands for two checks");
    for name in ["set-then-get", "missing-is-404", "pipelining", "huge-head", "torn-line"] {
        assert!(names.contains(&name), "{name}");
        let (code, text, _) = run(&["--explain", name]);
        assert_eq!(code, Some(0));
        assert!(text.contains(name) && text.contains("TUTORIAL.md chapter "), "{text}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_a_sentence() {
    for (arguments, wanted) in [
        (&[][..], "--cmd or --addr"),
        (&["--cmd", "true", "--only", "set-and-get"], "set-then-get"),
        (&["--addr", "127.0.0.1:1", "--tier", "gold"], "--tier"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains(wanted) && stderr.contains("--help"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_command_that_does_not_start_ends_with_2_and_its_last_lines() {
    let command = "echo listening soon; echo 'no such module: {port}' >&2; exit 3";
    let (code, _, stderr) = run(&["--cmd", command]);
    assert_eq!(code, Some(2), "{stderr}");
    for part in ["could not be started", "exit status: 3", "| listening soon", "| no such module: "]
    {
        assert!(stderr.contains(part), "{part:?} in {stderr}");
    }
    assert!(!stderr.contains("{port}"), "{stderr}");
}

#[test]
fn junit_has_a_case_for_each_check() {
    let only = "set-then-get,status-line,restart-sigint,torn-line";
    let command = our_server().replace("--data '{data}'", "--memory");
    let (code, xml, _) = run(&["--cmd", &command, "--only", only, "--format", "junit"]);
    assert_eq!(code, Some(1));
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "), "{xml}");
    assert!(xml.ends_with("</testsuites>\n"), "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), 4);
    assert_eq!((xml.matches("<failure ").count(), xml.matches("<skipped ").count()), (1, 1));
    assert_eq!(unclosed(&xml), Vec::<String>::new());
}

/// The elements that are open at the end, or closed in the wrong order.
fn unclosed(xml: &str) -> Vec<String> {
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap();
        assert!(!text.contains('>'), "a > that is not escaped: {text}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap().to_string();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with(['/', '?']) {
            open.push(name);
        }
    }
    open
}

/// A server that answers every connection in its own way, until the test ends.
fn strange_server(answer: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                let _ = stream.set_write_timeout(Some(Duration::from_secs(20)));
                answer(stream);
            });
        }
    });
    address
}

/// Runs a part of each tier, which must end with failures and without a panic.
fn reaches_a_verdict(address: &str) {
    let begun = Instant::now();
    let arguments = ["--addr", address, "--timeout", "1", "--format", "json"];
    let only = [
        "--only",
        "set-then-get,overwrite,unknown-path-is-500,status-line,body-length,\
                 keep-alive,head-no-body,garbage,survives-garbage,idle-connection,huge-head",
    ];
    let (code, stdout, stderr) = run(&[&arguments[..], &only].concat());
    assert!(begun.elapsed() < Duration::from_secs(100), "it took {:?}", begun.elapsed());
    assert_eq!((code, stderr.contains("panicked")), (Some(1), false), "{stderr}{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["checks"].as_array().unwrap().len(), 11);
    assert_eq!(report["checks"][0]["verdict"], "failed");
    assert_eq!(report["checks"][1]["verdict"], "not reached");
}

/// Reads what a client says at once.
fn hear(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}

#[test]
fn answers_of_random_bytes_reach_a_verdict() {
    reaches_a_verdict(&strange_server(|mut stream| {
        hear(&mut stream);
        // Different ones for each connection; the port is as good as a seed.
        let mut state = u64::from(stream.peer_addr().map_or(1, |peer| peer.port())) << 20 | 1;
        let bytes: Vec<u8> = (0..2000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        let _ = stream.write_all(&bytes);
    }));
}

#[test]
fn random_bytes_after_a_status_line_reach_a_verdict() {
    reaches_a_verdict(&strange_server(|mut stream| {
        hear(&mut stream);
        let noise: Vec<u8> = (0..=255).rev().collect();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let _ = stream.write_all(&noise);
        // Held open, until the checker has had enough.
        while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    }));
}

#[test]
fn an_answer_without_end_reaches_a_verdict() {
    reaches_a_verdict(&strange_server(|mut stream| {
        hear(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 8 << 10]).is_ok() {}
    }));
}

#[test]
fn a_head_without_end_reaches_a_verdict() {
    reaches_a_verdict(&strange_server(|mut stream| {
        hear(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&b"A: b\r\n".repeat(4096)).is_ok() {}
    }));
}

#[test]
fn sixty_thousand_interim_responses_reach_a_verdict() {
    reaches_a_verdict(&strange_server(|mut stream| {
        hear(&mut stream);
        let _ = stream.write_all(&b"HTTP/1.1 102\r\n\r\n".repeat(60_000));
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }));
}

/// Some servers end on a get while nothing is set.
#[test]
fn begins_as_a_user_would_with_a_set() {
    let (said, requests) = std::sync::mpsc::channel();
    let address = strange_server(move |mut stream| {
        let mut head = [0; 4096];
        let read = stream.read(&mut head).unwrap_or(0);
        let _ = said.send(String::from_utf8_lossy(&head[..read]).into_owned());
        let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    });
    run(&["--addr", &address, "--only", "brief-form"]);
    let first: Vec<String> = requests.try_iter().take(4).collect();
    // Nothing was accepted, so nothing is asked for.
    assert!(first.len() == 4 && first.iter().all(|head| head.contains(" /set?")), "{first:#?}");
}

/// Dozens of paths that are not in the spec are asked for, of a server that is silent about each.
#[test]
fn silence_about_other_paths_is_waited_for_once() {
    let program = crate::common::example("bad_server");
    let command =
        format!("'{}' --port {{port}} --data '{{data}}' --bug unknown-hangs", program.display());
    let begun = Instant::now();
    let (code, stdout, _) = run(&["--cmd", &command, "--only", "serves-no-files"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(begun.elapsed() < Duration::from_mins(1), "it took {:?}", begun.elapsed());
}

#[test]
fn a_server_that_closes_at_once_reaches_a_verdict() {
    reaches_a_verdict(&strange_server(drop));
}
