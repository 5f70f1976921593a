//! The same HTTP, another way to wait: two threads for all clients, and neither waits for one of them.
//! Each asks the system which of its sockets have something to do, does it, and asks again (epoll, Linux).
//!
//! ```text
//!  run():  epoll::wait ──▶ ready() for each of them ──▶ commit() ──▶ accept() ──▶ look() ──┐
//!            ▲                                                                             │
//!            └─────────────────────────────────────────────────────────────────────────────┘
//!
//!  Head ──no body──▶ answer ──nothing to keep──▶ Head        from anywhere, with the last answer:
//!   └────▶ Body ──────▶ └────a pair──▶ Commit ──▶ Head       Last ──written──▶ Goodbye ──▶ closed
//! ```
//!
//! *What it costs the reader:* `src/net/connection.rs` tells a connection's life from top to bottom; where it
//! must wait, its thread waits. Here no function may wait: each returns when there is nothing left to do, and
//! a state says where the story goes on. A deadline is no argument of a read, but a field that somebody must
//! look at. And whatever is slow, a disk that syncs for one, holds up everybody on the thread.
//!
//! *When it pays:* with thousands of connections, as one that waits has neither a stack nor a buffer; where
//! most of the work is switching from thread to thread; and when all sets of a turn share one write and one
//! sync, for which nobody has to wait or wake anybody.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use dbserver::http::{answers::Answers, body::Drain, head::HeadSearch, input::Input};
use dbserver::http::{refusal::Refusal, request::Framing, request::Request};
use dbserver::{Config, Engine, Failed, FileStore, Keeping, MemoryStore, listener};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll, epoll::EventData, epoll::EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, shutdown};
use signal_hook::{consts::SIGHUP, consts::SIGINT, consts::SIGTERM, iterator::Signals};

const THREADS: usize = 2;
/// How many sockets are named in one turn, at most.
const EVENTS: usize = 512;
/// Most requests come whole, so buffers are lent for a turn: there are few of them, and they are large.
const BUFFER: usize = 16 << 10;
/// Between two looks at the deadlines.
const LOOK: Duration = Duration::from_millis(100);
/// How long the last requests have when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(4);
/// After the last answer, what still comes is read for so long, or so much of it (RFC 9112 §9.6).
const GOODBYE: (Duration, usize) = (Duration::from_secs(1), 256 << 10);
/// What the deadline of a write is for.
const PIECE: usize = 64 << 10;
/// So many clients at a time are told that there is no slot for them.
const TURNED_AWAY: usize = 32;
/// What the listeners are called, where clients are called by their file descriptor.
const LISTENER: u64 = u64::MAX;

/// `event_loop [PORT [--data FILE]]`
fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(4003), |port| port.parse())?;
    let data = arguments.next().filter(|it| it == "--data").and_then(|_| arguments.next());
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let file = data.map(|path| FileStore::open(path.as_ref(), Keeping::default())).transpose()?;
    let (memory, config) = (MemoryStore::new(), Config::default());
    let listeners = listener::bind("localhost", port)?;
    listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
    println!("Started Simple DB server on http://localhost:{}/", listeners[0].local_addr()?.port());
    let (stopping, clients) = (AtomicBool::new(false), AtomicUsize::new(0));
    let start = |batch: Option<&Batch<'_>>| {
        let engine = batch.map_or(&memory as &dyn Engine, |batch| batch);
        Worker::new(&listeners, engine, batch, &config, &stopping, &clients)?.run()
    };
    thread::scope(|scope| -> anyhow::Result<()> {
        for _ in 0..THREADS {
            let thread = thread::Builder::new().name("loop".into());
            thread.spawn_scoped(scope, || start(file.as_ref().map(Batch::new).as_ref()))?;
        }
        signals.forever().next();
        stopping.store(true, SeqCst);
        Ok(())
    })?;
    file.map_or(Ok(()), |file| file.close())
}

/// The engine of one thread. Finds are the file store's; sets are collected, and stored together at the
/// end of the turn. (Any engine may be called from several threads; nobody waits for these locks.)
#[derive(Debug)]
struct Batch<'s> {
    file: &'s FileStore,
    pairs: Mutex<Vec<(String, String)>>,
    failed: Mutex<Option<Failed>>,
}

impl<'s> Batch<'s> {
    fn new(file: &'s FileStore) -> Self {
        Batch { file, pairs: Mutex::default(), failed: Mutex::default() }
    }

    fn len(&self) -> usize {
        lock(&self.pairs).len()
    }

    /// One write and one sync for all sets of this turn.
    fn store(&self) {
        let pairs = std::mem::take(&mut *lock(&self.pairs));
        *lock(&self.failed) = self.file.set_all(pairs.iter().map(|(k, v)| (&**k, &**v))).err();
    }
}

impl Engine for Batch<'_> {
    fn find(&self, key: &str, found: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        self.file.find(key, found)
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Failed> {
        lock(&self.failed).clone().map_or(Ok(()), Err)?;
        lock(&self.pairs).push((key.into(), value.into()));
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread: its clients by file descriptor, and what holds for all of them in this turn.
struct Worker<'s> {
    epoll: OwnedFd,
    listeners: &'s [TcpListener],
    engine: &'s dyn Engine,
    batch: Option<&'s Batch<'s>>,
    config: &'s Config,
    /// Of all threads.
    stopping: &'s AtomicBool,
    of_all: &'s AtomicUsize,
    stops: bool,
    /// Asked once a turn.
    now: Instant,
    date: SystemTime,
    clients: Vec<Option<Client<'s>>>,
    count: usize,
    spare: Vec<Buffers<'s>>,
    /// Whose pair is in the batch.
    committing: Vec<usize>,
}

/// What a client needs for a step. It keeps them only while there is something in them.
struct Buffers<'s> {
    input: Input,
    answers: Answers<'s>,
}

impl<'s> Worker<'s> {
    fn new(
        listeners: &'s [TcpListener],
        engine: &'s dyn Engine,
        batch: Option<&'s Batch<'s>>,
        config: &'s Config,
        stopping: &'s AtomicBool,
        of_all: &'s AtomicUsize,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for listener in listeners {
            epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        }
        Ok(Worker {
            epoll,
            listeners,
            engine,
            batch,
            config,
            stopping,
            of_all,
            stops: false,
            now: Instant::now(),
            date: SystemTime::now(),
            clients: Vec::new(),
            count: 0,
            spare: Vec::new(),
            committing: Vec::new(),
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        let (mut next_look, mut end) = (self.now, None);
        while !(self.stops && self.count == 0) && end.is_none_or(|end| self.now < end) {
            let time = if self.stops { Duration::from_millis(1) } else { LOOK };
            let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&time)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            (self.now, self.date) = (Instant::now(), SystemTime::now());
            let (named_all, mut accepts) = (events.len() < EVENTS, false);
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => accepts = true,
                    fd => self.serve(fd as usize, Client::ready),
                }
            }
            self.commit();
            // Last: who sent something in this turn does not have to make room for somebody new.
            if accepts {
                self.accept();
            }
            // What has come is read before anything is too late.
            if named_all && self.now >= next_look || self.stops {
                self.look();
                next_look = self.now + LOOK;
            }
            if !self.stops && self.stopping.load(SeqCst) {
                self.stops = true;
                end = Some(self.now + LAST_REQUESTS);
                // Who is in the queue is served, and nobody else: nothing listens any more.
                self.accept();
                for listener in self.listeners {
                    let _ = shutdown(listener, rustix::net::Shutdown::Both);
                    let _ = epoll::delete(&self.epoll, listener);
                }
            }
        }
        Ok(())
    }

    /// Lends a client its buffers for a step, and ends it where the step says so.
    fn serve(&mut self, fd: usize, step: fn(&mut Client<'s>, &mut Buffers<'s>, &Self) -> Alive) {
        let Some(mut client) = self.clients.get_mut(fd).and_then(Option::take) else { return };
        let mut buffers = client.kept.take().or_else(|| self.spare.pop()).unwrap_or_else(|| {
            let client = Ipv4Addr::LOCALHOST.into();
            let answers = Answers::new(self.engine, self.config, client, self.date);
            Buffers { input: Input::with_size(BUFFER), answers }
        });
        buffers.answers.tick(self.date);
        let alive = step(&mut client, &mut buffers, self).is_some();
        if !alive {
            buffers.answers.clear();
            let left = buffers.input.unread().len();
            buffers.input.use_up(left);
            self.count -= 1;
            self.of_all.fetch_sub(1, SeqCst);
        }
        if buffers.input.unread().is_empty() && buffers.answers.ready().is_empty() {
            self.spare.push(buffers);
        } else {
            client.kept = Some(buffers);
        }
        if alive {
            if matches!(client.state, State::Commit { .. }) {
                self.committing.push(fd);
            }
            self.clients[fd] = Some(client);
        }
    }

    /// Stores the sets of this turn, and goes on with those who sent them: some have sent another.
    fn commit(&mut self) {
        while let Some(batch) = self.batch.filter(|_| !self.committing.is_empty()) {
            batch.store();
            for fd in std::mem::take(&mut self.committing) {
                self.serve(fd, Client::committed);
            }
            *lock(&batch.failed) = None;
        }
    }

    /// Every thread is told of a new client; one that has more clients than others leaves it to them.
    fn accept(&mut self) {
        for listener in self.listeners {
            while self.stops || self.count * THREADS <= self.of_all.load(SeqCst) {
                match listener.accept() {
                    Ok((stream, _)) => self.add(stream),
                    Err(error) => {
                        // Unless nobody is there, there is no file descriptor left for them.
                        if error.kind() != ErrorKind::WouldBlock && !self.stops {
                            self.evict();
                        }
                        break;
                    }
                }
            }
        }
    }

    fn add(&mut self, stream: TcpStream) {
        let (fd, slots) = (stream.as_raw_fd() as usize, self.config.max_connections / THREADS);
        let is_free = self.count < slots || self.evict();
        let data = EventData::new_u64(fd as u64);
        if self.count >= slots + TURNED_AWAY
            || epoll::add(&self.epoll, &stream, data, EventFlags::IN).is_err()
        {
            return;
        }
        let _ = stream.set_nodelay(true);
        self.count += 1;
        self.of_all.fetch_add(1, SeqCst);
        self.clients.resize_with(self.clients.len().max(fd + 1), || None);
        self.clients[fd] = Some(Client {
            stream,
            state: State::Head(HeadSearch::default()),
            waits: Waits::Idle,
            deadline: self.now + self.config.limits.idle_time,
            answered: self.now,
            seen: self.now,
            written: 0,
            was_full: false,
            kept: None,
        });
        if !is_free {
            self.serve(fd, |client, buffers, worker| {
                client.refuse(buffers, &Refusal::NoSlot);
                client.go_on(buffers, worker)
            });
        }
    }

    /// Ends the client that has gone longest without a whole request, if one waits.
    fn evict(&mut self) -> bool {
        let waits = |client: &&Client<'_>| !matches!(client.waits, Waits::Room | Waits::End);
        let oldest = self.clients.iter().flatten().filter(waits).min_by_key(|it| it.answered);
        let fd = oldest.map(|client| client.stream.as_raw_fd() as usize);
        fd.inspect(|&fd| self.serve(fd, |_, _, _| None)).is_some()
    }

    /// Ends what has taken too long, and at a stop also what waits for nothing.
    fn look(&mut self) {
        for fd in 0..self.clients.len() {
            if self.clients[fd].as_ref().is_some_and(|client| client.is_late(self)) {
                self.serve(fd, Client::late);
            }
        }
    }
}

/// `None`: the client is gone, or everything is said.
type Alive = Option<()>;

/// One connection, and where its story goes on.
struct Client<'s> {
    stream: TcpStream,
    state: State,
    waits: Waits,
    deadline: Instant,
    /// When its last whole request came, and its last step was.
    answered: Instant,
    seen: Instant,
    /// How much of the answers is written.
    written: usize,
    /// Whether its last read was full.
    was_full: bool,
    kept: Option<Buffers<'s>>,
}

enum State {
    /// The end of a head is looked for.
    Head(HeadSearch),
    /// The head is there, and its body is thrown away.
    Body(Range<usize>, Drain),
    /// The pair is in the batch, and the answer after so many others in the output. Written it is when
    /// the batch is stored.
    Commit { head: Range<usize>, before: usize, closes: bool },
    /// The last answer is in the output. Whether the client may still be sending then.
    Last(bool),
    /// It was written. So many bytes more are thrown away.
    Goodbye(usize),
}

/// What a client's deadline is for.
#[derive(PartialEq, Clone, Copy)]
enum Waits {
    Idle,
    Head,
    Body,
    /// For room in the system's output.
    Room,
    /// For the client to have read the last answer.
    End,
}

impl Client<'_> {
    /// Its socket is ready, to be written to where that was missing, or else to be read from. Once a
    /// turn: if there is more, the next turn names it again.
    fn ready(&mut self, buffers: &mut Buffers<'_>, worker: &Worker<'_>) -> Alive {
        if self.waits != Waits::Room {
            let space = buffers.input.space();
            match recv(&self.stream, space, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return None,
                Ok((_, count)) => buffers.input.filled(count),
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Some(()),
                Err(_) => return None,
            }
        }
        self.go_on(buffers, worker)
    }

    /// Answers what is there, and writes the answers, as far as that goes without waiting.
    fn go_on(&mut self, buffers: &mut Buffers<'_>, worker: &Worker<'_>) -> Alive {
        loop {
            let full = self.answer_all(buffers, worker).unwrap_or_else(|refusal| {
                self.refuse(buffers, &refusal);
                false
            });
            if matches!(self.state, State::Commit { .. }) {
                return Some(());
            }
            let flushed = self.flush(buffers, worker)?;
            match &mut self.state {
                State::Last(sending) if flushed => {
                    sending.then_some(())?;
                    self.stream.shutdown(Shutdown::Write).ok()?;
                    self.state = State::Goodbye(GOODBYE.1);
                }
                State::Goodbye(left) => {
                    let count = buffers.input.unread().len();
                    *left = left.checked_sub(count)?;
                    buffers.input.use_up(count);
                }
                _ => {}
            }
            if !(full && flushed) {
                return self.wait(buffers, worker);
            }
        }
    }

    /// Answers requests until there is no whole one, or a set waits, or the output is full: then true.
    fn answer_all(&mut self, buffers: &mut Buffers<'_>, w: &Worker<'_>) -> Result<bool, Refusal> {
        let Buffers { input, answers } = buffers;
        let limits = &w.config.limits;
        while !answers.are_full() {
            let (head, drained) = match &mut self.state {
                State::Head(search) => match search.look(input.unread(), limits.head_bytes)? {
                    Some(head) => (head, false),
                    None => return Ok(false),
                },
                State::Body(head, drain) => {
                    let (taken, done) = drain.take(&input.unread()[head.end..])?;
                    input.cut(head.end..head.end + taken);
                    if !done {
                        return Ok(false);
                    }
                    (head.clone(), true)
                }
                _ => return Ok(false),
            };
            let more = input.was_full() || input.unread().len() > head.end;
            let request = Request::parse(&mut input.unread()[head.clone()])?;
            let has_body = request.framing != Framing::Length(0) && !drained;
            if has_body {
                let drain = Drain::new(request.framing, limits.body_bytes)?;
                if !request.expects_continue {
                    self.state = State::Body(head, drain);
                    continue;
                }
            }
            // Who asks before sending a body is answered at once, and spared the body.
            let last = has_body || w.stops && !more;
            let (before, pairs) = (answers.ready().len(), w.batch.map_or(0, Batch::len));
            let closes = !answers.answer(&request, last);
            self.answered = w.now;
            if pairs < w.batch.map_or(0, Batch::len) {
                self.state = State::Commit { head, before, closes };
                return Ok(false);
            }
            self.next(input, head.end, closes, has_body);
        }
        Ok(true)
    }

    /// The batch is stored, or was not: then the answer is another one.
    fn committed(&mut self, buffers: &mut Buffers<'_>, worker: &Worker<'_>) -> Alive {
        let state = std::mem::replace(&mut self.state, State::Head(HeadSearch::default()));
        if let State::Commit { head, before, closes } = state {
            let Buffers { input, answers } = buffers;
            if worker.batch.is_some_and(|batch| lock(&batch.failed).is_some()) {
                answers.take_back(before);
                let request = Request::parse(&mut input.unread()[head.clone()]).ok()?;
                answers.answer(&request, closes);
            }
            self.next(input, head.end, closes, false);
        }
        self.go_on(buffers, worker)
    }

    /// The request whose head ends there is answered.
    fn next(&mut self, input: &mut Input, head_end: usize, closes: bool, sends: bool) {
        input.use_up(head_end);
        let sends = sends || input.was_full() || !input.unread().is_empty();
        self.state = if closes { State::Last(sends) } else { State::Head(HeadSearch::default()) };
    }

    fn refuse(&mut self, buffers: &mut Buffers<'_>, refusal: &Refusal) {
        buffers.answers.refuse(refusal, buffers.input.unread());
        self.state = State::Last(true);
    }

    /// Writes what the system takes of the output; returns whether that was all.
    fn flush(&mut self, buffers: &mut Buffers<'_>, worker: &Worker<'_>) -> Option<bool> {
        let rest = &buffers.answers.ready()[self.written..];
        let sent = match rest {
            [] => 0,
            _ => match send(&self.stream, rest, SendFlags::DONTWAIT) {
                Err(Errno::WOULDBLOCK | Errno::INTR) => 0,
                sent => sent.ok()?,
            },
        };
        if sent < rest.len() {
            if (self.written + sent) / PIECE > self.written / PIECE {
                self.deadline = worker.now + worker.config.limits.write_time;
            }
            self.written += sent;
            return Some(false);
        }
        self.written = 0;
        buffers.answers.clear();
        Some(true)
    }

    /// Nothing more can be done in this turn: what is waited for, and until when?
    fn wait(&mut self, buffers: &mut Buffers<'_>, worker: &Worker<'_>) -> Alive {
        let limits = &worker.config.limits;
        let (waits, time) = match &self.state {
            _ if !buffers.answers.ready().is_empty() => (Waits::Room, limits.write_time),
            State::Head(search) if search.has_begun(buffers.input.unread()) => {
                (Waits::Head, limits.head_time)
            }
            State::Head(_) => (Waits::Idle, limits.idle_time),
            State::Body(..) => (Waits::Body, limits.body_time),
            _ => (Waits::End, GOODBYE.0),
        };
        if (waits == Waits::Room) != (self.waits == Waits::Room) {
            let flags = if waits == Waits::Room { EventFlags::OUT } else { EventFlags::IN };
            let data = EventData::new_u64(self.stream.as_raw_fd() as u64);
            epoll::modify(&worker.epoll, &self.stream, data, flags).ok()?;
        }
        // All reads of a head have one deadline, and those of a body.
        if waits != self.waits || self.answered == worker.now {
            (self.waits, self.deadline) = (waits, worker.now + time);
        }
        self.seen = worker.now;
        self.was_full = buffers.input.was_full();
        Some(())
    }

    fn is_late(&self, worker: &Worker<'_>) -> bool {
        let served = self.seen == worker.now;
        // Where a read was full, more may have come in time.
        self.deadline <= worker.now && !(served && self.was_full)
            || worker.stops && self.waits == Waits::Idle && !served
    }

    fn late(&mut self, buffers: &mut Buffers<'_>, worker: &Worker<'_>) -> Alive {
        let refusal = match self.waits {
            Waits::Head => Refusal::HeadTimeout,
            Waits::Body => Refusal::BodyTimeout,
            _ => return None,
        };
        self.refuse(buffers, &refusal);
        self.go_on(buffers, worker)
    }
}
