//! torn-tail: a crash in the middle of an append leaves half a line. The naive server skips it when
//! it reads, and appends the next line right after it.

use std::fs;

use anyhow::{Context as _, bail};

use crate::subject::{NotStarted, Subject};
use crate::tell::{self, Verdict};

/// Their values tell which of them is in a line, whatever else it is made of.
const PAIRS: [(&str, &str); 3] = [("lab-1", "one"), ("lab-2", "two"), ("lab-3", "three")];

/// What is set after the crash.
const NEW: (&str, &str) = ("lab-4", "four");

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    let server = subject.start()?;
    tell::before(
        "We set three pairs, and end the server with SIGKILL. Then we cut the file before each byte \
         of its last line, as a crash might have, and start from that: the two pairs before it must \
         be there, and half a pair must not. A new pair must be there after one more restart: a \
         server that appends to half a line makes one damaged line of two.",
    );
    for (key, value) in PAIRS {
        server.set(key, value);
    }
    drop(server);
    let bytes = fs::read(subject.data()).context("the server has no file after three sets")?;
    let start = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let start = start.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let (before, line) = bytes.split_at(start);
    let has = |value: &str| line.windows(value.len()).any(|part| part == value.as_bytes());
    let Some(torn) = PAIRS.into_iter().find(|(_, value)| has(value)) else {
        bail!("the last line of the file holds none of the three pairs: {}", tell::readable(line));
    };

    tell::note("the file, and below its last line a mark for each cut: . is right, and x is not");
    tell::raw(&lines(&bytes));
    tell::raw("    ");
    let mut wrong = Vec::new();
    // The last of these is not a cut: all is there.
    for cut in 0..=line.len() {
        fs::write(subject.data(), [before, &line[..cut]].concat())?;
        let what = start_twice(subject, torn, cut == line.len())?;
        tell::raw(if what.is_some() { "x" } else { "." });
        if let Some(what) = what {
            let file = fs::read(subject.data()).unwrap_or_default();
            wrong.push((cut, what, lines(&file)));
        }
    }
    tell::raw("\n");
    let Some((cut, what, file)) = wrong.first() else {
        return Ok(tell::stands(
            "Whatever a crash leaves of the last line, the server starts from it. Half a line was \
             promised to nobody: it is cut off before anything is appended.",
        ));
    };
    tell::note(&format!("cut after {cut} of {} bytes: {what}; the file is then", line.len()));
    tell::raw(file);
    Ok(tell::broke(&format!(
        "{} of {} cuts lose a pair, or bring one up that nobody has set. A file may end in half a \
         line, and then it must be cut back to the last whole one before anything is appended.",
        wrong.len(),
        line.len(),
    )))
}

/// The lines of a file, as they are told.
fn lines(bytes: &[u8]) -> String {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines.map(|line| format!("    {}\n", tell::readable(line))).collect()
}

/// Starts the server from what is there, sets a new pair, and starts it once more. Says what is wrong.
fn start_twice(
    subject: &Subject,
    torn: (&str, &str),
    is_whole: bool,
) -> anyhow::Result<Option<String>> {
    let mut expected: Vec<_> = PAIRS.into_iter().filter(|pair| *pair != torn).collect();
    for start in ["from this", "once more"] {
        let server = match subject.start() {
            Ok(server) => server,
            Err(NotStarted::Other(error)) => return Err(error),
            Err(ended) => return Ok(Some(format!("started {start}, {ended}"))),
        };
        for (key, value) in &expected {
            if server.get(key).as_deref() != Some(value) {
                return Ok(Some(format!("started {start}, it has no {key}={value}")));
            }
        }
        let (key, value) = torn;
        match server.get(key) {
            None if is_whole => {
                return Ok(Some(format!("{key} is not there, and its line is whole")));
            }
            Some(other) if other != value => {
                return Ok(Some(format!("{key} has the value {other:?}, which nobody has set")));
            }
            _ => {}
        }
        if expected.len() < PAIRS.len() {
            if !server.set(NEW.0, NEW.1) {
                return Ok(Some("a new pair can't be set".into()));
            }
            expected.push(NEW);
        }
    }
    Ok(None)
}
