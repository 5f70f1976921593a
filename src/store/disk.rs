//! The disk: the five calls to the operating system on which durability rests.
//!
//! They are the methods of a trait, so that a test can watch their order, make each of them fail, and
//! ask what a loss of power would leave.
//!
//! The naive version calls [`File`] wherever it needs to, and nobody ever sees an fsync fail.
//!
//! Next: [`crate::store::data_file`], the file that the lines are in.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

/// The calls to the operating system on which durability rests.
pub(crate) trait Disk: Debug + Send + Sync {
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
pub(crate) struct RealDisk;

impl Disk for RealDisk {}

/// Which file it is, whatever its name: the device and the inode. No other file has the two as long
/// as this one is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(u64, u64);

impl Id {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Id(metadata.dev(), metadata.ino())
    }
}

/// An open file on a disk. A clone is the same open file, for another thread.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    pub(crate) file: Arc<File>,
    pub(crate) disk: Arc<dyn Disk>,
}

impl OpenFile {
    pub(crate) fn new(file: File, disk: &Arc<dyn Disk>) -> Self {
        OpenFile { file: Arc::new(file), disk: Arc::clone(disk) }
    }

    /// As [`Disk::append`].
    pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.append(&self.file, bytes)
    }

    /// As [`Disk::sync`].
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Cuts it to `length` bytes. It never becomes longer: that would fill it with zeros.
    pub(crate) fn cut(&self, length: u64) -> io::Result<()> {
        let now = self.length()?;
        if now < length {
            return Err(io::Error::other("the data file is shorter than it was"));
        }
        if now == length { Ok(()) } else { self.disk.truncate(&self.file, length) }
    }

    /// Reads what is at `offset`, and returns how many bytes that was; 0 at the end.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Whether it is the same open file.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

/// An error of the disk, as people are told of it: a part of a sentence.
pub(crate) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        // A sentence of ours.
        _ if error.get_ref().is_some() => error.to_string(),
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
        io::ErrorKind::FileTooLarge => "the data file may not grow any larger".into(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".into(),
        _ => format!("the disk reports an error: {error}"),
    }
}

#[cfg(test)]
pub(crate) mod faulty;

#[cfg(test)]
mod tests {
    use io::ErrorKind as K;

    use super::*;

    #[test]
    fn errors_of_the_disk_are_told_in_words() {
        for (error, words) in [
            (K::StorageFull.into(), "the disk is full"),
            (K::QuotaExceeded.into(), "the disk quota is used up"),
            (K::FileTooLarge.into(), "the data file may not grow any larger"),
            (K::ReadOnlyFilesystem.into(), "the file system is read-only"),
            (K::PermissionDenied.into(), "the disk reports an error: permission denied"),
            (io::Error::new(K::StorageFull, "all of it is gone"), "all of it is gone"),
        ] {
            assert_eq!(in_words(&error), words);
        }
    }

    #[test]
    fn a_cut_never_makes_a_file_longer() {
        let file = tempfile::tempfile().unwrap();
        let file = OpenFile::new(file, &(Arc::new(RealDisk) as Arc<dyn Disk>));
        file.append(b"abc").unwrap();
        file.cut(4).unwrap_err();
        assert_eq!(file.length().unwrap(), 3);
        for length in [3, 1] {
            file.cut(length).unwrap();
            assert_eq!(file.length().unwrap(), length);
        }
    }

    /// What can't be synced is here a file and a folder that are on no disk.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_sync_is_as_good_as_the_system_says() {
        RealDisk.sync(&File::open("/dev/null").unwrap()).unwrap_err();
        RealDisk.sync_folder(Path::new("/proc")).unwrap_err();
    }

    /// Only what was interrupted is read again.
    #[test]
    fn what_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::open(folder.path()).unwrap();
        let file = OpenFile::new(file, &(Arc::new(RealDisk) as Arc<dyn Disk>));
        file.read_at(&mut [0], 0).unwrap_err();
    }

    #[test]
    fn a_clone_is_the_same_file_and_another_of_its_name_is_not() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let [one, other] =
            [(), ()].map(|()| OpenFile::new(File::open(named.path()).unwrap(), &disk));
        assert!(one.is(&one.clone()) && !one.is(&other));
    }
}
