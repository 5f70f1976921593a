//! The folder: where a server that is started keeps its files, removed afterwards.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The folder, for whoever must remove it when the checker itself is ended.
static OURS: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Removes it at once.
pub(crate) fn abandon() {
    if let Some(folder) = OURS.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// A folder for the server's files, removed afterwards.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> std::io::Result<Self> {
        let base: &Path = &std::env::temp_dir();
        for number in 0..1000 {
            let folder = base.join(format!("dbcheck-{}-{number}", std::process::id()));
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => {
                    made?;
                    *OURS.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.clone());
                    return Ok(Folder(folder));
                }
            }
        }
        Err(std::io::Error::other("no name for a temporary folder is free"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
