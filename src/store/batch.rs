//! The batch: sets that are kept back, and then stored together.
//!
//! Where each connection has a thread, sets that come at the same time meet in the journal, and share a
//! write and a sync. A single thread that serves many clients has nobody to meet there. It answers
//! whoever has come, on this engine, stores what was set meanwhile, and sends the answers only then.
//!
//! The naive version stores each pair when it comes, and every client waits for the syncs of all that
//! came before.
//!
//! Next: [`crate::store::journal`], where a pair goes before it is in the map.

use std::sync::Mutex;

use crate::lock::lock;
use crate::store::engine::{Engine, Failed};
use crate::store::file::FileStore;

/// An engine whose finds are the file's, and whose sets wait for [`Batch::store`]: a set is
/// accepted when it returns, and kept when `store` returns.
///
/// # Examples
/// ```
/// use dbserver::{Batch, Engine, FileStore, Keeping};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("data.jsonl");
/// let batch = Batch::new(FileStore::open(&path, Keeping::default())?);
/// for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
///     batch.set(key, value)?;
/// }
/// assert_eq!(batch.waiting(), 3);
/// batch.store()?;
/// let mut found = None;
/// batch.find("a", &mut |value| found = Some(value.to_string()))?;
/// assert_eq!(found.as_deref(), Some("3"));
/// batch.close()?;
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug)]
pub struct Batch {
    file: FileStore,
    /// An engine must be ready for several threads. Nobody waits here for long.
    pairs: Mutex<Vec<(String, String)>>,
}

impl Batch {
    /// No pairs wait.
    #[must_use]
    pub fn new(file: FileStore) -> Self {
        Batch { file, pairs: Mutex::default() }
    }

    /// How many sets wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.pairs).len()
    }

    /// Stores the pairs that wait, in their order, with one write and one sync for all of them.
    ///
    /// # Errors
    /// [`Failed::NotKept`]; then none of them is kept, and none waits any more.
    pub fn store(&self) -> Result<(), Failed> {
        let pairs = std::mem::take(&mut *lock(&self.pairs));
        self.file.set_all(pairs.iter().map(|(key, value)| (&**key, &**value)))
    }
}

impl Engine for Batch {
    fn find(&self, key: &str, found: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        self.file.find(key, found)
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Failed> {
        lock(&self.pairs).push((key.into(), value.into()));
        Ok(())
    }

    fn close(&self) -> anyhow::Result<()> {
        self.store()?;
        self.file.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::Keeping;

    #[test]
    fn what_waits_at_the_close_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let batch = Batch::new(FileStore::open(&path, Keeping::default()).unwrap());
        batch.set("a", "1").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        batch.close().unwrap();
        assert_eq!(batch.waiting(), 0);
        let line = "{\"key\":\"a\",\"value\":\"1\"}\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line);
    }
}
