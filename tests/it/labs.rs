//! The labs of the tutorial: each breaks the program that it is about, and leaves the one standing
//! in which that is fixed.
//!
//! A lab that breaks everything, or nothing, would teach something that is not so.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;

use dbserver::watch::event::What;

use crate::common::{Wire, example};
use crate::watch::Watcher;

/// How many run at the same time. Most of the time they wait.
const LABS_AT_A_TIME: usize = 8;

/// What a lab is tried on.
#[derive(Debug, Clone, Copy)]
enum Subject {
    /// A step of the tutorial.
    Step(&'static str),
    /// `bad_server` with this bug.
    Bug(&'static str),
}

use Subject::{Bug, Step};

/// Each lab, what it breaks, and what stands.
const LABS: [(&str, Subject, Subject); 12] = [
    ("split-packet", Step("2"), Step("3")),
    ("big-head", Step("2"), Step("3")),
    ("idle-sockets", Step("7"), Step("8")),
    ("poisoned-lock", Step("8"), Step("9a")),
    ("two-in-one-packet", Step("8"), Step("9a")),
    ("slowloris", Step("9a"), Step("9b")),
    ("kill-mid-write", Bug("truncated-first"), Step("10")),
    ("torn-tail", Bug("torn-line-glued"), Step("10")),
    ("two-servers-one-file", Step("10"), Step("11")),
    ("power-cut", Step("10"), Step("11")),
    ("slow-reader", Step("11"), Step("12a")),
    ("who-may-ask", Step("11"), Step("12a")),
];

fn command(arguments: &[&str]) -> Command {
    let mut lab = Command::new(example("lab"));
    // Everything is built, and labs that each call cargo would wait for each other.
    lab.env_remove("CARGO");
    lab.args(arguments);
    lab
}

fn lab(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What is wrong with a lab's verdict, if anything.
fn wrong(name: &str, subject: Subject, expected: i32) -> Option<String> {
    let output = match subject {
        Step(number) => lab(&[name, "--step", number]),
        Bug(bug) => {
            let program = example("bad_server");
            let options = format!("--port {{port}} --data '{{data}}' --bug {bug}");
            lab(&[name, "--cmd", &format!("exec '{}' {options}", program.display())])
        }
    };
    let code = output.status.code();
    (code != Some(expected)).then(|| {
        format!(
            "{name} on {subject:?}: exit code {code:?}, not {expected}\n{}{}\n",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// The server is dbserver itself. The page is there before Enter is pressed, and shows after it what the lab
/// says that one should look at.
#[test]
fn a_lab_with_watch_shows_what_it_says_on_the_page_that_it_names() {
    let mut lab = command(&["two-in-one-packet", "--watch"]);
    let mut lab = lab.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = lab.stdout.take().unwrap();
    let mut said = Vec::new();
    let said_so_far = |said: &[u8]| {
        let words = String::from_utf8_lossy(said);
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    while !said_so_far(&said).ends_with("press Enter here.") {
        let mut bytes = [0; 1000];
        let read = output.read(&mut bytes).unwrap();
        assert!(read > 0, "{}", said_so_far(&said));
        said.extend_from_slice(&bytes[..read]);
    }
    let words = said_so_far(&said);
    let port = words.split("Open http://localhost:").nth(1).unwrap().split('/').next().unwrap();
    assert!(words.contains("one packet, two answers, one write."), "{words}");
    let page = ([127, 0, 0, 1], port.parse().unwrap()).into();
    let index = Wire::connect(page).get("/");
    assert_eq!(
        (index.status, index.field("Content-Type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let mut watcher = Watcher::connect(page);

    lab.stdin.take().unwrap().write_all(b"\n").unwrap();
    watcher.until(|event| matches!(event.what, What::Written { answers: 2, .. }));
    output.read_to_end(&mut said).unwrap();
    assert!(lab.wait().unwrap().success(), "{}", said_so_far(&said));
    assert!(said_so_far(&said).contains("It stands."), "{}", said_so_far(&said));
}

#[test]
fn each_lab_breaks_what_it_is_about_and_leaves_what_is_fixed() {
    let runs =
        LABS.iter().flat_map(|&(name, breaks, stands)| [(name, breaks, 1), (name, stands, 0)]);
    // It needs strace(1), which is for Linux.
    let runs = runs.filter(|&(name, ..)| name != "power-cut" || cfg!(target_os = "linux"));
    // The later ones take longer: slow-reader waits for 40 s before it says that a server never gives up.
    let queue = Mutex::new(runs.rev());
    let problems = Mutex::new(String::new());
    thread::scope(|scope| {
        for _ in 0..LABS_AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some((name, subject, code)) = queue.lock().unwrap().next() else { break };
                    let problem = wrong(name, subject, code).unwrap_or_default();
                    problems.lock().unwrap().push_str(&problem);
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{problems}");
}

/// An old program would be looked at after a change to its source.
#[test]
fn a_lab_that_cargo_has_started_has_cargo_build_what_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (cargo, asked) = (folder.path().join("cargo"), folder.path().join("asked"));
    fs::write(&cargo, format!("#!/bin/sh\necho \"$*\" >> '{}'\n", asked.display())).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let program = example("lab");
    let target = program.ancestors().nth(3).unwrap();
    // A command names its program as a reader of the tutorial does.
    symlink(target, folder.path().join("target")).unwrap();
    let step = "target/debug/examples/step03_read {port}";
    for subject in [["--step", "3"], ["--cmd", step]] {
        let mut lab = Command::new(&program);
        lab.env("CARGO", &cargo).env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
        lab.current_dir(folder.path());
        let output = lab.arg("split-packet").args(subject).stdin(Stdio::null()).output().unwrap();
        let said = fs::read_to_string(&asked).unwrap_or_default();
        let wanted = "build --quiet --example step03_read --target-dir";
        assert_eq!(said.trim_end(), format!("{wanted} {}", target.display()), "{output:?}");
        fs::remove_file(&asked).unwrap();
    }
}

#[test]
fn every_lab_is_in_the_table() {
    let help = lab(&["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let listed: Vec<&str> = listed.filter(|name| name.starts_with(char::is_alphabetic)).collect();
    let table: Vec<&str> = LABS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(listed, table, "{help}");
}

#[test]
fn what_is_not_understood_is_neither_a_break_nor_a_stand() {
    for arguments in
        [&["no-such-lab"][..], &["split-packet", "--cmd", "exit 1"], &["--no-such-flag"]]
    {
        let output = lab(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
}
