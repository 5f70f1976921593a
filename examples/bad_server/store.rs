//! The pairs, in memory and in the file: one JSON line for each set, on the disk before the answer.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::bugs::{Bug, has, has_any};

type Map = HashMap<String, String>;

pub(crate) struct Store {
    pairs: Mutex<Pairs>,
    path: Option<PathBuf>,
}

#[derive(Default)]
struct Pairs {
    map: Map,
    file: Option<File>,
    /// Lines that were answered for and are not written: none, but for one bug.
    buffer: Vec<u8>,
}

impl Store {
    pub(crate) fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let path = path.filter(|_| !has(Bug::NeverSaved));
        let mut pairs = Pairs::default();
        if let Some(path) = &path {
            let opened = pairs.open(path);
            opened.with_context(|| format!("cannot start from {}", path.display()))?;
        }
        Ok(Store { pairs: Mutex::new(pairs), path })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().map.is_empty()
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.lock().map.get(key).cloned()
    }

    /// Keeps a pair, and returns when it is on the disk.
    pub(crate) fn set(&self, key: &str, value: &str) -> Result<(), &'static str> {
        let copy = has(Bug::LostUpdates).then(|| {
            let copy = self.lock().map.clone();
            // Somebody else is in here meanwhile, and has the same copy.
            thread::sleep(Duration::from_millis(5));
            copy
        });
        let mut pairs = self.lock();
        pairs.map = copy.unwrap_or_else(|| std::mem::take(&mut pairs.map));
        pairs.write(&line(key, value)).map_err(|_| "the file could not be written")?;
        if has(Bug::LastKeyOnly) {
            pairs.map.clear();
        }
        if !(has(Bug::OverwriteIgnored) && pairs.map.contains_key(key)) {
            pairs.map.insert(key.into(), value.into());
        }
        if has_any([Bug::TruncatedFirst, Bug::TruncatedStrict]) {
            self.rewrite(&pairs.map).map_err(|_| "the file could not be written")?;
        }
        Ok(())
    }

    /// The end: whatever was answered is in the file, and from here on nobody gets the lock.
    pub(crate) fn close(&self, signal: i32) -> anyhow::Result<()> {
        let mut pairs = self.lock();
        if let Pairs { file: Some(file), buffer, .. } = &mut *pairs {
            file.write_all(buffer)?;
        }
        if has(Bug::SavedOnExit)
            || has(Bug::SavedOnSigint) && signal == SIGINT
            || has(Bug::SavedOnSigterm) && signal == SIGTERM
        {
            self.rewrite(&pairs.map)?;
        }
        std::mem::forget(pairs);
        Ok(())
    }

    /// Does this with the lock in hand.
    pub(crate) fn with_lock<T>(&self, work: impl FnOnce() -> T) -> T {
        let _pairs = self.lock();
        work()
    }

    fn lock(&self) -> MutexGuard<'_, Pairs> {
        let result = self.pairs.lock();
        assert!(result.is_ok() || !has(Bug::BadUtf8Panics), "the lock is poisoned");
        result.unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all pairs anew. Until that is done, the file holds a part of them.
    fn rewrite(&self, map: &Map) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let lines: String = map.iter().map(|(key, value)| line(key, value)).collect();
        let (first, rest) = lines.as_bytes().split_at(lines.len() / 2);
        let mut file = File::create(path)?;
        file.write_all(first)?;
        thread::sleep(Duration::from_millis(5));
        file.write_all(rest)
    }
}

impl Pairs {
    /// Reads the file. What comes after the last line end is what a crash leaves: it is cut off,
    /// unless it is a whole record.
    fn open(&mut self, path: &Path) -> anyhow::Result<()> {
        let existed = path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if existed && bytes.is_empty() && has_any([Bug::EmptyFileRefused, Bug::TruncatedStrict]) {
            bail!("unexpected end of input");
        }
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        match replay(&bytes[..whole], &bytes[whole..]) {
            Err(_) if has(Bug::BrokenFileEmptied) => file.set_len(0)?,
            Err(error) => return Err(error),
            Ok(map) => self.map = map,
        }
        match read(&bytes[whole..]) {
            _ if has_any([Bug::TornLineGlued, Bug::BrokenFileEmptied]) => {}
            None => file.set_len(whole as u64)?,
            Some((key, value)) => {
                self.map.insert(key, value);
                file.write_all(b"\n")?;
            }
        }
        if has(Bug::EmptiedAtStart) {
            file.set_len(0)?;
        }
        self.file = Some(file);
        Ok(())
    }

    /// Appends a line.
    fn write(&mut self, line: &str) -> std::io::Result<()> {
        let appends = !has_any([Bug::TruncatedFirst, Bug::TruncatedStrict, Bug::SavedOnExit])
            && !has_any([Bug::SavedOnSigint, Bug::SavedOnSigterm]);
        let Some(file) = self.file.as_mut().filter(|_| appends) else { return Ok(()) };
        self.buffer.extend_from_slice(line.as_bytes());
        if has(Bug::AnswersFirst) && self.buffer.len() < 8 << 10 {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.buffer);
        file.write_all(&lines)?;
        file.sync_data()
    }
}

/// The pairs of these lines.
fn replay(lines: &[u8], tail: &[u8]) -> anyhow::Result<Map> {
    let strict = has_any([Bug::TornLineRefused, Bug::TruncatedStrict, Bug::BrokenFileEmptied]);
    if !tail.is_empty() && strict {
        bail!("the last line is torn");
    }
    // A format without escapes can't tell what is damaged.
    let lenient = has_any([Bug::PlainLines, Bug::HandMadeJson, Bug::TornLineGlued]);
    let mut map = Map::new();
    for (index, line) in lines.split(|&byte| byte == b'\n').enumerate() {
        match read(line) {
            Some((key, _)) if has(Bug::FirstWinsReread) && map.contains_key(&key) => {}
            Some((key, value)) => drop(map.insert(key, value)),
            None if line.is_empty() || lenient => {}
            None => bail!("line {} is damaged", index + 1),
        }
    }
    Ok(map)
}

/// A pair as it stands in the file.
fn line(key: &str, value: &str) -> String {
    if has_any([Bug::PlainLines, Bug::CantStartAgain]) {
        return format!("{key}={value}\n");
    }
    if has(Bug::HandMadeJson) {
        return format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}\n");
    }
    format!("{}\n", serde_json::json!({ "key": key, "value": value }))
}

fn read(line: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(line).ok()?;
    if has_any([Bug::PlainLines, Bug::CantStartAgain]) {
        return text.split_once('=').map(|(key, value)| (key.into(), value.into()));
    }
    let record: serde_json::Value = serde_json::from_str(text).ok()?;
    let (key, value) = (record["key"].as_str()?, record["value"].as_str()?);
    Some(match value.parse::<f64>() {
        Ok(number) if has(Bug::NumbersReread) => (key.into(), number.to_string()),
        _ if has(Bug::TrimmedReread) => (key.into(), value.trim().into()),
        _ => (key.into(), value.into()),
    })
}
