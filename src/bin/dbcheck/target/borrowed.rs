//! The user's own data file, borrowed: a copy is kept beside it for the whole run, and everything is
//! put back on every way out.
//!
//! A run fills the file with its own pairs, kills the server while it writes, and cuts and damages
//! what is there. Whoever gave `--data FILE` gets it back as it was:
//!
//! 1. The copy is made before the first start, in `FILE.before-dbcheck/`, and goes when all is back.
//!    Where it is left, because the machine or the checker was killed, the next run does not begin.
//! 2. A store may be more than one file: `FILE` with a journal `FILE-wal` is not what `FILE` alone
//!    was. So all files beside it whose names begin with its name are copied and put back, and new
//!    ones of that kind go.
//! 3. They are written in place: owner, links and access lists stay.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the name of the folder with the copy ends in.
const COPY: &str = ".before-dbcheck";

/// What is borrowed, for whoever must put it back when the checker itself is ended.
static BORROWED: Mutex<Option<Files>> = Mutex::new(None);

/// A file that is borrowed until this is dropped.
pub(crate) struct Borrowed(());

impl Borrowed {
    /// Copies the file, if it is there, and those that belong to it.
    ///
    /// # Errors
    ///
    /// A sentence, where there is no copy: then nothing may write to the file.
    pub(crate) fn new(file: &Path) -> Result<Self, String> {
        let files = Files::copied(file)?;
        *BORROWED.lock().unwrap_or_else(PoisonError::into_inner) = Some(files);
        Ok(Borrowed(()))
    }

    /// Where the copy of this file is kept meanwhile.
    pub(crate) fn copy_of(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_os_string();
        name.push(COPY);
        name.into()
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        put_back(&mut BORROWED.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Writes to a data file that may be borrowed: never after it was put back.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let _borrowed = BORROWED.lock().unwrap_or_else(PoisonError::into_inner);
    fs::write(file, bytes)
}

/// Makes what is borrowed as it was, while it stays borrowed. Nothing may run that writes to it.
pub(crate) fn renew() -> bool {
    let borrowed = BORROWED.lock().unwrap_or_else(PoisonError::into_inner);
    borrowed.as_ref().is_some_and(|files| files.restore().is_ok())
}

/// Puts back what is borrowed. From then on nothing is written to it: whoever tries waits until the
/// checker itself is over.
pub(crate) fn abandon() {
    let mut borrowed = BORROWED.lock().unwrap_or_else(PoisonError::into_inner);
    put_back(&mut borrowed);
    std::mem::forget(borrowed);
}

/// Nothing may run that writes to the file.
fn put_back(borrowed: &mut Option<Files>) {
    let Some(files) = borrowed.take() else { return };
    if let Err(error) = files.put_back() {
        let (file, copy) = (files.file.display(), files.copy.display());
        eprintln!("dbcheck: {file} could not be put back: {error}. As it was, it is in {copy}/");
    }
}

/// A file, those beside it that belong to it, and where their copies are.
struct Files {
    file: PathBuf,
    copy: PathBuf,
    /// The names that were there.
    names: Vec<OsString>,
}

impl Files {
    fn copied(file: &Path) -> Result<Self, String> {
        // A symbolic link stays one, and its target is what is written to.
        let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
        let copy = Borrowed::copy_of(&file);
        let show = copy.display();
        fs::create_dir(&copy).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!(
                "{show}/ holds the data of before a run that was killed: put it back in place, or \
                 remove it"
            ),
            _ => format!("no copy of {} can be kept in {show}: {error}", file.display()),
        })?;
        let mut files = Files { file, copy, names: Vec::new() };
        match files.copy_all() {
            Ok(()) => Ok(files),
            Err(error) => {
                let _ = fs::remove_dir_all(&files.copy);
                Err(format!("{} can't be copied: {error}", files.file.display()))
            }
        }
    }

    fn copy_all(&mut self) -> io::Result<()> {
        for name in self.there()? {
            let copy = self.copy.join(&name);
            fs::copy(self.beside(&name), &copy)?;
            fs::File::open(copy)?.sync_all()?;
            self.names.push(name);
        }
        Ok(())
    }

    fn beside(&self, name: &OsString) -> PathBuf {
        self.file.with_file_name(name)
    }

    /// The names of files that begin with the file's name.
    fn there(&self) -> io::Result<Vec<OsString>> {
        let name = self.file.file_name().unwrap_or_default().as_encoded_bytes();
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut names = Vec::new();
        for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
            let entry = entry?;
            let is_file = fs::metadata(entry.path()).is_ok_and(|about| about.is_file());
            if is_file && entry.file_name().as_encoded_bytes().starts_with(name) {
                names.push(entry.file_name());
            }
        }
        Ok(names)
    }

    fn put_back(&self) -> io::Result<()> {
        self.restore()?;
        fs::remove_dir_all(&self.copy)
    }

    /// Makes everything as it was, and keeps the copy.
    fn restore(&self) -> io::Result<()> {
        for name in &self.names {
            let (from, to) = (self.copy.join(name), self.beside(name));
            // What did not change is not written.
            if fs::read(&from)? != fs::read(&to).unwrap_or_default() || !to.exists() {
                fs::copy(&from, &to)?;
                fs::File::open(&to)?.sync_all()?;
            }
        }
        for name in self.there()?.iter().filter(|name| !self.names.contains(name)) {
            fs::remove_file(self.beside(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_what_belongs_to_it_are_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("data"), "precious").unwrap();
        fs::write(at("data-wal"), "more").unwrap();
        fs::write(at("other"), "not ours").unwrap();
        std::os::unix::fs::symlink(at("data"), at("link")).unwrap();

        let files = Files::copied(&at("link")).unwrap();
        assert!(at("data.before-dbcheck").join("data").exists());
        // Once in the middle, and then for good.
        fs::write(at("data"), "changed").unwrap();
        files.restore().unwrap();
        assert_eq!(fs::read_to_string(at("data")).unwrap(), "precious");
        fs::write(at("data"), "").unwrap();
        fs::remove_file(at("data-wal")).unwrap();
        fs::write(at("data.tmp"), "new").unwrap();
        fs::write(at("other"), "changed by others").unwrap();
        files.put_back().unwrap();

        let text = |name: &str| fs::read_to_string(at(name)).unwrap();
        assert_eq!((text("data").as_str(), text("data-wal").as_str()), ("precious", "more"));
        assert_eq!(
            (text("other").as_str(), text("link").as_str()),
            ("changed by others", "precious")
        );
        assert!(!at("data.tmp").exists() && !at("data.before-dbcheck").exists());
    }

    #[test]
    fn a_file_that_was_not_there_is_not_there_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        let files = Files::copied(&file).unwrap();
        fs::write(&file, "pairs of the run").unwrap();
        files.put_back().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_copy_that_was_left_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        fs::write(&file, "cut").unwrap();
        fs::create_dir(Borrowed::copy_of(&file)).unwrap();
        let sentence = Files::copied(&file).err().unwrap();
        assert!(sentence.contains("data.before-dbcheck/ holds the data of before"), "{sentence}");
    }
}
