//! The tests from the outside: the real programs, their wire, their files and their exit codes.
//!
//! They are one crate, which links once. `cargo test --test it shutdown` runs one module of it,
//! `cargo test --test it -- --list` lists what there is. The tutorial has a crate of its own,
//! `tests/tutorial`.
//!
//! ```text
//!  common         a running server for a test, and connections that remember
//!  first          start here: the task's own example, from outside
//!  requests       the two requests and their query
//!  framing        where a request ends and the next begins
//!  smuggling      what two programs in a row might understand differently
//!  one_write      what is ready together goes out together
//!  properties     the same answers, in whatever pieces the bytes come
//!  access         who may ask
//!  slow_clients   those who take their time
//!  faults         thousands of clients, nonsense, no descriptors left
//!  shutdown       how it ends
//!  command_line   what it prints, and its exit codes
//!  contract       what docs/CONTRACT.md says, and who holds to it
//!  durability     what is there after a kill, a cut, a full disk
//!  watch          what happens inside, seen from outside
//!  labs           the tutorial's labs break what they are about
//!  power_cut      what one of them believes of disks
//!  event_loop     the example with another way to wait, by the same tests' means
//!  own_engine     the example with another place for the pairs
//!  dbcheck        the checker from the outside
//!  free_port      a port to start one on
//!  dbcheck_bugs   the checker on servers whose faults are known
//!  interview      what a candidate is handed, and its score at the start
//!  browser        a real browser, told what to do
//!  watch_page     the page of --watch in it
//!  moments        recorded, drawn, and linked to
//!  reading_order  the source is read in one order
//!  arrows         and its arrows go down
//! ```

#![allow(clippy::disallowed_methods, reason = "a test that can't have a thread has failed")]

mod access;
mod arrows;
mod browser;
mod command_line;
mod common;
mod contract;
mod dbcheck;
mod dbcheck_bugs;
mod durability;
#[cfg(target_os = "linux")]
mod event_loop;
mod faults;
mod first;
mod framing;
#[path = "../../src/bin/dbcheck/target/free_port.rs"]
mod free_port;
mod interview;
mod labs;
mod moments;
mod one_write;
mod own_engine;
mod power_cut;
mod properties;
mod reading_order;
mod requests;
mod shutdown;
mod slow_clients;
mod smuggling;
mod watch;
mod watch_page;
