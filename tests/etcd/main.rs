//! The server in front of a real etcd cluster, which is killed, stopped and filled. Needs the feature and
//! the program etcd: `cargo test --features etcd --test etcd`.
//!
//! ```text
//!  common   a running server for a test, and connections that remember
//!  free_port a port for each of them
//!  nodes    an etcd cluster of processes that can be killed
//!  cluster  both together, ready for a test
//!  pairs    what is set at one server, and got at another
//!  deaths   nodes die, and some come back
//!  locked   a cluster that wants a user, and one that is full
//!  silence  members that do not answer, and how often they are asked
//!  tls      a member that has a certificate
//!  watched  what is told of sets and gets that a cluster keeps
//!  example  examples/cluster, by hand
//! ```

#![allow(clippy::disallowed_methods, reason = "a test that can't have a thread has failed")]

mod cluster;
#[allow(dead_code, reason = "most of it is for the other tests")]
#[path = "../it/common/mod.rs"]
mod common;
mod deaths;
mod example;
#[path = "../../src/bin/dbcheck/target/free_port.rs"]
mod free_port;
mod locked;
#[allow(dead_code, reason = "some of it is for the example")]
#[path = "../../examples/cluster/nodes.rs"]
mod nodes;
mod pairs;
mod silence;
mod tls;
mod watched;
