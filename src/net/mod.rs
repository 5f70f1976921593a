//! Sockets, threads, and waiting: the room in which a connection lives.
//!
//! Here is all that blocks. What the bytes mean is asked of [`crate::http`], which knows no socket
//! and no thread; another way to wait needs another room like this one, and the same HTTP.
//!
//! Next: [`crate::net::listener`].

pub mod listener;
pub mod capacity;
pub(crate) mod server;
pub(crate) mod acceptor;
pub(crate) mod threads;
pub(crate) mod slots;
pub(crate) mod connection;
pub(crate) mod socket;
pub(crate) mod placement;
