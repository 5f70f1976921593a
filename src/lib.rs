//! A key-value server over HTTP/1.1, built by hand on [`std::net`], to be read.
//!
//! `GET /set?somekey=somevalue` stores a pair, `GET /get?key=somekey` returns the value, and the
//! pairs are there again after a crash. This is the library; `main.rs` is the program. To embed
//! it, call [`serve`]. What the server does, rule by rule, is in `docs/CONTRACT.md`; the code follows
//! that page, and the tests name its sections.
//!
//! # The path of a request
//!
//! ```text
//!  options          what the user typed
//!  signals          when to stop
//!  config           what there is to choose
//!  lock             what all threads share
//!
//!  net              sockets, threads, waiting
//!   listener        a name and a port: sockets
//!   capacity        how many clients there may be
//!   server          from the first to the last
//!   acceptor        for each client a thread
//!   threads         counted, too
//!   slots           who makes room
//!      │
//!   connection ◀───────────────────────────────────────────────────────────┐
//!      │ socket     bytes in and out, in time                              │
//!      │ placement  on the processor where the client is                   │
//!      ▼                                                                   │
//!  http             bytes, and what they mean                              │
//!   exchange        requests in, answers out                               │
//!   input           kept until they are used                               │
//!   head            where the request's head ends                          │
//!   request         what it says                                           │
//!   authority       which server it is for                                 │
//!   body            read and thrown away                                   │
//!   answers         one for each, whatever happens                         │
//!   access          who may ask                                            │
//!   router          which handler                                          │
//!   query           key and value                                          │
//!      │ response   status, fields, body ──────────────────────────────────┤
//!      │ refusal    what is said instead, and why ─────────────────────────┘
//!      │ access_log a line about it
//!      ▼
//!  handlers         the task itself
//!      ▼
//!  store            pairs that last
//!   engine          what is asked of a place for pairs
//!   map             pairs in memory
//!   memory          the map alone
//!   file            the map, kept in a file
//!   batch           sets that are kept together
//!   journal         one line for each set, before it counts
//!   writer          the file, and what is known of it
//!   retry           not at once, and not said twice
//!   record          what the line looks like
//!   disk            the calls on which it all rests
//!   data_file       whose the name is
//!   beside          the files that it has beside it
//!   tail            what a crash leaves
//!   replay          at the start, line by line
//!   snapshot        one line for each pair
//!   compaction      now and then, a smaller file
//!   etcd            or a cluster keeps the pairs
//!   gateway         which of its members is asked
//!   reason          what went wrong, and what to do
//!   cluster         where they are, and who we are there
//!
//!  watch            seeing it
//!   warning         what the server has to say
//!   stage           the one place from which all this can be watched
//!   event           a stage, for others to read
//!   line            and as a line of JSON
//!   hello           what there is already
//!   room            for how many events there is room
//!   recorder        stages that become events
//!   here            which, on this thread's connection
//!   scribe          takes them from the queue
//!   readers         hands them to those who look
//!   lines           to a file
//!   trace           to a terminal
//!   words           what that says of each
//!   watcher         to a browser
//!   page            what the browser shows
//!   flags           which of all this is wanted
//! ```
//!
//! # Reading list
//!
//! That picture is the list: it has the files in the order in which a request meets them, as have
//! the `mod` lines of each room, and each file ends its introduction with the name of the next.
//! Every module owns one piece of knowledge that no other has. Its first paragraph says what that
//! is; most go on with the rules that they keep, and with the way in which the naive version fails.
//!
//! Arrows go down only: `net` knows `http`, `http` knows no socket and no thread, `store` knows
//! nothing of HTTP, and no two files depend on each other. Everybody may say what happens
//! ([`watch::stage`], [`watch::warning`]), and those know nobody.
//!
//! A program that embeds the server needs what is named at the end of this file. One that waits in
//! another way, on the same HTTP, needs what is public in [`http`]: `examples/event_loop` does.

// Other files name those that only a build with the feature has.
#![cfg_attr(not(feature = "etcd"), allow(rustdoc::broken_intra_doc_links))]

pub mod options;
pub mod signals;
pub mod config;
mod lock;
pub mod net;
pub mod http;
mod handlers;
pub mod store;
pub mod watch;

pub use config::{Config, Limits};
pub use http::response::{Reply, Sent, Status};
pub use http::router::{Handler, Routes};
pub use net::listener;
pub use net::server::{Server, serve};
pub use store::batch::Batch;
pub use store::cluster::Cluster;
pub use store::engine::{Engine, Failed};
#[cfg(feature = "etcd")]
pub use store::etcd::EtcdStore;
pub use store::file::{FileStore, Keeping};
pub use store::journal::SyncWhen;
pub use store::memory::MemoryStore;
pub use watch::stage::{Stage, observe};
