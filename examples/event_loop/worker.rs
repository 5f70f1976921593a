//! A thread that serves many clients, turn by turn.
//!
//! 1. Nothing here waits but [`epoll::wait`], and the disk.
//! 2. A client is served when its socket is ready, and once in each turn: nobody is served twice before
//!    everybody was served once.
//! 3. The sets of a turn are stored together, and answered when they are on the disk.
//! 4. Whatever has come is read before anybody is told that it is too late, or makes room for another.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dbserver::http::refusal::Refusal;
use dbserver::{Config, Engine, Failed, FileStore};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll, epoll::EventData, epoll::EventFlags};
use rustix::io::Errno;

use crate::client::{Alive, Client, Waits};

/// How many sockets are named in a turn, at most.
const EVENTS: usize = 512;

/// Between two looks at the deadlines.
const LOOK: Duration = Duration::from_millis(100);

/// How long the last requests have when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(4);

/// So many clients of a thread at a time are told that there is no slot for them.
const TURNED_AWAY: usize = 32;

/// What listeners are called, where clients are called by their file descriptor.
const LISTENER: u64 = u64::MAX;

/// What all threads know.
pub(crate) struct Server {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) config: Config,
    pub(crate) threads: usize,
    pub(crate) stopping: AtomicBool,
    /// How many clients there are.
    pub(crate) clients: AtomicUsize,
}

/// The engine of one thread: finds are the file's, and sets are kept back until the turn's end.
#[derive(Debug)]
pub(crate) struct Batch<'s> {
    file: &'s FileStore,
    /// An engine must be ready for several threads. Nobody ever waits for this lock.
    pairs: Mutex<Vec<(String, String)>>,
}

impl<'s> Batch<'s> {
    pub(crate) fn new(file: &'s FileStore) -> Self {
        Batch { file, pairs: Mutex::default() }
    }

    fn pairs(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.pairs().len()
    }

    /// One write and one sync for all of them.
    fn store(&self) -> Result<(), Failed> {
        let pairs = std::mem::take(&mut *self.pairs());
        self.file.set_all(pairs.iter().map(|(key, value)| (&**key, &**value)))
    }
}

impl Engine for Batch<'_> {
    fn find(&self, key: &str, found: &mut dyn FnMut(&str)) -> Result<(), Failed> {
        self.file.find(key, found)
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Failed> {
        self.pairs().push((key.into(), value.into()));
        Ok(())
    }
}

/// A thread's clients, and what holds for all of them in this turn.
pub(crate) struct Worker<'s> {
    pub(crate) server: &'s Server,
    pub(crate) epoll: OwnedFd,
    pub(crate) engine: &'s dyn Engine,
    pub(crate) batch: Option<&'s Batch<'s>>,
    pub(crate) stops: bool,
    /// The clock is read once in a turn.
    pub(crate) now: Instant,
    pub(crate) date: SystemTime,
    /// By file descriptor.
    clients: Vec<Option<Client<'s>>>,
    count: usize,
    /// Whose pair is in the batch.
    committing: Vec<usize>,
}

impl<'s> Worker<'s> {
    pub(crate) fn new(
        server: &'s Server,
        engine: &'s dyn Engine,
        batch: Option<&'s Batch<'s>>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for listener in &server.listeners {
            epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        }
        let (now, date, stops) = (Instant::now(), SystemTime::now(), false);
        let (clients, count, committing) = (Vec::new(), 0, Vec::new());
        Ok(Worker { server, epoll, engine, batch, stops, now, date, clients, count, committing })
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
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
                    fd => self.serve(usize::try_from(fd).unwrap_or(usize::MAX), Client::ready),
                }
            }
            self.commit();
            if !self.stops && self.server.stopping.load(SeqCst) {
                self.stops = true;
                end = Some(self.now + LAST_REQUESTS);
                // Clients in the queue are served, and then nothing listens any more.
                self.accept();
                for listener in &self.server.listeners {
                    let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
                    let _ = epoll::delete(&self.epoll, listener);
                }
            } else if accepts {
                self.accept();
            }
            if named_all && (self.now >= next_look || self.stops) {
                self.look();
                next_look = self.now + LOOK;
            }
        }
        Ok(())
    }

    /// Has a client do what can be done now, and ends it where nothing more can come of it.
    fn serve(&mut self, fd: usize, step: impl FnOnce(&mut Client<'s>, &Self) -> Alive) {
        let Some(mut client) = self.clients.get_mut(fd).and_then(Option::take) else { return };
        if step(&mut client, self).is_none() {
            self.count -= 1;
            self.server.clients.fetch_sub(1, SeqCst);
            return;
        }
        if client.is_committing() {
            self.committing.push(fd);
        }
        self.clients[fd] = Some(client);
    }

    /// Stores the sets of this turn and answers them. Behind one of them, the next may wait already.
    fn commit(&mut self) {
        while let Some(batch) = self.batch.filter(|_| !self.committing.is_empty()) {
            let outcome = batch.store();
            for fd in std::mem::take(&mut self.committing) {
                self.serve(fd, |client, worker| client.committed(&outcome, worker));
            }
        }
    }

    /// Each thread is told of each new client. One that has more clients than the others leaves it.
    fn accept(&mut self) {
        for listener in &self.server.listeners {
            while self.stops || self.count * self.server.threads <= self.server.clients.load(SeqCst)
            {
                match listener.accept() {
                    Ok((stream, _)) => self.add(stream),
                    Err(error) => {
                        // Unless the queue is empty: there are no file descriptors left.
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
        let slots = self.server.config.max_connections / self.server.threads;
        let is_free = self.count < slots || self.evict();
        let Ok(fd) = usize::try_from(stream.as_raw_fd()) else { return };
        let data = EventData::new_u64(fd as u64);
        if self.count >= slots + TURNED_AWAY
            || epoll::add(&self.epoll, &stream, data, EventFlags::IN).is_err()
        {
            return;
        }
        let _ = stream.set_nodelay(true);
        self.count += 1;
        self.server.clients.fetch_add(1, SeqCst);
        self.clients.resize_with(self.clients.len().max(fd + 1), || None);
        self.clients[fd] = Some(Client::new(stream, fd, self));
        if !is_free {
            self.serve(fd, |client, worker| client.end(&Refusal::NoSlot, worker));
        }
    }

    /// Ends the client that has gone longest without a whole request, if there is one that waits.
    fn evict(&mut self) -> bool {
        let waits = |client: &&Client<'_>| !matches!(client.waits, Waits::Room | Waits::End);
        let oldest = self.clients.iter().flatten().filter(waits).min_by_key(|it| it.answered);
        let fd = oldest.map(|client| client.fd);
        fd.inspect(|&fd| self.serve(fd, |_, _| None)).is_some()
    }

    /// Ends what takes too long and, when the server stops, what waits for nothing.
    fn look(&mut self) {
        for fd in 0..self.clients.len() {
            let Some(client) = &mut self.clients[fd] else { continue };
            // Where the last read was full, more may have come in time.
            let is_late = client.deadline <= self.now && !std::mem::take(&mut client.was_full);
            if is_late {
                self.serve(fd, Client::late);
            } else if self.stops && client.waits == Waits::Idle && client.answered < self.now {
                self.serve(fd, |_, _| None);
            }
        }
    }
}
