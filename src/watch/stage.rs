//! The stages of a request, and the one place from which they can be watched.
//!
//! Each module that moves a request forward says so with [`reached`]. Nobody watches by default,
//! and then a call costs one load and a branch that is never taken. A program that wants to see
//! (a trace, a test, `examples/own_observer.rs`) hands a function to [`observe`] once.
//!
//! ```text
//!  Opened ─▶ BytesRead ─▶ Partial ─▶ BytesRead ─▶ Parsed ─▶ Routed ─▶ Decoded ─┬─ get ─▶ Locked ──┐
//!               ▲                                                              └─ set ─▶ Joined   │
//!               │                                                Journaled, Synced, Locked ◀┘     │
//!               └────────────────────── Written ◀── Answered ◀──────────────┴─────────────────────┘
//!  Closed, at any time
//! ```
//!
//! 1. What happens on a connection is reported from the thread of that connection, between its
//!    [`Stage::Opened`] and its [`Stage::Closed`]: an observer that wants to tell connections apart keeps
//!    what it knows in a `thread_local!`.
//! 2. A batch is reported by the thread that writes for all (see [`crate::store::journal`]): once
//!    [`Stage::Journaled`] and [`Stage::Synced`], and [`Stage::Locked`] for each of its pairs. At the start, the
//!    replay reports [`Stage::Locked`] too, on a thread that has no connection; so does whoever syncs in the
//!    background, [`Stage::Synced`].
//! 3. An observer runs where it is called, and that may be under a lock. It must not block, and it
//!    must not call the server. A panic in it is printed, and no concern of the request: the lock may be one
//!    for which all others wait, and the set half done.
//!
//! The naive version is a `println!` in each module: sixty-four threads wait for the terminal.
//!
//! Next: [`crate::watch::event`], a stage as others can read it.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// How far a request, its connection or the file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage<'a> {
    /// A client has connected.
    Opened {
        /// Its address.
        peer: SocketAddr,
    },
    /// These bytes arrived on the connection.
    BytesRead {
        /// All that one read brought.
        bytes: &'a [u8],
        /// How many bytes were there before them that no answer has used up: 0 where a request begins.
        unread: usize,
    },
    /// A request has begun and is not whole: more is waited for.
    Partial {
        /// What is not whole.
        part: Part,
        /// How many bytes of the request are there.
        have: usize,
        /// When its deadline began.
        begun: Instant,
    },
    /// They form a head, and it is well-formed; the body, if any, has been read.
    Parsed {
        /// The method, as sent.
        method: &'a str,
        /// The path of the target, as sent.
        path: &'a str,
        /// What comes after the target's first `?`, as sent.
        query: &'a str,
        /// How long the head is, in bytes.
        head: usize,
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
    Locked {
        /// The number of that part.
        shard: usize,
    },
    /// The set is in a batch, and waits until all of it is kept.
    Joined {
        /// The number of the batch: the first is 1.
        batch: u64,
        /// Whether this set has opened the batch, and will write it.
        leads: bool,
    },
    /// A batch is handed to the operating system.
    Journaled {
        /// The number of the batch.
        batch: u64,
        /// Its lines, one for each set.
        lines: &'a [u8],
        /// How many sets those are.
        sets: usize,
        /// Where in the file they begin, in bytes.
        at: u64,
        /// How many records the file has now, live and dead.
        records: u64,
        /// How many keys there were before.
        keys: usize,
    },
    /// It is on the disk. Where sets are answered before that (`--sync 100ms`), this is one sync for all
    /// batches since the last one.
    Synced {
        /// The number of the batch, or of the last one.
        batch: u64,
        /// How many sets are on the disk now that were not.
        sets: usize,
        /// How many bytes.
        bytes: usize,
        /// Where in the file they begin, in bytes.
        at: u64,
        /// When the sync began, if it was in the background.
        begun: Option<Instant>,
    },
    /// A request has its answer, which is not written yet.
    Answered {
        /// Code and reason phrase, as in the status line.
        status: &'static str,
        /// The whole answer.
        bytes: &'a [u8],
        /// How many of its last bytes are the body.
        body: usize,
        /// Whether it is the last answer on its connection.
        close: bool,
    },
    /// These bytes of answers went out on the connection, in one write.
    Written(&'a [u8]),
    /// The connection has ended.
    Closed {
        /// Why.
        why: Why,
    },
    /// The data file has come this far.
    File {
        /// How far.
        step: FileStep,
        /// How long the file is, in bytes.
        bytes: u64,
        /// How many records it has, live and dead.
        records: u64,
        /// How many keys there are, where that is known.
        keys: Option<usize>,
    },
}

/// A part of a request that has a deadline of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Request line and fields.
    Head,
    /// What comes after them.
    Body,
}

/// Why a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The client has closed it.
    Client,
    /// The last answer said so: the client had asked for that.
    Done,
    /// Nothing came for too long.
    Idle,
    /// It made room for another.
    Evicted,
    /// A head or a body was not whole in time.
    Late,
    /// What came could not be served, and nobody knows where the next request begins; or there was no
    /// slot for it.
    Refused,
    /// The client can't be reached any more.
    Gone,
    /// The server stops.
    Stopping,
}

/// What happens to the data file besides appending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStep {
    /// It has been read at the start.
    Opened,
    /// A compaction has begun.
    Compacting,
    /// The new file has all pairs, and what was set meanwhile but for the last.
    Copied,
    /// All of the new file is on the disk.
    Synced,
    /// The new file has the old one's name.
    Renamed,
    /// That is on the disk too: the compaction is done.
    Replaced,
    /// The compaction failed, and the old file goes on.
    Failed,
    /// A sync had failed; the file has been written anew.
    StartedOver,
}

/// A function that is told of every stage of every request.
pub type Observer = Box<dyn Fn(Stage<'_>) + Send + Sync>;

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Tells `observer` of every stage from now on, for the life of the process, whichever server of
/// the process it happens in.
///
/// Returns whether it was taken: the first one stays.
pub fn observe(observer: impl Fn(Stage<'_>) + Send + Sync + 'static) -> bool {
    OBSERVER.set(Box::new(observer)).is_ok()
}

/// Tells the observer, if there is one.
#[inline]
pub(crate) fn reached(stage: Stage<'_>) {
    if let Some(observer) = OBSERVER.get() {
        let _ = catch_unwind(AssertUnwindSafe(|| observer(stage)));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::store::engine::Engine as _;
    use crate::store::file::{FileStore, Keeping};

    thread_local! {
        /// Other tests have the same observer.
        static PANICS: Cell<bool> = const { Cell::new(false) };
    }

    #[test]
    fn a_panic_of_an_observer_is_no_concern_of_the_request() {
        assert!(observe(|_| assert!(!PANICS.get(), "on purpose")));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.jsonl");
        let store = FileStore::open(&path, Keeping::default()).unwrap();
        PANICS.set(true);
        for value in ["1", "2"] {
            store.set("a", value).unwrap();
            let mut found = None;
            store.find("a", &mut |value| found = Some(value.to_string())).unwrap();
            assert_eq!(found.as_deref(), Some(value));
        }
    }
}
