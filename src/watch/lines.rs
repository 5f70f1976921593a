//! The lines: the events in a file, for `--trace-file`.
//!
//! The file is emptied at the start, and made for its owner alone where there is none: keys and values are in it.
//! Where it can't be written any more there is one warning, and the server goes on without.
//!
//! The naive version opens it as any file is opened for writing, and `--trace-file data.jsonl` empties the data.
//!
//! Next: [`crate::watch::trace`], the events on a terminal.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::watch::event::Event;
use crate::watch::room::Sink;
use crate::watch::warning::warn;

/// A file with a line for each event.
pub(crate) struct Lines<W: Write> {
    file: BufWriter<W>,
    failed: bool,
}

impl Lines<File> {
    /// Those in the file at `path`, which must not be `data`.
    ///
    /// # Errors
    /// Where it can't be written, or is the data file.
    pub(crate) fn in_file(path: &Path, data: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Lines { file: BufWriter::new(open(path, data)?), failed: false })
    }
}

impl<W: Write + Send> Sink for Lines<W> {
    fn take(&mut self, _: &Event, line: &Arc<str>) {
        if !self.failed
            && let Err(error) = writeln!(self.file, "{line}")
        {
            self.failed = true;
            warn(format_args!("the trace file ends here: {error}"));
        }
    }

    fn flush(&mut self) -> bool {
        if !self.failed
            && let Err(error) = self.file.flush()
        {
            self.failed = true;
            warn(format_args!("the trace file ends here: {error}"));
        }
        !self.failed
    }
}

fn open(path: &Path, data: Option<&Path>) -> anyhow::Result<File> {
    let name = path.display();
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.with_context(|| format!("--trace-file: cannot write {name}"))?;
    let found = file.metadata().with_context(|| format!("--trace-file: cannot look at {name}"))?;
    if let Some(data) = data.and_then(|path| path.metadata().ok())
        && (data.dev(), data.ino()) == (found.dev(), found.ino())
    {
        bail!("--trace-file: {name} is the data file: give another");
    }
    if found.is_file() {
        file.set_len(0).with_context(|| format!("--trace-file: cannot empty {name}"))?;
    }
    Ok(file)
}
