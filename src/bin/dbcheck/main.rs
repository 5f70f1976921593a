//! dbcheck: scores any server for the key-value task, in any language, from the outside.
//!
//! It shares no code with the server of this package: it has its own sockets and its own reading of
//! responses, so that one misunderstanding can't hide in both.
//!
//! ```text
//!  options         what the user typed
//!     ▼
//!  report/         text, json, junit             what is said
//!     │            score, transcript, screen
//!     ▼
//!  checks/         runner                        one check after the other
//!     │            table                         all of them
//!     │            brief, decoding, conventions, framing, requests, robust, durable, torn, crash
//!     │            check, run, steps, verdict    what a check is, what it may use, how it ends
//!     ▼
//!  target/         server, greeting              the process that is scored
//!     │            files, launch, port
//!     ▼
//!  client/         load, session, learn          many requests; the dialect, learned first
//!                  exchange                      one request and its answer
//!                  likeness, dialect             whether an answer gives the value
//!                  wire, reader, body, answer    bytes out, bytes in
//! ```
//!
//! Arrows go down only: a room knows the rooms below it, and no files know each other in a circle
//! (`tests/it/arrows.rs` makes sure of both). To read, begin at the bottom, in the order of the
//! `mod` lines.
//!
//! To add a check: an entry in the table of its tier's file, and the function that it names.

mod client;

mod target;

mod checks;

mod report;

mod options;

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;

use checks::run::Run;
use checks::runner::{self, Finding};
use options::{Command, Options};
use report::json::About;
use report::screen::{self, Screen, say, wrap};
use report::text::{self, Report};
use report::{Format, json, junit, score};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use target::greeting::NotUp;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Command::Check(options)) => options,
        Ok(Command::List(selected)) => return print(&text::list(&selected)),
        Ok(Command::Explain(check)) => return print(&text::explain(check)),
        Ok(Command::Print(text)) => return print(text),
        Err(sentence) => {
            complain(&format!("{sentence}\nTry 'dbcheck --help'."));
            return ExitCode::from(2);
        }
    };
    if let Err(error) = end_the_server_with_us() {
        complain(&format!("signals can't be watched: {error}"));
        return ExitCode::from(2);
    }
    let outcome = check(options);
    if let Some(error) = screen::lost() {
        complain(&format!("the report could not be written: {error}"));
        return ExitCode::from(2);
    }
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(NotUp { sentence, output }) => {
            complain(&format!("the server could not be started: {sentence}"));
            for line in output.lines() {
                let _ = writeln!(std::io::stderr(), "  | {line}");
            }
            ExitCode::from(2)
        }
    }
}

/// Checks and reports. Says whether everything passed.
fn check(options: Options) -> Result<bool, NotUp> {
    let format = options.format;
    let mut report = Report::new(Screen::new(options.no_color), options.style);
    let (selected, chapter) = (options.selected(), options.chapter);
    let notice = |text: &str| match format {
        Format::Human => say(&format!("{}\n\n", wrap(text, 0))),
        Format::Json | Format::Junit => complain(text),
    };
    let mut run = Run::begin(options.setup, notice).inspect_err(|not_up| {
        let sentence = format!("the server could not be started: {}", not_up.sentence);
        let findings = runner::none_reached(&selected, &sentence);
        let error = Some((not_up.sentence.clone(), not_up.output.clone()));
        document(format, &About { error, ..About::default() }, &findings);
    })?;
    // Whoever has done chapter 1 has a server that is there, and it was.
    let is_there = chapter.is_some() && selected.is_empty();
    let findings = if format == Format::Human {
        report.begin(&run);
        if is_there {
            say("  ✓ it listens, and takes connections\n");
        }
        // Both are called in turn, by one thread.
        let report = std::cell::RefCell::new(&mut report);
        runner::run_all(
            &mut run,
            &selected,
            |number, of, check| report.borrow().before(number, of, check),
            |finding| report.borrow_mut().after(finding),
        )
    } else {
        runner::run_all(&mut run, &selected, |_, _, _| {}, |_| {})
    };
    let notes = run.notes();
    if format == Format::Human {
        report.end(&findings);
        let gap = if notes.is_empty() { "" } else { "\n" };
        say(gap);
        for note in &notes {
            say(&format!("{}\n", wrap(note, 0)));
        }
    } else {
        let about = About {
            address: Some(run.client.address.to_string()),
            speaks: Some(run.client.dialect.describe()),
            notes,
            error: None,
        };
        document(format, &about, &findings);
    }
    Ok(is_there || score::all_passed(&findings))
}

/// The report for machines, which is one whole document however the run ended.
fn document(format: Format, about: &About, findings: &[Finding]) {
    match format {
        Format::Human => {}
        Format::Json => say(&json::document(about, findings)),
        Format::Junit => say(&junit::document(findings)),
    }
}

/// The server is in a group of its own, so Ctrl-C does not reach it: it is ended from here, and what
/// was the user's is put back.
fn end_the_server_with_us() -> std::io::Result<()> {
    // What was ignored when we were started stays ignored: that is how nohup works.
    let watched: Vec<_> =
        [SIGINT, SIGTERM, SIGHUP, SIGQUIT].into_iter().filter(|&one| !is_ignored(one)).collect();
    let mut signals = Signals::new(watched)?;
    let watch = move || {
        if let Some(signal) = signals.forever().next() {
            target::abandon();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map(drop)
}

/// Whether a signal is ignored, where the system tells (Linux).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

fn print(text: &str) -> ExitCode {
    say(text);
    if let Some(error) = screen::lost() {
        complain(&format!("it could not be written: {error}"));
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "dbcheck: {text}");
}
