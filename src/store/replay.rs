//! The replay: the file is read once, at the start, from its first line to its last.
//!
//! 1. Nothing is changed before every line is read. A damaged line in the middle is not
//!    what a crash leaves, so the start stops there, with its place, and the file stays as it is.
//! 2. What a crash leaves at the end (see [`crate::store::tail`]) is completed or cut off, with a
//!    warning. What comes after zeros may be whole lines, which somebody may want to see: that goes into
//!    a file of its own.
//! 3. The memory that it takes is one buffer of 256 KiB (or one line, if that is longer), not the
//!    file.
//!
//! The naive version reads the file into a string, and refuses everything after a torn line.
//!
//! Next: [`crate::store::snapshot`], a file without dead lines.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, anyhow, bail};

use crate::store::beside;
use crate::store::data_file::DataFile;
use crate::store::disk::OpenFile;
use crate::store::record::{self, Record};
use crate::store::tail::{self, Tail};

/// How much of the file is read at a time, in bytes, where no line is longer.
const BUFFER: usize = 256 << 10;

/// A loss of power leaves no more than this after zeros, in bytes: the writer syncs that often
/// ([`crate::store::writer::MOST_UNSYNCED`]).
const MOST_AFTER_ZEROS: u64 = 1 << 20;

/// What the file holds, once it is in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Its length in bytes.
    pub(crate) length: u64,
    /// How many records it has, live and dead.
    pub(crate) records: u64,
    /// What had to be put in order at its end: sentences for the user.
    pub(crate) warnings: Vec<String>,
}

/// Calls `each` with every record, in the order of the file, and puts the file's end in order.
///
/// # Errors
/// Where the file can't be read, or a line is damaged: file, line and byte are named.
pub(crate) fn replay(
    data: &DataFile,
    mut each: impl FnMut(&Record<'_>),
) -> anyhow::Result<Replayed> {
    let name = data.path().display();
    let mut buffer = vec![0; BUFFER];
    let mut end = 0; // how much of the buffer is filled
    let mut at = 0; // where in the file it begins
    let mut lines = 0;
    let mut records = 0;
    'file: loop {
        let bytes = &buffer[..end];
        let mut used = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            match record::read(without_mark(&bytes[used..newline], lines)) {
                Ok(None) => {}
                Ok(Some(record)) => {
                    records += 1;
                    each(&record);
                }
                Err(_)
                    if tail::missing_page(&bytes[used..=newline], at + used as u64).is_some() =>
                {
                    at += used as u64;
                    buffer.drain(..used);
                    end -= used;
                    break 'file;
                }
                Err(error) => {
                    return Err(damaged(data, lines, at + used as u64, &error));
                }
            }
            lines += 1;
            used = newline + 1;
        }
        at += used as u64;
        // Make room for more: move the unfinished line to the front, and let it grow if it is all
        // there is.
        buffer.copy_within(used..end, 0);
        end -= used;
        if end == buffer.len() {
            if tail::missing_page(&buffer, at).is_some() {
                break;
            }
            buffer.resize(2 * buffer.len(), 0);
        }
        let read = data
            .file()
            .read_at(&mut buffer[end..], at + end as u64)
            .with_context(|| format!("cannot read {name}"))?;
        if read == 0 {
            break;
        }
        end += read;
    }

    // What a crash left. Nothing was changed so far, and nothing is before it is clear what to do.
    let rest = &buffer[..end];
    let (rest, is_cut) = match tail::missing_page(rest, at) {
        Some(zeros) => (&rest[..zeros], true),
        None => (rest, false),
    };
    let tail =
        tail::judge(without_mark(rest, lines)).map_err(|error| damaged(data, lines, at, &error))?;
    let (mut warnings, line) = (Vec::new(), lines + 1);
    let in_order = || cannot_put_in_order(data);
    if is_cut {
        warnings.push(cut_zeros(data, line, at + rest.len() as u64)?);
    }
    let add_line_end = || data.file().append(b"\n").and_then(|()| data.file().sync());
    match tail {
        Tail::Clean => at += rest.len() as u64, // a byte order mark, if anything
        Tail::Unended(record) => {
            add_line_end().with_context(in_order)?;
            records += u64::from(record.is_some());
            record.iter().for_each(each);
            at += rest.len() as u64 + 1;
            warnings.push(format!("{name}, line {line}, lacked its line end, which was added"));
        }
        Tail::Torn => {
            data.file().cut(at).and_then(|()| data.file().sync()).with_context(in_order)?;
            warnings.push(format!(
                "{name}, line {line}, at byte {at}, was {} bytes of a record that a crash cut \
                 short: they were cut off",
                rest.len()
            ));
        }
    }
    Ok(Replayed { length: at, records, warnings })
}

/// Cuts the file at `offset`, in `line`, where zeros begin, and returns what to say about it.
fn cut_zeros(data: &DataFile, line: usize, offset: u64) -> anyhow::Result<String> {
    let (file, path) = (data.file(), data.path());
    let name = path.display();
    let in_order = || cannot_put_in_order(data);
    let size = file.length().with_context(in_order)? - offset;
    let mut kept = String::new();
    if !is_zero_from(file, offset).with_context(in_order)? {
        if size > MOST_AFTER_ZEROS {
            bail!(
                "{name}, line {line}, has zeros at byte {offset}, and {size} bytes from there on: \
                 more than a crash can leave; remove the zeros, or give another file with --data \
                 (nothing was changed)"
            );
        }
        let aside = beside::put_aside(file, path, offset).with_context(in_order)?;
        data.sync_folder().with_context(in_order)?;
        kept = format!(", and are kept in {}", aside.display());
    }
    file.cut(offset).and_then(|()| file.sync()).with_context(in_order)?;
    Ok(format!(
        "{name}, line {line}, at byte {offset}, was {size} bytes that a loss of power left, \
         beginning with zeros: they were cut off{kept}"
    ))
}

fn cannot_put_in_order(data: &DataFile) -> String {
    format!(
        "cannot put the end of {} in order: check the disk, or give another file with --data",
        data.path().display()
    )
}

/// Whether the file has nothing but zeros from `offset` on.
fn is_zero_from(file: &OpenFile, mut offset: u64) -> io::Result<bool> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read_at(&mut buffer, offset)? {
            0 => return Ok(true),
            read if buffer[..read].iter().any(|&byte| byte != 0) => return Ok(false),
            read => offset += read as u64,
        }
    }
}

/// About how many records the file holds, going by its beginning. A map that has room for them from the
/// start need not grow on the way there, which is a quarter of the time that a start takes.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn expected_records(file: &OpenFile) -> io::Result<usize> {
    let mut beginning = vec![0; 64 << 10];
    let read = file.read_at(&mut beginning, 0)?;
    // Shorter lines are empty ones.
    let least = br#"{"key":"","value":""}"#.len();
    let lines = beginning[..read].split(|&byte| byte == b'\n');
    let lines = lines.filter(|line| line.len() >= least).count() as u64;
    // What is a hole in the file is no record.
    let metadata = file.file.metadata()?;
    let length = metadata.len().min(metadata.blocks().saturating_mul(512));
    let records = length.saturating_mul(lines) / (read as u64).max(1);
    Ok(usize::try_from(records).unwrap_or(0))
}

/// Why the start stops at the line after this many, which begins at `offset`.
fn damaged(
    data: &DataFile,
    lines_before: usize,
    offset: u64,
    error: &serde_json::Error,
) -> anyhow::Error {
    // It counts lines too, and for it this is line 1.
    let why = error.to_string().replace(" at line 1 column ", " at column ");
    anyhow!(
        "{}, line {}, at byte {offset}, is not a record: {why}; fix or remove that line, or give \
         another file with --data (nothing was changed)",
        data.path().display(),
        lines_before + 1
    )
}

/// A line without the byte order mark that it may begin with if it is the first one.
fn without_mark(line: &[u8], lines_before: usize) -> &[u8] {
    match lines_before {
        0 => line.strip_prefix(record::BYTE_ORDER_MARK).unwrap_or(line),
        _ => line,
    }
}

#[cfg(test)]
mod tests;
