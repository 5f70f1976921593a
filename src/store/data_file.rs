//! The data file: opened once, locked, and replaced only as a whole.
//!
//! 1. One server at a time. The lock is on the file itself, so that no second file lies about; it
//!    ends with the process, however that ends. Each replacement is locked before it takes the
//!    name, and whoever opened the old file looks again after locking: the name may have moved.
//! 2. The name can be taken from a file that is open: by `rm`, by `mv`, by a backup that is put in its
//!    place. What is written then is lost with the last handle, and a rename would overwrite what is
//!    not ours. So [`DataFile::look`] asks, before each write and each rename, whose the name is.
//! 3. Symbolic links are followed once, at the start: a snapshot replaces the file that the link
//!    points to, not the link.
//! 4. A name is durable only when the *folder* is synced. That step is the one that naive versions
//!    of "write a temporary file and rename it" leave out.
//!
//! Next: [`crate::store::beside`], the files that it has beside it.

use std::cell::Cell;
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustix::io::Errno;

use crate::store::beside::{self, Replacement};
use crate::store::disk::{Disk, Id, OpenFile};
use crate::watch::warning::warn;

/// How often to open the file where its name has moved each time.
const OPEN_TRIES: u32 = 100;

/// The data file, open and locked.
#[derive(Debug)]
pub(crate) struct DataFile {
    file: OpenFile,
    id: Id,
    /// The name that it was opened by.
    name: PathBuf,
    /// Where it is, symbolic links resolved.
    path: PathBuf,
    /// Whether the file system can sync a folder.
    folder_syncs: Cell<bool>,
    /// Whether it was said that the name is not this file's any more.
    said_lost: Cell<bool>,
}

impl DataFile {
    /// Opens the file at `path`, makes it if need be, and locks it.
    ///
    /// # Errors
    /// Where it can't be read and written, is not a plain file, or another server has it.
    pub(crate) fn open(path: &Path, disk: &Arc<dyn Disk>) -> anyhow::Result<Self> {
        let shown = path.display();
        let name = std::path::absolute(path).with_context(|| format!("cannot find {shown}"))?;
        for _ in 0..OPEN_TRIES {
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                // For its owner alone, if we make it.
                .mode(0o600)
                .open(&name)
                .with_context(|| {
                    format!("cannot open {shown} to read and write: give another file with --data")
                })?;
            let found = file.metadata().with_context(|| format!("cannot look at {shown}"))?;
            if !found.is_file() {
                bail!("{shown} is not a plain file: give another with --data");
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => bail!(
                    "another server has {shown} open: stop it, or give another file with --data"
                ),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| {
                        format!("cannot lock {shown}: give another file with --data")
                    });
                }
            }
            let path =
                fs::canonicalize(&name).with_context(|| format!("cannot find {shown} again"))?;
            let id = Id::of(&found);
            if fs::metadata(&path).is_ok_and(|now| Id::of(&now) == id) {
                let file = OpenFile::new(file, disk);
                let (folder_syncs, said_lost) = (Cell::new(true), Cell::new(false));
                let data = DataFile { file, id, name, path, folder_syncs, said_lost };
                // Only a process that held the lock makes this file, and we hold it now.
                let _ = fs::remove_file(beside::replacement_path(&data.path));
                // The file, or its last replacement, may be new: its name has to be durable too.
                data.sync_folder().with_context(|| {
                    format!(
                        "cannot sync the folder of {}: check the disk, or give another file with \
                         --data",
                        data.path.display()
                    )
                })?;
                return Ok(data);
            }
            // A compaction replaced the file between our open and our lock: that server has just
            // ended, or it still holds the lock on the new file.
        }
        bail!("{shown} is another file each time it is looked at: give another with --data")
    }

    /// Where it is, symbolic links resolved.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is open.
    pub(crate) fn file(&self) -> &OpenFile {
        &self.file
    }

    /// Checks that the file still has its name, and returns how long it is.
    ///
    /// # Errors
    /// Where the name is gone, or another file's. That is said once.
    pub(crate) fn look(&self) -> io::Result<u64> {
        match fs::metadata(&self.name) {
            Ok(found) if Id::of(&found) == self.id => {
                self.said_lost.set(false);
                return Ok(found.len());
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if !self.said_lost.replace(true) {
            warn(format_args!(
                "{} was removed, moved or replaced while the server has it open: sets are refused \
                 until it is put back, or the server is started again",
                self.name.display()
            ));
        }
        Err(lost())
    }

    /// Makes an empty file that can take the place of this one.
    ///
    /// # Errors
    /// Those of [`Replacement::begin`].
    pub(crate) fn begin_replacement(&self) -> io::Result<Replacement> {
        Replacement::begin(&self.file, &self.path)
    }

    /// Puts the replacement, which must be synced, in the place of this file.
    ///
    /// # Errors
    /// Where the name is not this file's any more, or the rename failed: this is still the old file.
    pub(crate) fn become_replacement(&mut self, replacement: Replacement) -> io::Result<()> {
        self.look()?;
        // The name that is taken is not always the one that was given: that may be a link.
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|now| Id::of(&now) == self.id);
        if !is_ours {
            return Err(lost());
        }
        (self.file, self.id) = replacement.take_name(&self.path)?;
        Ok(())
    }

    /// Makes the last rename durable, where the file system can. Where it can't, that is said once.
    ///
    /// # Errors
    /// See [`Disk::sync_folder`].
    pub(crate) fn sync_folder(&self) -> io::Result<()> {
        if !self.folder_syncs.get() {
            return Ok(());
        }
        let result = self.file.disk.sync_folder(beside::folder(&self.path));
        let Err(error) = &result else { return Ok(()) };
        // FUSE, CIFS and 9p have one of these. EIO, or no right to read the folder, is another matter.
        let cannot = [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS];
        if !Errno::from_io_error(error).is_some_and(|errno| cannot.contains(&errno)) {
            return result;
        }
        self.folder_syncs.set(false);
        warn(format_args!(
            "the file system of {} cannot sync a folder ({error}): after a loss of power the file \
             may be missing, or as it was before its last compaction",
            self.path.display()
        ));
        Ok(())
    }
}

fn lost() -> io::Error {
    let why =
        "the data file was removed, moved or replaced; put it back, or start the server again";
    io::Error::new(io::ErrorKind::NotFound, why)
}

#[cfg(test)]
mod tests;
