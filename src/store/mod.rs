//! Pairs that last: a map in memory, and a file that has it all again after a crash, behind a trait that
//! asks for no more than the two requests need.
//!
//! Nothing here knows of HTTP.
//!
//! Next: [`crate::store::engine`], what is asked of a place for pairs.

pub mod engine;
mod map;
pub mod memory;
pub mod file;
pub mod batch;
pub mod journal;
mod writer;
mod retry;
mod record;
mod disk;
mod data_file;
mod beside;
mod tail;
mod replay;
mod snapshot;
mod compaction;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "etcd")]
mod gateway;
#[cfg(feature = "etcd")]
mod reason;
pub mod cluster;
