//! What is said, to whom, and how much of it.

use std::fs::File;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{dbcheck, hear, our_server, run, strange_server, unclosed};
use std::io::Write as _;

fn in_memory() -> String {
    our_server().replace("--data '{data}'", "--memory")
}

/// A server that says yes to everything fails many checks.
fn yes_to_all() -> String {
    strange_server(|mut stream| {
        hear(&mut stream);
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes";
        let _ = stream.write_all(answer.as_bytes());
    })
}

#[test]
fn a_decent_server_is_a_few_lines() {
    let arguments = ["--cmd", &in_memory(), "--tier", "brief,conventions", "--tier", "http"];
    let (code, stdout, _) = run(&arguments);
    assert_eq!(code, Some(0), "{stdout}");
    let (head, scores) = stdout.split_once("\n\n").unwrap();
    assert!(head.starts_with("The server at 127.0.0.1:"), "{stdout}");
    let names: Vec<&str> =
        scores.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, ["brief", "conventions", "http", "total"], "{stdout}");
}

#[test]
fn three_failures_are_shown_in_full_and_all_with_verbose() {
    let address = yes_to_all();
    let arguments = ["--addr", &address, "--tier", "conventions,http"];
    let (code, short, _) = run(&arguments);
    assert_eq!(code, Some(1));
    let (_, verbose, _) = run(&[&arguments[..], &["--verbose"]].concat());
    let lines = |text: &str| text.lines().filter(|line| line.starts_with("  ✗ ")).count();
    let in_full = |text: &str| text.lines().filter(|line| line.starts_with("✗ ")).count();
    assert!(lines(&short) > 5, "{short}");
    assert_eq!((lines(&verbose), in_full(&verbose)), (lines(&short), lines(&short)), "{verbose}");
    assert_eq!(in_full(&short), 3, "{short}");
    let rest = lines(&short) - 3;
    assert!(short.contains(&format!("\n{rest} more failed; --verbose shows all")), "{short}");
    // The command is for the address that was given.
    assert!(short.contains(&format!("'http://{address}/")), "{short}");
    // No line is wider than a terminal, unless it is one word, and no word is cut.
    for line in short.lines().chain(verbose.lines()) {
        let text = line.get(12..).unwrap_or_default();
        assert!(line.chars().count() <= 80 || !text.contains(' '), "{line}");
    }
    let (_, next) = short.split_once("\nNext: ").unwrap();
    let next: Vec<&str> = next.lines().collect();
    assert!(next[0].contains("TUTORIAL.md chapter ") && next[1].trim().ends_with('.'), "{short}");
}

#[test]
fn terse_says_names_and_verdicts_and_no_whys() {
    let address = yes_to_all();
    let (code, stdout, _) = run(&["--addr", &address, "--tier", "http", "--terse"]);
    assert_eq!(code, Some(1));
    let (_, report) = stdout.split_once("\n\n").unwrap();
    for line in report.lines().filter(|line| line.starts_with("  ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.len(), 2, "{line}");
        assert!(["✓", "✗", "–"].contains(&words[0]), "{line}");
    }
    assert!(report.contains("\n  ✗ ") && report.contains("\ntotal "), "{stdout}");
    assert!(!report.contains("curl") && !report.contains("Next:"), "{stdout}");
}

#[test]
fn a_chapter_is_a_line_for_each_check_that_is_due() {
    let (_, list, _) = run(&["--chapter", "7", "--list"]);
    let names = |text: &str, mark: &str| {
        let lines = text.lines().filter(|line| line.starts_with(mark));
        let word =
            |line: &str| line.trim_start_matches([' ', '✓']).split(' ').next().map(String::from);
        lines.filter_map(word).filter(|name| !name.is_empty()).collect::<Vec<_>>()
    };
    let (code, stdout, _) = run(&["--cmd", &in_memory(), "--chapter", "7"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert_eq!(names(&stdout, "  ✓"), names(&list, "  "), "{stdout}");
    assert!(names(&list, "  ").len() > 30 && !list.contains("keep-alive"), "{list}");
    // Of the first one there is nothing to check but that somebody is there, and that is no failure.
    let (code, stdout, _) = run(&["--cmd", &in_memory(), "--chapter", "1"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("✓ it listens"), "{stdout}");
}

/// `tests/steps.txt` has what each step of the tutorial passes.
#[test]
fn every_step_passes_what_is_due_at_the_end_of_its_chapter() {
    let steps = include_str!("../../steps.txt");
    for chapter in 1..=12_u8 {
        let is_its = |line: &&str| line.starts_with(&format!("step{chapter:02}"));
        let passed = steps.lines().rfind(is_its).and_then(|line| line.split_once('|')).unwrap().1;
        let (code, list, _) = run(&["--chapter", &chapter.to_string(), "--list"]);
        assert_eq!(code, Some(0));
        let due = list.lines().filter(|line| line.starts_with("  "));
        for name in due.filter_map(|line| line.split_whitespace().next()) {
            let is_passed = passed.split_whitespace().any(|one| one == name);
            assert!(is_passed, "{name} is due in chapter {chapter}, and its step fails it");
        }
    }
}

#[test]
fn a_report_that_can_t_be_written_is_exit_code_2() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let command = in_memory();
    let check = ["--only", "overwrite", "--cmd", &command, "--format"];
    for arguments in [
        &[&check[..], &["human"]].concat()[..],
        &[&check[..], &["json"]].concat(),
        &[&check[..], &["junit"]].concat(),
        &["--list"],
        &["--explain", "overwrite"],
        &["--help"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = dbcheck().args(arguments).stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains("could not be written: "), "{arguments:?}: {stderr}");
    }
}

#[test]
fn documents_are_whole_where_the_server_does_not_start() {
    let arguments = ["--cmd", "echo no >&2; exit 3", "--only", "overwrite,garbage", "--format"];
    let (code, stdout, stderr) = run(&[&arguments[..], &["json"]].concat());
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["all_passed"]), (Some(2), &Value::Bool(false)), "{stderr}");
    assert!(report["error"].as_str().unwrap().contains("exit status: 3"), "{stdout}");
    assert_eq!((&report["output"], &report["of"]), (&Value::from("no"), &Value::from(2)));
    assert_eq!(report["checks"][0]["verdict"], "not reached");
    let (code, xml, _) = run(&[&arguments[..], &["junit"]].concat());
    assert_eq!((code, unclosed(&xml)), (Some(2), Vec::new()), "{xml}");
    assert_eq!(xml.matches("<error ").count(), 2, "{xml}");
}

#[test]
fn nothing_checked_is_no_success() {
    let address = yes_to_all();
    let (code, stdout, _) = run(&["--addr", &address, "--only", "kill-storm"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("total         0/0, 1 skipped"), "{stdout}");
}

#[test]
fn only_a_terminal_that_can_show_them_gets_escapes() {
    // Python brings a terminal.
    let script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let escapes = |term: &str, no_color: &str, more: &[&str]| {
        let mut terminal = Command::new("python3");
        terminal.args(["-c", script, assert_cmd::cargo::cargo_bin!("dbcheck").to_str().unwrap()]);
        terminal.args(["--only", "overwrite", "--cmd", &in_memory()]).args(more);
        terminal.env("TERM", term).env("NO_COLOR", no_color).stdin(Stdio::null());
        let output = terminal.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("total         1/1"), "{text}");
        text.matches(['\x1b', '\u{8}']).count()
    };
    assert!(escapes("xterm", "", &[]) > 0);
    for (term, no_color, more) in [
        ("dumb", "", &[][..]),
        ("", "", &[]),
        ("xterm", "1", &[]),
        ("xterm", "", &["--no-color"]),
        ("dumb", "", &["--no-color"]),
    ] {
        assert_eq!(escapes(term, no_color, more), 0, "TERM={term} NO_COLOR={no_color} {more:?}");
    }
}
