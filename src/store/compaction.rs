//! The compaction: a file with more dead lines than live ones is replaced by a snapshot.
//!
//! A line is dead when a later one has its key. Nobody waits for a compaction: requests are
//! answered while it goes on, and what they set is in the new file too.
//!
//! ```text
//!  old file  ├── lines ───────────────┤a├── set meanwhile ──┤b├ c ┤
//!                     1. the map, shard by shard      2. copy     3. copy the rest, sync,
//!                                  │                     │           rename, sync the folder
//!  new file                ├─ one line a key ─┤├── set meanwhile ─┤├ c ┤
//! ```
//!
//! 1. `snapshot::write` begins when the old file ends at *a*.
//! 2. `Replacement::copy` takes over the lines that were appended after *a*, until little is left. Some of those
//!    sets are in the snapshot already; read again in this order, the last line of each key is right.
//! 3. Only then sets have to wait: the last lines are copied, and `Writer::replace` syncs the new
//!    file, gives it the old one's name, and syncs the folder.
//!
//! The naive version truncates the file and writes it anew. A crash in between leaves nothing.
//!
//! Next: [`crate::store::etcd`], where there is no file.

use std::io;

use crate::store::journal::Journal;
use crate::store::map::Map;
use crate::store::snapshot::{self, Size};
use crate::watch::stage::FileStep;

/// How much may be left to copy while sets wait, in bytes.
const LITTLE: usize = 64 << 10;

/// Whether a file of this size, of whose records `live` are live, is worth the work.
pub(crate) fn is_due(size: Size, live: usize, least_bytes: u64) -> bool {
    size.bytes > least_bytes && size.records > 2 * live as u64
}

/// Replaces the journal's file by a snapshot of `map`, if `go_on`, asked now and then, agrees.
///
/// # Errors
/// Those of the disk, and those of `go_on`. The old file then goes on.
pub(crate) fn run(
    journal: &Journal,
    map: &Map,
    go_on: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let (replacement, old, before) = {
        let mut writer = journal.writer();
        writer.look_for_theirs()?;
        (writer.data().begin_replacement()?, writer.data().file().clone(), writer.size())
    };
    before.say(FileStep::Compacting, Some(map.len()));
    let mut snapshot = snapshot::write(&replacement, map, &go_on)?;

    let mut copied = before.bytes;
    loop {
        let end = journal.size().bytes;
        snapshot.bytes += replacement.copy(&old, copied..end)?;
        let little = end - copied <= LITTLE as u64;
        copied = end;
        if little {
            break;
        }
        go_on()?;
    }
    replacement.sync()?;
    snapshot.say(FileStep::Copied, None);

    let mut writer = journal.writer();
    // Has somebody appended to it meanwhile, or taken its name?
    writer.look_for_theirs()?;
    if !writer.is_trusted() {
        return Err(io::Error::other("the old file could not be synced meanwhile"));
    }
    let after = writer.size();
    snapshot.bytes += replacement.copy(&old, copied..after.bytes)?;
    snapshot.records += after.records - before.records;
    writer.replace(replacement, snapshot)?;
    snapshot.say(FileStep::Replaced, Some(map.len()));
    Ok(())
}

#[cfg(test)]
mod tests;
