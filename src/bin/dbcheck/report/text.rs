//! The report for people. It has room on a screen for a decent server: tiers and their scores, a line
//! for each check that failed, and the first three of these in full. `--verbose` has all of
//! everything, `--terse` the names alone, for whoever is to find out why.
//!
//! What a server sent is never printed as it is.

use std::fmt::Write as _;

use crate::checks::check::{Check, Tier};
use crate::checks::run::Run;
use crate::checks::runner::{Finding, Verdict};
use crate::checks::verdict::Failure;
use crate::client::exchange::Exchange;
use crate::report::score::{Score, next, score};
use crate::report::screen::{Screen, TOGETHER, say, wrap, wrap_command};
use crate::report::transcript;

/// How wide names are padded.
const NAME: usize = 24;

/// How many failures are shown in full, unless all are asked for.
const MOST_FAILURES: usize = 3;

/// How many names come before a note; of more there is the number.
const MOST_NAMES: usize = 3;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// What failed, and why.
    Short,
    /// A line for each check, and no tiers: for a part that was chosen to be passed as a whole.
    EachCheck,
    /// A line for each check, and each failure in full.
    Verbose,
    /// A line for each check, and no whys.
    Terse,
}

pub(crate) struct Report {
    screen: Screen,
    style: Style,
    /// The tier that is under way.
    tier: Option<Tier>,
    /// In it: its score so far, and the lines below that.
    passed: usize,
    of: usize,
    lines: String,
}

impl Report {
    pub(crate) fn new(screen: Screen, style: Style) -> Self {
        Report { screen, style, tier: None, passed: 0, of: 0, lines: String::new() }
    }

    /// What was learned before the first check.
    pub(crate) fn begin(&self, run: &Run) {
        if self.style == Style::Terse {
            return;
        }
        let dialect = &run.client.dialect;
        // A method and its target stay together.
        let speaks = dialect.describe().replace(" /", &format!("{TOGETHER}/"));
        let mut text = format!("The server at {} speaks {speaks}", run.client.address);
        if let Some(missing) = &dialect.missing {
            let _ = write!(text, " and {}", missing.describe());
        }
        say(&format!("{}\n\n", wrap(&text, 0)));
    }

    /// A counter, while a check runs.
    pub(crate) fn before(&self, number: usize, of: usize, check: &Check) {
        self.screen.counter(&format!("  {number}/{of} {} …", check.name));
    }

    /// A check that has ended.
    pub(crate) fn after(&mut self, finding: &Finding) {
        if self.tier != Some(finding.check.tier) {
            self.end_tier();
            self.tier = Some(finding.check.tier);
            if matches!(self.style, Style::Verbose | Style::Terse) {
                let name = self.screen.paint("1", finding.check.tier.name());
                say(&format!("{}{name}\n", self.screen.over_counter()));
            }
        }
        let (passed, failed) = match finding.verdict {
            Verdict::Passed | Verdict::Loosely(_) => (true, false),
            Verdict::Failed(_) => (false, true),
            Verdict::NotReached(_) => (false, false),
            // Does not count, nor is it listed.
            Verdict::Skipped(_) => return,
        };
        self.passed += usize::from(passed);
        self.of += 1;
        let line = self.line(finding);
        if self.style == Style::Short {
            self.lines += if failed { &line } else { "" };
        } else {
            say(&format!("{}{line}", self.screen.over_counter()));
        }
    }

    fn line(&self, finding: &Finding) -> String {
        let mark = match &finding.verdict {
            Verdict::Passed | Verdict::Loosely(_) => self.screen.paint("32", "✓"),
            Verdict::Failed(_) => self.screen.paint("31", "✗"),
            Verdict::Skipped(_) | Verdict::NotReached(_) => self.screen.paint("33", "–"),
        };
        let Check { name, what, .. } = finding.check;
        if self.style == Style::Terse {
            return format!("  {mark} {name}\n");
        }
        format!("  {mark} {name:NAME$} {}\n", wrap(what, NAME + 5))
    }

    /// The score of the tier that is over, and what failed in it.
    fn end_tier(&mut self) {
        if let (Style::Short, Some(tier), 1..) = (self.style, self.tier, self.of) {
            let line = self.score(tier.name(), self.passed, self.of);
            say(&format!("{}{line}\n{}", self.screen.over_counter(), self.lines));
        }
        (self.passed, self.of, self.lines) = (0, 0, String::new());
    }

    fn score(&self, name: &str, passed: usize, of: usize) -> String {
        let color = if passed == of { "32" } else { "31" };
        self.screen.paint(color, &format!("{name:12} {passed:>2}/{of}"))
    }

    /// The score, and what failed.
    pub(crate) fn end(&mut self, findings: &[Finding]) {
        self.end_tier();
        let mut text = String::from(self.screen.over_counter());
        if matches!(self.style, Style::Verbose | Style::Terse) {
            text.push('\n');
            for tier in Tier::ALL {
                if let Some(Score { passed, of: of @ 1.., .. }) = score(findings, Some(tier)) {
                    let _ = writeln!(text, "{}", self.score(tier.name(), passed, of));
                }
            }
        }
        if let Some(Score { passed, of, skipped }) = score(findings, None) {
            let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
            let line = format!("{:12} {passed:>2}/{of}{skipped}", "total");
            let _ = writeln!(text, "{}", self.screen.paint("1", &line));
        }
        if self.style != Style::Terse {
            text += &notes(findings);
            text += &self.failures(findings);
        }
        if let (Some(check), false) = (next(findings), self.style == Style::Terse) {
            let what = wrap(check.what, 6);
            let _ = writeln!(text, "\nNext: {} {}\n      {what}", check.name, check.read_on());
        }
        say(&text);
    }

    fn failures(&self, findings: &[Finding]) -> String {
        let most = if self.style == Style::Verbose { usize::MAX } else { MOST_FAILURES };
        let failed: Vec<(&Check, &Failure)> = findings
            .iter()
            .filter_map(|finding| match &finding.verdict {
                Verdict::Failed(failure) => Some((finding.check, &**failure)),
                _ => None,
            })
            .collect();
        let mut text = String::new();
        for (check, failure) in failed.iter().take(most) {
            text.push('\n');
            text += &self.failure(check, failure);
        }
        if failed.len() > most {
            let more = failed.len() - most;
            let _ = writeln!(text, "\n{more} more failed; --verbose shows all, --only NAME one.");
        }
        text
    }

    fn failure(&self, check: &Check, failure: &Failure) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} {}",
            self.screen.paint("31", "✗"),
            self.screen.paint("1", check.name)
        );
        row(&mut text, "", &wrap(&failure.expected, INDENT));
        row(&mut text, "why", &wrap(check.why, INDENT));
        for (exchange, caret) in failure.with_carets() {
            exchange_rows(&mut text, exchange, caret);
        }
        if let Some(file) = &failure.file {
            rows(&mut text, "file", &transcript::lines(file, None));
        }
        if let Some(output) = &failure.output {
            let lines: Vec<String> = output.lines().map(str::to_string).collect();
            rows(&mut text, "output", &lines);
        }
        row(&mut text, "read", &check.read_on());
        text
    }
}

/// What is to be said of checks that did not fail, once for all of which it is true.
fn notes(findings: &[Finding]) -> String {
    let mut notes: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for finding in findings {
        let (kind, Some(note)) = finding.verdict.named() else { continue };
        if matches!(finding.verdict, Verdict::Failed(_)) {
            continue;
        }
        match notes.iter_mut().find(|(k, n, _)| (*k, *n) == (kind, note)) {
            Some((.., names)) => names.push(finding.check.name),
            None => notes.push((kind, note, vec![finding.check.name])),
        }
    }
    let mut text = String::new();
    for (number, (kind, note, names)) in notes.iter().enumerate() {
        let who = match names.len() {
            ..=MOST_NAMES => names.join(", "),
            number => format!("{number} checks"),
        };
        let gap = if number == 0 { "\n" } else { "" };
        let _ = writeln!(text, "{gap}{}", wrap(&format!("{who} {kind}: {note}"), 0));
    }
    text
}

/// Where the second column of a failure begins.
const INDENT: usize = 12;

fn exchange_rows(text: &mut String, exchange: &Exchange, caret: Option<usize>) {
    if let Some(curl) = &exchange.curl {
        row(text, "curl", &wrap_command(curl, INDENT));
    }
    rows(text, "sent", &transcript::lines(&exchange.sent, None));
    rows(text, "received", &transcript::lines(&exchange.received, caret));
}

fn rows(text: &mut String, label: &str, lines: &[String]) {
    for (number, line) in lines.iter().enumerate() {
        row(text, if number == 0 { label } else { "" }, line);
    }
}

fn row(text: &mut String, label: &str, line: &str) {
    let _ = writeln!(text, "{}", format!("  {label:9} {line}").trim_end());
}

/// All of `--list`, or those of a part.
pub(crate) fn list(selected: &[&Check]) -> String {
    let mut text = String::new();
    for tier in Tier::ALL {
        let of_tier = || selected.iter().filter(|check| check.tier == tier);
        if of_tier().next().is_some() {
            let _ = writeln!(text, "{}", tier.name());
        }
        for check in of_tier() {
            let _ = writeln!(text, "  {:NAME$} {}", check.name, check.what);
        }
    }
    text
}

/// All of `--explain`.
pub(crate) fn explain(check: &Check) -> String {
    let Check { name, what, why, .. } = check;
    format!(
        "{name}, in the tier {}\n\n{what}\n{}\n\n{}\n",
        check.tier.name(),
        wrap(why, 0),
        check.read_on()
    )
}

#[cfg(test)]
mod tests;
