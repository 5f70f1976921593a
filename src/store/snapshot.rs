//! The snapshot: a file with one line for each pair, and no dead ones.
//!
//! The map's shards are written one by one, each under its own lock, so that nobody waits for long.
//! What is set meanwhile may be in it or not: whoever needs it there adds it ([`crate::store::compaction`])
//! or lets nobody set anything ([`crate::store::journal`], after a failed sync).
//!
//! The file is synced every mebibyte: one large sync at the end would hold up the syncs of all sets
//! that wait for the same disk.
//!
//! Next: [`crate::store::compaction`], which keeps the file from growing for ever.

use std::io;

use crate::store::beside::Replacement;
use crate::store::map::{Map, SHARDS};
use crate::watch::stage::{FileStep, Stage, reached};

/// How much of the new file is synced at a time, in bytes.
const SYNC_EVERY: usize = 1 << 20;

/// How large a file is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    pub(crate) records: u64,
}

impl Size {
    /// Tells those who watch what has become of a file of this size.
    pub(crate) fn say(self, step: FileStep, keys: Option<usize>) {
        let Size { bytes, records } = self;
        reached(Stage::File { step, bytes, records, keys });
    }
}

/// Writes a line for each pair of `map`, syncs them, and returns how much that is.
///
/// # Errors
/// Those of the disk, and those of `go_on`, which is asked now and then.
pub(crate) fn write(
    replacement: &Replacement,
    map: &Map,
    go_on: impl Fn() -> io::Result<()>,
) -> io::Result<Size> {
    let mut size = Size { bytes: 0, records: 0 };
    let mut lines = Vec::new();
    for shard in 0..SHARDS {
        go_on()?;
        size.records += map.write_shard(shard, &mut lines);
        if lines.len() >= SYNC_EVERY || shard == SHARDS - 1 {
            replacement.append(&lines)?;
            replacement.sync()?;
            size.bytes += lines.len() as u64;
            lines.clear();
        }
    }
    Ok(size)
}
