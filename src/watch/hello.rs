//! The hello: what there is already when somebody comes to look.
//!
//! It is the first line of a trace, and what a page begins with, also after the server was started again. What
//! events do not tell is kept here while nobody looks: the size of the file.
//!
//! Next: [`crate::watch::room`], how many events may wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::watch::stage::FileStep;

/// The fields of the first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The program's version.
    pub version: String,
    /// When `t` was 0: milliseconds since 1970.
    pub start: u64,
    /// Where the pairs are kept.
    #[serde(default)]
    pub kept: Kept,
    /// What `--sync` says, which is about a file only: `always`, `never`, or an interval such as `100ms`.
    pub sync: String,
    /// How long a client may take, and how much there may be.
    pub limits: Limits,
    /// The data file, if there is one.
    pub file: Option<FileSize>,
    /// The connections that are open.
    pub open: Vec<Open>,
}

/// Where pairs are kept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// In the data file.
    #[default]
    File,
    /// In memory alone.
    Memory,
    /// In an etcd cluster.
    Etcd,
}

/// How long a client may take, in milliseconds, and how much there may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is explained in `crate::config`")]
pub struct Limits {
    pub head_ms: u64,
    pub body_ms: u64,
    pub idle_ms: u64,
    pub write_ms: u64,
    pub head_bytes: usize,
    pub connections: usize,
}

/// How large the data file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSize {
    /// Its length.
    pub bytes: u64,
    /// Its records, live and dead.
    pub records: u64,
    /// The live ones.
    pub keys: u64,
}

/// An open connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Its number.
    pub c: u64,
    /// The client's address and port.
    pub peer: String,
    /// What it does.
    pub state: State,
}

/// What a connection does, as far as was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing of a request is there.
    Idle,
    /// A request has begun.
    Begun,
    /// A request is being answered.
    Answering,
}

/// The file's size, if there is a file.
#[derive(Debug, Default)]
pub(crate) struct FileNow {
    is_there: AtomicBool,
    bytes: AtomicU64,
    records: AtomicU64,
    keys: AtomicU64,
}

impl FileNow {
    /// It is this large now.
    pub(crate) fn set(&self, bytes: u64, records: u64, keys: usize) {
        self.bytes.store(bytes, Relaxed);
        self.records.store(records, Relaxed);
        self.keys.store(keys as u64, Relaxed);
    }

    /// It has come this far.
    pub(crate) fn note(&self, step: FileStep, bytes: u64, records: u64, keys: Option<usize>) {
        // In between, these are the sizes of a file that may never take the name.
        if let (FileStep::Opened | FileStep::Replaced | FileStep::StartedOver, Some(keys)) =
            (step, keys)
        {
            self.set(bytes, records, keys);
            self.is_there.store(true, Relaxed);
        }
    }

    /// How large it is, if there is one.
    pub(crate) fn size(&self) -> Option<FileSize> {
        let FileNow { is_there, bytes, records, keys } = self;
        let size = FileSize {
            bytes: bytes.load(Relaxed),
            records: records.load(Relaxed),
            keys: keys.load(Relaxed),
        };
        is_there.load(Relaxed).then_some(size)
    }
}
