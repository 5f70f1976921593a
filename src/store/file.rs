//! The store: pairs that can be read and set, and that are there again after a restart.
//!
//! It puts three parts together: the map in memory
//! ([`crate::store::map`]), the file ([`crate::store::journal`]), and the decision when the file is worth
//! rewriting ([`crate::store::compaction`]). Without a file the pairs live as long as the process.
//!
//! The naive version has one lock around map and file, and a read waits for the disk.
//!
//! Next: [`crate::store::map`].

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::store::compaction;
use crate::store::disk::{DataFile, Disk, RealDisk};
use crate::store::journal::{Journal, NotKept, SyncWhen};
use crate::store::map::{Map, lock};
use crate::store::replay::{expected_records, replay};
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

/// Keys and values. A clone is another handle on the same pairs.
#[derive(Debug, Clone)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    map: Map,
    file: Option<OnDisk>,
}

#[derive(Debug)]
struct OnDisk {
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

impl Store {
    /// An empty store that is gone with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Store(Arc::new(Shared { map: Map::new(), file: None }))
    }

    /// The store that the file at `path` holds. The file is made if it is not there, and is locked
    /// until the last handle is dropped.
    ///
    /// # Errors
    /// Where the file can't be opened or locked, or has a damaged line: the sentence names the
    /// file, the line, and what to do.
    pub fn open(path: &Path, keeping: Keeping) -> anyhow::Result<Self> {
        Self::open_on(&(Arc::new(RealDisk) as Arc<dyn Disk>), path, keeping)
    }

    fn open_on(disk: &Arc<dyn Disk>, path: &Path, keeping: Keeping) -> anyhow::Result<Self> {
        let data = DataFile::open(path, disk)?;
        let map = Map::new();
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
        let store = Store(Arc::new(Shared {
            map,
            file: Some(OnDisk {
                journal: Journal::new(data, &replayed, keeping.sync),
                compact_over: keeping.compact_over,
                last_compaction: Mutex::default(),
                closing: AtomicBool::new(false),
            }),
        }));
        if let SyncWhen::Every(interval) = keeping.sync {
            store.sync_every(interval)?;
        }
        Ok(store)
    }

    /// Calls `look` with the value of `key`, if there is one. Sets of keys in the same shard wait
    /// until it returns: it should copy what it needs, and not do anything slow.
    ///
    /// # Examples
    /// ```
    /// let store = dbserver::Store::in_memory();
    /// store.set("a", "1").unwrap();
    /// assert_eq!(store.read("a", |value| value.map(str::to_string)).as_deref(), Some("1"));
    /// ```
    pub fn read<R>(&self, key: &str, look: impl FnOnce(Option<&str>) -> R) -> R {
        self.0.map.read(key, look)
    }

    /// Stores a pair, and returns when it is kept as [`Keeping::sync`] says.
    ///
    /// # Errors
    /// Where the disk did not take it. The key then has the value that it had before.
    pub fn set(&self, key: &str, value: &str) -> Result<(), NotKept> {
        let Some(file) = &self.0.file else {
            self.0.map.insert(key.into(), value.into());
            return Ok(());
        };
        let size = file.journal.keep(key, value, &self.0.map)?;
        if size.is_some_and(|size| compaction::is_due(size, self.len(), file.compact_over)) {
            self.start_compaction(file);
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

    /// Ends a compaction that goes on, and syncs the file.
    ///
    /// # Errors
    /// Where that failed: what was set lately may be lost with the next loss of power.
    pub fn close(&self) -> anyhow::Result<()> {
        let Some(file) = &self.0.file else {
            return Ok(());
        };
        file.closing.store(true, Ordering::Relaxed);
        let running = lock(&file.last_compaction).thread.take();
        if let Some(thread) = running {
            // A panic in it was printed, and the old file went on.
            let _ = thread.join();
        }
        file.journal.sync(&self.0.map).context("cannot sync the data file")
    }

    fn start_compaction(&self, file: &OnDisk) {
        let mut last = lock(&file.last_compaction);
        let running = last.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        let too_soon = last.retry_at.is_some_and(|at| Instant::now() < at);
        if running || too_soon || file.closing.load(Ordering::Relaxed) {
            return;
        }
        let store = self.clone();
        let compact = move || store.compact();
        // Where there is no thread to be had, the next set tries again.
        last.thread = thread::Builder::new().name("compaction".into()).spawn(compact).ok();
    }

    fn compact(&self) {
        let Some(file) = &self.0.file else { return };
        let closing = || file.closing.load(Ordering::Relaxed);
        let stopped = || io::Error::other("the server stops");
        let go_on = || if closing() { Err(stopped()) } else { Ok(()) };
        if let Err(error) = compaction::run(&file.journal, &self.0.map, go_on)
            && !closing()
        {
            warn(format_args!("the data file could not be compacted: {error}"));
            lock(&file.last_compaction).retry_at = Some(Instant::now() + COMPACT_AGAIN);
        }
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
                let Some(file) = &shared.file else { return };
                pause = match file.journal.sync(&shared.map) {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::disk::faulty::{Fault, FaultyDisk};

    /// A store on a new file that is compacted as soon as most of it is dead.
    fn store(sync: SyncWhen) -> (tempfile::TempDir, Arc<FaultyDisk>, Store) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let path = folder.path().join("data.jsonl");
        let keeping = Keeping { sync, compact_over: 0 };
        let store = Store::open_on(&(Arc::clone(&disk) as Arc<dyn Disk>), &path, keeping).unwrap();
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
        let store = Store::open(&path, Keeping::default()).unwrap();
        assert_eq!(store.read("a", |value| value.map(str::to_string)).as_deref(), Some("199"));
        assert_eq!(store.len(), 1);
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
        let _store = Store::open_on(&again, &path, Keeping::default()).unwrap();
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
