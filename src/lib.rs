//! A key-value server over HTTP/1.1, built by hand on [`std::net`], to be read.
//!
//! `GET /set?somekey=somevalue` stores a pair, `GET /get?key=somekey` returns the value, and the
//! pairs are there again after a crash. This is the library; `main.rs` is the program. To embed
//! it, call [`serve`].
//!
//! # The way of a request
//!
//! ```text
//!  options ──▶ listener ──▶ server ──▶ slots ──▶ connection ◀──────────────────┐
//!  what the    an address   a thread   a place     │  socket   bytes in, in time │
//!  user typed                                      │  input    kept until used   │
//!                                                  ▼                             │
//!                                                 head       where it ends        │
//!                                                 request    what it says         │
//!                                                 body       thrown away          │
//!                                                 access     who may ask          │
//!                                                 router     which handler        │
//!                                                 query      key and value        │
//!                                                 handlers   what to do           │
//!                                                  │                             │
//!                store ◀───────────────────────────┤                             │
//!                  map        pairs in memory       │                             │
//!                  journal    one line per set      ▼                             │
//!                  record     the line           response    bytes out ───────────┘
//!                  disk       the file           refusal     what to say instead
//!                  replay     at the start
//!                  compaction now and then
//! ```
//!
//! # Reading list
//!
//! The modules stand below in the order in which a request meets them, and each ends its
//! introduction with the name of the next. Every module owns one piece of knowledge that no other
//! has; what that is, its first paragraph says.

pub mod options;

pub mod listener;
pub mod server;
pub mod slots;
pub mod connection;
pub mod socket;
pub mod placement;
pub mod input;
pub mod access_log;

pub mod head;
pub mod request;
pub mod body;
pub mod access;
pub mod router;
pub mod query;
pub mod handlers;

pub mod store;
pub mod map;
pub mod journal;
pub mod record;
pub mod disk;
pub mod replay;
pub mod compaction;

pub mod response;
pub mod refusal;

pub mod stage;

pub use connection::Limits;
pub use journal::SyncWhen;
pub use router::Routes;
pub use server::{Config, Server, serve};
pub use store::{Keeping, Store};

/// Prints a warning on standard error. Where that is closed, nobody wants to know.
pub(crate) fn warn(warning: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "dbserver: warning: {warning}");
}
