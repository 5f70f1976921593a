//! Beside the data file: the replacement that takes its place, and what was cut from it.
//!
//! 1. A replacement may be read and written by the same people as the file that it replaces: it has
//!    the same owner, mode and access list (ACL), or does not take the name.
//! 2. Names have a limit: most file systems take 255 bytes. If the suffix does not fit any more, a
//!    hash of the file's own name takes the place of its end, so that two long names stay
//!    different.
//! 3. What was cut is never thrown away, and never written over what is there already.
//!
//! The naive version writes `FILE.tmp` with the mode that new files have: a file that was its owner's
//! alone can be read by everybody after the first compaction.
//!
//! Next: [`crate::store::tail`], what a crash leaves at the end of the file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use crate::store::disk::{Id, OpenFile};

/// How long a name may be, in bytes.
const LONGEST_NAME: usize = 255;

/// How much is copied at a time, in bytes.
const PIECE: usize = 64 << 10;

/// A file that is about to take the place of the data file. It is removed if it never does.
#[derive(Debug)]
pub(crate) struct Replacement {
    file: OpenFile,
    id: Id,
    path: PathBuf,
}

impl Replacement {
    /// Makes an empty file beside `old`, whose path is `path`, for the same people, and locks it.
    ///
    /// # Errors
    /// Those of the operating system; a sentence where it can't be for the same people.
    pub(crate) fn begin(old: &OpenFile, path: &Path) -> io::Result<Self> {
        let path = replacement_path(path);
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let why = "the data file is being compacted, or its folder has a file with the name \
                           of the new one";
                io::Error::new(error.kind(), why)
            }
            io::ErrorKind::PermissionDenied => {
                io::Error::new(error.kind(), "no file may be made beside the data file")
            }
            _ => error,
        })?;
        let id = Id::of(&file.metadata()?);
        let replacement = Replacement { file: OpenFile::new(file, &old.disk), id, path };
        let new = &replacement.file.file;
        give_to_the_same_people(&old.file, new)?;
        new.try_lock()?;
        Ok(replacement)
    }

    /// As [`OpenFile::append`].
    pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }

    /// Appends a range of `old`, and returns how long it is.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn copy(&self, old: &OpenFile, range: Range<u64>) -> io::Result<u64> {
        let mut buffer = vec![0; PIECE];
        let mut at = range.start;
        while at < range.end {
            let piece = usize::try_from(range.end - at).unwrap_or(PIECE).min(PIECE);
            old.file.read_exact_at(&mut buffer[..piece], at)?;
            self.append(&buffer[..piece])?;
            at += piece as u64;
        }
        Ok(range.end - range.start)
    }

    /// As [`OpenFile::sync`].
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Takes the name `path` from the file that has it, and returns the open file.
    ///
    /// # Errors
    /// Where it could not be renamed. It is removed then.
    pub(crate) fn take_name(self, path: &Path) -> io::Result<(OpenFile, Id)> {
        if !self.is_there() {
            return Err(io::Error::other("the new file was removed or replaced"));
        }
        self.file.disk.rename(&self.path, path)?;
        Ok((self.file.clone(), self.id))
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|now| Id::of(&now) == self.id)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After the rename there is nothing left under this name, or what is there is another's.
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives a new file the owner, the access list and the mode of the old one.
fn give_to_the_same_people(old: &File, new: &File) -> io::Result<()> {
    let (was, is) = (old.metadata()?, new.metadata()?);
    if (was.uid(), was.gid()) != (is.uid(), is.gid()) {
        // Where this is not allowed, the old file goes on: others than before must not read it.
        fchown(new, Some(was.uid()), Some(was.gid())).map_err(|error| {
            let why = format!("the new file could not be given the owner of the old one: {error}");
            io::Error::new(error.kind(), why)
        })?;
    }
    access_list::copy(old, new).map_err(|error| {
        let why =
            format!("the new file could not be given the access list of the old one: {error}");
        io::Error::new(error.kind(), why)
    })?;
    // At the end: without the access list, the mode's group bits may allow more than was meant.
    new.set_permissions(was.permissions())
}

/// POSIX access lists (acl(5)), which Linux keeps in an extended attribute.
#[cfg(target_os = "linux")]
mod access_list {
    use std::fs::File;
    use std::io;

    use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
    use rustix::io::Errno;

    pub(super) const NAME: &str = "system.posix_acl_access";

    /// Gives `new` the list of `old`, or none where `old` has none: a folder can hand down one.
    pub(super) fn copy(old: &File, new: &File) -> io::Result<()> {
        // The largest attribute that Linux has.
        let mut list = vec![0; 64 << 10];
        let done = match fgetxattr(old, NAME, &mut list[..]) {
            Ok(length) => fsetxattr(new, NAME, &list[..length], XattrFlags::empty()),
            Err(Errno::NODATA) => fremovexattr(new, NAME),
            Err(error) => Err(error),
        };
        match done {
            // There was none, or the file system has no such lists.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
            result => Ok(result?),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod access_list {
    use std::fs::File;
    use std::io;

    /// What macOS keeps can't be read without `unsafe`.
    #[expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
    pub(super) fn copy(_old: &File, _new: &File) -> io::Result<()> {
        Ok(())
    }
}

/// Copies what `file`, whose path is `path`, holds from `offset` on into a new file beside it, and
/// returns its name when that and the bytes are durable.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn put_aside(file: &OpenFile, path: &Path, offset: u64) -> io::Result<PathBuf> {
    let mut bytes = vec![0; usize::try_from(file.length()? - offset).unwrap_or(usize::MAX)];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    for attempt in 1.. {
        let again = if attempt == 1 { String::new() } else { format!("-{attempt}") };
        let aside = beside(path, &format!(".cut-at-{offset}{again}"));
        match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&aside) {
            Ok(new) => {
                let new = OpenFile::new(new, &file.disk);
                if let Err(error) = new.append(&bytes).and_then(|()| new.sync()) {
                    // Else each start on a full disk would leave one more.
                    let _ = fs::remove_file(&aside);
                    return Err(error);
                }
            }
            // A start that was killed just here has left the same bytes.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !holds(&aside, &bytes) {
                    continue;
                }
            }
            Err(error) => return Err(error),
        }
        return Ok(aside);
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn holds(path: &Path, bytes: &[u8]) -> bool {
    let mut found = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(bytes.len() as u64 + 1).read_to_end(&mut found));
    read.is_ok() && found == bytes
}

/// The folder that has the file at `path`.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// The name of the file that is about to replace the one at `path`.
pub(crate) fn replacement_path(path: &Path) -> PathBuf {
    beside(path, ".snapshot-tmp")
}

/// The name of the file at `path`, with a suffix.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    if name.len() + suffix.len() <= LONGEST_NAME {
        let mut name = name.to_os_string();
        name.push(suffix);
        return path.with_file_name(name);
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let suffix = format!("-{:016x}{suffix}", hasher.finish());
    // Some file systems take no half of a character.
    let kept = String::from_utf8_lossy(&name.as_bytes()[..LONGEST_NAME - suffix.len() - 4]);
    let kept = kept.trim_end_matches(char::REPLACEMENT_CHARACTER).to_string() + &suffix;
    path.with_file_name(OsString::from_vec(kept.into_bytes()))
}

#[cfg(test)]
mod tests;
