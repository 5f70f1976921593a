//! The recorder: the observer that turns stages into events, and decides which.
//!
//! It runs on the threads that serve, and under their locks. So:
//!
//! 1. It never waits: events go into a queue with room for so many, and whoever reads them
//!    ([`crate::watch::scribe`]) is not waited for.
//! 2. A request is recorded whole or not at all. That is decided at its first byte, when room is set
//!    aside for the events that a request has ([`ROOM`]). A request of many packets is given more, or its
//!    further packets are told as one. What finds no room is counted, and the count is told; with it goes
//!    all that comes up to the next packet that begins with a request.
//! 3. The beginning and the end of a connection are recorded together or not at all, whatever becomes of its
//!    requests; what happens to the file is always recorded.
//! 4. What is not recorded passes by ([`ATTENDS`]): each of its stages costs a call and a look, and shares
//!    nothing with other processors. Its answers are counted where they are written. It is the same where
//!    nobody looks; only what has to be known when somebody comes to look is kept: who is connected, how
//!    large the file is.
//!
//! Room is given back when events have been handed on, and not faster than a reader can take them. So a
//! flood costs the server little: most of its requests pass by.
//!
//! The naive version drops whichever event finds the queue full, and its pictures show requests that
//! never end.
//!
//! Next: [`crate::watch::scribe`], who gets the events.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use crate::watch::event::{Event, What};
use crate::watch::hello::{FileNow, FileSize};
use crate::watch::line::MAX_TEXT;
use crate::watch::room::{JOINED, Message, Room};
use crate::watch::stage::Stage;

/// How many events a request is given room for at a time.
const ROOM: i64 = 32;

/// Of those, how many are not for its packets, but for what comes after them.
const AFTER_BYTES: i64 = 16;

/// Turns stages into events.
#[derive(Debug)]
pub(crate) struct Recorder {
    start: Instant,
    /// Where its events go.
    pub(crate) room: Room,
    /// Whether anybody wants to know of requests.
    looking: AtomicBool,
    lost_requests: AtomicU64,
    lost_connections: AtomicU64,
    connections: AtomicU64,
    /// The last batch that a recorded set has joined.
    wanted_batch: AtomicU64,
    file: FileNow,
}

/// The connection of this thread.
#[derive(Debug, Default)]
struct Here {
    c: u64,
    /// The request that comes or has come.
    r: u64,
    /// Whether the connection is recorded.
    is_known: bool,
    now: Now,
    /// Whether somebody looked when the first byte of what is there now came.
    is_wanted: bool,
    /// For how many events there is room left that was set aside.
    room: i64,
    /// Answers since the last write, and how many of them were recorded.
    answers: u64,
    recorded_answers: u64,
    /// What was read and will be told with the next packet, or when they are all there.
    untold: Vec<u8>,
    untold_bytes: usize,
    lost: u64,
}

/// What becomes of the request that is under way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Now {
    /// None is.
    #[default]
    Nothing,
    Recorded,
    Lost,
}

thread_local! {
    static HERE: RefCell<Here> = RefCell::default();
    /// Whether what this thread's connection does is recorded. If not, it passes by.
    static ATTENDS: Cell<bool> = const { Cell::new(false) };
    /// How many answers have passed by and are not counted yet.
    static PASSED: Cell<u64> = const { Cell::new(0) };
}

impl Recorder {
    /// A recorder for a server with so many connections at most, and the queue in which its events are.
    pub(crate) fn new(connections: usize) -> (Self, Receiver<Message>) {
        let (room, events) = Room::new(connections);
        let recorder = Recorder {
            start: Instant::now(),
            room,
            looking: AtomicBool::new(false),
            lost_requests: AtomicU64::new(0),
            lost_connections: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            wanted_batch: AtomicU64::new(0),
            file: FileNow::default(),
        };
        (recorder, events)
    }

    /// Takes a stage, on the thread in which it was reached.
    pub(crate) fn note(&self, stage: Stage<'_>) {
        match stage {
            Stage::Answered { .. } if !ATTENDS.get() => PASSED.set(PASSED.get() + 1),
            Stage::Partial { .. }
            | Stage::Parsed { .. }
            | Stage::Routed { .. }
            | Stage::Decoded { .. }
            | Stage::Locked { .. }
            | Stage::Joined { .. }
                if !ATTENDS.get() => {}
            // A thread that is about to end may have nothing to keep this in: then there is nothing to tell.
            _ => drop(HERE.try_with(|here| {
                if let Ok(mut here) = here.try_borrow_mut() {
                    self.note_at(&mut here, stage);
                }
            })),
        }
    }

    /// The time since the beginning, in nanoseconds.
    pub(crate) fn time(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether anybody wants to know of requests from now on.
    pub(crate) fn look(&self, looking: bool) {
        self.looking.store(looking, Relaxed);
    }

    /// How many requests and how many connections were not recorded since this was asked.
    pub(crate) fn take_lost(&self) -> (u64, u64) {
        (self.lost_requests.swap(0, Relaxed), self.lost_connections.swap(0, Relaxed))
    }

    /// How large the file is, if there is one.
    pub(crate) fn file(&self) -> Option<FileSize> {
        self.file.size()
    }

    fn note_at(&self, here: &mut Here, stage: Stage<'_>) {
        let looking = self.looking.load(Relaxed);
        here.count(PASSED.take());
        match stage {
            Stage::Opened { .. } => self.opened(here, stage, looking),
            Stage::Closed { .. } => self.closed(here, stage),
            Stage::File { step, bytes, records, keys } => {
                self.file.note(step, bytes, records, keys);
                if looking {
                    self.send(here, None, stage);
                }
            }
            Stage::Journaled { batch, lines, at, records, keys, .. } => {
                self.file.set(at + lines.len() as u64, records, keys);
                if looking && batch <= self.wanted_batch.load(Relaxed) {
                    self.send(here, Some(here.r), stage);
                }
            }
            Stage::Synced { batch, begun, .. } => {
                let is_wanted = begun.is_some() || batch <= self.wanted_batch.load(Relaxed);
                if looking && is_wanted {
                    self.send(here, Some(here.r), stage);
                }
            }
            // A thread that serves in some other way, and says nothing of its connections.
            _ if here.c == 0 => {}
            Stage::BytesRead { bytes, unread } => self.bytes_read(here, bytes, unread, looking),
            Stage::Answered { .. } => self.answered(here, stage),
            Stage::Written(_) => self.written(here, stage),
            Stage::Partial { .. } => self.tell(here, stage, 1, AFTER_BYTES),
            Stage::Locked { .. } => self.tell(here, stage, 1, AFTER_BYTES / 2),
            Stage::Joined { batch, .. } => {
                if self.is_recorded(here) {
                    self.wanted_batch.fetch_max(batch, Relaxed);
                }
                self.tell(here, stage, JOINED, 2);
            }
            Stage::Parsed { .. } | Stage::Routed { .. } | Stage::Decoded { .. } => {
                self.tell(here, stage, 1, 2);
            }
        }
    }

    fn opened(&self, here: &mut Here, stage: Stage<'_>, looking: bool) {
        let c = self.connections.fetch_add(1, Relaxed) + 1;
        let is_known = self.room.set_aside(2);
        *here = Here { c, r: 1, is_known, is_wanted: looking, ..Here::default() };
        ATTENDS.set(looking && is_known);
        if is_known {
            self.send(here, None, stage);
        } else {
            self.lost_connections.fetch_add(1, Relaxed);
        }
    }

    fn closed(&self, here: &mut Here, stage: Stage<'_>) {
        if here.untold_bytes > 0 {
            self.tell_bytes(here, false);
        }
        if here.is_known {
            self.send(here, None, stage);
        }
        here.lost += u64::from(here.now == Now::Lost && here.is_wanted);
        self.lost_requests.fetch_add(here.lost, Relaxed);
        self.room.give(here.room);
        *here = Here::default();
        ATTENDS.set(false);
    }

    fn bytes_read(&self, here: &mut Here, bytes: &[u8], unread: usize, looking: bool) {
        let begins = unread == 0;
        if begins {
            (here.now, here.is_wanted) = (Now::Nothing, looking);
            ATTENDS.set(looking && here.is_known);
        }
        if !self.is_recorded(here) {
            here.now = Now::Lost;
            return;
        }
        here.untold_bytes += bytes.len();
        let text = MAX_TEXT.saturating_sub(here.untold.len()).min(bytes.len());
        here.untold.extend_from_slice(&bytes[..text]);
        if self.has_room(here, 1, AFTER_BYTES) {
            self.tell_bytes(here, begins);
        }
    }

    fn answered(&self, here: &mut Here, stage: Stage<'_>) {
        if self.is_recorded(here) {
            self.tell(here, stage, 1, 1);
            here.recorded_answers += 1;
            here.answers += 1;
            here.r += 1;
            here.now = Now::Nothing;
        } else {
            here.count(1);
        }
    }

    fn written(&self, here: &mut Here, stage: Stage<'_>) {
        if here.recorded_answers > 0 {
            here.room -= 1;
            self.send(here, Some(here.r - 1), stage);
        }
        (here.answers, here.recorded_answers) = (0, 0);
        if here.lost > 0 {
            self.lost_requests.fetch_add(std::mem::take(&mut here.lost), Relaxed);
        }
        if here.room > 0 && here.now != Now::Recorded {
            self.room.give(std::mem::take(&mut here.room));
        }
    }

    /// Whether the request that is under way is recorded. If it has just begun, decides it: where there is
    /// no room, it passes by, and with it whatever comes up to a read that begins with a request.
    fn is_recorded(&self, here: &mut Here) -> bool {
        if ATTENDS.get() && here.now == Now::Nothing {
            let has_room = self.has_room(here, ROOM, 0);
            here.now = if has_room { Now::Recorded } else { Now::Lost };
            ATTENDS.set(has_room);
        }
        ATTENDS.get()
    }

    /// Tells a stage of a request that is recorded, if there is room for its cost and then for `rest` more.
    fn tell(&self, here: &mut Here, stage: Stage<'_>, cost: i64, rest: i64) {
        if self.is_recorded(here) && self.has_room(here, cost + 1, rest) {
            if here.untold_bytes > 0 {
                self.tell_bytes(here, false);
            }
            here.room -= cost;
            self.send(here, Some(here.r), stage);
        }
    }

    /// Tells what was read and not told.
    fn tell_bytes(&self, here: &mut Here, begins: bool) {
        let what = What::bytes_read(&here.untold, here.untold_bytes);
        (here.untold_bytes, here.room) = (0, here.room - 1);
        here.untold.clear();
        self.send_what(here, Some(here.r), what, begins);
    }

    /// Whether there is room for `cost` events here, and then for `rest` more.
    fn has_room(&self, here: &mut Here, cost: i64, rest: i64) -> bool {
        if here.room < cost + rest && self.room.set_aside(ROOM) {
            here.room += ROOM;
        }
        here.room >= cost + rest
    }

    fn send(&self, here: &Here, r: Option<u64>, stage: Stage<'_>) {
        let what = What::of(stage, here.answers, |at| self.time(at));
        self.send_what(here, r, what, false);
    }

    fn send_what(&self, here: &Here, r: Option<u64>, what: What, begins: bool) {
        let c = (here.c > 0).then_some(here.c);
        let event = Event { t: self.time(Instant::now()), c, r: c.and(r), what };
        if !self.room.send(event, begins) {
            // Of what needs no room there is more than can be. Or nobody reads any more.
            self.lost_requests.fetch_add(1, Relaxed);
        }
    }
}

impl Here {
    /// So many answers have passed by.
    fn count(&mut self, passed: u64) {
        self.r += passed;
        self.answers += passed;
        self.lost += if self.is_wanted { passed } else { 0 };
        if passed > 0 {
            self.now = Now::Nothing;
        }
    }
}

#[cfg(test)]
mod tests;
