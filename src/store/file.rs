//! The file store: an engine whose pairs are there again after a restart.
//!
//! A Mutex-guarded `HashMap` snapshotted to a JSON-lines file. This module puts together the map in
//! memory ([`crate::store::map`], which is some of them), the file ([`crate::store::journal`]), and
//! the decision when the file is worth rewriting ([`crate::store::compaction`]).
//!
//! The naive version has one lock around map and file, and a read waits for the disk.
//!
//! Next: [`crate::store::batch`], for a caller that has many sets at hand.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;

use crate::lock::lock;
use crate::store::compaction;
use crate::store::data_file::DataFile;
use crate::store::disk::{Disk, RealDisk, in_words};
use crate::store::engine::{Engine, Failed};
use crate::store::journal::{Journal, SyncWhen};
use crate::store::map::Map;
use crate::store::replay::{expected_records, replay};
use crate::store::retry::Retry;
use crate::store::snapshot::Size;
use crate::watch::stage::FileStep;
use crate::watch::warning::warn;

/// After a compaction that failed, the next one waits this long.
const COMPACT_AGAIN: Duration = Duration::from_secs(30);

/// How a store keeps its file.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// When a set is safe from a loss of power.
    pub sync: SyncWhen,
    /// A file of no more than this many bytes is never compacted.
    pub compact_over: u64,
}

impl Default for Keeping {
    fn default() -> Self {
        Keeping { sync: SyncWhen::Always, compact_over: 1 << 20 }
    }
}

/// Keys and values, in memory and in a file.
#[derive(Debug)]
pub struct FileStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    map: Map,
    journal: Journal,
    compact_over: u64,
    last_compaction: Mutex<LastCompaction>,
    closing: AtomicBool,
}

#[derive(Debug)]
struct LastCompaction {
    thread: Option<JoinHandle<()>>,
    retry: Retry,
}

impl FileStore {
    /// The store that the file at `path` holds. The file is made if it is not there, and is locked
    /// until the store is dropped.
    ///
    /// # Errors
    /// Where the file can't be opened or locked, or has a damaged line: the sentence names the
    /// file, the line, and what to do.
    pub fn open(path: &Path, keeping: Keeping) -> anyhow::Result<Self> {
        Self::open_on(&(Arc::new(RealDisk) as Arc<dyn Disk>), path, keeping)
    }

    fn open_on(disk: &Arc<dyn Disk>, path: &Path, keeping: Keeping) -> anyhow::Result<Self> {
        let data = DataFile::open(path, disk)?;
        let map = Map::default();
        let expected = expected_records(data.file());
        map.reserve(expected.with_context(|| format!("cannot read {}", data.path().display()))?);
        let replayed = replay(&data, |record| {
            map.insert((&*record.key).into(), (&*record.value).into());
        })?;
        map.shrink();
        // What an earlier run had not synced when it was killed is read from now on.
        data.file().sync().with_context(|| {
            let name = data.path().display();
            format!("cannot sync {name}: check the disk, or give another file with --data")
        })?;
        for warning in &replayed.warnings {
            warn(format_args!("{warning}"));
        }
        let store = FileStore(Arc::new(Shared {
            map,
            journal: Journal::new(data, &replayed, keeping.sync),
            compact_over: keeping.compact_over,
            last_compaction: Mutex::new(LastCompaction {
                thread: None,
                retry: Retry::after(COMPACT_AGAIN),
            }),
            closing: AtomicBool::new(false),
        }));
        if let SyncWhen::Every(interval) = keeping.sync {
            store.sync_every(interval)?;
        }
        store.0.journal.size().say(FileStep::Opened, Some(store.len()));
        Ok(store)
    }

    /// Stores these pairs in this order, as so many calls of [`Engine::set`] would, with one write and
    /// one sync for all of them.
    ///
    /// # Errors
    /// [`Failed::NotKept`]; then none of them is kept.
    pub(crate) fn set_all<'p>(
        &self,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<(), Failed> {
        let shared = &self.0;
        let mut pairs = pairs.into_iter().peekable();
        if pairs.peek().is_some() {
            let size = shared.journal.keep_all(pairs, &shared.map).map_err(Failed::NotKept)?;
            shared.compact_if_due(size);
        }
        Ok(())
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.map.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a thread that syncs the file every `interval`, as long as there is a store.
    fn sync_every(&self, interval: Duration) -> anyhow::Result<()> {
        let shared = Arc::downgrade(&self.0);
        let sync = move || {
            let mut retry = Retry::after(Duration::ZERO);
            loop {
                thread::sleep(interval);
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                match shared.journal.sync(&shared.map).map_err(|error| in_words(&error)) {
                    Ok(()) => retry.went_well(),
                    Err(why) if retry.failed(&why) => {
                        warn(format_args!("the data file could not be synced: {why}"));
                    }
                    Err(_) => {}
                }
            }
        };
        let thread = thread::Builder::new().name("sync".into()).spawn(sync);
        thread.context("cannot start the thread that syncs the data file")?;
        Ok(())
    }
}

impl Engine for FileStore {
    fn find(&self, key: &str, found: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        self.0.map.find(key, found);
        Ok(())
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Failed> {
        let shared = &self.0;
        let size = shared.journal.keep(key, value, &shared.map).map_err(Failed::NotKept)?;
        if let Some(size) = size {
            shared.compact_if_due(size);
        }
        Ok(())
    }

    /// Ends a compaction that goes on, and syncs the file.
    fn close(&self) -> anyhow::Result<()> {
        let shared = &self.0;
        shared.closing.store(true, Ordering::Relaxed);
        let running = lock(&shared.last_compaction).thread.take();
        if let Some(thread) = running {
            // A panic in it was printed, and the old file went on.
            let _ = thread.join();
        }
        shared.journal.close(&shared.map).context("cannot sync the data file")
    }
}

impl Shared {
    fn compact_if_due(self: &Arc<Self>, size: Size) {
        if compaction::is_due(size, self.map.len(), self.compact_over) {
            self.start_compaction();
        }
    }

    fn start_compaction(self: &Arc<Self>) {
        let mut last = lock(&self.last_compaction);
        let running = last.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if running || !last.retry.is_due() || self.closing.load(Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(self);
        let compact = move || shared.compact();
        // Where there is no thread to be had, the next set tries again.
        last.thread = thread::Builder::new().name("compaction".into()).spawn(compact).ok();
    }

    fn compact(&self) {
        let closing = || self.closing.load(Ordering::Relaxed);
        let stopped = || io::Error::other("the server stops");
        let go_on = || if closing() { Err(stopped()) } else { Ok(()) };
        let result = compaction::run(&self.journal, &self.map, go_on);
        let retry = &mut lock(&self.last_compaction).retry;
        let Err(error) = result else { return retry.went_well() };
        if closing() {
            return;
        }
        self.journal.size().say(FileStep::Failed, Some(self.map.len()));
        let why = in_words(&error);
        // A name that is lost was said already.
        if retry.failed(&why) && error.kind() != io::ErrorKind::NotFound {
            warn(format_args!("the data file could not be compacted: {why}"));
        }
    }
}

#[cfg(test)]
mod tests;
