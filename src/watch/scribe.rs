//! The scribe: a thread that takes events from the queue, and hands them on.
//!
//! ```text
//!  threads that serve ──▶ queue ──▶ scribe ──▶ the file of --trace-file
//!     (recorder)                      │   └──▶ standard error, for --trace
//!                                     └──▶ each watcher's queue ──▶ its thread ──▶ its socket
//! ```
//!
//! 1. Readers that can't take events fast enough slow nobody down. A file or a terminal holds up
//!    this thread; then no room is given back, whole requests are not recorded, and the number is
//!    told. A watcher has a queue, and loses its place where that is full.
//! 2. No more than [`RATE`] events a second are handed on for long: more is not read by anybody, and costs
//!    the processors that serve.
//!
//! It does not sleep in the queue while events come: to wake it up for each of them would cost the thread that
//! serves more than the event.
//!
//! Next: [`crate::watch::readers`], those who look.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::config::Config;
use crate::watch::hello::Kept;
use crate::watch::readers::Readers;
use crate::watch::recorder::Recorder;
use crate::watch::room::{Message, Sink, cost};
use crate::watch::stage;

/// How many events are handed on in a second, where more come for long.
const RATE: u64 = 10_000;

/// How many are handed on at a time.
const ROUND: usize = 1 << 10;

/// Between two looks at the queue while events come.
const GLANCE: Duration = Duration::from_millis(5);

/// Between two looks at what was lost while none come.
const IDLE: Duration = Duration::from_secs(1);

/// How long the end waits for a file, a terminal or a watcher that takes nothing.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A way to have events handed on.
#[derive(Debug, Clone)]
pub struct Scribe {
    queue: SyncSender<Message>,
    thread: Arc<JoinHandle<()>>,
    /// How many events have left the queue.
    handed_on: Arc<AtomicU64>,
    /// Shared by all who write lines that were handed on, until they are written.
    pub(crate) writing: Arc<RwLock<()>>,
}

/// The thread's own.
struct Desk {
    recorder: Arc<Recorder>,
    queue: Receiver<Message>,
    readers: Readers,
    handed_on: Arc<AtomicU64>,
    /// Room that is not given back yet, in events, and when some of it was.
    owed: i64,
    given: Instant,
}

impl Scribe {
    /// Begins to record what happens in this process, and starts the thread. Nothing is recorded of
    /// what was before. `kept` and `sync`, which is what `--sync` says, are for the first line.
    ///
    /// # Errors
    /// Where there is no thread to be had, or somebody else observes this process already.
    pub fn start(config: &Config, kept: Kept, sync: &str) -> anyhow::Result<Self> {
        let (recorder, events) = Recorder::new(config.max_connections);
        let recorder = Arc::new(recorder);
        let handed_on = Arc::new(AtomicU64::new(0));
        let desk = Desk {
            handed_on: Arc::clone(&handed_on),
            recorder: Arc::clone(&recorder),
            queue: events,
            readers: Readers::new(config, kept, sync),
            owed: 0,
            given: Instant::now(),
        };
        let queue = recorder.room.queue();
        let thread = thread::Builder::new().name("scribe".into());
        let thread = thread.spawn(move || desk.run()).context("cannot start a thread")?;
        let observed = stage::observe(move |stage| recorder.note(stage));
        anyhow::ensure!(observed, "this process is observed already");
        Ok(Scribe { queue, thread: Arc::new(thread), handed_on, writing: Arc::default() })
    }

    /// Tells `sink` of everything from now on.
    pub(crate) fn hand_on(&self, sink: Box<dyn Sink>) {
        let (done, is_done) = sync_channel(1);
        if self.queue.send(Message::Look(sink, done)).is_ok() {
            let _ = is_done.recv();
        }
    }

    /// Returns when all events up to now have been handed on and written, and nothing more will be; or
    /// when somebody has taken none for two seconds, and at `deadline` at the latest.
    pub fn finish(&self, deadline: Instant) {
        let mut is_told = false;
        let (mut handed_on, mut since) = (0, Instant::now());
        let is_over = || self.thread.is_finished() && self.writing.try_write().is_ok();
        while !is_over() && since.elapsed() < LAST_LINES && Instant::now() < deadline {
            is_told = is_told || self.queue.try_send(Message::End).is_ok();
            thread::sleep(GLANCE);
            let now = self.handed_on.load(Relaxed);
            if now != handed_on {
                (handed_on, since) = (now, Instant::now());
            }
        }
    }
}

impl Desk {
    fn run(mut self) {
        let mut goes_on = true;
        while goes_on {
            let patience = if self.owed > 0 { GLANCE } else { IDLE };
            let mut next = self.queue.recv_timeout(patience).ok();
            let mut left = ROUND;
            while let Some(message) = next {
                match message {
                    Message::Event { event, begins } => {
                        self.owed += cost(&event.what);
                        self.handed_on.fetch_add(1, Relaxed);
                        self.readers.tell(&event, begins);
                    }
                    Message::Look(sink, done) => {
                        self.readers.add(sink, &self.recorder);
                        let _ = done.try_send(());
                    }
                    Message::End => goes_on = false,
                }
                left -= 1;
                next = (goes_on && left > 0).then(|| self.queue.try_recv().ok()).flatten();
            }
            self.readers.flush(&self.recorder);
            self.give_room();
            if goes_on && left > 0 && self.owed > 0 {
                thread::sleep(GLANCE);
            }
        }
    }

    /// Gives back room, as fast as [`RATE`] allows.
    fn give_room(&mut self) {
        let now = Instant::now();
        let micros = (now - self.given).as_micros().min(1_000_000);
        let most = i64::try_from(micros).unwrap_or(0) * RATE.cast_signed() / 1_000_000;
        // Where nobody looks, nothing is handed on: there are only connections to keep.
        let given = if self.readers.is_empty() { self.owed } else { self.owed.min(most) };
        self.recorder.room.give(given);
        self.owed -= given;
        self.given = now;
    }
}
