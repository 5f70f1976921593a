//! Pairs that last: a map in memory, and a file that has it all again after a crash.
//!
//! Nothing here knows of HTTP.
//!
//! Next: [`crate::store::file`].

pub mod file;
pub mod map;
pub mod journal;
pub mod record;
pub mod disk;
pub mod replay;
pub mod snapshot;
pub mod compaction;
