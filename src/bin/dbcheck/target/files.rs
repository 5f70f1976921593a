//! The files of the server: where it keeps its pairs, as far as the command tells.
//!
//! 1. A command with `{data}` or `{dir}` keeps them in a folder that is ours, and removed afterwards.
//! 2. A file that `--data` names is the user's. It is borrowed, and put back as it was.
//! 3. Of anything else only this is known: it is likely to be in the folder where the command was
//!    started, and what changes there during the run is named.

use std::path::{Path, PathBuf};

use crate::target::borrowed::{self, Borrowed};
use crate::target::command::{Places, is_in_folder};
use crate::target::folder::Folder;
use crate::target::workplace::Workplace;

/// What is known of them.
pub(crate) struct Files {
    folder: Folder,
    /// Whether the command uses that folder.
    is_apart: bool,
    data: Option<PathBuf>,
    borrowed: Option<Borrowed>,
    workplace: Option<Workplace>,
}

impl Files {
    /// Those of a server with this command, or of one that runs already.
    ///
    /// # Errors
    /// A sentence that says what could not be made, or copied.
    pub(crate) fn new(command: Option<&str>, data: Option<&str>) -> Result<Self, String> {
        let folder = Folder::new().map_err(|error| format!("no temporary folder: {error}"))?;
        let mut files =
            Files { folder, is_apart: false, data: None, borrowed: None, workplace: None };
        let Some(command) = command else { return Ok(files) };
        files.is_apart = is_in_folder(command);
        let in_command = command.contains("{data}").then_some("{data}");
        if let Some(file) = data.or(in_command) {
            let path = PathBuf::from(files.places(0).in_path(file));
            if !is_in_folder(file) {
                files.borrowed = Some(Borrowed::new(&path)?);
            }
            files.data = Some(path);
        }
        if !files.can_forget() {
            files.workplace = std::env::current_dir().ok().map(|here| Workplace::new(&here));
        }
        Ok(files)
    }

    /// What a command's `{port}`, `{data}` and `{dir}` are.
    pub(crate) fn places(&self, port: u16) -> Places<'_> {
        Places { port, folder: self.folder.path() }
    }

    /// The data file, if it is known.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The folder that the checker has made, if the command uses it.
    pub(crate) fn own_folder(&self) -> Option<&Path> {
        self.is_apart.then(|| self.folder.path())
    }

    /// Whether they can be made as they were before the run. If not, the pairs may be somebody's: the
    /// server runs already, or keeps them where it always does.
    pub(crate) fn can_forget(&self) -> bool {
        self.is_apart || self.borrowed.is_some()
    }

    /// Makes a fresh start possible: what is in the folder that the checker made goes, and a file of
    /// the user's is as it was.
    pub(crate) fn forget(&self) -> bool {
        match self.own_folder() {
            Some(folder) => {
                std::fs::remove_dir_all(folder).is_ok() && std::fs::create_dir(folder).is_ok()
            }
            None => borrowed::renew(),
        }
    }

    /// What is to be said of the user's files before the first start.
    pub(crate) fn notice(&self) -> Option<String> {
        let file = self.data.as_ref().filter(|_| self.borrowed.is_some())?;
        Some(format!(
            "{} is written to, cut and damaged; its copy is in {}/ until it is put back at the end",
            file.display(),
            Borrowed::copy_of(file).display()
        ))
    }

    /// What is to be said of them after the run.
    pub(crate) fn note(&self) -> Option<String> {
        let changed = self.workplace.as_ref()?.changed();
        let (first, others) = changed.split_first()?;
        let others = match others.len() {
            0 => String::new(),
            number => format!(" and {number} more"),
        };
        Some(format!(
            "In this folder {}{others} changed meanwhile: a file that the server keeps here was \
             written to, and may be damaged by the kills. To keep it out of a run, start it in a \
             folder that is removed afterwards, with --cmd 'cd {{dir}} && …', or name the file with \
             --data FILE, and it is put back.",
            first.display(),
        ))
    }
}
