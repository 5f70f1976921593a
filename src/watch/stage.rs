//! The stages of a request, and the one place from which they can be watched.
//!
//! Each module that moves a request forward says so with [`reached`]. Nobody watches by default,
//! and then a call costs one load and a branch that is never taken. A program that wants to see
//! (a trace, a test) hands a function to [`observe`] once.
//!
//! All stages of a request are reported from the thread of its connection: an observer that
//! wants to tell requests apart asks for the current thread. The exceptions come with several sets
//! under way: the thread that writes for all (see [`crate::store::journal`]) reports [`Stage::Journaled`]
//! and [`Stage::Synced`] once for the whole batch, and [`Stage::Locked`] for each of its pairs. At
//! the start, the replay reports [`Stage::Locked`] too.
//!
//! This is the last stop of the reading list: start again at [`crate`] with a request in mind.

use std::sync::OnceLock;

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage<'a> {
    /// These bytes arrived on the connection.
    BytesRead(&'a [u8]),
    /// They form a head, and it is well-formed.
    Parsed {
        /// The method, as sent.
        method: &'a str,
        /// The path of the target, as sent.
        path: &'a str,
        /// What stands behind the target's first `?`, as sent.
        query: &'a str,
    },
    /// The dispatch table has a line for this method and path.
    Routed {
        /// The path of that line.
        path: &'a str,
    },
    /// The query is decoded.
    Decoded {
        /// The key.
        key: &'a str,
        /// The value, for a `/set`.
        value: Option<&'a str>,
    },
    /// The lock on the part of the map that has the key is held.
    Locked,
    /// These bytes, one line or several, are handed to the operating system.
    Journaled(&'a [u8]),
    /// They are on the disk.
    Synced,
    /// These bytes of answers went out on the connection.
    Written(&'a [u8]),
}

/// A function that is told of every stage of every request.
pub type Observer = fn(Stage<'_>);

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Has `observer` told of every stage from now on, for the life of the process.
///
/// Returns whether it was taken: the first one stays.
pub fn observe(observer: Observer) -> bool {
    OBSERVER.set(observer).is_ok()
}

/// Tells the observer, if there is one.
#[inline]
pub(crate) fn reached(stage: Stage<'_>) {
    if let Some(observer) = OBSERVER.get() {
        observer(stage);
    }
}
