//! dbcheck: scores any server for the key-value task, in any language, from the outside.
//!
//! It shares no code with the server of this package: it has its own sockets and its own reading of
//! responses, so that one misunderstanding can't hide in both.
//!
//! ```text
//!  options ──▶ target ──▶ run ──▶ runner ──▶ check ──▶ verdict ──▶ report
//!              launch     dialect            brief, decoding        score
//!              port       likeness           conventions            transcript
//!                         client             framing, requests      machine
//!                         session, load      robust
//!                         wire               durable, crash, torn
//!                         answer
//! ```
//!
//! To add a check: an entry in the table of its tier's file, and the function that it names.

mod options;

mod launch;
mod port;
mod target;

mod answer;
mod client;
mod dialect;
mod likeness;
mod load;
mod session;
mod wire;

mod check;
mod run;
mod runner;
mod verdict;

mod brief;
mod conventions;
mod crash;
mod decoding;
mod durable;
mod framing;
mod requests;
mod robust;
mod torn;

mod machine;
mod report;
mod score;
mod transcript;

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;

use options::{Command, Format, Options};
use report::{Report, say};
use run::Run;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use target::NotUp;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Command::Check(options)) => options,
        Ok(Command::List) => return print(&report::list()),
        Ok(Command::Explain(check)) => return print(&report::explain(check)),
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
    match check(options) {
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
    let mut report = Report::new(&options);
    let mut run = Run::begin(options)?;
    let findings = if format == Format::Human {
        Report::begin(&run);
        // Both are called in turn, by one thread.
        let report = std::cell::RefCell::new(&mut report);
        runner::run_all(
            &mut run,
            |number, of, check| report.borrow().before(number, of, check),
            |finding| report.borrow_mut().after(finding),
        )
    } else {
        runner::run_all(&mut run, |_, _, _| {}, |_| {})
    };
    match format {
        Format::Human => report.end(&findings),
        Format::Json => say(&machine::json(&run, &findings)),
        Format::Junit => say(&machine::junit(&findings)),
    }
    Ok(score::all_passed(&findings))
}

/// The server is in a group of its own, so Ctrl-C does not reach it: it is ended from here.
fn end_the_server_with_us() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let watch = move || {
        if let Some(signal) = signals.forever().next() {
            target::abandon();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map(drop)
}

fn print(text: &str) -> ExitCode {
    say(text);
    ExitCode::SUCCESS
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "dbcheck: {text}");
}
