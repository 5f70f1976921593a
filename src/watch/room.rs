//! The room: the queue of events, and how many more it can take.
//!
//! ```text
//!  threads that serve ──set_aside()──▶ room ◀──give()── scribe
//!         └────────────send()────────▶ queue ──────────▶ scribe
//! ```
//!
//! A queue with a fixed number of places makes nobody wait, and when it is full it loses whatever comes next:
//! the end of a request whose beginning is in it. So whoever begins something first sets aside as much room as the
//! rest of it will need; the places are there then. What finds no room is counted here.
//!
//! Next: [`crate::watch::recorder`], which decides what becomes an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use crate::watch::event::{Event, What};

/// How many events may wait, and one more for each connection that there can be: its end has room set aside.
const QUEUE: i64 = 1 << 13;

/// No more than this, however many connections there can be: the places are memory.
const MOST: i64 = 1 << 16;

/// How many more may wait without room set aside: what happens to the data file, and to each batch.
const SPARE: i64 = 1 << 10;

/// What is in the queue.
pub(crate) enum Message {
    /// Something happened. `begins` says whether it is the first byte of a request.
    Event { event: Box<Event>, begins: bool },
    /// Somebody wants to know from now on, and is told `()` when it has begun.
    Look(Box<dyn Sink>, SyncSender<()>),
    /// Nothing more will come.
    End,
}

/// Somebody who wants to know.
pub(crate) trait Sink: Send {
    /// Takes an event, which is also here as a line of JSON.
    fn take(&mut self, event: &Event, line: &Arc<str>);

    /// No other event is there for now. Returns whether more are wanted.
    fn flush(&mut self) -> bool;
}

/// The queue's end where events go in.
#[derive(Debug)]
pub(crate) struct Room {
    queue: SyncSender<Message>,
    /// How much room nobody has set aside, in events.
    free: AtomicI64,
    /// When the recording began.
    start: Instant,
    lost_requests: AtomicU64,
    lost_connections: AtomicU64,
}

impl Room {
    /// An empty queue, and its other end.
    pub(crate) fn new(connections: usize) -> (Self, Receiver<Message>) {
        let free = QUEUE.saturating_add_unsigned(connections as u64).min(MOST);
        let (queue, events) = sync_channel(usize::try_from(free + SPARE).unwrap_or_default());
        let room = Room {
            queue,
            free: AtomicI64::new(free),
            start: Instant::now(),
            lost_requests: AtomicU64::new(0),
            lost_connections: AtomicU64::new(0),
        };
        (room, events)
    }

    /// A way to tell the queue's reader something else.
    pub(crate) fn queue(&self) -> SyncSender<Message> {
        self.queue.clone()
    }

    /// Sets room aside for this many events, if there is enough.
    pub(crate) fn set_aside(&self, events: i64) -> bool {
        // Where there is too little, nothing is written that other processors would have to hear of: most of a
        // flood ends here.
        let left = |free: i64| (free >= events).then(|| free - events);
        self.free.fetch_update(Relaxed, Relaxed, left).is_ok()
    }

    /// There is room for this many more events.
    pub(crate) fn give(&self, events: i64) {
        self.free.fetch_add(events, Relaxed);
    }

    /// Puts an event into the queue, for which room was set aside. `begins` says whether it is the first
    /// byte of a request.
    pub(crate) fn send(&self, c: Option<u64>, r: Option<u64>, what: What, begins: bool) {
        let event = Box::new(Event { t: self.time(Instant::now()), c, r, what });
        if self.queue.try_send(Message::Event { event, begins }).is_err() {
            // Too many events have come that need no room set aside, or nobody reads any more.
            self.lose(1, 0);
        }
    }

    /// The time since the recording began, in nanoseconds.
    pub(crate) fn time(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// This many requests and connections are not recorded.
    pub(crate) fn lose(&self, requests: u64, connections: u64) {
        if requests > 0 {
            self.lost_requests.fetch_add(requests, Relaxed);
        }
        if connections > 0 {
            self.lost_connections.fetch_add(connections, Relaxed);
        }
    }

    /// How many requests and how many connections were not recorded since this was last asked.
    pub(crate) fn take_lost(&self) -> (u64, u64) {
        (self.lost_requests.swap(0, Relaxed), self.lost_connections.swap(0, Relaxed))
    }
}

/// What a set that joins a batch costs: the events of the batch are paid for too.
pub(crate) const JOINED: i64 = 3;

/// How much room comes back when this event has left the queue.
pub(crate) fn cost(what: &What) -> i64 {
    match what {
        What::Joined { .. } => JOINED,
        What::Journaled { .. } | What::Synced { .. } | What::File { .. } => 0,
        _ => 1,
    }
}

#[cfg(test)]
pub(crate) mod tests;
