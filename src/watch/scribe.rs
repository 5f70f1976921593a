//! The scribe: a thread that hands events on to those who look.
//!
//! ```text
//!  threads that serve ──▶ queue ──▶ scribe ──▶ the file of --trace-file
//!     (recorder)                      │   └──▶ standard error, for --trace
//!                                     └──▶ each watcher's queue ──▶ its thread ──▶ its socket
//! ```
//!
//! 1. Whoever comes to look is first told what there is: [`Hello`], with the connections that are
//!    open. Requests that are under way at that moment are not shown to him, as he would see them by half.
//! 2. Those who can't take events fast enough slow down nobody. A file or a terminal holds up this thread; then no
//!    room is given back, whole requests are not recorded, and the number is told. A watcher has a queue, and
//!    loses his place where that is full.
//! 3. No more than [`RATE`] events a second are handed on for long: more is not read by anybody, and costs
//!    the processors that serve.
//!
//! It does not sleep in the queue while events come: to wake it up for each of them would cost the thread that
//! serves more than the event.
//!
//! Next: [`crate::watch::lines`], the events in a file.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::config::Config;
use crate::watch::event::{Event, What};
use crate::watch::hello::{Hello, Kept, Limits, Open, State};
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

/// How long the end waits for a file or a terminal that takes nothing.
const LAST_LINES: Duration = Duration::from_millis(500);

/// A way to have events handed on.
#[derive(Debug, Clone)]
pub struct Scribe {
    queue: SyncSender<Message>,
    thread: Arc<JoinHandle<()>>,
    /// How many events have left the queue.
    handed_on: Arc<AtomicU64>,
}

/// The thread's own.
struct Desk {
    recorder: Arc<Recorder>,
    queue: Receiver<Message>,
    about: About,
    open: BTreeMap<u64, Open>,
    readers: Vec<Reader>,
    handed_on: Arc<AtomicU64>,
    /// Room that is not given back yet, in events, and when some of it was.
    owed: i64,
    given: Instant,
}

struct Reader {
    sink: Box<dyn Sink>,
    /// Connections of which nothing is shown until a request begins.
    by_half: HashSet<u64>,
}

/// What the first line says of the server.
#[derive(Debug, Clone)]
struct About {
    start: u64,
    kept: Kept,
    sync: String,
    limits: Limits,
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
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let about = About {
            start: millis(start),
            kept,
            sync: sync.to_string(),
            limits: Limits {
                head_ms: millis(config.limits.head_time),
                body_ms: millis(config.limits.body_time),
                idle_ms: millis(config.limits.idle_time),
                write_ms: millis(config.limits.write_time),
                head_bytes: config.limits.head_bytes,
                connections: config.max_connections,
            },
        };
        let handed_on = Arc::new(AtomicU64::new(0));
        let desk = Desk {
            handed_on: Arc::clone(&handed_on),
            recorder: Arc::clone(&recorder),
            queue: events,
            about,
            open: BTreeMap::new(),
            readers: Vec::new(),
            owed: 0,
            given: Instant::now(),
        };
        let queue = recorder.room.queue();
        let thread = thread::Builder::new().name("scribe".into());
        let thread = thread.spawn(move || desk.run()).context("cannot start a thread")?;
        let observed = stage::observe(move |stage| recorder.note(stage));
        anyhow::ensure!(observed, "this process is observed already");
        Ok(Scribe { queue, thread: Arc::new(thread), handed_on })
    }

    /// Has `sink` told from now on.
    pub(crate) fn hand_on(&self, sink: Box<dyn Sink>) {
        let (done, is_done) = sync_channel(1);
        if self.queue.send(Message::Look(sink, done)).is_ok() {
            let _ = is_done.recv();
        }
    }

    /// Returns when all events up to now have been handed on, and nothing more will be; or when somebody has
    /// taken none for half a second.
    pub fn finish(&self) {
        let mut is_told = false;
        let (mut handed_on, mut since) = (0, Instant::now());
        while !self.thread.is_finished() && since.elapsed() < LAST_LINES {
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
                    Message::Event { event, begins } => self.event(&event, begins),
                    Message::Look(sink, done) => {
                        self.look(sink);
                        let _ = done.try_send(());
                    }
                    Message::End => goes_on = false,
                }
                left -= 1;
                next = (goes_on && left > 0).then(|| self.queue.try_recv().ok()).flatten();
            }
            self.tell_lost();
            self.flush();
            self.give_room();
            if goes_on && left > 0 && self.owed > 0 {
                thread::sleep(GLANCE);
            }
        }
    }

    fn event(&mut self, event: &Event, begins: bool) {
        self.owed += cost(&event.what);
        self.handed_on.fetch_add(1, Relaxed);
        if let Some(c) = event.c {
            self.keep(c, &event.what);
        }
        if self.readers.is_empty() {
            return;
        }
        let line: Arc<str> = event.line().into();
        let is_shared = matches!(
            event.what,
            What::Opened { .. }
                | What::Closed { .. }
                | What::Journaled { .. }
                | What::Synced { .. }
        );
        for reader in &mut self.readers {
            if let Some(c) = &event.c
                && !reader.by_half.is_empty()
            {
                if begins || matches!(event.what, What::Closed { .. }) {
                    reader.by_half.remove(c);
                } else if !is_shared && reader.by_half.contains(c) {
                    continue;
                }
            }
            reader.sink.take(event, &line);
        }
    }

    /// Keeps what the next first line has to say of a connection.
    fn keep(&mut self, c: u64, what: &What) {
        let state = match what {
            What::Opened { peer } => {
                let open = Open { c, peer: peer.clone(), state: State::Idle };
                self.open.insert(c, open);
                return;
            }
            What::Closed { .. } => {
                self.open.remove(&c);
                return;
            }
            What::BytesRead { .. } | What::Partial { .. } => State::Begun,
            What::Parsed { .. } => State::Answering,
            What::Written { .. } => State::Idle,
            _ => return,
        };
        if let Some(open) = self.open.get_mut(&c) {
            open.state = state;
        }
    }

    fn look(&mut self, mut sink: Box<dyn Sink>) {
        if self.readers.is_empty() {
            // What was not recorded before was not wanted.
            self.recorder.take_lost();
            self.recorder.look(true);
            // Nobody has told since when this is so.
            for open in self.open.values_mut() {
                open.state = State::Idle;
            }
        }
        let About { start, kept, sync, limits } = self.about.clone();
        let hello = self.now(What::Hello(Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            start,
            kept,
            sync,
            limits,
            file: self.recorder.file(),
            open: self.open.values().cloned().collect(),
        }));
        sink.take(&hello, &hello.line().into());
        let by_half = self.open.keys().copied().collect();
        self.readers.push(Reader { sink, by_half });
    }

    fn tell_lost(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let (requests, connections) = self.recorder.take_lost();
        if requests + connections > 0 {
            let lost = self.now(What::Lost { requests, connections });
            let line: Arc<str> = lost.line().into();
            for reader in &mut self.readers {
                reader.sink.take(&lost, &line);
            }
        }
    }

    fn flush(&mut self) {
        let before = self.readers.len();
        self.readers.retain_mut(|reader| reader.sink.flush());
        if self.readers.is_empty() && before > 0 {
            self.recorder.look(false);
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

    fn now(&self, what: What) -> Event {
        Event { t: self.recorder.time(Instant::now()), c: None, r: None, what }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
