//! The engine: where pairs are kept, behind one trait.
//!
//! The handlers need three things of a place for pairs, and whatever does these three will serve: the
//! file of [`crate::store::file`], the memory of [`crate::store::memory`], the cluster of
//! [`crate::store::etcd`], or a place of your own (`examples/own_engine.rs`).
//!
//! 1. A value is shown and not handed out: `find` calls a function with it. So it is copied once, from
//!    where it is kept to where it is sent from.
//! 2. When `set` has returned `Ok`, the pair is kept, as well as this engine can; no `find` that begins
//!    afterwards gives an older value. When it has returned an error, the key has its old value; only
//!    [`Failed::Unknown`] leaves that open.
//! 3. Every method may fail, also `find`: a place far away may not answer.
//! 4. Connections call from many threads at a time.
//!
//! The naive trait returns a `String` from `find`, and every value is copied once more.
//!
//! CONTRACT §6.
//!
//! Next: [`crate::store::map`], a place for pairs in memory.

use std::fmt::{self, Debug, Display, Formatter};
use std::sync::Arc;

/// A place where pairs are kept.
///
/// # Examples
/// ```
/// use dbserver::{Engine, MemoryStore};
///
/// let engine: Box<dyn Engine> = Box::new(MemoryStore::new());
/// engine.set("a", "1")?;
/// let mut found = None;
/// engine.find("a", &mut |value| found = Some(value.to_string()))?;
/// assert_eq!(found.as_deref(), Some("1"));
/// # Ok::<(), dbserver::Failed>(())
/// ```
pub trait Engine: Debug + Send + Sync {
    /// Calls `found` once with the value of `key`, or not at all where there is none.
    ///
    /// `found` copies what it needs and does nothing slow: sets may wait until it returns.
    ///
    /// # Errors
    /// [`Failed::NotRead`] where nobody knows whether there is a value. `found` was not called then.
    fn find(&self, key: &str, found: &mut dyn FnMut(&str)) -> Result<(), Failed>;

    /// Stores a pair, in the place of an older value of the key, and returns when it is kept.
    ///
    /// # Errors
    /// [`Failed::NotKept`] where it is not, [`Failed::Unknown`] where nobody can tell.
    fn set(&self, key: &str, value: &str) -> Result<(), Failed>;

    /// Ends in order what goes on in the background. The server calls this once, after the last
    /// request.
    ///
    /// # Errors
    /// Where pairs that were set may be lost: a sentence that says why.
    fn close(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Why an engine could not do what it was asked: a part of a sentence, for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// The pair could not be stored, and the key has its old value. Answered with 500.
    NotKept(Arc<str>),
    /// The pair was on its way to a place that has not said what became of it. It may be kept, now or in
    /// a moment, or not at all. Answered with 500.
    Unknown(Arc<str>),
    /// The value could not be read just now. Answered with 503.
    NotRead(Arc<str>),
}

impl Display for Failed {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Failed::NotKept(why) => write!(formatter, "Nothing was stored: {why}"),
            Failed::Unknown(why) => {
                write!(formatter, "No answer, so it may or may not be kept: {why}")
            }
            Failed::NotRead(why) => write!(formatter, "The value could not be read: {why}"),
        }
    }
}

impl std::error::Error for Failed {}
