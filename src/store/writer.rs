//! The writer: the data file, what is known of it, and what a failure leaves of that knowledge.
//!
//! ```text
//!  trusted ──an append that can't be undone, a sync that fails──▶ not trusted
//!     ▲       the file is shorter than it was, a rename that may not last   │
//!     └───────────────────────── start_over() ──────────────────────────────┘
//! ```
//!
//! 1. A write that fails is undone by cutting the file to what was answered.
//! 2. A *sync* that fails can't be undone or repeated: nobody knows what the disk holds, and the next
//!    sync may say "fine" about data that is gone (Rebello et al., *Can Applications Recover from fsync
//!    Failures?*, USENIX ATC 2020). What it should have made safe may still be read from memory, by the
//!    next start too. So the file is first cut to what was answered: what is refused now must not be
//!    found then. After that it is replaced by a snapshot of the map. Where that fails too, a later set
//!    tries it again, at most once a second, before anything is appended.
//! 3. Others can move the file, replace it, and write to it. Each batch looks first, with one stat(2). A
//!    file that has lost its name takes no sets; one that became shorter is not trusted; what somebody
//!    has appended is left alone, and kept: the map does not have it, so there is no compaction any more.
//! 4. With `--sync always`, no more than [`MOST_UNSYNCED`] waits for one sync. So there is a limit to what
//!    a loss of power can leave after zeros.
//!
//! The naive version takes a failed fsync for a failed write, tries it again, and hears "fine".
//!
//! Next: [`crate::store::retry`], when a rewrite is tried again.

use std::cmp::Ordering;
use std::io;
use std::mem;
use std::ops::Range;
use std::time::Duration;

use crate::store::beside::Replacement;
use crate::store::data_file::DataFile;
use crate::store::disk::OpenFile;
use crate::store::map::Map;
use crate::store::replay::Replayed;
use crate::store::retry::Retry;
use crate::store::snapshot::{self, Size};
use crate::watch::stage::{FileStep, Stage, reached};
use crate::watch::warning::warn;

/// How many bytes are appended before they are synced, with `--sync always`.
pub(crate) const MOST_UNSYNCED: usize = 1 << 20;

/// After a rewrite that failed, the next one waits this long, and sets are refused meanwhile.
const REWRITE_AGAIN: Duration = Duration::from_secs(1);

/// The file and what is known of it.
#[derive(Debug)]
pub(crate) struct Writer {
    data: DataFile,
    /// How long the file is, by what succeeded.
    length: u64,
    /// How many records it has, live and dead.
    records: u64,
    /// Where others have written. The map has nothing of that.
    theirs: Vec<Range<u64>>,
    /// Whether the disk holds what we think: false after a failed sync.
    trusted: bool,
    /// Whether something was appended since the last sync.
    dirty: bool,
    /// The answered part of that.
    unsynced: Unsynced,
    rewrite: Retry,
}

/// Sets that were answered and are not synced.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    /// The number of the last batch of them.
    pub(crate) batch: u64,
    pub(crate) sets: usize,
    pub(crate) bytes: usize,
    /// Where in the file their lines begin.
    pub(crate) at: u64,
}

/// The lines of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines<'l> {
    pub(crate) bytes: &'l [u8],
    /// How many sets, and so how many lines.
    pub(crate) sets: usize,
    /// The number of the batch.
    pub(crate) batch: u64,
}

impl Writer {
    pub(crate) fn new(data: DataFile, replayed: &Replayed) -> Self {
        Writer {
            data,
            length: replayed.length,
            records: replayed.records,
            theirs: Vec::new(),
            trusted: true,
            dirty: false,
            unsynced: Unsynced::default(),
            rewrite: Retry::after(REWRITE_AGAIN),
        }
    }

    /// Appends the lines of a batch, and syncs them if they are to be on the disk (`is_synced`).
    /// `map` has all pairs that were answered.
    ///
    /// # Errors
    /// Those of the disk. Nothing of the lines is in the file then, nor after a restart.
    pub(crate) fn write(&mut self, lines: Lines<'_>, is_synced: bool, map: &Map) -> io::Result<()> {
        self.look()?;
        if !self.trusted {
            self.start_over(map)?;
        }
        let result = self.append(lines, is_synced, map.len());
        if result.is_ok() {
            if !is_synced {
                self.unsynced.add(lines, self.length);
            }
            self.length += lines.bytes.len() as u64;
            self.records += lines.sets as u64;
        } else if !self.trusted {
            // At once; where it does not work, the next set tries again.
            let _ = self.start_over(map);
        }
        result
    }

    fn append(&mut self, lines: Lines<'_>, is_synced: bool, keys: usize) -> io::Result<()> {
        let mut attempt = Attempt { writer: self, is_synced, is_kept: false };
        let writer = &mut *attempt.writer;
        let mut rest = lines.bytes;
        while is_synced && rest.len() > MOST_UNSYNCED {
            let (piece, more) = rest.split_at(MOST_UNSYNCED);
            writer.data.file().append(piece)?;
            writer.sync()?;
            rest = more;
        }
        writer.data.file().append(rest)?;
        writer.dirty = true;
        let Lines { bytes: lines, sets, batch } = lines;
        let (at, records) = (writer.length, writer.records + sets as u64);
        reached(Stage::Journaled { batch, lines, sets, at, records, keys });
        if is_synced {
            writer.sync()?;
            reached(Stage::Synced { batch, sets, bytes: lines.len(), at, begun: None });
        }
        attempt.is_kept = true;
        Ok(())
    }

    /// Cuts the file to what was answered.
    fn undo(&mut self, is_synced: bool) {
        // Where even this fails, what is there is not ours to build on.
        self.trusted &= self.data.file().cut(self.length).is_ok();
        self.dirty = true;
        if is_synced && self.trusted {
            // The cut has to survive a loss of power as well. Where it may not, the file is not
            // trusted any more.
            let _ = self.sync();
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let result = self.data.file().sync();
        self.trusted &= result.is_ok();
        self.dirty = false;
        result
    }

    /// What has to be synced, if anything, and whose sets that makes safe. The caller does it, and needs no
    /// lock for it.
    pub(crate) fn take_unsynced(&mut self) -> Option<(OpenFile, Unsynced)> {
        let is_due = self.dirty && self.trusted;
        self.dirty &= !is_due;
        is_due.then(|| (self.data.file().clone(), mem::take(&mut self.unsynced)))
    }

    /// What came from [`Writer::take_unsynced`] could not be synced. All of it was answered, so nothing
    /// is cut: a process that is killed now loses none of it.
    pub(crate) fn sync_failed(&mut self, file: &OpenFile) {
        // After a compaction it is not our file any more.
        self.trusted &= !self.data.file().is(file);
    }

    /// Checks that the file is still as it is known to be.
    ///
    /// # Errors
    /// Where the name is not this file's any more.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        let length = self.data.look()?;
        let (name, known) = (self.data.path().display(), self.length);
        match length.cmp(&known) {
            _ if !self.trusted => {}
            Ordering::Equal => {}
            Ordering::Less => {
                warn(format_args!(
                    "{name} has {length} bytes, and had {known}: it is written anew from memory"
                ));
                self.trusted = false;
                self.theirs.clear();
            }
            Ordering::Greater => {
                let (mut end, mut last) = (length, [0]);
                self.data.file().read_at(&mut last, length - 1)?;
                if last != *b"\n" {
                    // Our next line must not become a part of that. Where this fails, nothing is known
                    // yet, and the next set comes here again.
                    self.data.file().append(b"\n")?;
                    end += 1;
                }
                warn(format_args!(
                    "another program has written to {name}, at byte {known}: that is left there, \
                     and read at the next start"
                ));
                self.theirs.push(known..end);
                self.length = end;
            }
        }
        Ok(())
    }

    /// Looks whether a snapshot of the map can take the place of the file without a loss.
    ///
    /// # Errors
    /// Where the name is not this file's any more, or the file has lines that the map has not.
    pub(crate) fn look_for_theirs(&mut self) -> io::Result<()> {
        self.look()?;
        if self.theirs.is_empty() {
            return Ok(());
        }
        Err(io::Error::other(
            "another program has written to it, and that is read at the next start",
        ))
    }

    /// Replaces a file that can't be trusted any more by what others have written to it, and a snapshot
    /// of the map, which has all that was ever answered, and so stands last.
    ///
    /// # Errors
    /// Those of the disk. The file stays as it is, and is not trusted.
    pub(crate) fn start_over(&mut self, map: &Map) -> io::Result<()> {
        if !self.rewrite.is_due() {
            return Err(io::Error::other(
                "the data file has to be written anew, and a moment ago that failed",
            ));
        }
        let result = self.try_to_start_over(map);
        match &result {
            Ok(()) => self.rewrite.went_well(),
            Err(error) => {
                self.rewrite.failed(&error.to_string());
            }
        }
        result
    }

    fn try_to_start_over(&mut self, map: &Map) -> io::Result<()> {
        // What could not be cut off when it was refused.
        let _ = self.data.file().cut(self.length);
        let replacement = self.data.begin_replacement()?;
        let mut theirs = 0;
        for range in &self.theirs {
            theirs += replacement.copy(self.data.file(), range.clone())?;
        }
        let mut snapshot = snapshot::write(&replacement, map, || Ok(()))?;
        snapshot.bytes += theirs;
        self.replace(replacement, snapshot)?;
        snapshot.say(FileStep::StartedOver, Some(map.len()));
        Ok(())
    }

    /// Puts a replacement of this size, which begins with what others have written, in the place of the
    /// file. Returns when that is durable.
    ///
    /// # Errors
    /// Where the name is not this file's any more, and those of the disk.
    pub(crate) fn replace(&mut self, replacement: Replacement, snapshot: Size) -> io::Result<()> {
        replacement.sync()?;
        snapshot.say(FileStep::Synced, None);
        self.data.become_replacement(replacement)?;
        snapshot.say(FileStep::Renamed, None);
        (self.length, self.records) = (snapshot.bytes, snapshot.records);
        (self.dirty, self.unsynced) = (false, Unsynced::default());
        let theirs = self.theirs.iter().map(|range| range.end - range.start).sum();
        self.theirs = (theirs > 0).then_some(0..theirs).into_iter().collect();
        // A rename that may not last is as good as no file: see the second rule above.
        self.trusted = false;
        self.data.sync_folder()?;
        self.trusted = true;
        Ok(())
    }

    /// A rewrite that has failed is tried again at once when it is needed.
    pub(crate) fn hurry(&mut self) {
        self.rewrite.at_once();
    }

    pub(crate) fn data(&self) -> &DataFile {
        &self.data
    }

    pub(crate) fn size(&self) -> Size {
        Size { bytes: self.length, records: self.records }
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }
}

impl Unsynced {
    /// These lines, which begin at `at`, are not synced either.
    fn add(&mut self, lines: Lines<'_>, at: u64) {
        if self.sets == 0 {
            self.at = at;
        }
        self.batch = lines.batch;
        self.sets += lines.sets;
        self.bytes += lines.bytes.len();
    }
}

/// An append that is under way: undone in whatever way it ends, a panic included, if it is not kept. The
/// client is told in each of these ways that nothing was stored.
struct Attempt<'w> {
    writer: &'w mut Writer,
    is_synced: bool,
    is_kept: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.writer.undo(self.is_synced);
        }
    }
}

#[cfg(test)]
mod tests;
