//! The runner: one check after the other, and the server kept on its feet in between.
//!
//! A check during which the server ends, or after which it does not answer any more, has failed,
//! whatever it saw itself. The server is then started again, so that the next check is judged for
//! itself; where that is not possible, the rest is not reached.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::checks::check::Check;
use crate::checks::run::{Death, Run};
use crate::checks::verdict::{Failure, Outcome, Pass, Stop, fail};

/// How a check ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Passed,
    Loosely(String),
    Failed(Box<Failure>),
    Skipped(String),
    NotReached(String),
}

impl Verdict {
    /// Its name, and what is to be said about it.
    pub(crate) fn named(&self) -> (&'static str, Option<&str>) {
        match self {
            Verdict::Passed => ("passed", None),
            Verdict::Loosely(note) => ("passed loosely", Some(note)),
            Verdict::Failed(failure) => ("failed", Some(&failure.expected)),
            Verdict::Skipped(why) => ("skipped", Some(why)),
            Verdict::NotReached(why) => ("not reached", Some(why)),
        }
    }
}

/// A check and how it ended.
pub(crate) struct Finding {
    pub(crate) check: &'static Check,
    pub(crate) verdict: Verdict,
    pub(crate) time: Duration,
}

/// Runs these checks; `before` is told the number and the check that begins,
/// `after` what was found.
pub(crate) fn run_all(
    run: &mut Run,
    selected: &[&'static Check],
    mut before: impl FnMut(usize, usize, &Check),
    mut after: impl FnMut(&Finding),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Why nothing more can be asked, once that is so.
    let mut gone = None;
    for (number, &check) in selected.iter().enumerate() {
        before(number + 1, selected.len(), check);
        let begun = Instant::now();
        let is_last = number + 1 == selected.len();
        let verdict = match &gone {
            Some(why) => Verdict::NotReached(String::clone(why)),
            None => run_one(run, check, &mut gone, is_last),
        };
        if matches!(verdict, Verdict::Failed(_) | Verdict::NotReached(_)) {
            run.wanting.push(check.name);
        }
        let finding = Finding { check, verdict, time: begun.elapsed() };
        after(&finding);
        findings.push(finding);
    }
    findings
}

/// What comes of these checks where there is no server.
pub(crate) fn none_reached(selected: &[&'static Check], why: &str) -> Vec<Finding> {
    let not_reached =
        |&check| Finding { check, verdict: Verdict::NotReached(why.into()), time: Duration::ZERO };
    selected.iter().map(not_reached).collect()
}

fn run_one(
    run: &mut Run,
    check: &'static Check,
    gone: &mut Option<String>,
    is_last: bool,
) -> Verdict {
    let begun = Instant::now();
    run.checking = check.name;
    let outcome = (check.run)(run);
    let asked_nothing = matches!(outcome, Err(Stop::Skipped(_) | Stop::NotReached(_)))
        && begun.elapsed() < Duration::from_millis(1);
    // A server that the last check has ended is not needed any more.
    if asked_nothing || is_last && !run.target.is_started() && run.target.can_restart() {
        return judged(outcome);
    }
    let verdict = match keep_up(run, check, gone) {
        None => outcome,
        Some(death) => blame(outcome, &death),
    };
    judged(verdict)
}

fn judged(outcome: Outcome) -> Verdict {
    match outcome {
        Ok(Pass::Plainly) => Verdict::Passed,
        Ok(Pass::Loosely(note)) => Verdict::Loosely(note),
        Err(Stop::Failed(failure)) => Verdict::Failed(failure),
        Err(Stop::Skipped(why)) => Verdict::Skipped(why),
        Err(Stop::NotReached(why)) => Verdict::NotReached(why),
    }
}

/// Checks that the server still answers, and starts it again if it does not.
fn keep_up(run: &mut Run, check: &'static Check, gone: &mut Option<String>) -> Option<Death> {
    if run.is_up(run.client.patience.answer) {
        return None;
    }
    let how = match run.target.ended_within(Duration::from_millis(300)) {
        Some(status) => format!("it ended ({status})"),
        None => "it stopped answering".into(),
    };
    let death = Death { during: check.name, how, output: run.target.last_lines() };
    if !run.target.can_restart() {
        *gone = Some(format!("the server is gone since {}", check.name));
        run.deaths.push(death.clone());
        return Some(death);
    }
    // A check that has ended the server, and seen that it does not start, has said so itself.
    let death = run.target.is_started().then_some(death);
    run.target.stop(Signal::KILL);
    run.deaths.extend(death.clone());
    let mut started = run.target.start();
    if started.is_err() && run.target.files.forget() {
        // What it left in its file keeps it from starting; that was the finding. On with a new one.
        started = run.target.start();
    }
    match started {
        Ok(address) => run.client.address = address,
        Err(not_up) => {
            *gone = Some(format!(
                "the server does not start again since {}: {}",
                check.name, not_up.sentence
            ));
        }
    }
    death
}

/// The outcome of a check during which the server ended.
fn blame(outcome: Outcome, death: &Death) -> Outcome {
    let happened = format!("the server did not outlive this check: {}", death.how);
    match outcome {
        Err(Stop::Failed(mut failure)) => {
            failure.expected = format!("{}; {happened}", failure.expected);
            failure.output =
                failure.output.or(Some(death.output.clone()).filter(|o| !o.is_empty()));
            Err(Stop::Failed(failure))
        }
        Ok(_) => Err(fail(happened).with_output(death.output.clone())),
        other => other,
    }
}
