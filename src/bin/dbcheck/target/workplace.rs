//! The workplace: the folder in which the checker, and so the command, was started.
//!
//! A command without `{data}`, `{dir}` or `--data` keeps its file somewhere, and most keep it here.
//! Checks kill the server while it writes. If files changed, that is said, with the way to keep
//! them out of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders with more are not looked through to the end.
const MOST_FILES: usize = 5_000;

/// How deep to look.
const DEPTH: usize = 3;

/// Where programs keep what can be made again.
const NOT_DATA: &[&str] = &["target", "node_modules", "__pycache__", "build", "dist", "venv"];

/// Files with their size and time of change.
type Files = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// The files as they were before the first start.
pub(crate) struct Workplace {
    folder: PathBuf,
    before: Files,
}

impl Workplace {
    pub(crate) fn new(folder: &Path) -> Self {
        let mut before = Files::new();
        look(folder, DEPTH, &mut before);
        Workplace { folder: folder.to_path_buf(), before }
    }

    /// Files that were changed or made since, by name.
    pub(crate) fn changed(&self) -> Vec<PathBuf> {
        let mut now = Files::new();
        look(&self.folder, DEPTH, &mut now);
        now.into_iter()
            .filter(|(path, about)| self.before.get(path) != Some(about) && !is_our_output(path))
            .map(|(path, _)| {
                path.strip_prefix(&self.folder).map_or(path.clone(), Path::to_path_buf)
            })
            .collect()
    }
}

fn look(folder: &Path, depth: usize, files: &mut Files) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if files.len() >= MOST_FILES {
            return;
        }
        let name = entry.file_name();
        let Ok(about) = entry.metadata() else { continue };
        if about.is_file() {
            files.insert(entry.path(), (about.len(), about.modified().ok()));
        } else if about.is_dir() && depth > 1 {
            let name = name.to_string_lossy();
            if !name.starts_with('.') && !NOT_DATA.contains(&name.as_ref()) {
                look(&entry.path(), depth - 1, files);
            }
        }
    }
}

/// Whether our own report goes there.
fn is_our_output(path: &Path) -> bool {
    let Ok(file) = fs::metadata(path) else { return false };
    let same = |fd: &str| {
        fs::metadata(fd).is_ok_and(|ours| (ours.dev(), ours.ino()) == (file.dev(), file.ino()))
    };
    same("/dev/fd/1") || same("/dev/fd/2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_was_changed_or_made_and_leaves_out_what_is_built() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for name in ["server.py", "store.json", "data/log", "target/x", ".git/index"] {
            write(name, "before");
        }
        let workplace = Workplace::new(folder.path());
        assert_eq!(workplace.changed(), [""; 0].map(PathBuf::from));
        for name in ["store.json", "data/log", "data/new", "target/x", ".git/index"] {
            write(name, "changed");
        }
        assert_eq!(workplace.changed(), ["data/log", "data/new", "store.json"].map(PathBuf::from));
    }
}
