//! Seeing it: what the server says of itself to those who look.
//!
//! Two files are for everybody below: [`warning`] and [`stage`]. They know nobody. The others are above all
//! rooms, and turn stages into something to look at:
//!
//! ```text
//!  stage ──▶ recorder ──queue──▶ scribe ──┬──▶ trace             words, for --trace
//!                                         ├──▶ lines             of JSON, for --trace-file
//!                                         └──▶ watcher ──▶ page  the same lines, for --watch
//! ```
//!
//! # What a page, or another reader, can rely on
//!
//! - `GET /` on the page's port is `page/index.html`; its scripts and its style are beside it, and a further
//!   file is a line in [`page`]'s table. No inline script or style runs there, and no text becomes HTML.
//! - `GET /events` is a stream of Server-Sent Events without names and ids: `data: ` and one JSON object. The
//!   lines are those of `--trace-file`; [`event::What`] lists them with their fields.
//! - The first line is `hello`, after a reconnection too: then everything begins anew. `hello.open` has the
//!   connections that are there; of a request that was under way on one of them nothing is told.
//! - `t` is in nanoseconds since `hello.start` (milliseconds since 1970). Lines of one connection are in their
//!   order; across connections, `t` may step back by some microseconds.
//! - A connection `c` has requests `r` = 1, 2, 3, … A request is there whole (from `bytes_read` to `written`, or to
//!   `closed`) or not at all, and then counted in a `lost` line. Several requests in one packet have one
//!   `bytes_read`, with the `r` of the first; several answers in one write have one `written`, with the `r` of the last.
//! - `joined` says in which batch a set waits; `journaled` and `synced` come once for each batch, from the set that
//!   leads it, and before any of its sets is `answered`. `locked` then comes from the leader too, for each. With
//!   `--sync 100ms` or `never` there is a `synced` now and then, or at the end, for all batches since the last
//!   up to `batch`: it has no `c`, and `begun`.
//! - A connection that there was no slot for is `opened`, `answered` 503 and `closed` as `refused`.
//! - A compaction is `file` with `step` `compacting`, `copied`, `synced`, `renamed`, `replaced`, or at any point
//!   `failed`. Before all of them comes `opened`, where there is a file and somebody looks in time.
//!
//! Next: [`crate::watch::warning`].

pub mod warning;
pub mod stage;
pub mod event;
pub mod line;
pub mod hello;
mod room;
mod recorder;
mod here;
pub mod scribe;
mod readers;
mod lines;
mod trace;
mod words;
mod watcher;
pub mod page;
pub mod flags;
