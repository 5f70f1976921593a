//! The journal: a set is one line at the end of a file, and is answered when the line is safe.
//!
//! A disk takes about as long to sync one line as a hundred, so sets that wait at the same time
//! share one sync (*group commit*). No thread of its own does this: the first set that finds
//! nobody writing *leads*, and writes for all that have come by then.
//!
//! ```text
//!           keep()                              lead()
//! set ──▶ the queue ──nobody leads──▶ take all that wait
//!             │                        │ append    one write
//!             │ somebody leads         │ sync      one fdatasync
//!             ▼                        │ insert    into the map, in the order of the file
//!          Ticket::wait ◀──told────────┤
//!             │                        ▼
//!             └──told to lead◀── the first that waits now, if any
//! ```
//!
//! 1. The map gets a pair after the file has it, and with `--sync always` after the disk has it:
//!    no reader sees a value that a crash could still take back.
//! 2. The map and the file see sets in the same order, so that the last line of a key is the
//!    value that was read before the restart.
//! 3. A write that fails is undone by cutting the file. A *sync* that fails can't be undone or
//!    repeated: nobody knows what the disk holds, and the next sync may say "fine" about data that
//!    is gone. The file is then not written to any more; the next set replaces it by a snapshot of
//!    the map, and goes on with that.
//!
//! The naive version holds one lock around append, sync and insert: right, and sixty-four clients
//! wait for sixty-four syncs in a row.
//!
//! Next: [`crate::record`], how a line looks.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::compaction;
use crate::disk::{DataFile, Replacement};
use crate::map::{Map, lock};
use crate::record;
use crate::replay::Replayed;
use crate::stage::{Stage, reached};

/// When a set is safe from a loss of power. It is always safe from the death of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncWhen {
    /// Before it is answered.
    Always,
    /// This long afterwards, at most.
    Every(Duration),
    /// When the operating system sees fit.
    Never,
}

/// Why a pair was not kept: a part of a sentence, for the client.
pub type NotKept = Arc<str>;

/// The file, and those who wait for it.
#[derive(Debug)]
pub struct Journal {
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    when: SyncWhen,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Batch,
    /// Whether some thread is between taking a batch and handing the lead on.
    led: bool,
}

/// Sets that go to the disk together.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<u8>,
    sets: Vec<Set>,
}

#[derive(Debug)]
struct Set {
    key: Box<str>,
    value: Box<str>,
    ticket: Arc<Ticket>,
}

/// The file and what is known of it.
#[derive(Debug)]
pub(crate) struct Writer {
    data: DataFile,
    /// How long the file is, by what succeeded.
    length: u64,
    /// How many records it has, live and dead.
    records: u64,
    /// Whether the disk holds what we think: false after a failed sync.
    trusted: bool,
    /// Whether something was appended since the last sync.
    dirty: bool,
    /// No replacement is tried before this: each costs as much as the whole file.
    retry_at: Option<Instant>,
}

impl Journal {
    pub(crate) fn new(data: DataFile, replayed: &Replayed, when: SyncWhen) -> Self {
        Journal {
            queue: Mutex::default(),
            writer: Mutex::new(Writer {
                data,
                length: replayed.length,
                records: replayed.records,
                trusted: true,
                dirty: false,
                retry_at: None,
            }),
            when,
        }
    }

    /// Returns when the pair is kept, as `--sync` promises, and in `map`. To the set that led it
    /// also tells how large the file is now.
    pub(crate) fn keep(
        &self,
        key: &str,
        value: &str,
        map: &Map,
    ) -> Result<Option<compaction::Size>, NotKept> {
        let ticket = Arc::new(Ticket::new());
        let set = Set { key: key.into(), value: value.into(), ticket: Arc::clone(&ticket) };
        let mut line = Vec::with_capacity(key.len() + value.len() + 32);
        record::write(&mut line, key, value);
        let leads = {
            let mut queue = lock(&self.queue);
            queue.waiting.lines.extend_from_slice(&line);
            queue.waiting.sets.push(set);
            !std::mem::replace(&mut queue.led, true)
        };
        let leads = leads || ticket.wait() == Ticket::LEAD;
        let size = leads.then(|| self.lead(map));
        match ticket.error.get() {
            Some(error) => Err(Arc::clone(error)),
            None => Ok(size),
        }
    }

    /// Writes all that waits, the caller's own set among it, and hands the lead on.
    fn lead(&self, map: &Map) -> compaction::Size {
        let batch = std::mem::take(&mut lock(&self.queue).waiting);
        let mut tickets = Vec::with_capacity(batch.sets.len());
        let (outcome, size) = {
            let mut writer = lock(&self.writer);
            let outcome = writer.write(&batch, self.when, map);
            for Set { key, value, ticket } in batch.sets {
                if outcome.is_ok() {
                    map.insert(key, value);
                }
                tickets.push(ticket);
            }
            (outcome, writer.size())
        };
        // The lead first, so that the disk has work while the others are told.
        let mut queue = lock(&self.queue);
        match queue.waiting.sets.first() {
            Some(next) => next.ticket.tell(Ticket::LEAD),
            None => queue.led = false,
        }
        drop(queue);
        let error = outcome.err().map(|error| NotKept::from(in_words(&error)));
        for ticket in tickets {
            if let Some(error) = &error {
                ticket.error.get_or_init(|| Arc::clone(error));
            }
            ticket.tell(Ticket::DONE);
        }
        size
    }

    /// Syncs what was appended since the last sync. Where a sync has failed, the file is rewritten:
    /// what was answered without one may be on no disk.
    pub(crate) fn sync(&self, map: &Map) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        // Its error is of interest only where the rewrite fails too, and that has its own.
        let _ = writer.sync();
        if writer.trusted {
            return Ok(());
        }
        writer.retry_at = None;
        writer.start_over(map)
    }

    /// How large the file is.
    pub(crate) fn size(&self) -> compaction::Size {
        self.writer().size()
    }

    /// The writer, for as long as no set shall come between.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }
}

impl Writer {
    fn write(&mut self, batch: &Batch, when: SyncWhen, map: &Map) -> io::Result<()> {
        if !self.trusted {
            self.start_over(map)?;
        }
        let result = self.append(batch, when);
        // At once, so that what is refused now is not in the file after a restart. Where it does
        // not work, the next set tries again, and until then cutting the file does what it can.
        if !self.trusted && self.start_over(map).is_err() {
            let _ = self.data.truncate(self.length);
        }
        result
    }

    fn append(&mut self, batch: &Batch, when: SyncWhen) -> io::Result<()> {
        if let Err(error) = self.data.append(&batch.lines) {
            // Part of it may be there, and whole lines too. Where even cutting fails, that part is
            // not ours to build on.
            self.trusted = self.data.truncate(self.length).is_ok();
            self.dirty = true;
            if when == SyncWhen::Always {
                // The cut has to survive a loss of power as well. Where it may not, the file is
                // not trusted any more.
                let _ = self.sync();
            }
            return Err(error);
        }
        reached(Stage::Journaled(&batch.lines));
        self.dirty = true;
        if when == SyncWhen::Always {
            self.sync()?;
            reached(Stage::Synced);
        }
        self.length += batch.lines.len() as u64;
        self.records += batch.sets.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.dirty || !self.trusted {
            return Ok(());
        }
        let result = self.data.sync();
        self.trusted = result.is_ok();
        self.dirty = false;
        result
    }

    /// Replaces a file that can't be trusted any more by a snapshot of the map, which has all that
    /// was ever answered.
    fn start_over(&mut self, map: &Map) -> io::Result<()> {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| now < at) {
            return Err(io::Error::other("the data file has to be rewritten after a failed sync"));
        }
        self.retry_at = Some(now + Duration::from_secs(1));
        let replacement = self.data.begin_replacement()?;
        let snapshot = compaction::write_snapshot(&replacement, map, || Ok(()))?;
        self.replace(replacement, snapshot)?;
        self.retry_at = None;
        Ok(())
    }

    /// Puts a replacement with this length and so many records in the place of the file. Returns
    /// when that is durable.
    pub(crate) fn replace(
        &mut self,
        replacement: Replacement,
        snapshot: compaction::Size,
    ) -> io::Result<()> {
        replacement.sync()?;
        self.data.become_replacement(replacement)?;
        (self.length, self.records) = (snapshot.bytes, snapshot.records);
        self.dirty = false;
        // A rename that may not last is as good as no file: see the third rule above.
        self.trusted = false;
        self.data.sync_folder()?;
        self.trusted = true;
        Ok(())
    }

    pub(crate) fn data(&self) -> &DataFile {
        &self.data
    }

    pub(crate) fn size(&self) -> compaction::Size {
        compaction::Size { bytes: self.length, records: self.records }
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }
}

/// What a set that is under way waits with.
#[derive(Debug)]
struct Ticket {
    told: AtomicU8,
    error: OnceLock<NotKept>,
    thread: Thread,
}

impl Ticket {
    const WAIT: u8 = 0;
    const LEAD: u8 = 1;
    const DONE: u8 = 2;

    fn new() -> Self {
        Ticket {
            told: AtomicU8::new(Self::WAIT),
            error: OnceLock::new(),
            thread: thread::current(),
        }
    }

    /// Returns what the thread is told: to lead, or that it is done.
    fn wait(&self) -> u8 {
        loop {
            match self.told.load(Ordering::Acquire) {
                Self::WAIT => thread::park(),
                told => return told,
            }
        }
    }

    fn tell(&self, what: u8) {
        self.told.store(what, Ordering::Release);
        self.thread.unpark();
    }
}

/// An error of the disk, as the client is told of it.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
        io::ErrorKind::FileTooLarge => "the data file may not grow any larger".into(),
        _ => format!("the disk reports an error: {error}"),
    }
}
