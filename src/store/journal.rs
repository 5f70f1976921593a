//! The journal: a set is one line at the end of a file, and is answered when the line is safe.
//!
//! A disk takes about as long to sync one line as a hundred, so sets that wait at the same time
//! share one sync (*group commit*). No thread of its own does this: the set that opens a batch
//! writes it, for all that have joined by the time when the batch before is done.
//!
//! ```text
//!  keep() ──no batch is open: opens one──▶ lead(): waits for the writer, while others join
//!    │ a batch is open                        │ closes the batch
//!    │                                        │ Writer::append()   one write, one fdatasync
//!    ▼                                        │ Map::insert()      in file order
//!  joins it, waits ◀──────outcome─────────────┘
//!
//!  trusted ──append or sync fails for good──▶ not trusted ──start_over()──▶ trusted
//! ```
//!
//! 1. The map gets a pair after the file has it, and with `--sync always` after the disk has it:
//!    no reader sees a value that a crash could still take back.
//! 2. The map and the file see sets in the same order, so that the last line of a key is the
//!    value that was read before the restart.
//! 3. A write that fails is undone by cutting the file. A *sync* that fails can't be undone or
//!    repeated: nobody knows what the disk holds, and the next sync may say "fine" about data that
//!    is gone. The file is then replaced at once by a snapshot of the map. Where that fails too, it
//!    is cut to what was answered, and a later set tries the snapshot again, at most once a second,
//!    before anything is appended.
//!
//! The naive version holds one lock around append, sync and insert: right, and sixty-four clients
//! wait for sixty-four syncs in a row.
//!
//! Next: [`crate::store::record`], how a line looks.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::store::disk::{DataFile, Replacement};
use crate::store::map::Map;
use crate::store::record;
use crate::store::replay::Replayed;
use crate::store::snapshot::{self, Size};
use crate::watch::stage::{FileStep, Stage, reached};

/// When a set is safe from a loss of power. It is always safe from the death of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncWhen {
    /// Before it is answered.
    Always,
    /// This long afterwards, at most.
    Every(Duration),
    /// When the operating system sees fit.
    Never,
}

/// Why a pair was not kept: a part of a sentence, for the client.
pub type NotKept = Arc<str>;

/// The file, and the sets that wait for it.
#[derive(Debug)]
pub struct Journal {
    /// The batch that sets can still join: it waits for the writer.
    open: Mutex<Option<Batch>>,
    writer: Mutex<Writer>,
    when: SyncWhen,
    /// How many batches there have been.
    batches: AtomicU64,
}

/// Sets that go to the disk together.
#[derive(Debug, Default)]
struct Batch {
    number: u64,
    lines: Vec<u8>,
    sets: Vec<(Box<str>, Box<str>)>,
    outcome: Arc<RwLock<Outcome>>,
}

/// What became of a batch. The set that leads it holds the lock around this until it is known: to
/// ask for it is to wait for it, and all who wait are woken at once. It stays unknown where the
/// leading thread panicked.
type Outcome = Option<Result<(), NotKept>>;

/// The file and what is known of it.
#[derive(Debug)]
pub(crate) struct Writer {
    data: DataFile,
    /// How long the file is, by what succeeded.
    length: u64,
    /// How many records it has, live and dead.
    records: u64,
    /// Whether the disk holds what we think: false after a failed sync.
    trusted: bool,
    /// Whether something was appended since the last sync.
    dirty: bool,
    /// No replacement is tried before this: each costs as much as the whole file.
    retry_at: Option<Instant>,
}

impl Journal {
    pub(crate) fn new(data: DataFile, replayed: &Replayed, when: SyncWhen) -> Self {
        Journal {
            open: Mutex::default(),
            writer: Mutex::new(Writer {
                data,
                length: replayed.length,
                records: replayed.records,
                trusted: true,
                dirty: false,
                retry_at: None,
            }),
            when,
            batches: AtomicU64::new(0),
        }
    }

    /// Returns when the pair is kept, as `--sync` promises, and is in `map`. The set that led its
    /// batch also learns how large the file is now.
    ///
    /// # Errors
    /// Where the disk did not take it: what the client is told.
    pub(crate) fn keep(&self, key: &str, value: &str, map: &Map) -> Result<Option<Size>, NotKept> {
        let mut open = lock(&self.open);
        if let Some(batch) = &mut *open {
            batch.add(key, value);
            reached(Stage::Joined { batch: batch.number, leads: false });
            let outcome = Arc::clone(&batch.outcome);
            drop(open);
            let outcome = outcome.read().unwrap_or_else(PoisonError::into_inner);
            let unknown = || Err("the server failed on it".into());
            return outcome.clone().unwrap_or_else(unknown).map(|()| None);
        }
        let batch = open.insert(self.new_batch());
        batch.add(key, value);
        reached(Stage::Joined { batch: batch.number, leads: true });
        let outcome = Arc::clone(&batch.outcome);
        // Nobody else knows of it yet, so this does not wait.
        let mut outcome = outcome.write().unwrap_or_else(PoisonError::into_inner);
        drop(open);
        let (result, size) = self.lead(map);
        *outcome = Some(result.clone());
        result.map(|()| Some(size))
    }

    /// Returns when all of these pairs are kept, as `--sync` promises, and in `map`: how large the
    /// file is then. They are one batch, whatever else waits.
    ///
    /// # Errors
    /// As for [`Journal::keep`]. None of the pairs is kept then.
    pub(crate) fn keep_all<'p>(
        &self,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
        map: &Map,
    ) -> Result<Size, NotKept> {
        let mut batch = self.new_batch();
        for (key, value) in pairs {
            batch.add(key, value);
        }
        let mut writer = lock(&self.writer);
        self.commit(&mut writer, batch, map)?;
        Ok(writer.size())
    }

    fn new_batch(&self) -> Batch {
        Batch { number: self.batches.fetch_add(1, Ordering::Relaxed) + 1, ..Batch::default() }
    }

    /// Writes the open batch, the caller's, when the one before is done.
    fn lead(&self, map: &Map) -> (Result<(), NotKept>, Size) {
        let mut writer = lock(&self.writer);
        // Whoever comes from now on opens the next one.
        let batch = lock(&self.open).take().unwrap_or_default();
        (self.commit(&mut writer, batch, map), writer.size())
    }

    /// Puts a batch into the file, and then into `map`.
    fn commit(&self, writer: &mut Writer, batch: Batch, map: &Map) -> Result<(), NotKept> {
        let result = writer.write(&batch, self.when, map);
        if result.is_ok() {
            for (key, value) in batch.sets {
                map.insert(key, value);
            }
        }
        result.map_err(|error| in_words(&error).into())
    }

    /// Syncs what was appended since the last sync. Where a sync has failed, the file is rewritten:
    /// what was answered without one may be on no disk.
    pub(crate) fn sync(&self, map: &Map) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        // Its error is of interest only where the rewrite fails too, and that has its own.
        let _ = writer.sync();
        if writer.trusted {
            return Ok(());
        }
        writer.retry_at = None;
        writer.start_over(map)
    }

    /// How large the file is.
    pub(crate) fn size(&self) -> Size {
        self.writer().size()
    }

    /// The writer, for as long as no set shall come between.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }
}

impl Writer {
    fn write(&mut self, batch: &Batch, when: SyncWhen, map: &Map) -> io::Result<()> {
        if !self.trusted {
            self.start_over(map)?;
        }
        let result = self.append(batch, when, map.len());
        // At once, so that what is refused now is not in the file after a restart. Where it does
        // not work, the next set tries again, and until then cutting the file does what it can.
        if !self.trusted && self.start_over(map).is_err() {
            let _ = self.data.truncate(self.length);
        }
        result
    }

    fn append(&mut self, batch: &Batch, when: SyncWhen, keys: usize) -> io::Result<()> {
        if let Err(error) = self.data.append(&batch.lines) {
            // Part of it may be there, and whole lines too. Where even cutting fails, that part is
            // not ours to build on.
            self.trusted = self.data.truncate(self.length).is_ok();
            self.dirty = true;
            if when == SyncWhen::Always {
                // The cut has to survive a loss of power as well. Where it may not, the file is
                // not trusted any more.
                let _ = self.sync();
            }
            return Err(error);
        }
        self.dirty = true;
        let before = self.size();
        self.length += batch.lines.len() as u64;
        self.records += batch.sets.len() as u64;
        // Everything is in order by now: an observer may panic.
        let (Batch { number: batch, lines, sets, .. }, at) = (batch, before.bytes);
        let (batch, sets, records) = (*batch, sets.len(), self.records);
        reached(Stage::Journaled { batch, lines, sets, at, records, keys });
        if when == SyncWhen::Always {
            if let Err(error) = self.sync() {
                (self.length, self.records) = (before.bytes, before.records);
                return Err(error);
            }
            reached(Stage::Synced { batch, sets, bytes: lines.len(), at });
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.dirty || !self.trusted {
            return Ok(());
        }
        let result = self.data.sync();
        self.trusted = result.is_ok();
        self.dirty = false;
        result
    }

    /// Replaces a file that can't be trusted any more by a snapshot of the map, which has all that
    /// was ever answered.
    fn start_over(&mut self, map: &Map) -> io::Result<()> {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| now < at) {
            return Err(io::Error::other("the data file has to be rewritten after a failed sync"));
        }
        self.retry_at = Some(now + Duration::from_secs(1));
        let replacement = self.data.begin_replacement()?;
        let snapshot = snapshot::write(&replacement, map, || Ok(()))?;
        self.replace(replacement, snapshot)?;
        snapshot.say(FileStep::StartedOver, Some(map.len()));
        self.retry_at = None;
        Ok(())
    }

    /// Puts a replacement of this size in the place of the file. Returns when that is durable.
    pub(crate) fn replace(&mut self, replacement: Replacement, snapshot: Size) -> io::Result<()> {
        replacement.sync()?;
        snapshot.say(FileStep::Synced, None);
        self.data.become_replacement(replacement)?;
        snapshot.say(FileStep::Renamed, None);
        (self.length, self.records) = (snapshot.bytes, snapshot.records);
        self.dirty = false;
        // A rename that may not last is as good as no file: see the third rule above.
        self.trusted = false;
        self.data.sync_folder()?;
        self.trusted = true;
        Ok(())
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

impl Batch {
    fn add(&mut self, key: &str, value: &str) {
        record::write(&mut self.lines, key, value);
        self.sets.push((key.into(), value.into()));
    }
}

/// An error of the disk, as the client is told of it.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
        // The name of the replacement is taken, by the one that a compaction writes.
        io::ErrorKind::AlreadyExists => {
            "the data file has to be rewritten, and is being compacted".into()
        }
        io::ErrorKind::FileTooLarge => "the data file may not grow any larger".into(),
        _ => format!("the disk reports an error: {error}"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
