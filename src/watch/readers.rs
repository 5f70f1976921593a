//! The readers: those who look, and what each of them is told.
//!
//! 1. A reader is first told what there is: [`Hello`], with the connections that are open. That is
//!    kept here from their events, even while nobody looks.
//! 2. Requests that are under way at that moment are not shown to it: it would see half of them. What concerns
//!    all, such as a batch, is shown.
//! 3. What was lost is told to all once a round, before they are asked whether they want more.
//!
//! The naive version begins with the next event, and a page shows answers to nothing on connections that it
//! has never heard of.
//!
//! Next: [`crate::watch::lines`], the events in a file.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::watch::event::{Event, What};
use crate::watch::hello::{Hello, Kept, Limits, Open, State};
use crate::watch::recorder::Recorder;
use crate::watch::room::{Room, Sink};

/// All readers, and what the next one has to be told first.
pub(crate) struct Readers {
    about: About,
    open: BTreeMap<u64, Open>,
    all: Vec<Reader>,
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

impl Readers {
    /// Nobody yet. `kept` and `sync`, which is what `--sync` says, are for the first line.
    pub(crate) fn new(config: &Config, kept: Kept, sync: &str) -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let limits = Limits {
            head_ms: millis(config.limits.head_time),
            body_ms: millis(config.limits.body_time),
            idle_ms: millis(config.limits.idle_time),
            write_ms: millis(config.limits.write_time),
            head_bytes: config.limits.head_bytes,
            connections: config.max_connections,
        };
        let about = About { start: millis(start), kept, sync: sync.to_string(), limits };
        Readers { about, open: BTreeMap::new(), all: Vec::new() }
    }

    /// Whether nobody looks.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds a reader, and tells it what there is. Requests are recorded from now on.
    pub(crate) fn add(&mut self, mut sink: Box<dyn Sink>, recorder: &Recorder) {
        if self.all.is_empty() {
            // What was not recorded before was not wanted.
            recorder.room.take_lost();
            recorder.look(true);
            // What they are doing was not recorded while nobody looked.
            for open in self.open.values_mut() {
                open.state = State::Idle;
            }
        }
        let About { start, kept, sync, limits } = self.about.clone();
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            start,
            kept,
            sync,
            limits,
            file: recorder.file(),
            open: self.open.values().cloned().collect(),
        };
        let hello = now(What::Hello(hello), &recorder.room);
        sink.take(&hello, &hello.line().into());
        let by_half = self.open.keys().copied().collect();
        self.all.push(Reader { sink, by_half });
    }

    /// Tells all what happened. `begins` says whether it is the first byte of a request.
    pub(crate) fn tell(&mut self, event: &Event, begins: bool) {
        if let Some(c) = event.c {
            self.keep(c, &event.what);
        }
        if self.all.is_empty() {
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
        for reader in &mut self.all {
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

    /// Tells all what was lost, and that no other event is there for now. Whoever wants no more is let go.
    pub(crate) fn flush(&mut self, recorder: &Recorder) {
        if self.all.is_empty() {
            return;
        }
        let (requests, connections) = recorder.room.take_lost();
        if requests + connections > 0 {
            let lost = now(What::Lost { requests, connections }, &recorder.room);
            self.tell(&lost, false);
        }
        self.all.retain_mut(|reader| reader.sink.flush());
        if self.all.is_empty() {
            recorder.look(false);
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
}

fn now(what: What, room: &Room) -> Event {
    Event { t: room.time(Instant::now()), c: None, r: None, what }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
