//! The slots: which connections there are, and which of them has to go when room is needed.
//!
//! A thread for each connection is simple, and has a price: connections are a resource that can
//! run out, and a client can hold one without sending anything. So their number is limited, and
//! the one that has gone longest without a whole request makes room for the next.
//!
//! ```text
//!              begin()                  answer()
//! take() ──▶ Idle ──some bytes──▶ Begun ──a whole request──▶ Answering
//!             ▲                     ▲                           │
//!             └───────wait()────────┴───────begin(), sent()─────┘
//!
//! evict_one() turns Idle or Begun into Ended, end_idle() only Idle, and stop() leaves both as they are.
//! All three end the input: the thread reads what has come, and then the end. Answering is left alone.
//! ```
//!
//! The naive version counts connections and refuses the next one: a thousand idle sockets shut
//! everyone out.
//!
//! 1. No client that is being answered is cut off for another. Nor is a client that asks: one whose
//!    bytes are in the socket is not idle, though nobody may have had the time to read them.
//! 2. A slot is freed when its [`Seat`] is dropped, in a panic too; that of an evicted connection at
//!    once, while its thread is still on the way out.
//! 3. When the server stops, connections that wait for nothing are ended at once; a request that
//!    has begun is answered.
//!
//! Next: [`crate::net::connection`], what happens in a slot.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;

use crate::lock::lock;
use crate::watch::stage::Why;

/// All connections of a server.
#[derive(Debug)]
pub(crate) struct Slots {
    max: usize,
    stopping: AtomicBool,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    slots: HashMap<u64, Arc<Slot>>,
}

/// One connection, as others see it.
#[derive(Debug)]
struct Slot {
    stream: Arc<TcpStream>,
    status: Mutex<Status>,
}

#[derive(Debug)]
struct Status {
    state: State,
    /// When the last whole request was answered, or the connection opened.
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Begun,
    Answering,
    Ended(Why),
}

/// A connection's place among the slots.
#[derive(Debug)]
pub(crate) struct Seat {
    slots: Arc<Slots>,
    slot: Arc<Slot>,
    number: u64,
}

impl Slots {
    /// As many slots as `max`.
    pub(crate) fn new(max: usize) -> Self {
        Slots { max, stopping: AtomicBool::new(false), table: Mutex::default() }
    }

    /// A slot for `stream`, if need be that of a connection that waits; none where all are being
    /// answered.
    pub(crate) fn take(self: &Arc<Self>, stream: &Arc<TcpStream>) -> Option<Seat> {
        let mut table = lock(&self.table);
        // A server that stops evicts nobody: what comes now is the rest of the listener's queue.
        if table.slots.len() >= self.max && !self.is_stopping() && !table.evict_one() {
            return None;
        }
        let status = Mutex::new(Status { state: State::Idle, since: Instant::now() });
        let slot = Arc::new(Slot { stream: Arc::clone(stream), status });
        let number = table.next;
        table.next += 1;
        table.slots.insert(number, Arc::clone(&slot));
        drop(table);
        Some(Seat { slots: Arc::clone(self), slot, number })
    }

    /// Ends one connection that waits, if there is one: somebody else needs its file descriptor or
    /// its thread.
    pub(crate) fn evict_one(&self) -> bool {
        lock(&self.table).evict_one()
    }

    /// Ends connections on which nothing has come for `time` since the last answer.
    pub(crate) fn end_idle(&self, time: Duration) {
        for slot in lock(&self.table).slots.values() {
            slot.end_if(Why::Idle, |it| it.state == State::Idle && it.since.elapsed() >= time);
        }
    }

    /// Has idle connections end now and all others after their answer.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, SeqCst);
        for slot in lock(&self.table).slots.values() {
            if lock(&slot.status).state == State::Idle {
                slot.end(Shutdown::Read);
            }
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    /// Ends the input of all connections, or the connections.
    pub(crate) fn end_all(&self, how: Shutdown) {
        for slot in lock(&self.table).slots.values() {
            slot.end(how);
        }
    }
}

impl Table {
    /// Ends the connection that has waited longest.
    fn evict_one(&mut self) -> bool {
        let slots = self.slots.iter().map(|(&number, slot)| (lock(&slot.status).since, number));
        let mut oldest: BinaryHeap<_> = slots.map(Reverse).collect();
        while let Some(Reverse((_, number))) = oldest.pop() {
            if self.slots.get(&number).is_some_and(|slot| slot.evict()) {
                self.slots.remove(&number);
                return true;
            }
        }
        false
    }
}

impl Slot {
    /// Ends the input if the connection waits for some, and returns whether it does.
    fn evict(&self) -> bool {
        self.end_if(Why::Evicted, |it| matches!(it.state, State::Idle | State::Begun))
    }

    /// Ends the input if that `is_due` and none is there, and returns whether it has.
    fn end_if(&self, why: Why, is_due: impl FnOnce(&Status) -> bool) -> bool {
        // Held to the end: meanwhile its request may become whole.
        let mut status = lock(&self.status);
        let ends = is_due(&status) && !has_input(&self.stream);
        if ends {
            status.state = State::Ended(why);
            self.end(Shutdown::Read);
        }
        ends
    }

    /// After [`Shutdown::Read`], reads return what has arrived, and then the end. (On macOS, what has
    /// arrived and was not read is thrown away.)
    fn end(&self, how: Shutdown) {
        let _ = self.stream.shutdown(how);
    }
}

/// Whether bytes are in the socket that nobody has read. The end of the input is none.
fn has_input(stream: &TcpStream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    rustix::net::recv(stream, &mut [0; 1], flags).is_ok_and(|(_, count)| count > 0)
}

impl Seat {
    /// Nothing of a request is there. Returns whether to wait for one: not where this connection had to
    /// make room, or the server stops.
    pub(crate) fn wait(&self) -> bool {
        self.turn(State::Idle) && !self.is_stopping()
    }

    /// Some bytes of a request are there. Returns whether to wait for the others.
    pub(crate) fn begin(&self) -> bool {
        self.turn(State::Begun)
    }

    /// A whole request is there. Returns whether others may follow: once it is true, the connection is
    /// safe from eviction until it waits again.
    pub(crate) fn answer(&self) -> bool {
        self.turn(State::Answering)
    }

    /// Has the answers so far sent, as much of them as the system takes at once; `send` returns the
    /// rest. Where there is none, it is the client's turn from now on; whether it has begun its next
    /// request is said by [`Seat::wait`] or [`Seat::begin`].
    ///
    /// Others see this in one step. A client that has its answer may come back on a second
    /// connection: if the first one still counted as being answered then, somebody else would have
    /// to go.
    ///
    /// # Errors
    /// Those of `send`.
    pub(crate) fn sent<'b>(
        &self,
        send: impl FnOnce() -> io::Result<&'b [u8]>,
    ) -> io::Result<&'b [u8]> {
        let mut status = lock(&self.slot.status);
        status.since = Instant::now();
        let rest = send()?;
        if rest.is_empty() && status.state == State::Answering {
            status.state = State::Begun;
        }
        Ok(rest)
    }

    /// Why the connection was ended by another thread, if it was.
    pub(crate) fn ended(&self) -> Option<Why> {
        match lock(&self.slot.status).state {
            State::Ended(why) => Some(why),
            State::Idle if self.is_stopping() => Some(Why::Stopping),
            _ => None,
        }
    }

    /// Whether this answer is the last, because the server stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.slots.is_stopping()
    }

    fn turn(&self, to: State) -> bool {
        let mut status = lock(&self.slot.status);
        if !matches!(status.state, State::Ended(_)) {
            status.state = to;
        }
        status.state == to
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.slots.table).slots.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
