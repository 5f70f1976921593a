//! Who checks the checker: servers whose faults are known, and what dbcheck says of them.
//!
//! `examples/bad_server` makes one mistake at a time. `tests/bugs.txt` lists which checks each of
//! them fails; here dbcheck is held to that list. A check that finds nothing wrong anywhere would
//! pass every server, so each must be in the list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Condvar, Mutex};
use std::thread;

use serde_json::Value;

use crate::common::example;

/// Names of checks.
type Names = BTreeSet<String>;

/// A line of `tests/bugs.txt`.
struct Bug {
    name: String,
    options: Vec<String>,
    fails: Names,
    /// May fail or not.
    chance: Names,
    /// Passed, but told.
    loosely: Names,
}

fn table() -> Vec<Bug> {
    let mut options = Vec::new();
    let mut bugs = Vec::new();
    for line in include_str!("../bugs.txt").lines() {
        if line.starts_with("--") {
            options = line.split_whitespace().map(str::to_string).collect();
        } else if !line.is_empty() && !line.starts_with('#') {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            let [name, checks, why] = columns[..] else { panic!("three columns: {line}") };
            assert!(!checks.is_empty() && !why.is_empty(), "{line}");
            let marked = |mark: &str| {
                let names = checks.split_whitespace().filter_map(|word| word.strip_prefix(mark));
                names
                    .filter(|name| !name.starts_with(['~', '?']) && *name != "none")
                    .map(str::to_string)
                    .collect()
            };
            bugs.push(Bug {
                name: name.into(),
                options: options.clone(),
                fails: marked(""),
                chance: marked("?"),
                loosely: marked("~"),
            });
        }
    }
    bugs
}

/// What dbcheck says of each check, and its note.
type Verdicts = BTreeMap<String, (String, String)>;

/// How many servers are scored at the same time, where neither load nor restarts are among the
/// checks: these spend their time waiting.
const AT_A_TIME: usize = 24;

/// Scores the server that this command starts. Where it is put under load, it takes the place of
/// four: the machine may have no more cores than two.
fn verdicts(command: &str, options: &[String]) -> Verdicts {
    static FREE: (Mutex<usize>, Condvar) = (Mutex::new(AT_A_TIME), Condvar::new());
    let cost = if options.iter().any(|option| option.contains("mixed-load")) { 1 } else { 4 };
    *FREE.1.wait_while(FREE.0.lock().unwrap(), |free| *free < cost).unwrap() -= cost;
    let mut dbcheck = Command::new(assert_cmd::cargo::cargo_bin!("dbcheck"));
    // Some panic at each request, and nobody reads where.
    dbcheck.env("RUST_BACKTRACE", "0");
    let output = dbcheck.args(["--format", "json", "--cmd", command]).args(options).output();
    *FREE.0.lock().unwrap() += cost;
    FREE.1.notify_all();

    let output = output.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{command}: {}", String::from_utf8_lossy(&output.stderr)));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let checks = report["checks"].as_array().unwrap().iter();
    checks.map(|c| (text(&c["name"]), (text(&c["verdict"]), text(&c["note"])))).collect()
}

fn bad_server(bug: Option<&str>, options: &[String]) -> Verdicts {
    let program = example("bad_server");
    let bug = bug.map_or(String::new(), |bug| format!("--bug {bug}"));
    let command = format!("'{}' --port {{port}} --data '{{data}}' {bug}", program.display());
    verdicts(&command, options)
}

fn having(verdicts: &Verdicts, wanted: &str) -> Names {
    verdicts.iter().filter(|(_, (v, _))| v == wanted).map(|(name, _)| name.clone()).collect()
}

/// How this differs from what was expected, a line for each difference.
fn differences(verdicts: &Verdicts, bug: &Bug) -> String {
    let mut lines = String::new();
    let failed = having(verdicts, "failed");
    for check in failed.difference(&bug.fails).filter(|check| !bug.chance.contains(*check)) {
        let _ = writeln!(lines, "{}: fails {check}: {}", bug.name, verdicts[check].1);
    }
    let passed = |wanted: &Names, is: Names, what| -> Vec<String> {
        let others = wanted.difference(&is);
        others
            .map(|check| format!("{} {what} {check}: {:?}\n", bug.name, verdicts.get(check)))
            .collect()
    };
    lines += &passed(&bug.fails, failed, "does not fail").concat();
    lines += &passed(&bug.loosely, having(verdicts, "passed loosely"), "is not loose in").concat();
    lines
}

fn names(list: &[&str]) -> Names {
    list.iter().map(ToString::to_string).collect()
}

fn options(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_string).collect()
}

#[test]
fn each_bug_fails_the_checks_that_are_about_it_and_no_others() {
    let bugs = table();
    // Those that keep somebody waiting stand below.
    let queue = Mutex::new(bugs.iter().rev());
    let wrong = Mutex::new(String::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(bug) = queue.lock().unwrap().next() else { break };
                    let verdicts = bad_server(Some(&bug.name), &bug.options);
                    wrong.lock().unwrap().push_str(&differences(&verdicts, bug));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_bug_is_in_the_table_and_every_check_is_failed_by_one() {
    let list = Command::new(example("bad_server")).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let first_word = |line: &str| line.split_whitespace().next().map(str::to_string);
    let listed: Vec<String> = list.lines().filter_map(first_word).collect();
    let in_table: Vec<String> = table().into_iter().map(|bug| bug.name).collect();
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names
    };
    assert_eq!(sorted(&listed), sorted(&in_table));

    let mut dbcheck = Command::new(assert_cmd::cargo::cargo_bin!("dbcheck"));
    let list = String::from_utf8(dbcheck.arg("--list").output().unwrap().stdout).unwrap();
    // Names of checks are indented below their tier's.
    let checks = list.lines().filter(|line| line.starts_with("  ")).filter_map(first_word);
    let failed: Names = table().into_iter().flat_map(|bug| bug.fails).collect();
    assert_eq!(failed, checks.collect());
}

#[test]
fn without_a_bug_it_gets_full_marks() {
    let verdicts = bad_server(None, &options("--rounds 4"));
    let others: Vec<_> = verdicts.iter().filter(|(_, (v, _))| v != "passed").collect();
    assert!(others.is_empty() && verdicts.len() > 60, "{others:?}");
}

/// The server that the task comes from keeps nothing, and serves one connection at a time in
/// HTTP/1.0. All else is right, or at least right enough.
#[test]
fn the_tasks_own_server_fails_what_it_is_known_to_lack() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simple_db_server.py");
    let command = format!("exec python3 '{}' --port {{port}}", script.display());
    let verdicts = verdicts(&command, &options("--rounds 1"));
    let expected = Bug {
        name: "simple_db_server.py".into(),
        options: Vec::new(),
        fails: names(&[
            "keep-alive",
            "host-field",
            "differing-lengths",
            "idle-connection",
            "slow-connection",
            "sixty-four-idle",
            "restart-sigterm",
        ]),
        chance: Names::new(),
        loosely: names(&["other-method-is-500", "head-no-body"]),
    };
    let wrong = differences(&verdicts, &expected);
    assert!(wrong.is_empty(), "{wrong}");
    // That it keeps nothing is one mistake, which is said once.
    let not_reached = names(&[
        "pipelining",
        "restart-sigint",
        "restarts-add-up",
        "reload-special",
        "reload-text",
        "kill-keeps-answered",
        "kill-storm",
        "storm-starts",
    ]);
    assert_eq!(having(&verdicts, "not reached"), not_reached);
    assert!(verdicts["restart-sigterm"].1.contains("kept in memory alone"), "{verdicts:?}");
    assert_eq!(having(&verdicts, "skipped"), names(&["empty-file", "torn-line", "damaged-middle"]));
}

/// What dbcheck prints of a bug, for people.
fn printed(bug: &str, options: &[&str]) -> String {
    let program = example("bad_server");
    let command = format!("'{}' --port {{port}} --data '{{data}}' --bug {bug}", program.display());
    let mut dbcheck = Command::new(assert_cmd::cargo::cargo_bin!("dbcheck"));
    let output = dbcheck.args(["--cmd", &command]).args(options).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_first_line_says_how_a_server_wants_to_be_asked() {
    for (bug, wanted) in [
        ("overwrite-ignored", "GET /set?somekey=somevalue, GET /get?key=somekey and answers"),
        ("get-bare-key", "GET /set?somekey=somevalue, GET /get?somekey and answers"),
        ("set-redirects", "GET /get?key=somekey, sends the client elsewhere after a set and"),
        ("stores-late", "ms after it has answered and"),
        ("missing-hangs", "and a missing key is never answered"),
        ("missing-ends-it", "and a missing key ends the server"),
    ] {
        let text = printed(bug, &["--only", "success-is-200"]);
        // Lines are broken where they get too long.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(wanted), "{wanted:?} in\n{text}");
    }
}

#[test]
fn the_request_that_ended_the_server_is_shown_and_not_the_one_after_it() {
    let text = printed("dies-on-garbage", &["--only", "garbage"]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["goes on after a line that is no request", "sent HELLO THERE\\r\\n"] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains("a method alone"), "{text}");
}
