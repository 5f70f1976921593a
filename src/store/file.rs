//! The file store: an engine whose pairs are there again after a restart.
//!
//! A Mutex-guarded `HashMap` snapshotted to a JSON-lines file: it puts together the map in memory
//! ([`crate::store::map`]), the file ([`crate::store::journal`]), and the decision when the file is
//! worth rewriting ([`crate::store::compaction`]).
//!
//! The naive version has one lock around map and file, and a read waits for the disk.
//!
//! Next: [`crate::store::journal`], where a pair goes before it is in the map.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::lock::lock;
use crate::store::compaction;
use crate::store::disk::{DataFile, Disk, RealDisk};
use crate::store::engine::{Engine, Failed};
use crate::store::journal::{Journal, SyncWhen};
use crate::store::map::Map;
use crate::store::replay::{expected_records, replay};
use crate::store::snapshot::Size;
use crate::watch::stage::FileStep;
use crate::watch::warning::warn;

/// After a compaction that failed, the next one waits this long.
const COMPACT_AGAIN: Duration = Duration::from_secs(30);

/// After a sync that failed, the next one waits at least this long: it rewrites the file.
const SYNC_AGAIN: Duration = Duration::from_secs(1);

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

#[derive(Debug, Default)]
struct LastCompaction {
    thread: Option<JoinHandle<()>>,
    /// No other one is tried before this, as it failed.
    retry_at: Option<Instant>,
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
        map.reserve(expected_records(&data)?);
        let replayed = replay(&data, |record| {
            map.insert((&*record.key).into(), (&*record.value).into());
        })?;
        map.shrink();
        // What an earlier run had not synced when it was killed is read from now on.
        data.sync().with_context(|| format!("cannot sync {}", data.path().display()))?;
        if let Some(mended) = &replayed.mended {
            warn(format_args!("{mended}"));
        }
        let store = FileStore(Arc::new(Shared {
            map,
            journal: Journal::new(data, &replayed, keeping.sync),
            compact_over: keeping.compact_over,
            last_compaction: Mutex::default(),
            closing: AtomicBool::new(false),
        }));
        if let SyncWhen::Every(interval) = keeping.sync {
            store.sync_every(interval)?;
        }
        store.0.journal.size().say(FileStep::Opened, Some(store.len()));
        Ok(store)
    }

    /// Stores these pairs in this order, as so many calls of [`Engine::set`] would, with one write and
    /// one sync for all of them. For a caller that has several sets at hand and no thread for each.
    ///
    /// # Errors
    /// [`Failed::NotKept`]; then none of them is kept.
    ///
    /// # Examples
    /// ```
    /// use dbserver::{Engine, FileStore, Keeping};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("data.jsonl");
    /// let store = FileStore::open(&path, Keeping::default())?;
    /// store.set_all([("a", "1"), ("b", "2"), ("a", "3")])?;
    /// let mut found = None;
    /// store.find("a", &mut |value| found = Some(value.to_string()))?;
    /// assert_eq!(found.as_deref(), Some("3"));
    /// # store.close()?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn set_all<'p>(
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
            let mut pause = interval;
            loop {
                thread::sleep(pause);
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                pause = match shared.journal.sync(&shared.map) {
                    Ok(()) => interval,
                    Err(error) => {
                        warn(format_args!("the data file could not be synced: {error}"));
                        interval.max(SYNC_AGAIN)
                    }
                };
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
        shared.journal.sync(&shared.map).context("cannot sync the data file")
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
        let too_soon = last.retry_at.is_some_and(|at| Instant::now() < at);
        if running || too_soon || self.closing.load(Ordering::Relaxed) {
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
        if let Err(error) = compaction::run(&self.journal, &self.map, go_on)
            && !closing()
        {
            warn(format_args!("the data file could not be compacted: {error}"));
            self.journal.size().say(FileStep::Failed, Some(self.map.len()));
            lock(&self.last_compaction).retry_at = Some(Instant::now() + COMPACT_AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::disk::faulty::{Fault, FaultyDisk};

    /// A store on a new file that is compacted as soon as most of it is dead.
    fn store(sync: SyncWhen) -> (tempfile::TempDir, Arc<FaultyDisk>, FileStore) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let path = folder.path().join("data.jsonl");
        let keeping = Keeping { sync, compact_over: 0 };
        let store =
            FileStore::open_on(&(Arc::clone(&disk) as Arc<dyn Disk>), &path, keeping).unwrap();
        disk.take_calls();
        (folder, disk, store)
    }

    fn wait_for(disk: &FaultyDisk, call: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while disk.calls().iter().filter(|&found| found == call).count() < count {
            assert!(Instant::now() < deadline, "{call} never came: {disk:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_file_that_is_mostly_dead_is_compacted() {
        let (folder, disk, store) = store(SyncWhen::Always);
        for number in 0..200 {
            store.set("a", &number.to_string()).unwrap();
        }
        wait_for(&disk, "rename", 1);
        store.close().unwrap();
        drop((store, disk));
        let path = folder.path().join("data.jsonl");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let store = FileStore::open(&path, Keeping::default()).unwrap();
        assert_eq!(store.0.map.value("a").as_deref(), Some("199"));
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn pairs_that_are_set_together_share_a_write_and_a_sync() {
        let (folder, disk, store) = store(SyncWhen::Always);
        store.set_all([]).unwrap();
        assert_eq!(disk.take_calls(), [""; 0]);
        store.set_all([("a", "1"), ("b", "1"), ("a", "2")]).unwrap();
        assert_eq!(disk.take_calls(), ["append data", "sync data"]);
        assert_eq!(store.0.map.value("a").as_deref(), Some("2"));
        disk.fail("append data", Fault::Half);
        let refused = store.set_all([("a", "3"), ("c", "1")]).unwrap_err();
        assert_eq!(refused, Failed::NotKept("the disk is full".into()));
        disk.mend();
        drop((store, disk));
        let path = folder.path().join("data.jsonl");
        let store = FileStore::open(&path, Keeping::default()).unwrap();
        assert_eq!(store.0.map.value("a").as_deref(), Some("2"));
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn a_compaction_that_failed_is_not_tried_again_at_once() {
        let (folder, disk, store) = store(SyncWhen::Always);
        disk.fail("append new", Fault::Half);
        for number in 0..100 {
            store.set("a", &number.to_string()).unwrap();
        }
        wait_for(&disk, "append new", 1);
        for number in 100..200 {
            store.set("a", &number.to_string()).unwrap();
        }
        store.close().unwrap();
        assert_eq!(disk.calls().iter().filter(|&call| call == "append new").count(), 1);
        let bytes = fs::read(folder.path().join("data.jsonl")).unwrap();
        assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 200);
    }

    #[test]
    fn an_interval_syncs_as_long_as_there_is_something_to_sync() {
        let (folder, disk, store) = store(SyncWhen::Every(Duration::from_millis(1)));
        store.set("a", "1").unwrap();
        wait_for(&disk, "sync data", 1);
        disk.fail("sync data", Fault::Nothing);
        store.set("b", "1").unwrap();
        // The sync fails, so the file is rewritten.
        wait_for(&disk, "sync folder", 1);
        // The rewrite has begun: this waits for its end.
        store.close().unwrap();
        drop(store);
        let path = folder.path().join("data.jsonl");
        for bytes in disk.after_power_loss(&path) {
            assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 2);
        }
    }

    #[test]
    fn what_a_killed_server_left_is_on_the_disk_before_it_is_read() {
        let (folder, disk, store) = store(SyncWhen::Never);
        store.set("a", "1").unwrap();
        assert!(!disk.calls().iter().any(|call| call == "sync data"));
        drop((store, disk));
        let disk = Arc::new(FaultyDisk::default());
        let path = folder.path().join("data.jsonl");
        let again = Arc::clone(&disk) as Arc<dyn Disk>;
        let _store = FileStore::open_on(&again, &path, Keeping::default()).unwrap();
        assert_eq!(disk.calls(), ["sync folder", "sync data"]);
    }

    #[test]
    fn closing_says_when_the_disk_may_lack_something() {
        let (_folder, disk, store) = store(SyncWhen::Never);
        store.set("a", "1").unwrap();
        disk.watch(|call| matches!(call, "sync data" | "rename").then_some(Fault::Nothing));
        for _ in 0..2 {
            let error = format!("{:#}", store.close().unwrap_err());
            assert!(error.contains("cannot sync the data file"), "{error}");
        }
        disk.mend();
        store.close().unwrap();
    }
}
