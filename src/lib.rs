//! A key-value server over HTTP/1.1, built by hand on [`std::net`], to be read.
//!
//! `GET /set?somekey=somevalue` stores a pair, `GET /get?key=somekey` returns the value, and the
//! pairs are there again after a crash. This is the library; `main.rs` is the program. To embed
//! it, call [`serve`].
//!
//! # The path of a request
//!
//! ```text
//!  options      what the user typed
//!  config       what there is to choose
//!  listener     a name and a port: sockets
//!  server       for each client a thread
//!  slots        how many there may be, and who makes room
//!     │
//!  connection ◀────────────────────────────────────────────────────────────┐
//!     │ socket       bytes in and out, in time                             │
//!     │ placement    on the processor where the client is                  │
//!     │ input        kept until they are used                              │
//!     ▼                                                                    │
//!  head         where the request's head ends                              │
//!  request      what it says                                               │
//!  body         read and thrown away                                       │
//!  answers      one for each, whatever happens                             │
//!  access       who may ask                                                │
//!  router       which handler                                              │
//!     ▼                                                                    │
//!  handlers ──▶ query       key and value                                  │
//!     │                                                                    │
//!     ├──▶ store                                                           │
//!     │      map          pairs in memory                                  │
//!     │      journal      one line for each set, before it counts          │
//!     │      record       what the line looks like                         │
//!     │      disk         what the file promises                           │
//!     │      replay       at the start, line by line                       │
//!     │      snapshot     one line for each pair                           │
//!     │      compaction   now and then, a smaller file                     │
//!     ▼                                                                    │
//!  response     status, fields, body ──────────────────────────────────────┘
//!  refusal      what is said instead, and why
//!  access_log   a line about it
//!  stage        the one place from which all this can be watched
//! ```
//!
//! # Reading list
//!
//! The modules stand in the order in which a request meets them, above and below, and each ends its
//! introduction with the name of the next. Every module owns one piece of knowledge that no other
//! has. Its first paragraph says what that is; most go on with the rules that they keep, and with
//! the way in which the naive version fails.
//!
//! All of them are public, to be read. A program that embeds the server needs what is named at the
//! end of this file.

pub mod options;
pub mod config;

pub mod listener;
pub mod server;
pub mod slots;
pub mod connection;
pub mod socket;
pub mod placement;
pub mod input;

pub mod head;
pub mod request;
pub mod body;
pub mod answers;
pub mod access;
pub mod router;
pub mod handlers;
pub mod query;

pub mod store;
pub mod map;
pub mod journal;
pub mod record;
pub mod disk;
pub mod replay;
pub mod snapshot;
pub mod compaction;

pub mod response;
pub mod refusal;
pub mod access_log;
pub mod stage;

pub use config::{Config, Limits};
pub use journal::SyncWhen;
pub use response::{Reply, Status};
pub use router::Routes;
pub use server::{Server, serve};
pub use store::{Keeping, Store};

/// Prints a warning on standard error. Where that is closed, nobody wants to know.
pub(crate) fn warn(warning: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "dbserver: warning: {warning}");
}
