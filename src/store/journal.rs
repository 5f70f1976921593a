//! The journal: a set is one line at the end of a file, and is answered when the line is safe.
//!
//! A disk takes about as long to sync one line as a hundred, so sets that wait at the same time
//! share one sync (*group commit*). No thread of its own does this: the set that opens a batch
//! writes it, for all that have joined by the time the batch before it is done.
//!
//! ```text
//!  keep() ──no batch is open: opens one──▶ lead(): waits for the writer, while others join
//!    │ a batch is open                        │ closes the batch
//!    │                                        │ Writer::write()    one write, one fdatasync
//!    ▼                                        │ Map::insert()      in file order
//!  joins it, waits ◀──────outcome─────────────┘
//! ```
//!
//! 1. The map gets a pair after the file has it, and with `--sync always` after the disk has it:
//!    no reader sees a value that a crash could still take back.
//! 2. The map and the file see sets in the same order, so that the last line of a key is the
//!    value that was read before the restart.
//! 3. Whoever leads a batch says what became of it, even after a panic: nobody waits for ever.
//! 4. A sync in the background does not hold the writer's lock while the disk works, only while its
//!    outcome is noted.
//!
//! The naive version holds one lock around append, sync and insert: right, and sixty-four clients
//! wait for sixty-four syncs in a row.
//!
//! Next: [`crate::store::writer`], what is known of the file.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::store::data_file::DataFile;
use crate::store::disk::in_words;
use crate::store::map::Map;
use crate::store::record;
use crate::store::replay::Replayed;
use crate::store::snapshot::Size;
use crate::store::writer::{Lines, Unsynced, Writer};
use crate::watch::stage::{Stage, reached};

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
pub(crate) type NotKept = Arc<str>;

/// The file, and the sets that wait for it.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The batch that sets can still join: it waits for the writer.
    open: Mutex<Option<Batch>>,
    writer: Mutex<Writer>,
    /// Held by whoever syncs in the background: another sync waits until that one's outcome is
    /// known.
    syncing: Mutex<()>,
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
    outcome: Arc<Outcome>,
}

/// What became of a batch, once that is known.
type Outcome = OnceLock<Result<(), NotKept>>;

impl Journal {
    pub(crate) fn new(data: DataFile, replayed: &Replayed, when: SyncWhen) -> Self {
        Journal {
            open: Mutex::default(),
            writer: Mutex::new(Writer::new(data, replayed)),
            syncing: Mutex::default(),
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
            return outcome.wait().clone().map(|()| None);
        }
        let batch = open.insert(self.new_batch());
        batch.add(key, value);
        reached(Stage::Joined { batch: batch.number, leads: true });
        let leader = Leader(Arc::clone(&batch.outcome));
        drop(open);
        let (result, size) = self.lead(map);
        leader.tell(result.clone());
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
        let lines = Lines { bytes: &batch.lines, sets: batch.sets.len(), batch: batch.number };
        let result = writer.write(lines, self.when == SyncWhen::Always, map);
        if result.is_ok() {
            for (key, value) in batch.sets {
                map.insert(key, value);
            }
        }
        result.map_err(|error| in_words(&error).into())
    }

    /// Syncs what was appended since the last sync. Where a sync has failed, the file is rewritten:
    /// what was answered without one may be on no disk.
    ///
    /// # Errors
    /// Where what was answered may be on no disk.
    pub(crate) fn sync(&self, map: &Map) -> io::Result<()> {
        let _syncing = lock(&self.syncing);
        let unsynced = self.writer().take_unsynced();
        if let Some((file, Unsynced { batch, sets, bytes, at })) = unsynced {
            let begun = Some(Instant::now());
            if file.sync().is_err() {
                // The error is of interest only where the rewrite fails too, and that has its own.
                self.writer().sync_failed(&file);
            } else if sets > 0 {
                reached(Stage::Synced { batch, sets, bytes, at, begun });
            }
        }
        let mut writer = self.writer();
        if writer.is_trusted() { Ok(()) } else { writer.start_over(map) }
    }

    /// The last sync, after which nothing is set any more.
    ///
    /// # Errors
    /// Where what was answered may be on no disk, or not in the file that has the name.
    pub(crate) fn close(&self, map: &Map) -> io::Result<()> {
        let looked = {
            let mut writer = self.writer();
            writer.hurry();
            writer.look()
        };
        self.sync(map).and(looked)
    }

    /// How large the file is.
    pub(crate) fn size(&self) -> Size {
        self.writer().size()
    }

    /// The writer, for as long as no set may come between.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }
}

impl Batch {
    fn add(&mut self, key: &str, value: &str) {
        record::write(&mut self.lines, key, value);
        self.sets.push((key.into(), value.into()));
    }
}

/// Whoever leads a batch. All who have joined it wait until this has told them what became of it.
struct Leader(Arc<Outcome>);

impl Leader {
    fn tell(&self, outcome: Result<(), NotKept>) {
        let _ = self.0.set(outcome);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Only after a panic: what was told stays.
        self.tell(Err("the server failed on it".into()));
    }
}

#[cfg(test)]
pub(crate) mod tests;
