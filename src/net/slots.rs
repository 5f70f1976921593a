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
//!             └───────wait()────────┴──────────begin()──────────┘
//!
//! evict_one() ends Idle and Begun and turns them to Evicted, end_idle() turns Idle to IdleTooLong: the socket
//! is shut down, and the thread learns it from its next read or turn. stop() shuts Idle for reading.
//! Answering is left alone.
//! ```
//!
//! The naive version counts connections and refuses the next one: a thousand idle sockets shut
//! everyone out.
//!
//! 1. Nobody who is being answered is cut off for somebody else.
//! 2. A slot is freed when its [`Seat`] is dropped, in a panic too.
//! 3. When the server stops, connections that wait for nothing are ended at once; a request that
//!    has begun is answered.
//!
//! Next: [`crate::net::connection`], what happens in a slot.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lock::lock;
use crate::watch::stage::Why;

/// All connections of a server.
#[derive(Debug)]
pub(crate) struct Slots {
    max: usize,
    opened: Instant,
    stopping: AtomicBool,
    table: Mutex<Table>,
    freed: Condvar,
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
    /// One of the states below, and in the higher bits when the last whole request was
    /// answered, or the connection opened: in milliseconds since the server's start.
    state: AtomicU64,
}

const IDLE: u64 = 0;
const BEGUN: u64 = 1;
const ANSWERING: u64 = 2;
const EVICTED: u64 = 3;
const IDLE_TOO_LONG: u64 = 4;
const STATE_BITS: u32 = 3;
const STATE: u64 = (1 << STATE_BITS) - 1;

/// A connection's place among the slots.
#[derive(Debug)]
pub(crate) struct Seat {
    slots: Arc<Slots>,
    slot: Arc<Slot>,
    number: u64,
    /// The higher bits of the slot's state.
    since: u64,
}

impl Slots {
    /// As many slots as `max`.
    pub(crate) fn new(max: usize) -> Self {
        Slots {
            max,
            opened: Instant::now(),
            stopping: AtomicBool::new(false),
            table: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// A slot for `stream`, if need be that of a connection that waits; none where all are being
    /// answered.
    pub(crate) fn take(self: &Arc<Self>, stream: &Arc<TcpStream>) -> Option<Seat> {
        let mut table = lock(&self.table);
        // A server that stops evicts nobody: what comes now is its own wake-up call, or the rest of
        // the listener's queue.
        if table.slots.len() >= self.max && !self.is_stopping() && !table.evict_one() {
            return None;
        }
        let since = self.millis() << STATE_BITS;
        let slot =
            Arc::new(Slot { stream: Arc::clone(stream), state: AtomicU64::new(since | IDLE) });
        let number = table.next;
        table.next += 1;
        table.slots.insert(number, Arc::clone(&slot));
        drop(table);
        Some(Seat { slots: Arc::clone(self), slot, number, since })
    }

    /// Ends one connection that waits, if there is one: somebody else needs its file descriptor.
    pub(crate) fn evict_one(&self) -> bool {
        lock(&self.table).evict_one()
    }

    /// Ends connections on which nothing of a request has come for this long.
    pub(crate) fn end_idle(&self, time: Duration) {
        let now = self.millis();
        let limit = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        for slot in lock(&self.table).slots.values() {
            let state = slot.state.load(SeqCst);
            if state & STATE == IDLE
                // It may have become idle after we looked at the clock.
                && now.saturating_sub(state >> STATE_BITS) > limit
                && slot.state.compare_exchange(state, IDLE_TOO_LONG, SeqCst, SeqCst).is_ok()
            {
                let _ = slot.stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Waits for this long, or until the server stops; returns whether it goes on.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let table = lock(&self.table);
        let wait = self.freed.wait_timeout_while(table, time, |_| !self.is_stopping());
        drop(wait);
        !self.is_stopping()
    }

    /// Has idle connections end now and all others after their answer.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, SeqCst);
        let table = lock(&self.table);
        self.freed.notify_all();
        for slot in table.slots.values() {
            // Its reads now return what has arrived, and then the end. (On macOS, what has arrived
            // and was not read is thrown away.)
            if slot.state.load(SeqCst) & STATE == IDLE {
                let _ = slot.stream.shutdown(Shutdown::Read);
            }
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    /// Waits until all connections have ended, or for `patience`; then ends the others.
    pub(crate) fn drain(&self, patience: Duration) {
        let table = lock(&self.table);
        let left = self.freed.wait_timeout_while(table, patience, |table| !table.slots.is_empty());
        let (table, _) = left.unwrap_or_else(PoisonError::into_inner);
        for slot in table.slots.values() {
            let _ = slot.stream.shutdown(Shutdown::Both);
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Table {
    fn evict_one(&mut self) -> bool {
        loop {
            let waiting = self.slots.iter().filter_map(|(&number, slot)| {
                let state = slot.state.load(SeqCst);
                (state & STATE < ANSWERING).then_some((state, number))
            });
            let Some((state, number)) = waiting.min() else {
                return false;
            };
            let Some(slot) = self.slots.get(&number) else {
                return false;
            };
            // Its request may have become whole just now: then it is another's turn.
            if slot.state.compare_exchange(state, EVICTED, SeqCst, SeqCst).is_ok() {
                let _ = slot.stream.shutdown(Shutdown::Both);
                self.slots.remove(&number);
                return true;
            }
        }
    }
}

impl Seat {
    /// Nothing of a request is there. Returns whether to wait for one.
    pub(crate) fn wait(&mut self) -> bool {
        self.turn(IDLE)
    }

    /// Some bytes of a request are there. Returns whether to go on.
    pub(crate) fn begin(&mut self) -> bool {
        self.turn(BEGUN)
    }

    /// A whole request is there. Returns whether to answer it: once it is true, the connection is
    /// safe from eviction until it waits again.
    pub(crate) fn answer(&mut self) -> bool {
        self.turn(ANSWERING)
    }

    /// The answers so far are about to be written: from now on the client is waited for. This is
    /// noted before the client can know, so that of two clients the first one stays the first.
    pub(crate) fn answered(&mut self) {
        self.since = self.slots.millis() << STATE_BITS;
    }

    /// Why the connection was ended by another thread, if it was.
    pub(crate) fn ended(&self) -> Option<Why> {
        match self.slot.state.load(SeqCst) & STATE {
            EVICTED => Some(Why::Evicted),
            IDLE_TOO_LONG => Some(Why::Idle),
            IDLE if self.is_stopping() => Some(Why::Stopping),
            _ => None,
        }
    }

    /// Whether this answer is the last, because the server stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.slots.is_stopping()
    }

    fn turn(&self, to: u64) -> bool {
        let now = self.slot.state.load(SeqCst);
        let next = self.since | to;
        // Nobody but an eviction changes it meanwhile.
        let change = || self.slot.state.compare_exchange(now, next, SeqCst, SeqCst).is_ok();
        now & STATE < EVICTED && (now == next || change())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = lock(&self.slots.table);
        table.slots.remove(&self.number);
        if table.slots.is_empty() {
            self.slots.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    /// The two ends of a new connection: the client's, and the server's.
    fn connection() -> (TcpStream, Arc<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, Arc::new(listener.accept().unwrap().0))
    }

    #[test]
    fn the_one_that_has_waited_longest_makes_room() {
        let slots = Arc::new(Slots::new(2));
        let (mut first, stream) = connection();
        let mut oldest = slots.take(&stream).unwrap();
        let mut other = slots.take(&connection().1).unwrap();
        assert!(oldest.answer() && other.begin());
        std::thread::sleep(Duration::from_millis(3));
        oldest.answered();
        assert!(oldest.wait());
        // `other` has not had a request for longer, though it was opened later.
        let third = slots.take(&connection().1).unwrap();
        assert!(!other.answer());
        assert!(oldest.answer());
        drop(third);
        assert!(oldest.wait());
        let _third = slots.take(&connection().1).unwrap();
        let _fourth = slots.take(&connection().1).unwrap();
        assert!(!oldest.wait());
        drop((oldest, stream));
        assert_eq!(first.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_client_that_pipelines_has_not_waited_since_its_last_answer() {
        let slots = Arc::new(Slots::new(2));
        let mut busy = slots.take(&connection().1).unwrap();
        let mut idle = slots.take(&connection().1).unwrap();
        std::thread::sleep(Duration::from_millis(3));
        // Behind the answered request there is the beginning of another.
        assert!(busy.answer());
        busy.answered();
        assert!(busy.begin());
        let _third = slots.take(&connection().1).unwrap();
        assert!(busy.answer() && !idle.answer());
    }

    #[test]
    fn nobody_who_is_being_answered_makes_room() {
        let slots = Arc::new(Slots::new(1));
        let mut seat = slots.take(&connection().1).unwrap();
        assert!(seat.answer());
        assert!(slots.take(&connection().1).is_none());
        assert!(seat.wait());
        assert!(slots.take(&connection().1).is_some());
    }

    #[test]
    fn a_dropped_seat_is_free() {
        let slots = Arc::new(Slots::new(1));
        for _ in 0..3 {
            let mut seat = slots.take(&connection().1).unwrap();
            assert!(seat.answer());
        }
        slots.drain(Duration::ZERO);
    }
}
