//! The memory store: an engine that is gone with the process.
//!
//! It is the map alone, and shows what the other engine adds: everything that lasts.
//!
//! Next: [`crate::store::file`], the same map beside a file.

use crate::store::engine::{Engine, Failed};
use crate::store::map::Map;

/// Keys and values in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Map);

impl MemoryStore {
    /// A store without pairs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Engine for MemoryStore {
    fn find(&self, key: &str, found: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        self.0.find(key, found);
        Ok(())
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Failed> {
        self.0.insert(key.into(), value.into());
        Ok(())
    }
}
