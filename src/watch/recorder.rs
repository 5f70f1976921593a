//! The recorder: the observer that turns stages into events.
//!
//! It runs on the threads that serve, and under their locks. So:
//!
//! 1. It never waits: events go into a queue ([`crate::watch::room`]), and whoever reads them
//!    ([`crate::watch::scribe`]) is not waited for.
//! 2. The stages of a connection are left to [`crate::watch::here`], which knows the thread's own. Those that
//!    concern no connection, or many, are decided in this file: whatever happens to the data file is recorded, and
//!    so is a batch that has a recorded set, and each sync in the background.
//! 3. While nobody looks, it keeps only what the next reader has to be told first: who is connected, and how
//!    large the data file is.
//!
//! The naive version formats and writes where it is called, and the disk that has the trace sets the
//! server's pace.
//!
//! Next: [`crate::watch::here`], which requests are recorded.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;

use crate::watch::event::What;
use crate::watch::hello::{FileNow, FileSize};
use crate::watch::here::{self, Here};
use crate::watch::room::{Message, Room};
use crate::watch::stage::Stage;

/// Turns stages into events.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Where its events go.
    pub(crate) room: Room,
    /// Whether anybody wants to know of requests.
    looking: AtomicBool,
    /// How many connections there have been.
    connections: AtomicU64,
    /// The last batch that a recorded set has joined.
    wanted_batch: AtomicU64,
    file: FileNow,
}

impl Recorder {
    /// A recorder for a server with at most this many connections, and the queue that its events
    /// are in.
    pub(crate) fn new(connections: usize) -> (Self, Receiver<Message>) {
        let (room, events) = Room::new(connections);
        let recorder = Recorder {
            room,
            looking: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            wanted_batch: AtomicU64::new(0),
            file: FileNow::default(),
        };
        (recorder, events)
    }

    /// Takes a stage, on the thread in which it was reached.
    pub(crate) fn note(&self, stage: Stage<'_>) {
        if !here::passes_by(stage) {
            here::with(|here| self.note_at(here, stage));
        }
    }

    /// Whether anybody wants to know of requests from now on.
    pub(crate) fn look(&self, looking: bool) {
        self.looking.store(looking, Relaxed);
    }

    /// How large the file is, if there is one.
    pub(crate) fn file(&self) -> Option<FileSize> {
        self.file.size()
    }

    fn note_at(&self, here: &mut Here, stage: Stage<'_>) {
        let looking = self.looking.load(Relaxed);
        match stage {
            Stage::Opened { .. } => {
                let c = self.connections.fetch_add(1, Relaxed) + 1;
                here.opened(c, stage, looking, &self.room);
            }
            Stage::Joined { batch, .. } => {
                // A set that is not recorded has passed by, and never comes here.
                self.wanted_batch.fetch_max(batch, Relaxed);
                here.note(stage, looking, &self.room);
            }
            Stage::Journaled { batch, lines, at, records, keys, .. } => {
                self.file.set(at + lines.len() as u64, records, keys);
                if looking && self.is_wanted(batch) {
                    self.send(here.c(), here.r(), stage);
                }
            }
            Stage::Synced { batch, begun, .. } => {
                // A sync in the background may be for sets from before anybody looked.
                if looking && (begun.is_some() || self.is_wanted(batch)) {
                    self.send(here.c(), here.r(), stage);
                }
            }
            Stage::File { step, bytes, records, keys } => {
                self.file.note(step, bytes, records, keys);
                if looking {
                    self.send(here.c(), None, stage);
                }
            }
            _ => here.note(stage, looking, &self.room),
        }
    }

    /// Whether a set that is recorded waits for this batch, or did.
    fn is_wanted(&self, batch: u64) -> bool {
        batch <= self.wanted_batch.load(Relaxed)
    }

    fn send(&self, c: Option<u64>, r: Option<u64>, stage: Stage<'_>) {
        let what = What::of(stage, 0, |at| self.room.time(at));
        self.room.send(c, r, what, false);
    }
}

#[cfg(test)]
mod tests;
