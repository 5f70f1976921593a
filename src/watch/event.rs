//! The event: a stage as others can read it, on a line of JSON.
//!
//! ```text
//! {"t":81250,"c":7,"r":1,"e":"parsed","method":"GET","path":"/get","query":"key=a","head":44}
//! ```
//!
//! The same lines are in the file of `--trace-file`, and come to the page of `--watch`. [`What`] is the
//! list of them: its variants are the values of `e`, in small letters (`BytesRead` is `bytes_read`), and
//! their fields the fields of the line.
//!
//! Next: [`crate::watch::line`], from a stage to an event, and to its line.

use serde::{Deserialize, Serialize};

use crate::watch::hello::Hello;
use crate::watch::stage::{FileStep, Part, Why};

/// What happened, where, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When: nanoseconds since the recording began.
    pub t: u64,
    /// On which connection. The first is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<u64>,
    /// In which request on it. The first is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Where nothing else is said, `n` is a number of bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
pub enum What {
    /// The first line: which server this is, and what there is already.
    Hello(Hello),
    /// A client has connected.
    Opened {
        /// Its address and port.
        peer: String,
    },
    /// One read brought these bytes.
    BytesRead {
        /// How many.
        n: usize,
        /// The first of them, escaped: `GET / HTTP/1.1\r\n`.
        text: String,
    },
    /// The request is not whole, and more is waited for.
    Partial {
        /// What is not whole: `head` or `body`.
        part: Part,
        /// How many bytes of it are there.
        have: usize,
        /// The `t` at which its deadline began: it has the time `limits` give.
        begun: u64,
    },
    /// The head is whole and well-formed.
    Parsed {
        /// The method.
        method: String,
        /// The target's path.
        path: String,
        /// The target's query, not decoded.
        query: String,
        /// How long the head is.
        head: usize,
    },
    /// The dispatch table has a line for it.
    Routed {
        /// The path of that line.
        path: String,
    },
    /// The query is decoded.
    Decoded {
        /// The key.
        key: String,
        /// The value, for a set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// The lock on the key's part of the map is held.
    Locked {
        /// The number of that part.
        shard: usize,
    },
    /// The set waits in a batch.
    Joined {
        /// The number of the batch.
        batch: u64,
        /// Whether this set writes the batch, for all.
        leads: bool,
    },
    /// A batch is appended to the file. `c` and `r` are those of the set that leads it.
    Journaled {
        /// The number of the batch.
        batch: u64,
        /// How many sets it has.
        sets: usize,
        /// How many bytes their lines have.
        n: usize,
        /// Where in the file they begin.
        at: u64,
        /// How many records the file has now, live and dead.
        records: u64,
        /// How many keys there were before: at least that many of the records are live.
        keys: usize,
    },
    /// It is on the disk. Without `c` and `r`, this was a sync in the background, for all batches since the last.
    Synced {
        /// The number of the batch, or of the last one.
        batch: u64,
        /// How many sets are on the disk now that were not.
        sets: usize,
        /// How many bytes their lines have.
        n: usize,
        /// Where in the file they begin.
        at: u64,
        /// The `t` at which a sync in the background began. Any other begins with `journaled`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begun: Option<u64>,
    },
    /// The answer is ready.
    Answered {
        /// The three digits.
        status: u16,
        /// How long it is, with its head.
        n: usize,
        /// Whether it is the last on its connection.
        close: bool,
        /// What it says, if that is not a value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sentence: Option<String>,
    },
    /// Answers went out, in one write.
    Written {
        /// How many bytes.
        n: usize,
        /// How many answers: those of `r` and the requests before it.
        answers: u64,
    },
    /// A connection has ended.
    Closed {
        /// Why.
        why: Why,
    },
    /// The data file has come this far.
    File {
        /// How far.
        step: FileStep,
        /// How long it is: the new file from `copied` to `replaced`.
        bytes: u64,
        /// How many records it has.
        records: u64,
        /// How many keys there are, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<usize>,
    },
    /// There was too much to record all of it.
    Lost {
        /// How many whole requests were left out since the last such line.
        requests: u64,
        /// How many connections were left out, from `opened` to `closed`.
        connections: u64,
    },
}
