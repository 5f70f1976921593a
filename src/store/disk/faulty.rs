//! A disk for tests, on real files: it remembers what it was asked, fails where it is told to, and
//! knows what a loss of power would leave.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Mutex;

/// What the system writes at a time, in bytes.
pub(crate) const PAGE: usize = 4096;

use super::*;
use crate::lock::lock;

/// How much a call does that reports an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    Half,
    All,
}

type Watcher = Arc<dyn Fn(&str) -> Option<Fault> + Send + Sync>;

#[derive(Default)]
pub(crate) struct FaultyDisk {
    watcher: Mutex<Option<Watcher>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: Vec<String>,
    /// Which file has the name of the data file: an inode.
    data: Option<u64>,
    files: HashMap<u64, Image>,
    /// The names in the folder that are durable.
    names: HashMap<OsString, u64>,
}

/// A file as the disk has it.
struct Image {
    /// Keeps the inode from being given to another file.
    _pin: File,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Debug for FaultyDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.calls())
    }
}

impl FaultyDisk {
    /// Tells `watcher` of each call before it happens, and lets it make the call fail. Calls are
    /// `append`, `sync` and `truncate`, each with `data` or `new`, `rename`, and `sync folder`.
    pub(crate) fn watch(&self, watcher: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.watcher) = Some(Arc::new(watcher));
    }

    /// Makes every call with this name fail from now on, and no other.
    pub(crate) fn fail(&self, name: &'static str, fault: Fault) {
        self.watch(move |call| (call == name).then_some(fault));
    }

    /// Makes the next call with this name fail.
    pub(crate) fn fail_once(&self, name: &'static str, fault: Fault) {
        let once = Mutex::new(Some(fault));
        self.watch(move |call| if call == name { lock(&once).take() } else { None });
    }

    /// All goes well from now on.
    pub(crate) fn repair(&self) {
        *lock(&self.watcher) = None;
    }

    /// What was asked since the last time this was called.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).calls)
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        lock(&self.state).calls.clone()
    }

    /// Adds an event of the test to the calls.
    pub(crate) fn note(&self, event: &str) {
        lock(&self.state).calls.push(event.into());
    }

    /// What the file with this name may hold after a loss of power now: what is synced, and as
    /// much of the rest as happened to reach the disk. Of one write, that is some of its pages.
    pub(crate) fn after_power_loss(&self, path: &Path) -> Vec<Vec<u8>> {
        let state = lock(&self.state);
        let inode = state.names.get(path.file_name().unwrap());
        let Some(image) = inode.and_then(|inode| state.files.get(inode)) else {
            return vec![Vec::new()];
        };
        let mut bytes = image.durable.clone();
        let mut all = vec![bytes.clone()];
        for change in &image.unsynced {
            all.extend(change.in_part(&bytes));
            change.apply(&mut bytes);
            all.push(bytes.clone());
        }
        all
    }

    fn asked(&self, call: &str, file: Option<&File>) -> Option<Fault> {
        let mut call = call.to_string();
        {
            let mut state = lock(&self.state);
            if let Some(file) = file {
                let inode = state.know(file);
                call += if state.data == Some(inode) { " data" } else { " new" };
            }
            state.calls.push(call.clone());
        }
        // The watcher may call back, so no lock is held here.
        let watcher = lock(&self.watcher).clone();
        watcher.and_then(|watcher| watcher(&call))
    }

    fn changed(&self, file: &File, change: Change) {
        let mut state = lock(&self.state);
        let inode = state.know(file);
        state.files.get_mut(&inode).unwrap().unsynced.push(change);
    }
}

impl State {
    /// The inode of a file, of which the image is there afterwards.
    fn know(&mut self, file: &File) -> u64 {
        let inode = file.metadata().unwrap().ino();
        self.data.get_or_insert(inode);
        self.files.entry(inode).or_insert_with(|| {
            let mut durable = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
            file.read_exact_at(&mut durable, 0).unwrap();
            Image { _pin: file.try_clone().unwrap(), durable, unsynced: Vec::new() }
        });
        inode
    }
}

impl Change {
    /// What a file of these bytes may hold when some pages of a write have reached the disk and others
    /// have not. The new length may be there before all of them.
    fn in_part(&self, before: &[u8]) -> Vec<Vec<u8>> {
        let Change::Write { at, bytes: new } = self else { return Vec::new() };
        let end = at + new.len();
        let pages: Vec<_> = (at / PAGE..end.div_ceil(PAGE))
            .map(|page| (page * PAGE).max(*at)..((page + 1) * PAGE).min(end))
            .collect();
        // Each subset where these are few; of many, those that lack one page, or have only one.
        let subsets: Vec<u64> = match pages.len() {
            0 => Vec::new(),
            count @ 1..=4 => (0..(1 << count) - 1).collect(),
            count => (0..count.min(63)).flat_map(|page| [!(1 << page), 1 << page]).collect(),
        };
        let mut all = Vec::new();
        for subset in subsets {
            let mut bytes = before.to_vec();
            bytes.resize(bytes.len().max(end), 0);
            for (number, page) in pages.iter().enumerate() {
                if subset >> number.min(63) & 1 == 1 {
                    bytes[page.clone()].copy_from_slice(&new[page.start - at..page.end - at]);
                }
            }
            all.push(bytes);
        }
        // The length, too, may have got part of the way only.
        for page in &pages {
            let mut bytes = before.to_vec();
            Change::Write { at: *at, bytes: new[..page.end - at].to_vec() }.apply(&mut bytes);
            all.push(bytes);
        }
        all
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes: new } => {
                // What a failed sync dropped is a hole in what comes after it.
                bytes.resize(bytes.len().max(at + new.len()), 0);
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Change::Length(length) => bytes.resize(*length, 0),
        }
    }
}

fn outcome(fault: Option<Fault>, kind: io::ErrorKind) -> io::Result<()> {
    fault.map_or(Ok(()), |_| Err(kind.into()))
}

impl Disk for FaultyDisk {
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        let fault = self.asked("append", Some(file));
        let bytes = match fault {
            Some(Fault::Nothing) => &[],
            Some(Fault::Half) => &bytes[..bytes.len() / 2],
            Some(Fault::All) | None => bytes,
        };
        let at = usize::try_from(file.metadata()?.len()).unwrap();
        RealDisk.append(file, bytes)?;
        self.changed(file, Change::Write { at, bytes: bytes.to_vec() });
        outcome(fault, io::ErrorKind::StorageFull)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let fault = self.asked("sync", Some(file));
        let mut state = lock(&self.state);
        let inode = state.know(file);
        let Image { durable, unsynced, .. } = state.files.get_mut(&inode).unwrap();
        let some = match fault {
            Some(Fault::Nothing) => 0,
            Some(Fault::Half) => unsynced.len() / 2,
            Some(Fault::All) | None => unsynced.len(),
        };
        // The rest is lost for good: the system has forgotten that it was not written.
        for change in unsynced.drain(..).take(some) {
            change.apply(durable);
        }
        outcome(fault, io::ErrorKind::Other)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        let fault = self.asked("truncate", Some(file));
        if matches!(fault, None | Some(Fault::All)) {
            RealDisk.truncate(file, length)?;
            self.changed(file, Change::Length(usize::try_from(length).unwrap()));
        }
        outcome(fault, io::ErrorKind::Other)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        // A rename that fails did nothing, whatever the fault.
        outcome(self.asked("rename", None), io::ErrorKind::Other)?;
        let inode = fs::metadata(from)?.ino();
        RealDisk.rename(from, to)?;
        lock(&self.state).data = Some(inode);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let fault = self.asked("sync folder", None);
        if matches!(fault, None | Some(Fault::All)) {
            let names = fs::read_dir(folder)?.map(|entry| {
                let entry = entry?;
                Ok((entry.file_name(), entry.metadata()?.ino()))
            });
            lock(&self.state).names = names.collect::<io::Result<_>>()?;
        }
        outcome(fault, io::ErrorKind::Other)
    }
}
