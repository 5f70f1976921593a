//! The replay: the file is read once, at the start, from its first line to its last.
//!
//! 1. Nothing is changed before every line is read. A damaged line in the middle is not
//!    what a crash leaves, so the start stops there, with its number, and the file stays as it is.
//! 2. Bytes behind the last `\n` are what a crash leaves (see [`record::tail`]): completed or cut
//!    off, with a warning.
//! 3. The memory that it takes is one buffer of 256 KiB (or one line, if that is longer), not the
//!    file.
//!
//! The naive version reads the file into a string, and refuses everything after a torn line.
//!
//! Next: [`crate::store::snapshot`], a file without dead lines.

use std::io;

use anyhow::{Context as _, bail};

use crate::store::disk::DataFile;
use crate::store::record::{self, Record, Tail};

/// What the file holds, once it is in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Its length in bytes.
    pub length: u64,
    /// How many records it has, live and dead.
    pub records: u64,
    /// What had to be put in order at its end: a sentence for the user.
    pub mended: Option<String>,
}

/// Calls `each` with every record, in the order of the file, and puts the file's end in order.
///
/// # Errors
/// Where the file can't be read, or a line is damaged: file and line are named.
pub fn replay(data: &DataFile, mut each: impl FnMut(&Record<'_>)) -> anyhow::Result<Replayed> {
    let name = data.path().display();
    let mut buffer = vec![0; 256 << 10];
    let mut end = 0; // how much of the buffer is filled
    let mut at = 0; // where in the file it begins
    let mut lines = 0;
    let mut records = 0;
    loop {
        let bytes = &buffer[..end];
        let mut used = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[used..newline];
            let line = without_mark(line, lines);
            lines += 1;
            match record::read(line) {
                Ok(None) => {}
                Ok(Some(record)) => {
                    records += 1;
                    each(&record);
                }
                Err(error) => {
                    // It counts lines too, and for it this is line 1.
                    let why = error.to_string().replace(" at line 1 column ", " at column ");
                    bail!(
                        "{name}, line {lines}, is not a record: {why}; \
                         mend or remove that line, then start again (nothing was changed)"
                    )
                }
            }
            used = newline + 1;
        }
        at += used as u64;
        // Make room for more: move the unfinished line to the front, and let it grow if it is all
        // there is.
        buffer.copy_within(used..end, 0);
        end -= used;
        if end == buffer.len() {
            buffer.resize(2 * buffer.len(), 0);
        }
        let read = data
            .read_at(&mut buffer[end..], at + end as u64)
            .with_context(|| format!("cannot read {name}"))?;
        if read == 0 {
            break;
        }
        end += read;
    }

    let rest = &buffer[..end];
    let line = lines + 1;
    let mended = match record::tail(without_mark(rest, lines)) {
        Tail::Clean => {
            at += rest.len() as u64; // a byte order mark, if anything
            None
        }
        Tail::Whole(record) => {
            let written = data.append(b"\n").and_then(|()| data.sync());
            written.with_context(|| format!("cannot mend the end of {name}"))?;
            records += 1;
            each(&record);
            at += rest.len() as u64 + 1;
            Some(format!("{name}, line {line}, lacked its line end, which was added"))
        }
        // What we write begins with a brace, or with the zeros that some file systems leave. A
        // single line of something else is somebody's file, and not ours to cut.
        Tail::Torn if lines == 0 && !matches!(without_mark(rest, 0), [b'{' | 0, ..]) => {
            bail!("{name} is not a data file: give another with --data (nothing was changed)")
        }
        Tail::Torn => {
            let written = data.truncate(at).and_then(|()| data.sync());
            written.with_context(|| format!("cannot mend the end of {name}"))?;
            Some(format!(
                "{name}, line {line}, at byte {at}, was {} bytes of a record that a crash cut \
                 short: they were cut off",
                rest.len()
            ))
        }
    };
    Ok(Replayed { length: at, records, mended })
}

/// About how many records the file holds, going by its beginning.
///
/// # Errors
/// Those of the operating system.
pub fn expected_records(data: &DataFile) -> io::Result<usize> {
    let mut beginning = vec![0; 64 << 10];
    let read = data.read_at(&mut beginning, 0)?;
    // Shorter lines are empty ones.
    let least = br#"{"key":"","value":""}"#.len();
    let lines = beginning[..read].split(|&byte| byte == b'\n');
    let lines = lines.filter(|line| line.len() >= least).count() as u64;
    let records = data.length()? * lines / (read as u64).max(1);
    Ok(usize::try_from(records).unwrap_or(0))
}

/// A line without the byte order mark that it may begin with if no others stand before it.
fn without_mark(line: &[u8], lines_before: usize) -> &[u8] {
    match lines_before {
        0 => line.strip_prefix(record::BYTE_ORDER_MARK).unwrap_or(line),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::store::disk::{Disk, RealDisk};

    type Pairs = Vec<(String, String)>;

    /// What a file of these bytes holds after a replay, and the file's bytes then.
    fn replayed(path: &Path, bytes: &[u8]) -> anyhow::Result<(Pairs, Vec<u8>)> {
        fs::write(path, bytes).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let data = DataFile::open(path, &disk)?;
        let mut pairs = Vec::new();
        let replayed = replay(&data, |record| {
            pairs.push((record.key.to_string(), record.value.to_string()));
        })?;
        let after = fs::read(path).unwrap();
        assert_eq!(replayed.length, after.len() as u64);
        assert_eq!(replayed.records, pairs.len() as u64);
        Ok((pairs, after))
    }

    fn file(pairs: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..pairs {
            record::write(&mut bytes, &format!("key {number}"), "é \"\n");
        }
        bytes
    }

    #[test]
    fn a_file_cut_anywhere_keeps_every_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let whole = file(4);
        for cut in 0..=whole.len() {
            let lines = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
            // Cut at its line end, a record is whole.
            let complete = usize::from(whole.get(cut) == Some(&b'\n'));
            let (pairs, after) = replayed(&path, &whole[..cut]).unwrap();
            assert_eq!(pairs.len(), lines + complete, "cut at {cut}");
            assert!(whole.starts_with(&after), "cut at {cut}");
            assert!(after.is_empty() || after.ends_with(b"\n"), "cut at {cut}");
        }
    }

    #[test]
    fn damage_in_the_middle_is_reported_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let whole = file(3);
        let second = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for offset in 0..10 {
            let mut damaged = whole.clone();
            damaged[second + offset] = 0;
            let error = replayed(&path, &damaged).unwrap_err().to_string();
            assert!(error.contains("data.jsonl, line 2,"), "{error}");
            assert_eq!(
                error.matches(" line ").count(),
                1,
                "not which of the two is meant: {error}"
            );
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn edited_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let bytes =
            b"\xEF\xBB\xBF{\"key\":\"a\",\"value\":\"1\"}\r\n\r\n\n{\"value\":\"2\",\"key\":\"a\"}";
        let (pairs, after) = replayed(&path, bytes).unwrap();
        assert_eq!(pairs, [("a".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(after, [bytes, &b"\n"[..]].concat());
    }

    #[test]
    fn a_single_line_that_an_editor_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let bytes = b"\xEF\xBB\xBF{\"key\":\"a\",\"value\":\"1\"}";
        let (pairs, after) = replayed(&path, bytes).unwrap();
        assert_eq!(pairs, [("a".into(), "1".into())]);
        assert_eq!(after, [bytes, &b"\n"[..]].concat());
        let (pairs, after) = replayed(&path, record::BYTE_ORDER_MARK).unwrap();
        assert_eq!((pairs, &after[..]), (vec![], record::BYTE_ORDER_MARK));
    }

    #[test]
    fn the_first_line_of_an_edited_file_may_be_torn_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let (pairs, _) = replayed(&path, b"\xEF\xBB\xBF{\"key\":\"a").unwrap();
        assert!(pairs.is_empty());
    }

    #[test]
    fn somebody_elses_file_is_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        let error = replayed(&path, b"remember the milk").unwrap_err().to_string();
        assert!(error.contains("not a data file"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"remember the milk");
    }

    #[test]
    fn a_line_may_be_longer_than_the_buffer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let mut bytes = file(1);
        let long = "v".repeat(5 << 20);
        record::write(&mut bytes, "long", &long);
        bytes.extend(file(1));
        let (pairs, _) = replayed(&path, &bytes).unwrap();
        assert_eq!(pairs.len(), 3);
        assert_eq!(pairs[1].1, long);
    }
}
