//! The data file: opened once, locked, and replaced only as a whole.
//!
//! 1. One server at a time. The lock is on the file itself, so that no second file lies about; it
//!    ends with the process, however that ends. Each replacement is locked before it takes the
//!    name, and whoever opened the old file looks again after locking: the name may have moved.
//! 2. Symbolic links are followed once, at the start: a snapshot replaces the file that the link
//!    points to, not the link.
//! 3. A new file is for its owner alone (0600), a replacement has the mode of what it replaces.
//! 4. A name is durable only when the *folder* is synced. That step is the one that naive versions
//!    of "write a temporary file and rename it" leave out.
//!
//! The five calls on which durability rests are the methods of [`Disk`], so that a test can watch
//! their order and make each of them fail.
//!
//! Next: [`crate::replay`], which reads the file at the start.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

/// The calls to the operating system on which durability rests.
pub trait Disk: Debug + Send + Sync {
    /// Writes all of `bytes` at the end of `file`.
    ///
    /// # Errors
    /// When the disk is full, for one. Part of the bytes may be written all the same.
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        (&mut &*file).write_all(bytes)
    }

    /// Returns when what was written to `file`, and its length, will survive a loss of power.
    ///
    /// # Errors
    /// Then it is unknown what the disk holds, and asking again does not help: the operating
    /// system may have dropped what it could not write.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Cuts `file` to `length` bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    /// Gives the file `from` the name `to`, and takes that from the file that has it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Returns when the names in `folder` will survive a loss of power.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

/// The operating system.
#[derive(Debug)]
pub struct RealDisk;

impl Disk for RealDisk {}

/// The data file, open and locked.
#[derive(Debug)]
pub struct DataFile {
    file: File,
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

/// A file that is about to take the place of the data file. It is removed if it never does.
#[derive(Debug)]
pub struct Replacement {
    file: File,
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Replacement {
    /// See [`Disk::append`].
    ///
    /// # Errors
    /// See there.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.append(&self.file, bytes)
    }

    /// See [`Disk::sync`].
    ///
    /// # Errors
    /// See there.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After the rename there is nothing left under this name.
        let _ = fs::remove_file(&self.path);
    }
}

impl DataFile {
    /// Opens the file at `path`, makes it if need be, and locks it.
    ///
    /// # Errors
    /// Where it can't be read and written, is no plain file, or another server has it.
    pub fn open(path: &Path, disk: &Arc<dyn Disk>) -> anyhow::Result<Self> {
        loop {
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)
                .with_context(|| {
                    let name = path.display();
                    format!("cannot open {name} to read and write: give another file with --data")
                })?;
            let found = file.metadata()?;
            if !found.is_file() {
                bail!("{} is not a plain file: give another with --data", path.display());
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => bail!(
                    "another server has {} open: stop it, or give another file with --data",
                    path.display()
                ),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
            let path = fs::canonicalize(path)
                .with_context(|| format!("cannot find {} again", path.display()))?;
            if fs::metadata(&path).is_ok_and(|now| now.ino() == found.ino()) {
                let data = DataFile { file, path, disk: Arc::clone(disk) };
                // Only a process that held the lock makes this file, and we hold it now.
                let _ = fs::remove_file(data.replacement_path());
                if found.len() == 0 {
                    data.sync_folder().with_context(|| {
                        format!("cannot sync the folder of {}", data.path.display())
                    })?;
                }
                return Ok(data);
            }
            // A compaction replaced the file between our open and our lock: that server has just
            // ended, or it still holds the lock on the new file.
        }
    }

    /// Where it is, symbolic links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes it has.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Reads what is at `offset`, and returns how many bytes that was; 0 at the end.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// See [`Disk::append`].
    ///
    /// # Errors
    /// See there.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.append(&self.file, bytes)
    }

    /// See [`Disk::sync`].
    ///
    /// # Errors
    /// See there.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }

    /// See [`Disk::truncate`].
    ///
    /// # Errors
    /// See there.
    pub fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk.truncate(&self.file, length)
    }

    /// A second handle on the same open file, for another thread to read from.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Makes an empty file beside this one, with the same owner and mode, locked.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn begin_replacement(&self) -> io::Result<Replacement> {
        let path = self.replacement_path();
        let file =
            OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path)?;
        let disk = Arc::clone(&self.disk);
        let replacement = Replacement { file, path, disk };
        let old = self.file.metadata()?;
        let new = replacement.file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            // Where this is not allowed, the old file goes on: others than before must not read it.
            fchown(&replacement.file, Some(old.uid()), Some(old.gid()))?;
        }
        replacement.file.set_permissions(old.permissions())?;
        replacement.file.try_lock()?;
        Ok(replacement)
    }

    /// Puts the replacement, which must be synced, in the place of this file.
    ///
    /// # Errors
    /// Where the rename failed, this is still the old file.
    pub fn become_replacement(&mut self, mut replacement: Replacement) -> io::Result<()> {
        self.disk.rename(&replacement.path, &self.path)?;
        std::mem::swap(&mut self.file, &mut replacement.file);
        Ok(())
    }

    /// Makes the last rename durable.
    ///
    /// # Errors
    /// See [`Disk::sync_folder`].
    pub fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_folder(self.path.parent().unwrap_or(Path::new("/")))
    }

    fn replacement_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".snapshot-tmp");
        name.into()
    }
}

/// A disk for tests, on real files: it remembers what it was asked, fails where it is told to, and
/// knows what a loss of power would leave.
#[cfg(test)]
pub(crate) mod faulty {
    use std::collections::HashMap;
    use std::ffi::OsString;
    use std::sync::Mutex;

    use super::*;
    use crate::map::lock;

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
        /// Has `watcher` told of each call before it happens, and lets it make the call fail. Calls
        /// are `append`, `sync` and `truncate`, each with `data` or `new`, `rename`, and
        /// `sync folder`.
        pub(crate) fn watch(
            &self,
            watcher: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static,
        ) {
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
        pub(crate) fn mend(&self) {
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
        /// much of the rest as happened to reach the disk.
        pub(crate) fn after_power_loss(&self, path: &Path) -> Vec<Vec<u8>> {
            let state = lock(&self.state);
            let inode = state.names.get(path.file_name().unwrap());
            let Some(image) = inode.and_then(|inode| state.files.get(inode)) else {
                return vec![Vec::new()];
            };
            let mut bytes = image.durable.clone();
            let mut all = vec![bytes.clone()];
            for change in &image.unsynced {
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
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::faulty::{Fault, FaultyDisk};
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Replaces what is in the file.
    fn replace(data: &mut DataFile, bytes: &[u8]) -> io::Result<()> {
        let replacement = data.begin_replacement()?;
        replacement.append(bytes)?;
        replacement.sync()?;
        data.become_replacement(replacement)?;
        data.sync_folder()
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_its_name_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let faulty = Arc::new(FaultyDisk::default());
        let disk: Arc<dyn Disk> = Arc::clone(&faulty) as _;
        let data = DataFile::open(&path, &disk).unwrap();
        assert_eq!(faulty.take_calls(), ["sync folder"]);
        assert_eq!(mode(&path), 0o600);
        data.append(b"\n").unwrap();
        drop((data, disk, faulty));

        let faulty = Arc::new(FaultyDisk::default());
        let disk: Arc<dyn Disk> = Arc::clone(&faulty) as _;
        DataFile::open(&path, &disk).unwrap();
        assert!(faulty.calls().is_empty(), "{faulty:?}");
    }

    #[test]
    fn a_file_whose_name_may_not_last_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let faulty = Arc::new(FaultyDisk::default());
        faulty.fail("sync folder", Fault::Nothing);
        let disk: Arc<dyn Disk> = faulty;
        let error = DataFile::open(&path, &disk).unwrap_err().to_string();
        assert!(error.contains("cannot sync the folder of"), "{error}");
        assert!(error.contains("data.jsonl"), "{error}");
    }

    #[test]
    fn a_replacement_has_the_mode_of_what_it_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        for wanted in [0o600, 0o640, 0o664, 0o666] {
            fs::write(&path, "old\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).unwrap();
            let mut data = DataFile::open(&path, &disk).unwrap();
            assert_eq!(mode(&path), wanted);
            replace(&mut data, b"new\n").unwrap();
            assert_eq!((mode(&path), fs::read(&path).unwrap()), (wanted, b"new\n".to_vec()));
            assert_eq!(names(folder.path()), ["data.jsonl"]);
        }
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("links"));
        fs::create_dir(&real).unwrap();
        fs::create_dir(&link).unwrap();
        let (path, link) = (real.join("data.jsonl"), link.join("link"));
        symlink(&path, &link).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut data = DataFile::open(&link, &disk).unwrap();
        replace(&mut data, b"new\n").unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), path);
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
        assert_eq!(names(&real), ["data.jsonl"]);
    }

    #[test]
    fn only_one_may_have_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("data.jsonl"), folder.path().join("link"));
        symlink(&path, &link).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut data = DataFile::open(&path, &disk).unwrap();
        for replaced in [false, true] {
            if replaced {
                replace(&mut data, b"new\n").unwrap();
            }
            for name in [&path, &link] {
                let error = DataFile::open(name, &disk).unwrap_err().to_string();
                let name = name.display().to_string();
                assert!(error.contains("another server has") && error.contains(&name), "{error}");
            }
        }
        drop(data);
        DataFile::open(&path, &disk).unwrap();
    }

    #[test]
    fn what_never_replaced_the_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let faulty = Arc::new(FaultyDisk::default());
        let disk: Arc<dyn Disk> = Arc::clone(&faulty) as _;
        let mut data = DataFile::open(&path, &disk).unwrap();
        data.append(b"old\n").unwrap();
        for call in ["append new", "sync new", "rename"] {
            faulty.fail(call, Fault::Half);
            replace(&mut data, b"new\n").unwrap_err();
            assert_eq!(names(folder.path()), ["data.jsonl"], "{call}");
            assert_eq!(fs::read(&path).unwrap(), b"old\n", "{call}");
        }
        drop((data, disk, faulty));

        // A crash leaves it there: the next start removes it.
        fs::write(folder.path().join("data.jsonl.snapshot-tmp"), "half a li").unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut data = DataFile::open(&path, &disk).unwrap();
        assert_eq!(names(folder.path()), ["data.jsonl"]);
        replace(&mut data, b"new\n").unwrap();
    }

    #[test]
    fn what_is_no_plain_file_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        for path in [folder.path(), Path::new("/dev/null")] {
            let error = DataFile::open(path, &disk).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        let missing = folder.path().join("no/data.jsonl");
        let error = format!("{:#}", DataFile::open(&missing, &disk).unwrap_err());
        assert!(error.contains("no/data.jsonl"), "{error}");
    }
}
