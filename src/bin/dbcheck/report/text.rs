//! The report for people: a line for each check as it ends, then what failed, then the score.
//!
//! Colour and the counter are for terminals; `NO_COLOR` and `--no-color` turn colour off. What a
//! server sent is never printed as it is.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stdout};

use crate::checks::check::{Check, Tier};
use crate::checks::run::Run;
use crate::checks::runner::{Finding, Verdict};
use crate::checks::table;
use crate::checks::verdict::Failure;
use crate::client::exchange::Exchange;
use crate::report::score::{Score, next, score};
use crate::report::transcript;

/// How wide names are padded.
const NAME: usize = 24;

pub(crate) struct Report {
    is_terminal: bool,
    has_color: bool,
    tier: Option<Tier>,
    /// Notes that were printed: each is worth reading once.
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(no_color: bool) -> Self {
        let is_terminal = stdout().is_terminal();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let has_color = is_terminal && !no_color && !unwanted;
        Report { is_terminal, has_color, tier: None, notes: Vec::new() }
    }

    fn paint(&self, color: &str, text: &str) -> String {
        if self.has_color { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// What was learned before the first check.
    pub(crate) fn begin(run: &Run) {
        let dialect = &run.client.dialect;
        let mut text = String::new();
        let _ =
            writeln!(text, "The server at {} speaks {}", run.client.address, dialect.describe());
        if let Some(missing) = &dialect.missing {
            let _ = writeln!(text, "and {}", missing.describe());
        }
        say(&text);
    }

    /// A counter, while a check runs.
    pub(crate) fn before(&self, number: usize, of: usize, check: &Check) {
        if self.is_terminal {
            say(&format!("\r\x1b[K  {number}/{of} {} …", check.name));
        }
    }

    /// The line of a check that has ended.
    pub(crate) fn after(&mut self, finding: &Finding) {
        let mut text = String::new();
        if self.is_terminal {
            text.push_str("\r\x1b[K");
        }
        if self.tier != Some(finding.check.tier) {
            self.tier = Some(finding.check.tier);
            let _ = writeln!(text, "\n{}", self.paint("1", finding.check.tier.name()));
        }
        let (mark, note) = match &finding.verdict {
            Verdict::Passed => (self.paint("32", "✓"), None),
            Verdict::Loosely(note) => (self.paint("32", "✓"), Some(("loosely", note))),
            Verdict::Failed(_) => (self.paint("31", "✗"), None),
            Verdict::Skipped(why) => (self.paint("2", "–"), Some(("skipped", why))),
            Verdict::NotReached(why) => (self.paint("33", "–"), Some(("not reached", why))),
        };
        let _ = writeln!(text, "  {mark} {:NAME$} {}", finding.check.name, finding.check.what);
        if let Some((kind, note)) = note {
            let again = self.notes.contains(note);
            let note = if again { "as above" } else { note };
            let line = format!("{kind}: {note}");
            let _ = writeln!(text, "    {:NAME$} {}", "", self.paint("2", &line));
            if !again {
                self.notes.push(note.to_string());
            }
        }
        say(&text);
    }

    /// What failed, and the score.
    pub(crate) fn end(&self, findings: &[Finding]) {
        let mut text = String::new();
        for finding in findings {
            if let Verdict::Failed(failure) = &finding.verdict {
                text.push('\n');
                text.push_str(&self.failure(finding.check, failure));
            }
        }
        text.push('\n');
        for tier in Tier::ALL {
            if let Some(Score { passed, of, .. }) = score(findings, Some(tier)) {
                let line = format!("{:12} {passed:>2}/{of}", tier.name());
                let color = if passed == of { "32" } else { "31" };
                let _ = writeln!(text, "{}", self.paint(color, &line));
            }
        }
        if let Some(Score { passed, of, skipped }) = score(findings, None) {
            let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
            let line = format!("{:12} {passed:>2}/{of}{skipped}", "total");
            let _ = writeln!(text, "{}", self.paint("1", &line));
        }
        if let Some(check) = next(findings) {
            let _ = writeln!(text, "\nNext: {} {}", check.name, check.read_on());
        }
        say(&text);
    }

    fn failure(&self, check: &Check, failure: &Failure) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{} {}", self.paint("31", "✗"), self.paint("1", check.name));
        row(&mut text, "", &failure.expected);
        row(&mut text, "why", check.why);
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

fn exchange_rows(text: &mut String, exchange: &Exchange, caret: Option<usize>) {
    if let Some(curl) = &exchange.curl {
        row(text, "curl", curl);
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

/// All of `--list`.
pub(crate) fn list() -> String {
    let mut text = String::new();
    for tier in Tier::ALL {
        let _ = writeln!(text, "{}", tier.name());
        for check in table::all().filter(|check| check.tier == tier) {
            let _ = writeln!(text, "  {:NAME$} {}", check.name, check.what);
        }
    }
    text
}

/// All of `--explain`.
pub(crate) fn explain(check: &Check) -> String {
    let Check { name, what, why, .. } = check;
    format!("{name}, in the tier {}\n\n{what}\n{why}\n\n{}\n", check.tier.name(), check.read_on())
}

/// Prints at once. Where standard output is closed, the exit code still says it.
pub(crate) fn say(text: &str) {
    let mut output = stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
