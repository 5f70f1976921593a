//! power-cut: 200 is a promise, and the line may be in memory only. The power is not cut here: what
//! the server asks of the system is recorded, and every state of the disk is worked out that a loss
//! of power may leave.

use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::disk::{Disk, Files};
use crate::recording::{self, Event};
use crate::subject::{NotStarted, Subject};
use crate::tell::{self, Verdict};

/// So many sets are recorded.
const SETS: usize = 8;

/// This one has a value that does not fit into a page of the disk.
const LONG: usize = 5;

/// Lines that are there before: a server that makes its file smaller has reason to.
const LINES: usize = 1_100;

/// No more states than that are tried. A step has fewer.
const MOST_STATES: usize = 400;

/// What may become of a server that is started from such a state.
enum Outcome {
    Whole,
    /// It refuses, and says why. All that was promised is in its file.
    Refused(Vec<String>),
    /// A pair is gone that was promised.
    Lost(String),
}

pub(crate) fn run(subject: &Subject) -> anyhow::Result<Verdict> {
    tell::before(
        "A loss of power takes what is in memory, and with it what was written and not synced. We \
         have the server's calls to the system recorded by strace while it answers eight sets. Then \
         we work out what the disk may hold when the power fails after any of these calls: pages that \
         were not synced may be there or not, in any order, and a rename may not have happened. The \
         server is started from each of these states, and what it had answered with 200 until then \
         must be there.",
    );
    let before = fill(subject)?;
    let events = record(subject)?;
    let count = |is_it: fn(&Event) -> bool| events.iter().filter(|event| is_it(event)).count();
    tell::note(&format!(
        "recorded: writes {}, syncs {}, renames {}, answers of 200 {}",
        count(|event| matches!(event, Event::Write { fd, .. } if *fd > 2)),
        count(|event| matches!(event, Event::Sync { .. })),
        count(|event| matches!(event, Event::Rename { .. })),
        count(|event| *event == Event::Success),
    ));

    let states = states(before, &events);
    tell::note(&format!("{} states of the disk are possible", states.len()));
    let (mut whole, mut refused, mut lost) = (0, Vec::new(), Vec::new());
    for (files, promised) in states.into_iter().take(MOST_STATES) {
        match start_from(subject, &files, promised)? {
            Outcome::Whole => whole += 1,
            Outcome::Refused(said) => refused.push(said),
            Outcome::Lost(what) => lost.push((what, files)),
        }
    }
    tell::note(&format!("{whole:4}  start, and have all that was promised"));
    tell::note(&format!(
        "{:4}  do not start, with all that was promised in the file",
        refused.len()
    ));
    if let Some(last) = refused.first().and_then(|said| said.last()) {
        tell::note(&format!("      {last}"));
    }
    tell::note(&format!("{:4}  have lost a pair", lost.len()));
    let Some((what, files)) = lost.first() else {
        return Ok(tell::stands(if refused.is_empty() {
            "Whatever a loss of power leaves, nothing is gone that was answered with 200."
        } else {
            "Whatever a loss of power leaves, nothing is gone that was answered with 200. But a line \
             that lies on two pages may come to the disk without its beginning. This server does not \
             tell that from a disk that fails: it refuses, and somebody has to look."
        }));
    };
    tell::note(&format!("      {what}; its disk:"));
    for (name, bytes) in files {
        tell::note(&format!("      {name}, {} bytes", tell::grouped(bytes.len())));
    }
    Ok(tell::broke(
        "200 was answered for a line that was in memory only. A write that returns has given the \
         bytes to the system, not to the disk: sync the file before the answer, a new file before it \
         gets its name, and the folder after that.",
    ))
}

/// The key of a set, and its value.
fn pair(number: usize) -> (String, String) {
    let length = if number == LONG { 6_000 } else { 4 };
    (format!("lab-{number}"), format!("{number:0length$}"))
}

/// Makes a file of many lines, from the one that the server writes for a pair, and returns the
/// folder.
fn fill(subject: &Subject) -> anyhow::Result<Files> {
    let server = subject.start()?;
    let (key, value) = pair(0);
    ensure!(server.set(&key, &value), "the server keeps no pair");
    drop(server);
    let line = fs::read(subject.data()).context("the server has no file after a set")?;
    fs::write(subject.data(), line.repeat(LINES))?;
    let folder = subject.folder();
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, fs::read(entry.path())?))
        })
        .collect()
}

/// Has the server answer some sets, and ends it. Returns what it asked of the system.
fn record(subject: &Subject) -> anyhow::Result<Vec<Event>> {
    // Not in the folder of the data: what is there belongs to the server.
    let trace = tempfile::NamedTempFile::new()?;
    let server = subject.start_recorded(trace.path());
    let server = server.map_err(anyhow::Error::from);
    let server = server.context("this lab needs Linux, and strace(1) installed")?;
    for (key, value) in (1..=SETS).map(pair) {
        ensure!(server.set(&key, &value), "the server does not keep {key}");
    }
    // strace writes a call down a little after the client has seen what came of it.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs::read_to_string(trace.path())?;
        let events = recording::read(&text, subject.folder())?;
        if events.iter().filter(|event| **event == Event::Success).count() >= SETS {
            return Ok(events);
        }
        ensure!(Instant::now() < deadline, "strace has not seen the answers to {SETS} sets");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What the disk may hold after each call, each state with the number of sets that were answered by
/// then. The same may be left early and late, and then the late one promised more.
fn states(before: Files, events: &[Event]) -> Vec<(Files, usize)> {
    let (mut disk, mut promised) = (Disk::new(before), 0);
    let mut all: HashMap<Files, usize> = HashMap::new();
    for event in events {
        disk.apply(event);
        promised += usize::from(*event == Event::Success);
        for files in disk.after_power_loss() {
            all.insert(files, promised);
        }
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by(|(files, promised), (other, more)| (promised, files).cmp(&(more, other)));
    all
}

/// Starts the server from these files, and asks for each pair that was promised.
fn start_from(subject: &Subject, files: &Files, promised: usize) -> anyhow::Result<Outcome> {
    let folder = subject.folder();
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes)?;
    }
    let pairs = (0..=promised).map(pair);
    let server = match subject.start() {
        Ok(server) => server,
        Err(NotStarted::Other(error)) => return Err(error),
        Err(NotStarted::Ended { said, .. }) => {
            let file = fs::read(subject.data()).unwrap_or_default();
            let has = |text: &str| file.windows(text.len()).any(|part| part == text.as_bytes());
            let mut missing = pairs.filter(|(key, value)| !(has(key) && has(value)));
            return Ok(match missing.next() {
                Some((key, _)) => Outcome::Lost(format!("{key} was answered with 200")),
                None => Outcome::Refused(said),
            });
        }
    };
    let mut missing = pairs.filter(|(key, value)| server.get(key).as_ref() != Some(value));
    Ok(match missing.next() {
        Some((key, _)) => Outcome::Lost(format!("{key} was answered with 200")),
        None => Outcome::Whole,
    })
}
