//! What is the user's stays as it was, however a run ends.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{dbcheck, our_server, run, strange_server};

/// Waits for this, as long as it may take.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what}");
        thread::yield_now();
    }
}

fn program(name: &str) -> String {
    let folder = Path::new(assert_cmd::cargo::cargo_bin!("dbserver")).parent().unwrap();
    folder.join(name).display().to_string()
}

fn signal(name: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args([name, &pid.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

/// A data file with these pairs in it.
fn precious() -> String {
    (1..=50).map(|n| format!("{{\"key\":\"precious{n}\",\"value\":\"{n}\"}}\n")).collect()
}

/// Starts a check that cuts or damages `file`. The server's next start, which finds it so, takes
/// for ever: in that moment the user loses patience.
fn cut_and_wait(file: &Path, only: &str) -> Child {
    let (server, file) = (program("dbserver"), file.display());
    let command = format!(
        "{{ test -s '{file}' && ! grep -q '####' '{file}' && tail -c1 '{file}' | grep -q '^$'; }} \
         || exec sleep 600; exec '{server}' --port {{port}} --data '{file}'"
    );
    let mut checker = dbcheck();
    checker.args(["--only", only, "--cmd", &command, "--data", &file.to_string()]);
    checker.stdout(Stdio::null()).stderr(Stdio::null());
    checker.spawn().unwrap()
}

#[test]
fn the_data_file_is_put_back_when_a_signal_ends_the_checker() {
    let cases = [("-INT", "empty-file"), ("-TERM", "torn-line"), ("-HUP", "damaged-middle")];
    for (name, only) in cases {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.jsonl");
        fs::write(&file, precious()).unwrap();
        let mut checker = cut_and_wait(&file, only);
        let is_harmed = || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            text.is_empty() || text.contains("####") || !text.ends_with('\n')
        };
        until(only, is_harmed);
        let copy = folder.path().join("mine.jsonl.before-dbcheck").join("mine.jsonl");
        assert_eq!(fs::read_to_string(copy).unwrap(), precious(), "{only}");
        assert!(signal(name, checker.id()));
        assert!(!checker.wait().unwrap().success());
        assert_eq!(fs::read_to_string(&file).unwrap(), precious(), "{name} in {only}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name} in {only}");
    }
}

#[test]
fn the_data_file_is_as_it_was_after_a_run_and_that_is_said_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.jsonl");
    let named = file.display().to_string();
    let command = format!("'{}' --port {{port}} --data '{named}'", program("dbserver"));
    let arguments =
        ["--cmd", &command, "--data", &named, "--rounds", "1", "--only", "kill-storm,torn-line"];
    // It is not there; then it is.
    let (code, stdout, _) = run(&arguments);
    assert_eq!((code, file.exists()), (Some(0), false), "{stdout}");
    fs::write(&file, precious()).unwrap();
    let (code, stdout, _) = run(&arguments);
    assert_eq!(code, Some(0), "{stdout}");
    let notice = stdout.split("The server at").next().unwrap();
    let notice = notice.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(notice.contains(&format!("its copy is in {named}.before-dbcheck/")), "{stdout}");
    assert_eq!(fs::read_to_string(&file).unwrap(), precious());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    // What a run that was killed has left is nobody's to write over.
    fs::create_dir(format!("{named}.before-dbcheck")).unwrap();
    let (code, _, stderr) = run(&arguments);
    assert_eq!(code, Some(2));
    assert!(stderr.contains(&format!("{named}.before-dbcheck/ holds the data")), "{stderr}");
}

#[test]
fn a_file_in_the_folder_of_the_run_is_known_by_its_name() {
    let command = our_server().replace("{data}", "{dir}/a b.jsonl");
    let (code, stdout, stderr) =
        run(&["--cmd", &command, "--data", "{dir}/a b.jsonl", "--only", "torn-line"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(!stdout.contains("skipped") && !stdout.contains("before-dbcheck"), "{stdout}");
}

#[test]
fn files_that_change_in_the_working_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.jsonl"), precious()).unwrap();
    fs::write(folder.path().join("other"), "").unwrap();
    let server = program("dbserver");
    let in_folder = |command: &str| {
        let mut checker = dbcheck();
        checker.args(["--only", "overwrite", "--cmd", command]).current_dir(folder.path());
        let output = checker.output().unwrap();
        String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let stdout = in_folder(&format!("'{server}' --port {{port}} --data store.jsonl"));
    assert!(stdout.contains("In this folder store.jsonl changed"), "{stdout}");
    assert!(stdout.contains("--cmd 'cd {dir} && …'"), "{stdout}");
    let stdout = in_folder(&format!("cd {{dir}} && '{server}' --port {{port}} --data store.jsonl"));
    assert!(!stdout.contains("In this folder"), "{stdout}");
}

#[test]
fn a_server_that_runs_keeps_its_pairs_and_gets_none_but_with_the_checkers_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.jsonl");
    let names = ["key", "constructor", "toString", "a"];
    let mine = |key: &str| format!("{{\"key\":\"{key}\",\"value\":\"mine\"}}\n");
    let before: String = names.map(mine).concat();
    fs::write(&file, &before).unwrap();
    let mut server = Command::new(program("dbserver"));
    server.args(["--port", "0", "--data"]).arg(&file).stdout(Stdio::piped());
    let mut server = server.spawn().unwrap();
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(server.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    let address = line.trim().trim_end_matches('/').rsplit('/').next().unwrap().to_string();
    let (_, stdout, stderr) = run(&["--addr", &address, "--skip", "mixed-load,deaf-client"]);
    server.kill().unwrap();
    server.wait().unwrap();

    let (first, _) = stdout.split_once("The server at").unwrap();
    let first = first.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(first.starts_with(&format!("Pairs are written to the server at {address}")), "{first}");
    let (_, prefix) = first.trim_end_matches('.').rsplit_once(' ').unwrap();
    assert!(prefix.starts_with("dbcheck"), "{first}");
    let after = fs::read_to_string(&file).unwrap();
    let new = after.strip_prefix(&before).unwrap();
    let mut keys = std::collections::BTreeSet::new();
    for line in new.lines() {
        let pair: serde_json::Value = serde_json::from_str(line).unwrap();
        let key = pair["key"].as_str().unwrap().to_string();
        assert!(key.starts_with(prefix), "{line}");
        keys.insert(key);
    }
    let said = stdout.lines().find(|line| line.contains("pairs were left")).unwrap();
    let said: usize = said.split_whitespace().next().unwrap().parse().unwrap();
    // Of sets that were sent with others in one packet it is not known what became of them.
    assert!((keys.len()..keys.len() + 20).contains(&said), "{said}, and {}: {stderr}", keys.len());
}

/// Stores what stands in the body of a POST, whole or not.
fn by_body(stream: &mut std::net::TcpStream, pairs: &Mutex<HashMap<String, String>>) {
    let mut text = String::new();
    let length = |text: &str| {
        let (_, rest) = text.split_once("Content-Length: ")?;
        rest.split("\r\n").next()?.parse::<usize>().ok()
    };
    let is_whole = |text: &str| {
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        body.is_some_and(|body| body >= length(text).unwrap_or(0))
    };
    let mut buffer = [0; 4096];
    while !is_whole(&text) {
        let Ok(read @ 1..) = stream.read(&mut buffer) else { break };
        text += &String::from_utf8_lossy(&buffer[..read]);
    }
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let mut pairs = pairs.lock().unwrap();
    let (status, value) = if head.starts_with("POST /set ") && body.contains('=') {
        let (key, value) = body.split_once('=').unwrap();
        pairs.insert(key.into(), value.into());
        ("200 OK", "")
    } else {
        let key = head.strip_prefix("GET /get?key=").and_then(|rest| rest.split(' ').next());
        match key.and_then(|key| pairs.get(key)) {
            Some(value) => ("200 OK", value.as_str()),
            None => ("404 Not Found", ""),
        }
    };
    let fields = format!("Content-Length: {}\r\nConnection: close", value.len());
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{fields}\r\n\r\n{value}");
}

#[test]
fn a_server_that_takes_bodies_gets_no_other_keys_either() {
    let pairs: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let stored = Arc::clone(&pairs);
    let address = strange_server(move |mut stream| by_body(&mut stream, &stored));
    let only = "set-then-get,client-leaves,slow-connection,key-named-key,prototype-keys";
    let (_, stdout, stderr) = run(&["--addr", &address, "--only", only]);
    assert!(stdout.contains("POST /set"), "{stdout}{stderr}");
    let pairs = pairs.lock().unwrap();
    assert!(pairs.len() > 3, "{stdout}");
    for key in pairs.keys() {
        assert!(key.starts_with("dbcheck"), "{key:?}");
    }
}

#[test]
fn a_checker_that_is_ended_leaves_no_server_and_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let about = folder.path().join("about");
    // The server's own number goes to a file, before it takes the place of its shell.
    let command = format!("echo $$ {{dir}} > '{}'; exec {}", about.display(), our_server());
    let mut checker = dbcheck();
    checker.args(["--cmd", &command, "--only", "mixed-load"]).stdout(Stdio::piped());
    let mut checker = checker.spawn().unwrap();
    // Its first words come when the server is up.
    let mut first = [0; 10];
    checker.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let about = fs::read_to_string(&about).unwrap();
    let (server, files) = about.trim().split_once(' ').unwrap();
    let number: u32 = server.parse().unwrap();
    assert!(signal("-0", number), "the server runs");
    assert!(signal("-TERM", checker.id()));
    assert!(!checker.wait().unwrap().success());
    assert!(!Path::new(files).exists(), "{files}");
    let begun = Instant::now();
    while signal("-0", number) && !is_zombie(server) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the server is left");
        thread::yield_now();
    }
}

/// Whether it has ended, and waits for the system to notice.
fn is_zombie(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains(") Z ")
}
