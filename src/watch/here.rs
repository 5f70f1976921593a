//! Here: what is known of this thread's connection, and which of its requests are recorded.
//!
//! 1. A request is recorded whole or not at all. That is decided at its first byte, when room is set
//!    aside for the events of a request ([`ROOM`]). A request of many packets is given more room, or its
//!    further packets are told as one. A request that finds no room is lost, and so is whatever comes after it,
//!    up to the next packet that begins with a request. What is lost is counted, and the count is told.
//! 2. The beginning and the end of a connection are recorded together or not at all, whatever becomes of its
//!    requests.
//! 3. What is not recorded passes by ([`ATTENDS`]): each of its stages costs a call and a look at a flag, and
//!    touches no memory that other processors use. Its answers are counted where they are written. The same is
//!    true while nobody looks.
//!
//! Room is given back when events have been handed on, and not faster than a reader can take them. So a
//! flood costs the server little: most of its requests pass by.
//!
//! The naive version drops whichever event finds the queue full, and its pictures show requests that
//! never end.
//!
//! Next: [`crate::watch::scribe`], who gets the events.

use std::cell::{Cell, RefCell};

use crate::watch::event::What;
use crate::watch::line::MAX_TEXT;
use crate::watch::room::{JOINED, Room};
use crate::watch::stage::Stage;

/// How many events a request is given room for at a time.
const ROOM: i64 = 32;

/// How many of those are kept for what comes after its packets.
const AFTER_BYTES: i64 = 16;

/// The connection of this thread.
#[derive(Debug, Default)]
pub(crate) struct Here {
    /// Its number; 0 where there is none.
    c: u64,
    /// The number of its current request, or of the next one.
    r: u64,
    /// Whether the connection is recorded.
    is_known: bool,
    /// Whether what happens on it now is recorded.
    attends: bool,
    now: Now,
    /// Whether somebody was looking when the first byte of its current request came.
    is_wanted: bool,
    /// How much of the room that was set aside is left, in events.
    aside: i64,
    /// Answers since the last write, and how many of them were recorded.
    answers: u64,
    recorded_answers: u64,
    /// What was read and not told yet: it goes with the next packet, or before the next stage.
    untold: Vec<u8>,
    untold_bytes: usize,
    lost: u64,
}

/// What becomes of the current request.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Now {
    /// There is none.
    #[default]
    Nothing,
    Recorded,
    Lost,
}

thread_local! {
    static HERE: RefCell<Here> = RefCell::default();
    /// A copy of its `attends`, for a look that borrows nothing.
    static ATTENDS: Cell<bool> = const { Cell::new(false) };
    /// How many answers have passed by and are not counted yet.
    static PASSED: Cell<u64> = const { Cell::new(0) };
}

/// Whether this is a stage of a request that is not recorded: then there is nothing more to do.
pub(crate) fn passes_by(stage: Stage<'_>) -> bool {
    match stage {
        _ if ATTENDS.get() => false,
        Stage::Answered { .. } => {
            PASSED.set(PASSED.get() + 1);
            true
        }
        Stage::Partial { .. }
        | Stage::Parsed { .. }
        | Stage::Routed { .. }
        | Stage::Decoded { .. }
        | Stage::Locked { .. }
        | Stage::Joined { .. } => true,
        _ => false,
    }
}

/// Runs `act` on what this thread knows of its connection.
pub(crate) fn with(act: impl FnOnce(&mut Here)) {
    // A thread that is about to end may have dropped it already: then there is nothing to tell.
    let _ = HERE.try_with(|here| {
        if let Ok(mut here) = here.try_borrow_mut() {
            here.count(PASSED.take());
            act(&mut here);
            ATTENDS.set(here.attends);
        }
    });
}

impl Here {
    /// The number of the connection, if this thread has one.
    pub(crate) fn c(&self) -> Option<u64> {
        (self.c > 0).then_some(self.c)
    }

    /// The number of the request on it.
    pub(crate) fn r(&self) -> Option<u64> {
        self.c().and(Some(self.r))
    }

    /// Connection `c` has begun; `stage` says so. `looking` says whether anybody wants to know of requests.
    pub(crate) fn opened(&mut self, c: u64, stage: Stage<'_>, looking: bool, room: &Room) {
        let is_known = room.set_aside(2);
        let attends = looking && is_known;
        *self = Here { c, r: 1, is_known, attends, is_wanted: looking, ..Here::default() };
        if is_known {
            self.send(None, stage, room);
        } else {
            room.lose(0, 1);
        }
    }

    /// Takes any other stage of a connection.
    pub(crate) fn note(&mut self, stage: Stage<'_>, looking: bool, room: &Room) {
        match stage {
            Stage::Closed { .. } => self.closed(stage, room),
            // A thread that serves in some other way, and says nothing of its connections.
            _ if self.c == 0 => {}
            Stage::BytesRead { bytes, unread } => self.bytes_read(bytes, unread, looking, room),
            Stage::Answered { .. } => self.answered(stage, room),
            Stage::Written(_) => self.written(stage, room),
            Stage::Partial { .. } => self.tell(stage, room, 1, AFTER_BYTES),
            Stage::Locked { .. } => self.tell(stage, room, 1, AFTER_BYTES / 2),
            Stage::Joined { .. } => self.tell(stage, room, JOINED, 2),
            Stage::Parsed { .. } | Stage::Routed { .. } | Stage::Decoded { .. } => {
                self.tell(stage, room, 1, 2);
            }
            Stage::Opened { .. }
            | Stage::Journaled { .. }
            | Stage::Synced { .. }
            | Stage::File { .. } => {}
        }
    }

    fn closed(&mut self, stage: Stage<'_>, room: &Room) {
        if self.untold_bytes > 0 {
            self.tell_bytes(false, room);
        }
        if self.is_known {
            self.send(None, stage, room);
        }
        self.lost += u64::from(self.now == Now::Lost && self.is_wanted);
        room.lose(self.lost, 0);
        room.give(self.aside);
        *self = Here::default();
    }

    fn bytes_read(&mut self, bytes: &[u8], unread: usize, looking: bool, room: &Room) {
        let begins = unread == 0;
        if begins {
            (self.now, self.is_wanted) = (Now::Nothing, looking);
            self.attends = looking && self.is_known;
        }
        if !self.is_recorded(room) {
            self.now = Now::Lost;
            return;
        }
        self.untold_bytes += bytes.len();
        let text = MAX_TEXT.saturating_sub(self.untold.len()).min(bytes.len());
        self.untold.extend_from_slice(&bytes[..text]);
        if self.has_room(room, 1, AFTER_BYTES) {
            self.tell_bytes(begins, room);
        }
    }

    fn answered(&mut self, stage: Stage<'_>, room: &Room) {
        if self.is_recorded(room) {
            self.tell(stage, room, 1, 1);
            self.recorded_answers += 1;
            self.answers += 1;
            self.r += 1;
            self.now = Now::Nothing;
        } else {
            self.count(1);
        }
    }

    fn written(&mut self, stage: Stage<'_>, room: &Room) {
        if self.recorded_answers > 0 {
            self.aside -= 1;
            self.send(Some(self.r - 1), stage, room);
        }
        (self.answers, self.recorded_answers) = (0, 0);
        room.lose(std::mem::take(&mut self.lost), 0);
        if self.aside > 0 && self.now != Now::Recorded {
            room.give(std::mem::take(&mut self.aside));
        }
    }

    /// This many answers have passed by.
    fn count(&mut self, passed: u64) {
        self.r += passed;
        self.answers += passed;
        self.lost += if self.is_wanted { passed } else { 0 };
        if passed > 0 {
            self.now = Now::Nothing;
        }
    }

    /// Whether the request that is under way is recorded. If it has just begun, decides it: where there is
    /// no room, it passes by, and with it whatever comes up to a read that begins with a request.
    fn is_recorded(&mut self, room: &Room) -> bool {
        if self.attends && self.now == Now::Nothing {
            self.attends = self.has_room(room, ROOM, 0);
            self.now = if self.attends { Now::Recorded } else { Now::Lost };
        }
        self.attends
    }

    /// Whether there is room for `cost` events here, and then for `rest` more.
    fn has_room(&mut self, room: &Room, cost: i64, rest: i64) -> bool {
        if self.aside < cost + rest && room.set_aside(ROOM) {
            self.aside += ROOM;
        }
        self.aside >= cost + rest
    }

    /// Tells a stage of a request that is recorded, if there is room for its cost and then for `rest` more.
    fn tell(&mut self, stage: Stage<'_>, room: &Room, cost: i64, rest: i64) {
        if self.is_recorded(room) && self.has_room(room, cost + 1, rest) {
            if self.untold_bytes > 0 {
                self.tell_bytes(false, room);
            }
            self.aside -= cost;
            self.send(Some(self.r), stage, room);
        }
    }

    /// Tells what was read and not told.
    fn tell_bytes(&mut self, begins: bool, room: &Room) {
        let what = What::bytes_read(&self.untold, self.untold_bytes);
        (self.untold_bytes, self.aside) = (0, self.aside - 1);
        self.untold.clear();
        room.send(self.c(), Some(self.r), what, begins);
    }

    fn send(&self, r: Option<u64>, stage: Stage<'_>, room: &Room) {
        let what = What::of(stage, self.answers, |at| room.time(at));
        room.send(self.c(), r, what, false);
    }
}

#[cfg(test)]
mod tests;
