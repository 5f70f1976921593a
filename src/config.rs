//! The configuration: what there is to choose about a server, how much a client may send, and how
//! long it may take.
//!
//! A program that embeds the server changes what it needs and takes the rest from `default()`.
//!
//! Next: [`crate::lock`], which all threads share.

use std::time::Duration;

use crate::http::router::Routes;

/// How long what still comes is read after the last answer (RFC 9112 §9.6).
pub(crate) const LINGER_TIME: Duration = Duration::from_secs(1);

/// What there is to choose about a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The dispatch table.
    pub routes: Routes,
    /// How many connections there may be at a time.
    pub max_connections: usize,
    /// Names that clients may call us by, besides `localhost`, names below it, and IP addresses.
    pub allow_hosts: Vec<String>,
    /// Whether to print a line for each request on standard error.
    pub log: bool,
    /// How much a client may send, and how long it may take.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            routes: Routes::default(),
            max_connections: 1024,
            allow_hosts: Vec::new(),
            log: false,
            limits: Limits::default(),
        }
    }
}

/// How much a client may send, and how long it may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest head, in bytes.
    pub head_bytes: usize,
    /// The largest body, in bytes.
    pub body_bytes: u64,
    /// From the first byte of a head to its last.
    pub head_time: Duration,
    /// From the end of the head to the end of the body.
    pub body_time: Duration,
    /// From an answer to the first byte of the next request.
    pub idle_time: Duration,
    /// For the client to take each 64 KiB that we write.
    pub write_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes: 64 << 10,
            body_bytes: 1 << 20,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            idle_time: Duration::from_mins(1),
            write_time: Duration::from_secs(30),
        }
    }
}
