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
//! Next: [`crate::store::replay`], which reads the file at the start.

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
    /// As [`Disk::append`].
    ///
    /// # Errors
    /// As there.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.append(&self.file, bytes)
    }

    /// As [`Disk::sync`].
    ///
    /// # Errors
    /// As there.
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
            let found =
                file.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
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
                // The file, or its last replacement, may be new: its name has to be durable too.
                data.sync_folder().with_context(|| {
                    format!("cannot sync the folder of {}", data.path.display())
                })?;
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

    /// As [`Disk::append`].
    ///
    /// # Errors
    /// As there.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.append(&self.file, bytes)
    }

    /// As [`Disk::sync`].
    ///
    /// # Errors
    /// As there.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }

    /// As [`Disk::truncate`].
    ///
    /// # Errors
    /// As there.
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

#[cfg(test)]
pub(crate) mod faulty;

#[cfg(test)]
mod tests;
