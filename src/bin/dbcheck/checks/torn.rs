//! Durability, third part: the data file as a crash, or a bad disk, leaves it.
//!
//! These checks change the server's file while it is down, and put it back afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::checks::run::Run;
use crate::checks::steps::short;
use crate::checks::verdict::{Outcome, Pass, Stop, fail};
use crate::target::borrowed;

/// The data file of a server that is down, with its content from before.
struct DataFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl DataFile {
    fn path(run: &Run) -> Result<PathBuf, Stop> {
        run.needs_command()?;
        let path = run.target.files.data().map(Path::to_path_buf);
        let why = "needs --data FILE, or {data} in the command, to know the file";
        path.ok_or_else(|| Stop::Skipped(why.into()))
    }

    /// Sets these pairs, ends the server in order, and reads its file.
    fn with(run: &mut Run, pairs: &[(String, String)]) -> Result<Self, Stop> {
        let path = DataFile::path(run)?;
        run.start_clean()?;
        let keeping = run.needs_keeping();
        if let (Err(Stop::NotReached(_)), false) = (&keeping, path.exists()) {
            let why = format!("there is no {}: nothing is kept in it", path.display());
            return Err(Stop::Skipped(why));
        }
        keeping?;
        for (key, value) in pairs {
            run.set(key, value)?;
        }
        run.target.stop(Signal::TERM);
        match fs::read(&path) {
            Ok(bytes) => Ok(DataFile { path, bytes }),
            Err(error) => {
                run.start_again()?;
                Err(Stop::Skipped(format!("{} is not to be read: {error}", path.display())))
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Stop> {
        borrowed::write(&self.path, bytes).map_err(|error| {
            Stop::Skipped(format!("{} can't be written: {error}", self.path.display()))
        })
    }

    /// Puts the file back and starts the server as it was.
    fn put_back(&self, run: &mut Run, outcome: Outcome) -> Outcome {
        run.target.stop(Signal::KILL);
        self.write(&self.bytes)?;
        let started = run.start_again();
        let pass = outcome?;
        started.map(|()| pass)
    }
}

fn pairs(run: &mut Run, count: usize) -> Vec<(String, String)> {
    (0..count).map(|_| (run.fresh("k"), run.fresh("v"))).collect()
}

pub(crate) fn empty_file(run: &mut Run) -> Outcome {
    let stored = pairs(run, 1);
    let file = DataFile::with(run, &stored)?;
    file.write(b"")?;
    // There is no pair to ask for.
    run.target.hello.reads = false;
    let outcome = start_from(run, "a file of zero bytes", b"").and_then(|()| {
        let value = run.fresh("v");
        run.keeps(&value)
    });
    run.target.hello.reads = true;
    file.put_back(run, outcome)
}

fn start_from(run: &mut Run, what: &str, end: &[u8]) -> Result<(), Stop> {
    match run.target.try_start() {
        Ok(address) => {
            run.client.address = address;
            Ok(())
        }
        Err(not_up) => {
            let expected =
                format!("expected that the server starts from {what}: {}", not_up.sentence);
            Err(fail(expected).with_output(not_up.output).with_file(end))
        }
    }
}

pub(crate) fn torn_line(run: &mut Run) -> Outcome {
    let stored = pairs(run, 4);
    let file = DataFile::with(run, &stored)?;
    if let Err(stop) = run.needs("restarts-add-up") {
        return file.put_back(run, Err(stop));
    }
    let outcome = torn_at_many(run, &file, &stored);
    file.put_back(run, outcome)
}

fn torn_at_many(run: &mut Run, file: &DataFile, stored: &[(String, String)]) -> Outcome {
    let (earlier, last) = (&stored[..3], &stored[3]);
    let bytes = &file.bytes;
    let whole = bytes.trim_ascii_end().len();
    let line = bytes[..whole].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let has = |part: &[u8], text: &str| part.windows(text.len()).any(|w| w == text.as_bytes());
    if !has(&bytes[line..], &last.1) || !has(&bytes[..line], &earlier[2].1) {
        let why = "the file's last line is not the last pair: nothing is appended to it";
        return Err(Stop::Skipped(why.into()));
    }
    let length = whole - line;
    let mut cuts = vec![1, length / 4, length / 2, length * 3 / 4, length - 2, length - 1, length];
    if run.target.start_time.as_secs() > 0 {
        cuts = vec![length / 2, length - 1, length];
    }
    let mut pass = Pass::Plainly;
    for cut in cuts {
        let torn = &bytes[..line + cut];
        run.target.stop(Signal::TERM);
        file.write(torn)?;
        let what = format!("a file that ends after {cut} bytes of its last line of {length}");
        let tail = &torn[line.saturating_sub(80)..];
        let pair = (run.fresh("k"), run.fresh("v"));
        pass = pass.and(torn_once(run, &what, earlier, last, &pair, tail)?);
    }
    Ok(pass)
}

/// Starts from a torn file, sets another pair, and starts once more: what is appended to half a line
/// is lost with it.
fn torn_once(
    run: &mut Run,
    what: &str,
    earlier: &[(String, String)],
    last: &(String, String),
    pair: &(String, String),
    tail: &[u8],
) -> Outcome {
    let show = |stop: Stop| stop.because(what).with_file(tail);
    start_from(run, what, tail)?;
    let mut pass = Pass::Plainly;
    for (key, value) in earlier {
        pass = pass.and(run.expect(key, key, value).map_err(show)?);
    }
    let (key, value) = last;
    if run.expect(key, key, value).is_err() {
        let because = "its line is cut, and half a value is no value";
        run.expect_missing(key, key, because).map_err(show)?;
    }
    run.set(&pair.0, &pair.1).map_err(show)?;
    run.target.stop(Signal::TERM);
    start_from(run, &format!("{what}, after one more set"), tail)?;
    for (key, value) in earlier.iter().chain([pair]) {
        pass = pass.and(run.expect(key, key, value).map_err(show)?);
    }
    Ok(pass)
}

pub(crate) fn damaged_middle(run: &mut Run) -> Outcome {
    let stored = pairs(run, 7);
    let file = DataFile::with(run, &stored)?;
    let outcome = damage(run, &file, &stored);
    file.put_back(run, outcome)
}

fn damage(run: &mut Run, file: &DataFile, stored: &[(String, String)]) -> Outcome {
    let value = stored[3].1.as_bytes();
    let Some(at) = file.bytes.windows(value.len()).rposition(|window| window == value) else {
        return Err(Stop::Skipped("the file does not hold values as text".into()));
    };
    let mut bytes = file.bytes.clone();
    for byte in &mut bytes[at.saturating_sub(8)..at + 4] {
        // The lines stay lines.
        if *byte != b'\n' {
            *byte = b'#';
        }
    }
    file.write(&bytes)?;
    let from = at.saturating_sub(60);
    let around = &bytes[from..bytes.len().min(at + 60)];
    let others: Vec<_> = stored.iter().filter(|pair| pair.1 != stored[3].1).collect();
    let mut served = Vec::new();
    if let Ok(address) = run.target.try_start() {
        run.client.address = address;
        // Those that it still serves are not lost; a set is when a file is overwritten.
        for (key, value) in &others {
            served.push(run.expect(key, key, value).is_ok());
        }
        let key = run.fresh("k");
        run.client.set(&key, "v");
        run.target.stop(Signal::TERM);
    }
    let files = folder(&file.path);
    for (number, (key, value)) in others.iter().enumerate() {
        let is_served = served.get(number).is_some_and(|&served| served);
        let is_kept =
            files.iter().any(|bytes| bytes.windows(value.len()).any(|w| w == value.as_bytes()));
        if !is_served && !is_kept {
            let expected = format!(
                "expected that {} of {key} is served, or still in a file beside {}, after a start \
                 from a file with one damaged pair and one set",
                short(value),
                file.path.display()
            );
            return Err(fail(expected).with_file(around));
        }
    }
    Ok(Pass::Plainly)
}

/// What is in the files beside this one, and in it.
fn folder(path: &Path) -> Vec<Vec<u8>> {
    /// Larger ones were not made by this run.
    const MOST_BYTES: u64 = 64 << 20;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    entries
        .take(500)
        .filter(|entry| {
            entry.metadata().is_ok_and(|about| about.is_file() && about.len() < MOST_BYTES)
        })
        .filter_map(|entry| fs::read(entry.path()).ok())
        .collect()
}
